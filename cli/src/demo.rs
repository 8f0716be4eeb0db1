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

mod agents;
mod compare;
mod errand;
mod expect;
mod mail;
mod mailing;
mod people;
mod send;
mod shown;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hushmark_crds::Manifests;
use hushmark_crds::region::PrivacySignals;
use hushmark_event::Verdict;
use hushmark_event::cell::Dimension;
use hushmark_policy::Kind;
use hushmark_report::{ReadError, Report, text};

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

/// A demo does not wait for epochs that are longer.
const EPOCH_MAX: Duration = Duration::from_secs(60);

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
        println!("demo: a morning in which mail is read");
        let mut mailings = Vec::new();
        for campaign in manifests.campaigns.iter().filter(|campaign| campaign.list.is_some()) {
            let mailing = Mailing::stamp(data, folder, state, campaign).await?;
            println!("  stamped    {mailing}");
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
            campaigns.push(compare::read(&self.state.clickhouse, mailing.ids).await?);
        }
        Ok(Counters { campaigns, own: compare::read_own(&self.state.clickhouse).await? })
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
        println!(
            "  sent       {} in {seconds:.1} s, each over a connection of its own",
            plural(requests, "request")
        );
        println!(
            "  answered   every pixel, every link to the byte, {} alike and to nowhere",
            plural(sent.forged, "forged token")
        );
        Ok(sent)
    }

    /// What has to be counted of a campaign.
    fn expected(&self, n: usize, sent: &send::Sent, before: &Cells, after: &Cells) -> Cells {
        let hits = sent.hits.get(&n).map_or(&[][..], Vec::as_slice);
        let rules = compare::rules(before, after).unwrap_or_else(|| "?".to_owned());
        expect::cells(self.mailings[n].tracking, hits, &rules)
    }

    /// Waits until as much is counted as was sent, and compares every cell.
    async fn compare(&self, before: &Counters, sent: &send::Sent) -> Result<Counters> {
        println!(
            "  waiting    for what a message's other clicks tell of each, which takes ten seconds"
        );
        let begun = Instant::now();
        let mut after = self.read().await?;
        while !self.is_all_there(before, sent, &after) && begun.elapsed() < COUNTED_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
            after = self.read().await?;
        }
        let (mut faults, mut cells, mut by_verdict) = (String::new(), 0, Cells::new());
        for (n, mailing) in self.mailings.iter().enumerate() {
            let (was, is) = (&before.campaigns[n], &after.campaigns[n]);
            let expected = self.expected(n, sent, was, is);
            cells += expected.len();
            for (place, numbers) in &expected {
                if place.1 == Dimension::Verdict {
                    by_verdict.entry(place.clone()).or_default().raw += numbers.raw;
                }
            }
            let differences = compare::differences(was, &expected, is);
            if !differences.is_empty() {
                faults += &compare::table(&mailing.name, &differences);
            }
        }
        let voids = after.own.voids - before.own.voids;
        if voids != sent.voids || after.own.drops != before.own.drops {
            writeln!(
                faults,
                "voids: {} sent, {voids} counted; drops: {} before, {} now",
                sent.voids, before.own.drops, after.own.drops
            )?;
        }
        if !faults.is_empty() {
            bail!("what was counted is not what was sent\n{faults}");
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "  counted    after {seconds:.1} s: all {cells} counters are what was sent, to the hit"
        );
        say_verdicts(&by_verdict);
        println!(
            "    {} more were valid and are kept nowhere: HEAD, prefetched or objected to by GPC",
            sent.voids
        );
        Ok(after)
    }

    fn is_all_there(&self, before: &Counters, sent: &send::Sent, after: &Counters) -> bool {
        let voids = after.own.voids >= before.own.voids + sent.voids;
        voids
            && (0..self.mailings.len()).all(|n| {
                let (was, is) = (&before.campaigns[n], &after.campaigns[n]);
                let hits = sent.hits.get(&n).map_or(&[][..], Vec::as_slice);
                Kind::ALL.into_iter().all(|kind| {
                    let sent = hits.iter().filter(|hit| hit.kind == kind).count() as u64;
                    compare::total(is, kind) >= compare::total(was, kind) + sent
                })
            })
    }

    /// Waits for an epoch that has seen all of it, and checks what it shows.
    async fn reports(&self, manifests: &Manifests, actual: &Counters) -> Result<Vec<Report>> {
        let epoch = manifests.region.epoch;
        if epoch > EPOCH_MAX {
            println!(
                "  shown      not before an epoch ends, and one lasts {} s: see `hushmark report`",
                epoch.as_secs()
            );
            return Ok(Vec::new());
        }
        println!("  waiting    for the end of an epoch, which lasts {} s", epoch.as_secs());
        let (mut reports, mut faults) = (Vec::new(), Vec::new());
        let counted_at = now_ms().div_ceil(1_000);
        let begun = Instant::now();
        for (mailing, actual) in self.mailings.iter().zip(&actual.campaigns) {
            let within = epoch * 2 + COUNTED_WITHIN;
            let Some(report) = self.report(mailing, counted_at, begun + within).await? else {
                continue;
            };
            faults.extend(shown::faults(&report, actual));
            if u64::from(report.minimum_group) != manifests.region.minimum_group {
                faults.push(format!("{}: another minimum group", mailing.name));
            }
            reports.push(report);
        }
        if !faults.is_empty() {
            bail!("what is shown is not what may be shown:\n  {}", faults.join("\n  "));
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "  shown      after {seconds:.1} s: all that may be, and nothing of fewer than {} people \
             but where each agreed",
            manifests.region.minimum_group
        );
        Ok(reports)
    }

    /// The campaign's report as of an epoch after `since`, in seconds since 1970; `None` for a
    /// campaign that tracks nothing and of which nothing is published.
    async fn report(
        &self,
        mailing: &Mailing,
        since: u64,
        until: Instant,
    ) -> Result<Option<Report>> {
        loop {
            let read =
                hushmark_report::campaign(&self.state.clickhouse, &mailing.name, mailing.ids).await;
            match read {
                Ok(report) if u64::from(report.epoch) > since => return Ok(Some(report)),
                Err(ReadError::NotPublished(_)) if mailing.is_off() => return Ok(None),
                Ok(_) | Err(ReadError::NotPublished(_)) if Instant::now() < until => {}
                Ok(_) => bail!("{}: no epoch was published in time", mailing.name),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
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
        println!("  waiting    {:.0} s for the hour to turn", left.as_secs_f64());
        tokio::time::sleep(left + Duration::from_millis(100)).await;
    }
}

/// What came, by who made the request.
fn say_verdicts(by_verdict: &Cells) {
    println!("    {:<14} {:>6} {:>6}", "", "opens", "clicks");
    for verdict in Verdict::ALL {
        let of = |kind| {
            let place = (kind, Dimension::Verdict, verdict.name().to_owned());
            by_verdict.get(&place).map_or(0, |cell| cell.raw)
        };
        let (opens, clicks) = (of(Kind::Open), of(Kind::Click));
        if opens + clicks > 0 {
            println!("    {:<14} {opens:>6} {clicks:>6}", verdict.name());
        }
    }
}
