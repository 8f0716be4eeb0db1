//! One working session: from taking the lease to losing it, or to the end of a drain.
//!
//! A session begins with nothing but what Redis and ClickHouse tell, and any error that leaves
//! something unknown ends it: the next session, here or in a standby, asks again. So there is one
//! way to recover, and it is used every day.

mod intake;
mod storing;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hushmark_event::redis_keys::WRITER_CUT;
use hushmark_event::ring::RingError;
use hushmark_event::{Cut, Lane};
use hushmark_policy::Day;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;

use crate::admin::Status;
use crate::behaviour::Behaviour;
use crate::entry::Opener;
use crate::keys::Keys;
use crate::lease::Lease;
use crate::objections::Objections;
use crate::queue::{CutLimits, Ledger, Queues};
use crate::refusals::{RefusalError, Refusals};
use crate::scripts::{Fenced, ScriptError};
use crate::shared::Shared;
use crate::store::{Address, Connection};
use crate::{failpoints, lanes};

/// How often the lanes are read: five times a second.
const READ_EVERY: Duration = Duration::from_millis(200);

/// How often lanes are looked for, the refusal log is read and streams are trimmed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A target gets at most one insert a second, because hurry costs parts; and while half a cut is
/// not together, one in two, because an insert costs the engine some 30 ms however small it is.
const INSERT_EVERY: Duration = Duration::from_secs(1);
const SMALL_INSERT_EVERY: Duration = Duration::from_secs(2);

/// Time for the refusal log to come back where it is shorter than it was.
const LOG_TIME: Duration = Duration::from_secs(10);

/// A stream that was empty for so long is deleted.
const EMPTY_FOR: Duration = Duration::from_secs(60);

/// Day keys are read again this often.
const KEYS_EVERY: Duration = Duration::from_secs(30);

/// A connection that was not used for so long is not trusted: servers close idle ones.
const IDLE: Duration = Duration::from_secs(5);

/// Why a session ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The lease is lost, or this writer cannot know any more.
    #[error("the lease is lost")]
    LeaseLost,
    /// A change in Redis was refused or not answered.
    #[error(transparent)]
    Script(ScriptError),
    /// Redis did not answer a read.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// Day keys that were there at the start cannot be read any more.
    #[error(transparent)]
    Keys(#[from] RingError),
    /// The refusal log's copy cannot be read any more.
    #[error(transparent)]
    Refusals(#[from] RefusalError),
    /// The copy is shorter than the log that others know.
    #[error(
        "the refusal log has {held} entries here, and {known} by clickhouse's ledger or by a signed \
         head: nothing is stored on a shorter log; whoever holds all of it puts it back into redis, \
         or restore redis from its volume"
    )]
    ShortLog {
        /// Entries held.
        held: u64,
        /// Entries that there are.
        known: u64,
    },
    /// ClickHouse's password cannot be read any more.
    #[error(transparent)]
    Password(#[from] hushmark_hop::PasswordError),
    /// There is a new one.
    #[error("the password for clickhouse has changed: beginning again with the new one")]
    AnotherPassword,
    /// ClickHouse answers inserts that its ledger never shows.
    #[error(
        "clickhouse takes inserts into {0} and does not show them: is the view {0}_shape there, and \
         does the address lead to one server?"
    )]
    Unproven(&'static str),
    /// Another program wrote the cut.
    #[error("the cut in redis cannot be read: {0}; delete writer:cut only if no other writer runs")]
    Cut(#[from] serde_json::Error),
}

impl From<ScriptError> for SessionError {
    fn from(error: ScriptError) -> Self {
        match error {
            ScriptError::LeaseLost => Self::LeaseLost,
            error => Self::Script(error),
        }
    }
}

/// What a session needs from the program around it.
pub struct Parts {
    /// A connection for reads.
    pub redis: MultiplexedConnection,
    /// A connection for changes, under the session's own lease id.
    pub fenced: Fenced,
    /// The lease that was just taken.
    pub lease: Arc<Lease>,
    /// ClickHouse.
    pub clickhouse: Address,
    /// Day keys.
    pub keys: Keys,
    /// The copy of the refusal log.
    pub refusals: Refusals,
    /// Where figures go.
    pub status: Arc<Status>,
    /// What the tasks beside it are told.
    pub shared: Arc<Shared>,
    /// Milliseconds that a hit waits.
    pub window_ms: u64,
}

/// The state of a session.
pub struct Session {
    parts: Parts,
    queues: Queues,
    ledger: Ledger,
    opener: Opener,
    behaviour: Behaviour,
    objections: Objections,
    dead: HashSet<(Lane, u64)>,
    stored_here: HashSet<Lane>,
    connection: Option<Connection>,
    connection_used: Instant,
    /// The longest refusal log that anything in ClickHouse was filtered by.
    filtered_by: u64,
    limits: CutLimits,
    empty_since: BTreeMap<Lane, Instant>,
    last_insert: Option<Instant>,
    next_look: Instant,
    next_keys: Instant,
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Session {
    /// A session that knows nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let now = Instant::now();
        Self {
            queues: Queues::default(),
            ledger: Ledger::default(),
            opener: Opener::default(),
            behaviour: Behaviour::new(parts.window_ms),
            objections: Objections::default(),
            dead: HashSet::new(),
            stored_here: HashSet::new(),
            connection: None,
            connection_used: now,
            filtered_by: 0,
            limits: CutLimits::first(),
            empty_since: BTreeMap::new(),
            last_insert: None,
            next_look: now,
            next_keys: now + KEYS_EVERY,
            parts,
        }
    }

    /// Works until `drain` turns true and everything that was there then is stored.
    ///
    /// # Errors
    /// [`SessionError`]; whoever works next asks anew.
    pub async fn run(&mut self, mut drain: watch::Receiver<bool>) -> Result<(), SessionError> {
        self.parts.shared.set_log(self.parts.refusals.log());
        self.ask_ledger().await?;
        self.wait_for_log().await?;
        self.dead = lanes::dead(&mut self.parts.redis).await?.into_iter().collect();
        let asked = lanes::asked(&mut self.parts.redis).await?;
        self.objections.take_asked(asked.iter().map(Vec::as_slice));
        self.repeat_found_cut().await?;
        self.parts.status.ready.store(true, Ordering::Relaxed);
        self.parts.shared.open();
        let mut ends: Option<Vec<(Lane, u64)>> = None;
        loop {
            let draining = *drain.borrow();
            if Instant::now() >= self.next_look || (draining && ends.is_none()) {
                let tops = self.look().await?;
                if draining && ends.is_none() {
                    ends = Some(tops);
                }
            }
            if self.parts.shared.is_ledger_wanted() {
                self.show_position().await?;
            }
            let more = self.read().await?;
            let more_objections = self.ask_for_objections().await?;
            let stored = self.store_what_is_due(draining).await?;
            if ends.as_ref().is_some_and(|ends| self.is_stored(ends)) {
                return Ok(());
            }
            if !(more || more_objections || draining && stored) {
                tokio::select! {
                    () = tokio::time::sleep(READ_EVERY) => {}
                    _ = drain.changed(), if !draining => {}
                }
            }
        }
    }

    fn is_stored(&self, ends: &[(Lane, u64)]) -> bool {
        ends.iter().all(|(lane, top)| self.ledger.stored_by_all(*lane) >= *top)
    }

    /// Entries of the refusal log that are known of and not held. Hits that they refuse must not be
    /// stored.
    fn check_log(&self) -> Result<(), SessionError> {
        let (held, log) = (self.parts.refusals.length(), &self.parts.refusals);
        let known = log.known_length().max(self.filtered_by);
        if held < known { Err(SessionError::ShortLog { held, known }) } else { Ok(()) }
    }

    /// Waits until the copy is as long as the log that was stored by. A standby may have all of it,
    /// so that this session ends where it does not come.
    async fn wait_for_log(&mut self) -> Result<(), SessionError> {
        let until = Instant::now() + LOG_TIME;
        loop {
            self.parts.refusals.follow(&mut self.parts.redis).await;
            let checked = self.check_log();
            if checked.is_ok() || Instant::now() > until {
                self.parts.shared.set_log(self.parts.refusals.log());
                return checked;
            }
            if !self.parts.lease.is_valid() {
                return Err(SessionError::LeaseLost);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The cut that a predecessor wrote down is sent first: same entries, same order, same token.
    async fn repeat_found_cut(&mut self) -> Result<(), SessionError> {
        let found: Option<Vec<u8>> =
            redis::cmd("GET").arg(WRITER_CUT).query_async(&mut self.parts.redis).await?;
        let Some(cut) = found.map(|bytes| Cut::from_bytes(&bytes)).transpose()? else {
            return Ok(());
        };
        tracing::info!(lanes = cut.lanes.len(), month = cut.month, "found a cut, repeating it");
        self.look().await?;
        self.read_cut(&cut).await?;
        if failpoints::off("cut") {
            self.parts.fenced.set_cut(Some(&cut), None).await?;
            return Ok(());
        }
        self.store(cut).await
    }

    async fn store_what_is_due(&mut self, draining: bool) -> Result<bool, SessionError> {
        self.observe();
        if let Err(short) = self.check_log() {
            // Following it failed, and was told of; the next look tries again.
            tracing::debug!(%short, "storing waits");
            return Ok(false);
        }
        let now = Instant::now();
        let since = self.last_insert.map_or(Duration::MAX, |last| now - last);
        if since < INSERT_EVERY && !draining {
            return Ok(false);
        }
        let clock = now_ms();
        let due_ms = if draining { u64::MAX } else { clock.saturating_sub(self.parts.window_ms) };
        let this_month = Day::of_unix_ms(clock).month();
        let Some(cut) = self.queues.plan(due_ms, this_month, self.limits) else { return Ok(false) };
        let records: u64 = self.queues.of_cut(&cut).map(|(_, entry)| entry.records()).sum();
        if since < SMALL_INSERT_EVERY && records < self.limits.records / 2 && !draining {
            return Ok(false);
        }
        self.last_insert = Some(now);
        if !failpoints::off("cut") {
            self.parts.fenced.set_cut(None, Some(&cut)).await?;
        }
        failpoints::pass(failpoints::Point::AfterCut);
        let begun = Instant::now();
        self.store(cut).await?;
        self.limits = self.limits.after(begun.elapsed());
        Ok(true)
    }

    fn observe(&self) {
        let metrics = &self.parts.status.metrics;
        let lag = self.queues.oldest_ms().map_or(0, |oldest| now_ms().saturating_sub(oldest));
        metrics.lag_seconds.set(lag as f64 / 1_000.0);
        metrics.lag_hits.set(i64::try_from(self.queues.records()).unwrap_or(i64::MAX));
    }
}
