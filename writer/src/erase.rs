//! Erasures: what the refusal log demands to be gone is removed from ClickHouse, and looked for.
//!
//! In order: every target's ledger shows the erasure's position, so that nothing that comes later
//! can bring a row back; rows are counted and removed; then it is waited until no query finds one
//! and no part that could hold one lies on the disk, be it active, inactive or detached. Only then
//! is the erasure written down as ended. Each step can be done again, so that whoever takes over
//! begins anew, and so that a ClickHouse that was restored from an older backup is erased again:
//! what it lacks in `erased` is due, and when it was started anew, and every few minutes, rows of
//! erasures that ended are looked for.
//!
//! Nothing is published while rows that have to go are there, or may be.

mod stored;
mod tell;
mod what;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use hushmark_event::redis_keys::PUBLISHED;
use hushmark_event::refusal::{Erasure, Erasures, Whose};
use serde::Serialize;

use crate::admin::Status;
use crate::lease::Lease;
use crate::scripts::{Fenced, ScriptError};
use crate::session::now_ms;
use crate::shared::Shared;
use crate::store::StoreError;
use stored::{ErasedRow, TombstoneRow};
use what::{Search, Table, all_rows};

/// How often the log and what is waited for are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How often ClickHouse is asked whether it still is the one that was looked through: what was
/// restored beneath a session lacks rows of `erased`, or was started anew.
const GLANCE_EVERY: Duration = Duration::from_secs(5);

/// How often rows of erasures that ended are looked for although nothing seems to have changed. It
/// reads the columns of all rows that name people and campaigns.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// The wait after something failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Time for the session to show a position in the ledger.
const LEDGER_TIME: Duration = Duration::from_secs(60);

/// Time for a mutation, or for old parts to go. After that it is said, and waited for again.
const PARTS_TIME: Duration = Duration::from_secs(1_800);

/// Erasures in one statement: a person's key takes at most 100 bytes of a statement's 256 KiB.
const AT_ONCE: usize = 1_000;

/// What is counted of Redis, as `erased` names it.
const TOTALS: &str = "redis: published totals";

/// Carries out erasures.
pub struct Eraser {
    client: Client,
    fenced: Fenced,
    lease: Arc<Lease>,
    shared: Arc<Shared>,
    status: Arc<Status>,
    /// Up to this entry everything is known to be gone; 0 where nothing is known.
    settled: u64,
    /// When that became known.
    looked: Option<Instant>,
    /// When ClickHouse was last asked, and how long it ran by then, in seconds.
    glanced: Option<(Instant, u64)>,
    said: String,
}

#[derive(Debug, thiserror::Error)]
enum EraseError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error("the lease is lost")]
    LeaseLost,
    #[error("the ledger does not show position {0} yet")]
    Ledger(u64),
    #[error("{0} is not rewritten within {PARTS_TIME:?}; the engine says: {1}")]
    Mutation(&'static str, String),
    #[error("old parts of {0} are not removed within {PARTS_TIME:?}: {1}")]
    OldParts(&'static str, String),
    #[error(
        "{0} has detached parts, and nobody can see whether they hold what has to go: attach each \
         with ALTER TABLE {0} ATTACH PART, or remove it with ALTER TABLE {0} DROP DETACHED PART: {1}"
    )]
    Detached(&'static str, String),
    #[error("{0} still has {1} rows that have to go: they are removed again")]
    Back(&'static str, u64),
}

impl From<clickhouse::error::Error> for EraseError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The erasures of this log that ended. What ended before it was demanded is an entry of another log,
/// which this ClickHouse outlived.
fn of_this_log(ended: &BTreeMap<u64, u64>, erasures: &Erasures) -> BTreeSet<u64> {
    let has_ended = |it: &&Erasure| ended.get(&it.n).is_some_and(|ended| *ended >= it.at_ms);
    erasures.all().iter().filter(has_ended).map(|erasure| erasure.n).collect()
}

impl Eraser {
    /// One that has looked at nothing yet.
    #[must_use]
    pub const fn new(
        client: Client,
        fenced: Fenced,
        lease: Arc<Lease>,
        shared: Arc<Shared>,
        status: Arc<Status>,
    ) -> Self {
        Self {
            client,
            fenced,
            lease,
            shared,
            status,
            settled: 0,
            looked: None,
            glanced: None,
            said: String::new(),
        }
    }

    /// Erases until it is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if !self.lease.is_valid() || !self.shared.is_open() {
                continue;
            }
            match self.round().await {
                Ok(()) => self.said.clear(),
                Err(error) => {
                    let text = error.to_string();
                    if text != self.said {
                        tracing::warn!(%error, "an erasure has not ended yet");
                    }
                    self.said = text;
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn round(&mut self) -> Result<(), EraseError> {
        let erasures = self.shared.erasures();
        let last = erasures.all().last().map_or(0, |erasure| erasure.n);
        let is_glance_due = self.glanced.is_none_or(|(at, _)| at.elapsed() >= GLANCE_EVERY);
        if last == 0 || last == self.settled && !is_glance_due {
            return Ok(());
        }
        let glance = stored::glance(&self.client).await;
        let glance = glance.map(|(uptime, ended)| (uptime, of_this_log(&ended, &erasures)));
        if !glance.as_ref().is_ok_and(|(uptime, ended)| self.is_as_left(*uptime, ended, &erasures))
        {
            self.doubt();
        }
        let (uptime, ended) = glance?;
        self.glanced = Some((Instant::now(), uptime));
        if last == self.settled {
            return Ok(());
        }
        let (done, mut due): (Vec<Erasure>, Vec<Erasure>) =
            erasures.all().iter().cloned().partition(|erasure| ended.contains(&erasure.n));
        if self.settled == 0 {
            // Tables may have been restored, or a stamping was under way.
            due.extend(self.came_back(&done).await?);
        }
        if self.settled == 0 {
            let over = ended.iter().copied().filter(|n| !due.iter().any(|due| due.n == *n));
            let untold = tell::untold(&mut self.fenced, over).await?;
            tell::tell(&self.client, &mut self.fenced, &untold).await?;
        }
        let status = Arc::clone(&self.status);
        let metric = &status.metrics.erasures_due;
        metric.set(i64::try_from(due.len()).unwrap_or(i64::MAX));
        if due.is_empty() {
            self.shared.set_gone(last);
            self.settle(last);
            return Ok(());
        }
        tracing::info!(erasures = due.len(), upto = last, "erasing");
        let position = self.ledger_at(last).await?;
        for some in due.chunks(AT_ONCE) {
            self.remove(some, &erasures, position).await?;
        }
        self.shared.set_gone(last);
        for some in due.chunks(AT_ONCE) {
            self.prove(some).await?;
        }
        self.end(&due, position).await?;
        let over: Vec<u64> = due.iter().map(|erasure| erasure.n).collect();
        tell::tell(&self.client, &mut self.fenced, &over).await?;
        metric.set(0);
        self.settle(last);
        tracing::info!(erasures = due.len(), upto = last, "erased");
        Ok(())
    }

    /// Whether ClickHouse shows what it showed when all was known to be gone, not long ago.
    fn is_as_left(&self, uptime: u64, ended: &BTreeSet<u64>, erasures: &Erasures) -> bool {
        let mut settled = erasures.all().iter().take_while(|erasure| erasure.n <= self.settled);
        self.glanced.is_none_or(|(_, before)| uptime >= before)
            && self.looked.is_none_or(|at| at.elapsed() < LOOK_EVERY)
            && settled.all(|erasure| ended.contains(&erasure.n))
    }

    /// Rows may be there again: nothing is published until it is known that they are not.
    fn doubt(&mut self) {
        self.settled = 0;
        self.shared.set_gone(0);
    }

    /// All that entries up to this one demand is gone.
    fn settle(&mut self, upto: u64) {
        // Where erasures were added to what was looked through, the rest was looked at long ago.
        if self.settled == 0 {
            self.looked = Some(Instant::now());
        }
        self.settled = upto;
    }

    /// Of erasures that ended those of which rows are there again.
    async fn came_back(&self, done: &[Erasure]) -> Result<Vec<Erasure>, EraseError> {
        let mut back = BTreeSet::new();
        for some in done.chunks(AT_ONCE) {
            for table in stored::tables(&self.client).await? {
                for search in table.searches(some) {
                    let found = stored::find(&self.client, table, &search).await?;
                    back.extend(counts(&search, &found).map(|(n, ..)| n));
                }
            }
        }
        Ok(done.iter().filter(|erasure| back.contains(&erasure.n)).cloned().collect())
    }

    /// Waits until every target's ledger shows a position. The session inserts ledger rows alone
    /// where nothing else comes.
    async fn ledger_at(&self, position: u64) -> Result<u64, EraseError> {
        self.shared.want_ledger(position);
        let until = Instant::now() + LEDGER_TIME;
        while self.shared.ledger() < position {
            self.wait(until, || EraseError::Ledger(position)).await?;
        }
        // What the session says it wrote is believed once the store shows it.
        let shown = stored::position(&self.client).await?;
        if shown < position { Err(EraseError::Ledger(position)) } else { Ok(shown) }
    }

    /// Counts and removes.
    async fn remove(
        &mut self,
        due: &[Erasure],
        erasures: &Erasures,
        position: u64,
    ) -> Result<(), EraseError> {
        // An epoch that began before would write down again what it read before.
        let shared = Arc::clone(&self.shared);
        let _no_epoch_is_published_now = shared.epoch.lock().await;
        self.lay_tombstones(due, erasures).await?;
        self.forget_totals(due, position).await?;
        for table in stored::tables(&self.client).await? {
            let searches = table.searches(due);
            if searches.is_empty() {
                continue;
            }
            self.mutated(table).await?;
            let mut any = false;
            for search in &searches {
                let found = stored::find(&self.client, table, search).await?;
                any |= !found.is_empty();
                self.note(table.name, search, &found, position).await?;
            }
            if any {
                stored::delete(&self.client, table, &all_rows(&searches)).await?;
                self.mutated(table).await?;
            }
        }
        Ok(())
    }

    /// What keeps an erased person from being tracked anew. Of a tenant that is erased nothing stays.
    async fn lay_tombstones(&self, due: &[Erasure], all: &Erasures) -> Result<(), EraseError> {
        let mut rows = Vec::new();
        for Erasure { at_ms, whose, .. } in due {
            if let Whose::Person { tenant, lookup, .. } = whose
                && all.of_tenant(*tenant).is_none()
            {
                let at = i64::try_from(*at_ms).unwrap_or(i64::MAX);
                let (tenant, lookup) = (tenant.0, lookup.0);
                rows.push(TombstoneRow { tenant, lookup, source: what::ERASED, at });
            }
        }
        self.insert("withdrawals", &rows).await
    }

    /// Takes out of Redis what epochs published of campaigns that go.
    async fn forget_totals(&mut self, due: &[Erasure], position: u64) -> Result<(), EraseError> {
        for Erasure { n, whose, .. } in due {
            let campaigns = match whose {
                Whose::Person { .. } => continue,
                Whose::Campaign(_, campaign) => vec![campaign.to_string()],
                Whose::Tenant(tenant) => stored::campaigns(&self.client, tenant.0).await?,
            };
            let mut rows = 0;
            for campaign in campaigns {
                rows += u64::from(self.fenced.take_field(PUBLISHED, &campaign).await?);
            }
            let row = ErasedRow { n: *n, name: TOTALS, rows, parts: 0, position, at: at_now() };
            self.insert("erased", &[row]).await?;
        }
        Ok(())
    }

    /// Writes down how much there is, before it goes: a death after that forgets no count.
    async fn note(
        &self,
        name: &'static str,
        search: &Search,
        found: &[stored::Found],
        position: u64,
    ) -> Result<(), EraseError> {
        let entries: BTreeSet<u64> = search.meant.iter().map(|(_, n)| *n).collect();
        let mut noted = Vec::new();
        for n in entries {
            let mine = counts(search, found).filter(|(of, ..)| *of == n);
            let (rows, parts) =
                mine.fold((0, 0), |sum, (_, rows, parts)| (sum.0 + rows, sum.1 + parts));
            noted.push(ErasedRow { n, name, rows, parts, position, at: at_now() });
        }
        self.insert("erased", &noted).await
    }

    /// Waits until a table has no mutation under way.
    async fn mutated(&self, table: &Table) -> Result<(), EraseError> {
        let until = Instant::now() + PARTS_TIME;
        loop {
            let (unfinished, failure) = stored::unfinished(&self.client, table).await?;
            if unfinished == 0 {
                return Ok(());
            }
            self.wait(until, || EraseError::Mutation(table.name, failure)).await?;
        }
    }

    /// Shows that nothing is left: in no answer to a query, and in no part on the disk.
    async fn prove(&self, due: &[Erasure]) -> Result<(), EraseError> {
        let mut old = Vec::new();
        for table in stored::tables(&self.client).await? {
            if !table.searches(due).is_empty() {
                // What is old from here on was active after the rows had gone.
                old.push((table, stored::old_parts(&self.client, table).await?));
            }
        }
        let until = Instant::now() + PARTS_TIME;
        for (table, old) in &old {
            loop {
                let now = stored::old_parts(&self.client, table).await?;
                let left: Vec<&str> = old.intersection(&now).map(String::as_str).collect();
                if left.is_empty() {
                    break;
                }
                self.wait(until, || EraseError::OldParts(table.name, left.join(", "))).await?;
            }
        }
        for (table, _) in old {
            let detached = stored::detached(&self.client, table).await?;
            if !detached.is_empty() {
                return Err(EraseError::Detached(table.name, detached.join(", ")));
            }
            for search in table.searches(due) {
                let found = stored::find(&self.client, table, &search).await?;
                let rows: u64 = found.iter().map(|(_, rows, _)| rows).sum();
                if rows > 0 {
                    return Err(EraseError::Back(table.name, rows));
                }
            }
        }
        Ok(())
    }

    async fn end(&self, due: &[Erasure], position: u64) -> Result<(), EraseError> {
        if !self.lease.is_valid() {
            return Err(EraseError::LeaseLost);
        }
        let ended = |erasure: &Erasure| ErasedRow {
            n: erasure.n,
            name: "",
            rows: 0,
            parts: 0,
            position,
            at: at_now(),
        };
        self.insert("erased", &due.iter().map(ended).collect::<Vec<_>>()).await
    }

    async fn insert<R>(&self, table: &str, rows: &[R]) -> Result<(), EraseError>
    where
        R: Row + Serialize + for<'a> Row<Value<'a> = R>,
    {
        if rows.is_empty() {
            return Ok(());
        }
        // Equal rows may be there from before a restore that did not bring the parts back.
        let insert = self.client.insert::<R>(table).await?;
        let mut insert =
            insert.with_setting("async_insert", "0").with_setting("deduplicate_insert", "disable");
        for row in rows {
            insert.write(row).await?;
        }
        Ok(insert.end().await?)
    }

    /// A moment's wait, unless it has been too long, or somebody else works.
    async fn wait(
        &self,
        until: Instant,
        too_long: impl FnOnce() -> EraseError,
    ) -> Result<(), EraseError> {
        if !self.lease.is_valid() {
            return Err(EraseError::LeaseLost);
        }
        if Instant::now() > until {
            return Err(too_long());
        }
        tokio::time::sleep(EVERY).await;
        Ok(())
    }
}

/// Entry, rows and parts of what was found.
fn counts<'a>(
    search: &'a Search,
    found: &'a [stored::Found],
) -> impl Iterator<Item = (u64, u64, u64)> + 'a {
    search.meant.iter().flat_map(move |(meant, n)| {
        let mine = found.iter().filter(move |(key, ..)| key == meant);
        mine.map(move |(_, rows, parts)| (*n, *rows, *parts))
    })
}

fn at_now() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX)
}
