//! `hushmark demo`: a realistic morning against the running edge, over real HTTP.
//!
//! What is sent is known, and the counters have to say exactly that, to the hit, and the report
//! what of it may be shown: this is a test as well. The path of the data, in reading order:
//!
//! 1. [`mailing`] and [`mail`]: campaigns are stamped, and their messages become letters, as a
//!    mail client sees them.
//! 2. [`people`] and [`agents`]: the script, and who comes by.
//! 3. [`errand`]: letters and script become requests with their answers and effects.
//! 4. [`send`]: the requests are sent, the answers checked.
//! 5. [`expect`]: what was sent becomes the cells that have to be there.
//! 6. [`compare`]: the counters against these cells.
//! 7. [`shown`]: the report against the counters and the rules of what may be shown.
//!
//! [`check`] waits for the last three.

mod agents;
mod check;
mod compare;
mod errand;
mod expect;
mod mail;
mod mailing;
mod people;
mod send;
mod shown;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hushmark_crds::Manifests;
use hushmark_crds::region::PrivacySignals;
use hushmark_report::text;

use crate::args::Demo;
use crate::data::{DataFolder, State};
use crate::http;
use crate::report::print;
use crate::stamp::plural;
use crate::up::{now_ms, read_manifests};

use compare::Own;
use expect::Cells;
use mailing::Mailing;

/// The longest that a morning takes, and what is left of the hour when one begins.
const MORNING: Duration = Duration::from_secs(15);

/// How long hits may take into the counters: the writer's window is ten seconds.
const COUNTED_WITHIN: Duration = Duration::from_secs(60);

/// How often counters and reports are looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run(data: &Path, options: &Demo) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let manifests = read_manifests(&state.manifests)?;
    let demo = Morning::stamp(data, &folder, &state, &manifests).await?;
    settle(&state).await?;
    let before = demo.read().await?;
    let sent = demo.send(&manifests).await?;
    let after = demo.compare(&before, &sent).await?;
    let reports = demo.reports(&manifests, &after).await?;
    demo.is_still(&after).await?;
    if !options.quiet {
        for report in &reports {
            print(&format!("\n{}", text::render(report)))?;
        }
        print("\n")?;
    }
    Ok(())
}

/// What stands in ClickHouse: the campaigns in their order, and the writer's own.
struct Counters {
    campaigns: Vec<Cells>,
    own: Own,
}

/// The demo's campaigns against a stack that runs.
struct Morning<'a> {
    state: &'a State,
    mailings: Vec<Mailing>,
}

/// Waits until nothing that was sent before is still on its way to the counters.
async fn settle(state: &State) -> Result<()> {
    let until = Instant::now() + COUNTED_WITHIN;
    loop {
        let page = http::get(&format!("http://{}/metrics", state.writer_admin)).await?;
        let waiting = ["hushmark_writer_lag_hits", "hushmark_writer_lag_entries"]
            .iter()
            .filter_map(|name| http::metric(&page, name))
            .sum::<f64>();
        if waiting == 0.0 {
            return Ok(());
        }
        if Instant::now() > until {
            bail!(
                "{waiting} earlier records are still not counted: the demo compares counters, so \
                 it needs a stack that nothing else is sent to"
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl<'a> Morning<'a> {
    /// Stamps every campaign of the manifests, and reads the messages back.
    async fn stamp(
        data: &Path,
        folder: &DataFolder,
        state: &'a State,
        manifests: &Manifests,
    ) -> Result<Self> {
        said!("demo: a morning in which mail is read");
        let mut mailings = Vec::new();
        for campaign in manifests.campaigns.iter().filter(|campaign| campaign.list.is_some()) {
            let mailing = Mailing::stamp(data, folder, state, campaign).await?;
            said!("  stamped    {mailing}");
            mailings.push(mailing);
        }
        if mailings.is_empty() {
            bail!("no campaign in {} names a list", state.manifests.display());
        }
        Ok(Self { state, mailings })
    }

    async fn read(&self) -> Result<Counters> {
        let mut campaigns = Vec::new();
        for mailing in &self.mailings {
            campaigns.push(compare::read(&self.state.clickhouse()?, mailing.ids).await?);
        }
        Ok(Counters { campaigns, own: compare::read_own(&self.state.clickhouse()?).await? })
    }

    async fn send(&self, manifests: &Manifests) -> Result<send::Sent> {
        let raw_count = manifests.region.privacy_signals == PrivacySignals::CountRaw;
        let errands: Vec<errand::Errand> = self
            .mailings
            .iter()
            .enumerate()
            .flat_map(|(n, m)| errand::errands(n, &m.letters, m.readers, raw_count))
            .collect();
        let (requests, host) = (errands.len() as u64, host(&self.state.base_url));
        wait_for_an_hour_that_lasts().await;
        let begun = Instant::now();
        let sent = send::send(&self.state.edge, host, errands).await?;
        let seconds = begun.elapsed().as_secs_f64();
        said!(
            "  sent       {} in {seconds:.1} s, each over a connection of its own",
            plural(requests, "request")
        );
        said!(
            "  answered   every pixel, every link to the byte, {} alike and to nowhere",
            plural(sent.forged, "forged token")
        );
        Ok(sent)
    }
}

/// Host and port of a URL, as a `Host` header has them.
fn host(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host).trim_end_matches('/')
}

/// Hits are counted in the hour in which they arrive: a morning begins where the hour does not end
/// before it.
async fn wait_for_an_hour_that_lasts() {
    let left = Duration::from_millis(3_600_000 - now_ms() % 3_600_000);
    if left < MORNING {
        said!("  waiting    {:.0} s for the hour to turn", left.as_secs_f64());
        tokio::time::sleep(left + Duration::from_millis(100)).await;
    }
}
