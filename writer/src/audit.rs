//! The writer's copy of a cluster's audit log: taken from Redis into ClickHouse, and put back when
//! Redis shows less. The operator that appends has no disk, and edges do not get this log.
//!
//! On one machine the log is a file of `hushmark up` and is not in Redis: there is nothing to copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clickhouse::{Client, Row};
use ed25519_dalek::VerifyingKey;
use hushmark_event::audit::{Action, AuditLog, Entry, Outcome, Says, SignedHead};
use hushmark_event::chain::{Hash32, LogError};
use hushmark_event::redis_keys::{AUDIT, AUDIT_HEAD, REFUSAL_FIELD};
use redis::aio::MultiplexedConnection;
use redis::cmd;
use redis::streams::StreamRangeReply;
use serde::{Deserialize, Serialize};

use crate::refusals::{RefusalError, public_key, raise_head};
use crate::shared::Audited;

/// Entries that are read, inserted or put back at once; at 8 KiB each at most, 8 MiB.
const AT_ONCE: u64 = 1_000;

/// Why the copy was not continued.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// ClickHouse refused, or did not answer.
    #[error("clickhouse: {0}")]
    Clickhouse(#[from] clickhouse::error::Error),
    /// Redis refused, or did not answer.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// The public key cannot be read.
    #[error(transparent)]
    Key(#[from] RefusalError),
    /// A head cannot be read.
    #[error("a head of the audit log cannot be read: {0}")]
    Head(#[from] serde_json::Error),
    /// What Redis shows does not continue the copy.
    #[error("redis shows another audit log than the copy in clickhouse: {0}")]
    Other(LogError),
    /// The copy does not verify.
    #[error(
        "the table audit of clickhouse is not this region's audit log, or was changed: {0}. Restore \
         it, or move its rows away to copy the log anew"
    )]
    Copy(LogError),
    /// Redis shows fewer entries than its head names.
    #[error("redis shows {found} entries of the audit log after {after}, and not {expected}")]
    Gap {
        /// Entries that the copy has.
        after: u64,
        /// Entries that there are behind them.
        found: u64,
        /// Entries that the head names behind them.
        expected: u64,
    },
}

/// A row of the copy.
#[derive(Row, Serialize, Deserialize)]
struct AuditRow {
    n: u64,
    entry: String,
    head: String,
}

/// Where the copy ends, and what it says of plans.
#[derive(Clone, Default)]
struct Held {
    log: AuditLog,
    head: Option<SignedHead>,
    demanded: BTreeMap<u64, Hash32>,
}

impl Held {
    fn append(&mut self, entry: &str) -> Result<(), LogError> {
        let Entry { n, says, .. } = self.log.append(entry.as_bytes())?;
        let Says::Asked(asked) = says else { return Ok(()) };
        if let (Action::EnforcePlan { plan, .. }, Outcome::Allowed { .. }) =
            (asked.action, asked.outcome)
        {
            self.demanded.insert(n, plan);
        }
        Ok(())
    }
}

/// Keeps the copy.
pub struct AuditCopy {
    client: Client,
    redis: MultiplexedConnection,
    key: PathBuf,
    /// None until the copy was read and verified.
    held: Option<Held>,
}

impl AuditCopy {
    /// One that has read nothing yet. `key` is the file of the public key under the log's head.
    #[must_use]
    pub fn new(client: Client, redis: MultiplexedConnection, key: &Path) -> Self {
        Self { client, redis, key: key.to_owned(), held: None }
    }

    /// What the copy says of plans; none until it was read.
    #[must_use]
    pub fn audited(&self) -> Option<Audited> {
        let Held { log, demanded, .. } = self.held.as_ref()?;
        Some(Audited { length: log.length(), demanded: demanded.clone() })
    }

    /// Takes what Redis has more, or puts back what it has less.
    ///
    /// # Errors
    /// [`AuditError`]; the copy stays as it was, and is tried again.
    pub async fn follow(&mut self) -> Result<(), AuditError> {
        let key = public_key(&self.key)?;
        let held = match self.held.take() {
            Some(held) => held,
            None => load(&self.client, &key).await?,
        };
        let held = self.held.insert(held);
        let shown: Option<Vec<u8>> =
            cmd("GET").arg(AUDIT_HEAD).query_async(&mut self.redis).await?;
        let shown: Option<SignedHead> =
            shown.map(|bytes| serde_json::from_slice(&bytes)).transpose()?;
        let length = shown.as_ref().map_or(0, |head| head.length);
        if length < held.log.length() {
            return put_back(&self.client, &mut self.redis, held).await;
        }
        match shown.filter(|head| head.length > held.log.length()) {
            Some(head) => take(&self.client, &mut self.redis, held, head, &key).await,
            None => Ok(()),
        }
    }
}

/// Reads and verifies the copy.
async fn load(client: &Client, key: &VerifyingKey) -> Result<Held, AuditError> {
    let mut held = Held::default();
    loop {
        let query = format!(
            "SELECT n, any(a.entry) AS entry, max(a.head) AS head FROM audit AS a WHERE n > {} \
             GROUP BY n ORDER BY n LIMIT {AT_ONCE}",
            held.log.length()
        );
        let rows: Vec<AuditRow> = client.query_raw(&query).fetch_all().await?;
        let Some(last) = rows.last() else { break };
        held.head = match last.head.as_str() {
            "" => None,
            head => Some(serde_json::from_str(head)?),
        };
        for row in rows {
            held.append(&row.entry).map_err(AuditError::Copy)?;
        }
    }
    match &held.head {
        Some(head) => held.log.verify_head(head, key).map_err(AuditError::Copy)?,
        None if held.log.length() == 0 => {}
        None => return Err(AuditError::Copy(LogError::BadHead(held.log.length()))),
    }
    Ok(held)
}

/// Entries that Redis has more, and the head that proves them, in one insert.
async fn take(
    client: &Client,
    redis: &mut MultiplexedConnection,
    held: &mut Held,
    head: SignedHead,
    key: &VerifyingKey,
) -> Result<(), AuditError> {
    head.verify(key).map_err(AuditError::Other)?;
    let (mut new, mut rows) = (held.clone(), Vec::new());
    while new.log.length() < head.length {
        let (first, last) = (new.log.length() + 1, head.length.min(new.log.length() + AT_ONCE));
        let found: StreamRangeReply = cmd("XRANGE")
            .arg(AUDIT)
            .arg(format!("{first}-0"))
            .arg(format!("{last}-0"))
            .query_async(redis)
            .await?;
        let (after, found_here) = (new.log.length(), found.ids.len() as u64);
        for entry in found.ids {
            let entry: String = entry.get(REFUSAL_FIELD).unwrap_or_default();
            new.append(&entry).map_err(AuditError::Other)?;
            rows.push(AuditRow { n: new.log.length(), entry, head: String::new() });
        }
        if new.log.length() < last {
            let expected = last - after;
            return Err(AuditError::Gap { after, found: found_here, expected });
        }
    }
    new.log.verify_head(&head, key).map_err(AuditError::Other)?;
    if let Some(last) = rows.last_mut() {
        last.head = serde_json::to_string(&head)?;
    }
    let insert = client.insert::<AuditRow>("audit").await?;
    let mut insert = insert.with_setting("async_insert", "0");
    for row in &rows {
        insert.write(row).await?;
    }
    insert.end().await?;
    *held = Held { head: Some(head), ..new };
    tracing::info!(length = held.log.length(), "the audit log was copied to clickhouse");
    Ok(())
}

/// Puts back what Redis lost: entries first, then the head.
async fn put_back(
    client: &Client,
    redis: &mut MultiplexedConnection,
    held: &Held,
) -> Result<(), AuditError> {
    let Some(head) = &held.head else { return Ok(()) };
    let mut after = 0;
    while after < head.length {
        let query = format!(
            "SELECT n, any(a.entry) AS entry, '' AS head FROM audit AS a WHERE n > {after} \
             GROUP BY n ORDER BY n LIMIT {AT_ONCE}"
        );
        let rows: Vec<AuditRow> = client.query_raw(&query).fetch_all().await?;
        let Some(last) = rows.last() else { break };
        after = last.n;
        for AuditRow { n, entry, .. } in rows {
            let mut add = cmd("XADD");
            add.arg(AUDIT).arg(format!("{n}-0")).arg(REFUSAL_FIELD).arg(entry);
            // One that is there already is refused, which is what is wanted.
            if let Err(error) = add.query_async::<String>(redis).await
                && error.code() != Some("ERR")
            {
                return Err(error.into());
            }
        }
    }
    if raise_head(redis, AUDIT_HEAD, head).await? {
        tracing::warn!(length = head.length, "the audit log was put back into redis");
    }
    Ok(())
}
