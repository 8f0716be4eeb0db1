//! Epochs: at fixed times what may be shown is computed from the counters and published.
//!
//! The publisher reads while no cut is half stored, so that counters and rows say the same. What
//! it writes replaces what it wrote before, key by key: an epoch that was cut short is done again.

mod read;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use hushmark_event::Totals;
use hushmark_event::refusal::Erasures;
use hushmark_policy::shown::Shown;
use hushmark_policy::{CampaignId, Kind, Mode, TenantId};
use serde::Serialize;

use crate::admin::Status;
use crate::lease::Lease;
use crate::scripts::Fenced;
use crate::session::now_ms;
use crate::shared::Shared;
use crate::store::StoreError;
use read::{Before, Id, Sent};
use rules::{Counted, Place, Terms, Uniques};

/// Campaigns read at once at most: 16 with a hundred cells each, two sketches a cell of at most
/// 12 KiB and 100,000 contacts take the engine some 400 MB.
const AT_ONCE: usize = 16;

/// No cut is stored while campaigns are read, so that hits wait. Where reading takes longer than
/// this, fewer are read at once: at 27,000 hits a second 16 campaigns of a million rows each made
/// hits wait for five seconds (measured).
const HOLD: Duration = Duration::from_millis(400);

/// The length of a wait before looking at the clock again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An epoch that took the engine longer than this is followed by a rest of [`REST`] times as long:
/// short epochs over much data leave some out rather than cost more than the hits themselves. The
/// first one of a session reads everything and says nothing about those that follow.
const LONG: Duration = Duration::from_millis(200);
const REST: u32 = 20;

/// The wait after an epoch that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What the publisher needs.
pub struct Publisher {
    /// ClickHouse, with an ordinary pool: everything here may be repeated.
    pub client: Client,
    /// The working writer's lease: without it nothing is published.
    pub lease: Arc<Lease>,
    /// What the session tells.
    pub shared: Arc<Shared>,
    /// Where figures go.
    pub status: Arc<Status>,
    /// Seconds between epochs.
    pub epoch_seconds: u32,
    /// The minimum group.
    pub minimum_group: u32,
    /// Redis under the lease: totals go there, for who may not ask ClickHouse.
    pub fenced: Fenced,
}

/// Why an epoch was not published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the refusal log has {held} entries here and {published} when the last epoch was \
         published: nothing is published on a shorter log; put the log back"
    )]
    ShortLog { held: u64, published: u64 },
    #[error("the lease is lost")]
    LeaseLost,
}

impl From<clickhouse::error::Error> for PublishError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}

#[derive(Row, Serialize)]
struct CellRow<'a> {
    tenant: u64,
    campaign: u64,
    kind: i8,
    dimension: &'static str,
    value: &'a str,
    epoch: u32,
    raw: Option<u64>,
    human: Option<u64>,
    uniq_raw: Option<u64>,
    uniq_human: Option<u64>,
    at_raw: u64,
    at_human: u64,
    at_between: u64,
}

#[derive(Row, Serialize, Clone)]
struct CampaignRow {
    tenant: u64,
    campaign: u64,
    kind: i8,
    epoch: u32,
    epoch_seconds: u32,
    mode: i8,
    uniques: i8,
    k: u32,
    sent: u64,
    rules: Vec<u16>,
    position: u64,
}

/// One epoch.
#[derive(Clone, Copy)]
struct Epoch {
    /// When it is, by the clock: seconds since 1970.
    at: u32,
    /// What its rows carry: later than what any row before carries, because the latest is what is
    /// read. It is the same, but after a clock that went ahead was put right.
    version: u32,
}

/// Totals that an epoch published, and that are not in Redis yet.
type Untold = BTreeMap<Id, Totals>;

impl Publisher {
    /// Publishes epoch after epoch until it is dropped.
    pub async fn run(mut self) {
        let mut untold = Untold::new();
        let mut known: Option<BTreeMap<Id, Sent>> = None;
        let mut done = None;
        let mut rest_until = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = u32::try_from(now_ms() / 1_000).unwrap_or(u32::MAX);
            let epoch = now - now % self.epoch_seconds;
            let is_done = done.is_some_and(|done| epoch <= done);
            let is_ready = self.shared.is_open() && !self.shared.is_behind();
            if is_done || Instant::now() < rest_until || !is_ready {
                continue;
            }
            let shared = Arc::clone(&self.shared);
            let _nothing_is_erased_now = shared.epoch.lock().await;
            let (begun, reads_all) = (Instant::now(), known.is_none());
            let published = self.publish(epoch, &mut known, done.is_none(), &mut untold).await;
            match published {
                Ok(Some(version)) => {
                    done = Some(epoch);
                    let took = begun.elapsed();
                    if took > LONG && !reads_all {
                        rest_until = Instant::now() + took * REST;
                    }
                    self.status.metrics.epoch.set(i64::from(epoch));
                    self.tell(version, &mut untold).await;
                }
                // This epoch was published before this session began.
                Ok(None) => done = Some(epoch),
                Err(error) => {
                    tracing::warn!(%error, epoch, "epoch was not published yet");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Puts what an epoch published into Redis. What fails is told with the next epoch.
    async fn tell(&mut self, epoch: u32, untold: &mut Untold) {
        let erasures = self.shared.erasures();
        untold.retain(|id, _| !is_erased(&erasures, *id));
        if untold.is_empty() {
            return;
        }
        let totals =
            untold.iter().map(|((_, campaign), of)| (CampaignId(*campaign), *of)).collect();
        match self.fenced.publish(epoch, &totals).await {
            Ok(()) => untold.clear(),
            Err(error) => tracing::warn!(%error, epoch, "totals are not in redis yet"),
        }
    }

    /// One epoch, and the version of its rows. `None` if it was published already.
    async fn publish(
        &self,
        at: u32,
        known: &mut Option<BTreeMap<Id, Sent>>,
        first: bool,
        untold: &mut Untold,
    ) -> Result<Option<u32>, PublishError> {
        let (last, published) = read::last_epoch(&self.client).await?;
        let held = self.shared.position();
        if held < published {
            return Err(PublishError::ShortLog { held, published });
        }
        if first && last >= at {
            return Ok(None);
        }
        let epoch = Epoch { at, version: at.max(last.saturating_add(1)) };
        if epoch.version != at {
            let (version, now) = (epoch.version, at);
            tracing::warn!(version, now, "an epoch was published under a clock that went ahead");
        }
        let sent = read::sent(&self.client).await?;
        let touched = self.shared.take_touched();
        let due = match known {
            Some(known) => changed(known, &sent, &touched),
            None => {
                let counted = read::counted_campaigns(&self.client).await?;
                counted.into_iter().chain(sent.keys().copied()).chain(touched.clone()).collect()
            }
        };
        // Hits that came before an erasure may have been told of since.
        let erasures = self.shared.erasures();
        let due: Vec<Id> = due.into_iter().filter(|id| !is_erased(&erasures, *id)).collect();
        let written = self.publish_all(epoch, &due, &sent, untold).await;
        if written.is_err() {
            self.shared.touch(touched);
        }
        written?;
        *known = Some(sent);
        self.write_head(epoch.version, held).await?;
        tracing::debug!(epoch = at, campaigns = due.len(), "epoch published");
        Ok(Some(epoch.version))
    }

    async fn publish_all(
        &self,
        epoch: Epoch,
        due: &[Id],
        sent: &BTreeMap<Id, Sent>,
        untold: &mut Untold,
    ) -> Result<(), PublishError> {
        let (mut due, mut at_once) = (due, AT_ONCE / 4);
        while !due.is_empty() {
            let (ids, later) = due.split_at(at_once.min(due.len()));
            due = later;
            if !self.lease.is_valid() {
                return Err(PublishError::LeaseLost);
            }
            let individual: Vec<Id> = ids
                .iter()
                .filter(|id| {
                    let of = |kind| sent.get(id).map_or(Mode::Individual, |sent| sent.mode(kind));
                    Kind::ALL.into_iter().any(|kind| of(kind) == Mode::Individual)
                })
                .copied()
                .collect();
            let (counted, held) = {
                let _no_cut_is_half_stored = self.shared.gate.lock().await;
                let begun = Instant::now();
                (read::counted(&self.client, ids, &individual).await?, begun.elapsed())
            };
            let before = read::before(&self.client, ids).await?;
            untold.extend(self.write(epoch, sent, &counted, &before).await?);
            at_once = next_at_once(at_once, held);
        }
        Ok(())
    }

    async fn write(
        &self,
        Epoch { at, version: epoch }: Epoch,
        sent: &BTreeMap<Id, Sent>,
        counted: &BTreeMap<Id, [Counted; 2]>,
        before: &Before,
    ) -> Result<Untold, PublishError> {
        let mut untold = Untold::new();
        let nothing = (Sent::default(), BTreeMap::new());
        let mut insert = self.insert::<CellRow<'_>>("published").await?;
        let mut campaigns = Vec::new();
        for (id, kinds) in counted {
            let sent = sent.get(id).unwrap_or(&nothing.0);
            let mut totals = [None; 2];
            for (kind, counted) in Kind::ALL.into_iter().zip(kinds) {
                let rules = before.rules.get(&(*id, kind as u8)).map_or(&[][..], Vec::as_slice);
                let before = before.cells.get(&(*id, kind as u8)).unwrap_or(&nothing.1);
                let mode = counted.mode(sent.mode(kind));
                let recipients = sent.recipients(kind);
                let terms = Terms { recipients, k: u64::from(self.minimum_group), epoch: at };
                let shown = counted.shown(mode, before, &terms);
                for (place, cell) in &shown {
                    if before.get(place) != Some(cell) {
                        insert.write(&cell_row(epoch, *id, kind, place, cell)).await?;
                    }
                }
                totals[kind as usize] = rules::told(mode, &shown);
                let uniques = counted.uniques(mode);
                let rules = counted.rules_told(mode, rules, before, &shown);
                campaigns.push(self.row(epoch, *id, kind, (mode, uniques), recipients, rules));
            }
            let [opens, clicks] = totals;
            untold.insert(*id, Totals { epoch, opens, clicks });
        }
        self.end(insert).await?;
        self.write_campaigns(&campaigns).await?;
        Ok(untold)
    }

    fn row(
        &self,
        epoch: u32,
        (tenant, campaign): Id,
        kind: Kind,
        (mode, uniques): (Mode, Uniques),
        sent: u64,
        rules: Vec<u16>,
    ) -> CampaignRow {
        CampaignRow {
            tenant,
            campaign,
            kind: kind as i8,
            epoch,
            epoch_seconds: self.epoch_seconds,
            mode: mode as i8,
            uniques: uniques as i8,
            k: self.minimum_group,
            sent,
            rules,
            position: self.shared.position(),
        }
    }

    async fn write_campaigns(&self, rows: &[CampaignRow]) -> Result<(), PublishError> {
        let mut insert = self.insert::<CampaignRow>("published_campaigns").await?;
        for row in rows {
            insert.write(row).await?;
        }
        self.end(insert).await
    }

    /// Ends an insert, unless somebody else may work by now: reading for it can take long.
    async fn end<R>(&self, insert: clickhouse::insert::Insert<R>) -> Result<(), PublishError> {
        if !self.lease.is_valid() {
            return Err(PublishError::LeaseLost);
        }
        Ok(insert.end().await?)
    }

    /// The row that says that an epoch is complete.
    async fn write_head(&self, epoch: u32, position: u64) -> Result<(), PublishError> {
        let row = self.row(epoch, (0, 0), Kind::Open, (Mode::Off, Uniques::None), 0, Vec::new());
        self.write_campaigns(&[CampaignRow { position, ..row }]).await
    }

    async fn insert<R: Row>(
        &self,
        table: &str,
    ) -> Result<clickhouse::insert::Insert<R>, PublishError> {
        let insert = self.client.insert::<R>(table).await?;
        let time = Some(Duration::from_secs(30));
        Ok(insert.with_timeouts(time, time).with_setting("async_insert", "0"))
    }
}

fn cell_row<'a>(
    epoch: u32,
    (tenant, campaign): Id,
    kind: Kind,
    (dimension, value): &'a Place,
    cell: &Shown,
) -> CellRow<'a> {
    CellRow {
        tenant,
        campaign,
        kind: kind as i8,
        dimension: dimension.name(),
        value,
        epoch,
        raw: cell.raw.map(|measure| measure.hits),
        human: cell.human.map(|measure| measure.hits),
        uniq_raw: cell.raw.and_then(|measure| measure.uniq),
        uniq_human: cell.human.and_then(|measure| measure.uniq),
        at_raw: cell.at.raw,
        at_human: cell.at.human,
        at_between: cell.at.between,
    }
}

fn is_erased(erasures: &Erasures, (tenant, campaign): Id) -> bool {
    erasures.of_campaign(TenantId(tenant), CampaignId(campaign)).is_some()
}

/// How many campaigns to read at once after so many took so long.
fn next_at_once(at_once: usize, held: Duration) -> usize {
    if held > HOLD {
        (at_once / 2).max(1)
    } else if held < HOLD / 4 {
        (at_once * 2).min(AT_ONCE)
    } else {
        at_once
    }
}

/// Campaigns with new hits, and those of which manifests or stampings say something new.
fn changed(
    known: &BTreeMap<Id, Sent>,
    sent: &BTreeMap<Id, Sent>,
    touched: &BTreeSet<Id>,
) -> BTreeSet<Id> {
    let new = sent.iter().filter(|(id, sent)| known.get(id) != Some(sent)).map(|(id, _)| *id);
    new.chain(touched.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_reads_get_shorter_and_quick_ones_longer_again() {
        let after = |at_once, ms| next_at_once(at_once, Duration::from_millis(ms));
        assert_eq!((after(16, 900), after(1, 900)), (8, 1));
        assert_eq!((after(4, 200), after(4, 50), after(16, 50)), (4, 8, 16));
    }
}
