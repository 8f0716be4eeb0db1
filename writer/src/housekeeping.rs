//! What has to be done now and then: merges, the logs' copies in ClickHouse, closing days.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Row};
use hushmark_event::heartbeat::HEARTBEATS;
use hushmark_event::redis_keys::{CLOSABLE_DAYS, DEAD};
use hushmark_event::{Heartbeat, Ring, Sealed};
use hushmark_policy::Day;
use redis::aio::MultiplexedConnection;
use redis::cmd;
use serde::{Deserialize, Serialize};

use crate::admin::Status;
use crate::audit::AuditCopy;
use crate::days::{Evidence, Folder, closable};
use crate::last_opens;
use crate::lease::Lease;
use crate::refusals::{RefusalError, Refusals};
use crate::retention::overdue;
use crate::scripts::{Fenced, ScriptError};
use crate::session::now_ms;
use crate::shared::Shared;
use crate::store::StoreError;

/// How often everything is looked at.
const EVERY: Duration = Duration::from_secs(20);

/// Above so many active parts in a partition a merge is asked for: a server delays inserts at
/// 1,000, and reports slow down long before.
const MANY_PARTS: u64 = 100;

/// A part of a single insert still shows a small batch's dimensions together. It is merged well
/// within the promised hour.
const UNMERGED_SECONDS: u64 = 1_800;

/// Time for one merge to be answered; it goes on in the server after that.
const MERGE_TIME: Duration = Duration::from_secs(300);

/// Every how many rounds overdue rows are counted: about every ten minutes, because all rows of the
/// campaigns that have a policy are read for it.
const OVERDUE_EVERY: u64 = 30;

/// Every how many rounds the days of last opens are made one row a contact, and who is recorded no
/// more is looked for among them: about every half an hour.
const LAST_OPENS_EVERY: u64 = 90;

/// Hash of every edge that was heard of, by pod: what its folder was last said to hold.
const PODS: &str = "days:pods";

/// What the housekeeping needs.
pub struct Housekeeping {
    /// ClickHouse, with an ordinary pool: everything here may be repeated.
    pub client: Client,
    /// A connection for reads.
    pub redis: MultiplexedConnection,
    /// A connection for changes, under the lease.
    pub fenced: Fenced,
    /// The working writer's lease.
    pub lease: Arc<Lease>,
    /// What the session tells.
    pub shared: Arc<Shared>,
    /// Where figures go.
    pub status: Arc<Status>,
    /// Folder of batch keys: the days that are not closed.
    pub ring: PathBuf,
    /// Folder and key of the refusal log's copy.
    pub refusals: (PathBuf, PathBuf),
}

#[derive(Debug, thiserror::Error)]
enum HouseError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Ring(#[from] hushmark_event::ring::RingError),
    #[error(transparent)]
    Refusals(#[from] RefusalError),
}

impl From<clickhouse::error::Error> for HouseError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}

#[derive(Row, Deserialize)]
struct Partition {
    table: String,
    partition_id: String,
    parts: u64,
    stale: u64,
}

#[derive(Row, Serialize)]
struct RefusalRow<'a> {
    n: u64,
    #[serde(with = "serde_bytes_as_str")]
    entry: &'a [u8],
}

/// Entries are JSON, so they are text.
mod serde_bytes_as_str {
    use serde::{Serializer, ser::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(bytes).map_err(S::Error::custom)?)
    }
}

impl Housekeeping {
    /// Keeps house until it is dropped.
    pub async fn run(mut self) {
        let mut copied = 0;
        let (client, redis) = (self.client.clone(), self.redis.clone());
        let mut audit = AuditCopy::new(client, redis, &self.refusals.1);
        let mut rounds = 0u64;
        let mut forgotten = 0;
        loop {
            tokio::time::sleep(EVERY).await;
            if !self.lease.is_valid() || !self.shared.is_open() {
                // Whoever takes over counts at once.
                rounds = 0;
                continue;
            }
            if let Err(error) = self.merge().await {
                tracing::warn!(%error, "parts were not looked after");
            }
            if rounds.is_multiple_of(LAST_OPENS_EVERY) {
                forgotten = 0;
                if let Err(error) = last_opens::overwrite(&self.client).await {
                    tracing::warn!(%error, "days of last opens were not overwritten");
                }
            }
            match self.forget_last_opens(forgotten).await {
                Ok(upto) => forgotten = upto,
                Err(error) => tracing::warn!(%error, "days of last opens were not forgotten"),
            }
            match self.copy_refusals(copied).await {
                Ok(length) => copied = length,
                Err(error) => tracing::warn!(%error, "refusal log was not copied to clickhouse"),
            }
            match audit.follow().await {
                Ok(()) => {
                    audit.audited().into_iter().for_each(|read| self.shared.set_audited(read))
                }
                Err(error) => tracing::warn!(%error, "the audit log was not copied to clickhouse"),
            }
            if let Err(error) = self.close_days().await {
                tracing::warn!(%error, "closing of days was not looked after");
            }
            if rounds.is_multiple_of(OVERDUE_EVERY)
                && let Err(error) = self.count_overdue().await
            {
                tracing::warn!(%error, "overdue rows were not counted");
            }
            rounds += 1;
        }
    }

    /// Nothing is removed here: a person approves each plan.
    async fn count_overdue(&self) -> Result<(), HouseError> {
        for (step, rows) in overdue(&self.client, Day::of_unix_ms(now_ms())).await? {
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            self.status.metrics.overdue.with_label_values(&[step]).set(rows);
        }
        Ok(())
    }

    /// Background merges may be slow or absent where the engine is embedded, so they are asked for.
    async fn merge(&self) -> Result<(), HouseError> {
        let query = format!(
            "SELECT table, partition_id, count() AS parts, \
             countIf(level = 0 AND modification_time < now() - {UNMERGED_SECONDS}) AS stale \
             FROM system.parts WHERE active AND database = currentDatabase() AND table IN \
             ('counters', 'hits', 'last_opens', 'published', 'published_campaigns') \
             GROUP BY table, partition_id ORDER BY table, partition_id"
        );
        let partitions: Vec<Partition> = self.client.query_raw(&query).fetch_all().await?;
        let mut parts = HashMap::<&str, u64>::new();
        for partition in &partitions {
            *parts.entry(&partition.table).or_default() += partition.parts;
        }
        for (table, n) in parts {
            let n = i64::try_from(n).unwrap_or(i64::MAX);
            self.status.metrics.parts.with_label_values(&[table]).set(n);
        }
        for partition in partitions {
            let Partition { table, partition_id, parts, stale } = partition;
            if parts <= 1 || (parts <= MANY_PARTS && stale == 0) {
                continue;
            }
            let merge = format!("OPTIMIZE TABLE {table} PARTITION ID '{partition_id}'");
            tracing::info!(table, partition_id, parts, stale, "merging parts");
            let merging = self.client.query_raw(&merge).execute();
            if tokio::time::timeout(MERGE_TIME, merging).await.is_err() {
                tracing::warn!(table, partition_id, "merge takes longer than five minutes");
            }
        }
        Ok(())
    }

    /// Removes the days of whoever withdrew or objected since an entry of the refusal log, once
    /// nothing that is older than the log can be stored any more.
    async fn forget_last_opens(&self, forgotten: u64) -> Result<u64, HouseError> {
        let position = self.shared.position();
        if position <= forgotten {
            return Ok(forgotten);
        }
        self.shared.want_ledger(position);
        if self.shared.ledger() < position {
            return Ok(forgotten);
        }
        let log = Refusals::load(&self.refusals.0, &self.refusals.1)?;
        let entries = log.entries_from(forgotten + 1).take_while(|(n, _)| *n <= position);
        last_opens::forget(&self.client, entries.map(|(_, entry)| entry)).await?;
        Ok(position)
    }

    async fn copy_refusals(&self, copied: u64) -> Result<u64, HouseError> {
        if self.shared.position() <= copied {
            return Ok(copied);
        }
        let there: u64 = self.client.query_raw("SELECT max(n) FROM refusals").fetch_one().await?;
        let log = Refusals::load(&self.refusals.0, &self.refusals.1)?;
        let mut insert = self
            .client
            .insert::<RefusalRow<'_>>("refusals")
            .await?
            .with_setting("async_insert", "0");
        for (n, entry) in log.entries_from(there + 1) {
            insert.write(&RefusalRow { n, entry }).await?;
        }
        insert.end().await?;
        Ok(log.length())
    }

    /// Tells whoever holds the key files which days can be closed, and drops what nobody can open
    /// after that.
    async fn close_days(&mut self) -> Result<(), HouseError> {
        let ring = Ring::load(&self.ring)?;
        let letters = self.dead_days().await?;
        let evidence = Evidence {
            now_ms: now_ms(),
            waiting: self.shared.waiting(),
            dead: letters.iter().map(|(_, day)| *day).min(),
            folders: self.folders().await?,
        };
        let days = closable(ring.days(), &evidence);
        let n = i64::try_from(days.len()).unwrap_or(i64::MAX);
        self.status.metrics.closable_days.set(n);
        let Some(last) = days.last() else { return Ok(()) };
        for (field, _) in letters.iter().filter(|(_, day)| day <= last) {
            if self.fenced.drop_letter(field).await? {
                self.status.metrics.drops.with_label_values(&["sealed"]).inc();
                tracing::error!(field, "a dead letter is dropped, because its day closes");
            }
        }
        let names: Vec<String> = days.iter().map(Day::to_string).collect();
        self.fenced.add_days(CLOSABLE_DAYS, &names).await?;
        tracing::info!(days = names.join(","), "days can be closed");
        Ok(())
    }

    /// Every dead letter and the day that it was sealed on, as its clear header says. A letter
    /// without a readable header can never be opened and holds no day open.
    async fn dead_days(&mut self) -> Result<Vec<(String, Day)>, HouseError> {
        let (mut letters, mut cursor) = (Vec::new(), 0u64);
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(DEAD).arg(cursor).arg("COUNT").arg(100);
            let (next, found): (u64, Vec<(String, Vec<u8>)>) =
                scan.query_async(&mut self.redis).await?;
            letters.extend(
                found
                    .into_iter()
                    .filter_map(|(field, blob)| Some((field, Sealed::header(&blob).ok()?.day))),
            );
            if next == 0 {
                return Ok(letters);
            }
            cursor = next;
        }
    }

    /// What every edge's folder holds. An edge that fell silent is remembered in Redis, because
    /// its logs may come back with answered hits in them.
    async fn folders(&mut self) -> Result<Vec<Folder>, HouseError> {
        let mut alive = HashMap::new();
        let mut cursor = 0u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(HEARTBEATS).arg("COUNT").arg(1_000);
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut self.redis).await?;
            for key in keys {
                let beat: Option<Vec<u8>> =
                    cmd("GET").arg(key).query_async(&mut self.redis).await?;
                let Some(beat) = beat.and_then(|b| serde_json::from_slice::<Heartbeat>(&b).ok())
                else {
                    continue;
                };
                let said = match (beat.log_empty, beat.draining) {
                    (true, true) => "ended",
                    (true, false) => "empty",
                    (false, _) => "full",
                };
                // Two processes of one pod overlap while one ends: the fuller one counts.
                let known = alive.entry(beat.pod).or_insert(said);
                *known = [*known, said].into_iter().min_by_key(|s| rank(s)).unwrap_or(said);
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
        for (pod, said) in &alive {
            self.fenced.remember(PODS, pod, said).await?;
        }
        let heard: HashMap<String, String> =
            cmd("HGETALL").arg(PODS).query_async(&mut self.redis).await?;
        Ok(heard
            .iter()
            .map(|(pod, said)| match (said.as_str(), alive.contains_key(pod)) {
                ("ended", _) => Folder::Ended,
                ("empty", true) => Folder::Empty,
                _ => Folder::Unknown,
            })
            .collect())
    }
}

/// Less certain first.
fn rank(said: &str) -> u8 {
    match said {
        "full" => 0,
        "empty" => 1,
        _ => 2,
    }
}
