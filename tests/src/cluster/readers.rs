//! Readers of a region's mail, at a steady rate: each follows links of one campaign, every link
//! once, over a connection of its own as mail clients do, and remembers how that was answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hushmark_policy::{CampaignId, Generation, MailType, Mode, Place, TenantId};
use hushmark_token::{Claims, Kid, RegionKey, Route, Sealer};

use super::installed::Forward;
use crate::http;
use crate::keys::Keys;

/// How long a mail client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose mail it is.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The Region's name.
    pub region: String,
    /// The tenant's namespace.
    pub namespace: String,
    /// The campaign's name.
    pub name: String,
}

impl Campaign {
    /// A campaign by its names.
    #[must_use]
    pub fn new(region: &str, namespace: &str, name: &str) -> Self {
        Self { region: region.into(), namespace: namespace.into(), name: name.into() }
    }

    fn id(&self) -> CampaignId {
        CampaignId::derive(&self.region, &self.namespace, &self.name)
    }

    fn tenant(&self) -> TenantId {
        TenantId::derive(&self.region, &self.namespace)
    }

    /// How often each link was counted.
    ///
    /// # Errors
    /// What ClickHouse says.
    pub fn counted(&self, clickhouse: &Forward) -> Result<HashMap<u16, u64>> {
        let (tenant, campaign) = (self.tenant().0, self.id().0);
        let text = clickhouse.query(&format!(
            "SELECT value, sum(raw) FROM counters WHERE tenant = {tenant} AND campaign = {campaign} \
             AND dimension = 'link' GROUP BY value"
        ))?;
        text.lines()
            .map(|line| {
                let (link, count) = line.split_once('\t').context("a link and its count")?;
                Ok((link.parse()?, count.parse()?))
            })
            .collect()
    }
}

/// One request and what came of it.
pub struct Hit {
    /// The link that was followed; no other hit of its campaign follows it.
    pub link: u16,
    /// How long the answer took, or the wait for it.
    pub took: Duration,
    /// The status of the answer, or why there was none.
    pub answer: Result<u16, String>,
}

impl Hit {
    /// Whether the reader was led on.
    #[must_use]
    pub fn was_led_on(&self) -> bool {
        self.answer == Ok(302)
    }
}

/// One reader on a thread.
pub struct Reader {
    /// What is read.
    pub campaign: Campaign,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Hit>>>,
}

impl Reader {
    /// Begins to read mail that is sealed under a key.
    #[must_use]
    pub fn start(
        campaign: &Campaign,
        (kid, key): &(Kid, RegionKey),
        edge: SocketAddr,
        every: Duration,
    ) -> Self {
        let sealer = Sealer::new(*kid, key, campaign.id());
        let stop = Arc::new(AtomicBool::new(false));
        let (ends, whose) = (Arc::clone(&stop), campaign.clone());
        let thread = std::thread::spawn(move || {
            let mut hits = Vec::new();
            let mut next = Instant::now();
            for link in 1..u16::MAX {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                hits.push(read(edge, &sealer, &whose, link)?);
                next += every;
                sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(hits)
        });
        Self { campaign: campaign.clone(), stop, thread }
    }

    /// Everything that was read.
    ///
    /// # Errors
    /// When a link could not be sealed.
    pub fn stop(self) -> Result<Vec<Hit>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a reader panicked"))?
    }
}

fn read(edge: SocketAddr, sealer: &Sealer, campaign: &Campaign, link: u16) -> Result<Hit> {
    let claims = Claims {
        tenant: campaign.tenant(),
        campaign: campaign.id(),
        generation: Generation(0),
        mode: Mode::Overall,
        mail_type: MailType::Campaign,
        place: Place::None,
        honeypot: false,
        mark: None,
        link,
        last_day: Keys::last_day(),
        destination: Some("https://news.example.org/".to_owned()),
        apart: None,
    };
    let token = sealer.seal(Route::Click, &claims).context("a link cannot be sealed")?;
    let sent = Instant::now();
    let answer = http::get(edge, &format!("/{}/{token}", Route::Click.segment()), PATIENCE);
    let answer = answer.map(|answer| answer.status).map_err(|error| format!("{error:#}"));
    Ok(Hit { link, took: sent.elapsed(), answer })
}
