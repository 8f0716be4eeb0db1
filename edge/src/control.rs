//! What the edge does beside serving: one thread, the one that `main` runs on.
//!
//! In reading order: [`reload`] keeps keys, ring and places fresh, [`refusals`] follows the refusal
//! log, [`pulse`] says in Redis that this edge lives and watches Redis's memory, [`admin`] answers
//! operators with what [`metrics`] counts, of [`traffic`] no more than tells of many. The logs of dead processes are replayed here as well.

pub(crate) mod admin;
mod metrics;
pub(crate) mod pulse;
pub(crate) mod refusals;
pub(crate) mod reload;
mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hushmark_policy::Day;

use crate::known::Shared;
use crate::link::RedisAt;
use crate::replay;
use crate::stats::{CoreStats, Count};
pub(crate) use traffic::Traffic;

/// What all parts of the control thread, and the cores, look at.
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) redis: RedisAt,
    pub(crate) folder: PathBuf,
    /// What its heartbeat calls it.
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    pub(crate) cores: Vec<Arc<CoreStats>>,
    /// Redis is nearly full: lanes write to their logs.
    pub(crate) spill: Arc<AtomicBool>,
    /// The edge drains: it is not ready any more.
    pub(crate) draining: AtomicBool,
    /// Logs of dead processes wait for Redis.
    pub(crate) dead_logs: AtomicBool,
    pub(crate) counts: Counts,
    pub(crate) traffic: Traffic,
    /// Records that earlier processes of this folder dropped.
    pub(crate) dropped_before: u64,
}

/// What the control thread counts itself.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) reloads: Count,
    pub(crate) reload_failures: Count,
    pub(crate) refusal_errors: Count,
    pub(crate) redis_memory_percent: Count,
    pub(crate) redis_up: Count,
    pub(crate) replayed_batches: Count,
}

/// How long after its last sign of life a core counts as stuck.
const STUCK: Duration = Duration::from_secs(10);

impl Control {
    /// Bytes that wait in this process's lane logs.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.cores.iter().map(|core| core.log_bytes.get()).sum()
    }

    /// Whether nothing waits in the folder, of this process or of dead ones.
    pub(crate) fn log_is_empty(&self) -> bool {
        self.log_bytes() == 0 && !self.dead_logs.load(Ordering::Relaxed)
    }

    /// Whether every core shows signs of life.
    pub(crate) fn is_alive(&self) -> bool {
        let now = now_ms();
        self.cores.iter().all(|core| {
            let seen = core.alive_ms.get();
            seen == 0 || now.saturating_sub(seen) < STUCK.as_millis() as u64
        })
    }

    /// Why mail clients should be sent elsewhere; empty when this edge is ready.
    pub(crate) fn unready(&self) -> Vec<&'static str> {
        let mut why = Vec::new();
        let known = self.shared.get();
        let mut says = |unready: bool, reason| {
            if unready {
                why.push(reason);
            }
        };
        says(self.draining.load(Ordering::Relaxed), "draining");
        says(!self.is_alive(), "a core is stuck");
        let today = Day::of_unix_ms(now_ms());
        says(known.ring.get(today).is_none(), "the ring has no batch key for today");
        says(known.refusals.is_none(), "there is no verified copy of the refusal log");
        says(self.cores.iter().any(|core| core.conflicts.get() > 0), "another writes to our lane");
        says(
            self.cores.iter().any(|core| core.refused_now.get() > 0),
            "neither redis nor the lane log takes batches",
        );
        why
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Brings the logs of dead processes to Redis, trying again until it is there.
pub(crate) async fn replay_dead_logs(control: Arc<Control>) {
    const PAUSE: Duration = Duration::from_secs(1);
    let mut said = false;
    while control.dead_logs.load(Ordering::Relaxed) {
        match replay::folder(&control.folder, &control.redis).await {
            Ok(replayed) => {
                control.counts.replayed_batches.add(replayed.batches);
                control.dead_logs.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, "logs of dead processes wait");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Writes a small file whole or not at all.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
