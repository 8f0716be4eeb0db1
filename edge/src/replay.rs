//! Brings the logs of dead processes to Redis, each under its old lane's name, and deletes them.
//!
//! A living edge does this beside its work; `hushmark-edge --replay` does nothing else. Two replays
//! of one log are harmless: a stream takes each number once.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use hushmark_event::Heartbeat;
use hushmark_event::redis_keys::lane_stream;
use tokio::time::timeout;

use crate::control::pulse;
use crate::lane::drain::{self, DrainError, WINDOW};
use crate::lane_log::DeadLog;
use crate::lane_log::frame::{self, BLOB_MAX, FRAME_HEADER, Next};
use crate::link::{Link, LinkError, RedisAt};

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the logs in a folder were not all brought to Redis. Those that were are gone.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Redis is away; trying again later helps.
    #[error("redis is away: {0}")]
    Away(String),
    /// Redis refuses, or the disk does.
    #[error("cannot replay the lane logs: {0}")]
    Refused(String),
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Logs that were brought to Redis and deleted.
    pub logs: u64,
    /// Batches in them.
    pub batches: u64,
    /// Bytes at their ends that were being written when their process died.
    pub torn_bytes: u64,
}

/// Replays every log in `folder` that no living process holds.
pub(crate) async fn folder(folder: &Path, redis: &RedisAt) -> Result<Replayed, ReplayError> {
    let refused = |error: io::Error| ReplayError::Refused(error.to_string());
    let mut replayed = Replayed::default();
    let logs = DeadLog::find(folder).map_err(refused)?;
    if logs.is_empty() {
        return Ok(replayed);
    }
    let mut link = timeout(PATIENCE, Link::connect(redis))
        .await
        .map_err(|_| ReplayError::Away("no answer".to_owned()))?
        .map_err(|error: LinkError| ReplayError::Away(error.to_string()))?;
    let mut worst = Ok(());
    for log in logs {
        match one(&log, &mut link, &mut replayed).await {
            Ok(()) => {
                tracing::info!(lane = %log.lane, batches = replayed.batches, "replayed a lane log");
                log.remove().map_err(refused)?;
                replayed.logs += 1;
            }
            Err(error) if error.is_away() => return Err(ReplayError::Away(error.to_string())),
            // Redis refuses: the replies to what was sent after that are still to come.
            Err(error @ DrainError::Link(_)) => {
                return Err(ReplayError::Refused(error.to_string()));
            }
            // The disk does: the other logs are no worse for it.
            Err(error) => worst = Err(ReplayError::Refused(error.to_string())),
        }
    }
    worst.map(|()| replayed)
}

/// Says in Redis, as an edge that drained does, that the folder of `name` holds nothing any more.
/// Whoever closes days need not wait for it then.
pub(crate) async fn told(name: &str, incarnation: u64, redis: &RedisAt) -> Result<(), ReplayError> {
    let word =
        Heartbeat { pod: name.to_owned(), log_empty: true, draining: true, ..Heartbeat::default() };
    let say = async {
        let mut link = Link::connect(redis).await?;
        pulse::say(&mut link, incarnation, &word).await
    };
    let said = timeout(PATIENCE, say).await;
    let said = said.map_err(|_| ReplayError::Away("no answer".to_owned()))?;
    said.map_err(|error: LinkError| ReplayError::Away(error.to_string()))
}

async fn one(log: &DeadLog, link: &mut Link, replayed: &mut Replayed) -> Result<(), DrainError> {
    let io = |error: io::Error| DrainError::Log(error.into());
    let mut at = log.start().map_err(io)?;
    let stream = lane_stream(log.lane);
    let end = log.file.metadata().map_err(io)?.len();
    let mut room = WINDOW;
    let mut bytes = Vec::new();
    while at < end {
        let rest = usize::try_from(end - at).unwrap_or(usize::MAX);
        bytes.resize(room.min(rest), 0);
        log.file.read_exact_at(&mut bytes, at).map_err(io)?;
        let (frames, length) = drain::frames(&bytes);
        if frames.is_empty() {
            match frame::decode(&bytes) {
                Next::Short(needed) if bytes.len() < rest && needed <= BLOB_MAX + FRAME_HEADER => {
                    room = needed.max(WINDOW);
                    continue;
                }
                // Torn by the death of its process, before anybody was answered for it.
                _ => {
                    tracing::warn!(lane = %log.lane, bytes = end - at, "ignored a torn tail");
                    replayed.torn_bytes += end - at;
                    return Ok(());
                }
            }
        }
        let sent = drain::send(link, &stream, &frames).await?;
        for number in sent.conflicts {
            tracing::error!(lane = %log.lane, number, "the stream holds this number with other bytes");
            let records = frames.iter().find(|f| f.number == number).map_or(0, drain::records);
            log.count_drop(records).map_err(io)?;
        }
        replayed.batches += sent.batches;
        at += length as u64;
        room = WINDOW;
    }
    Ok(())
}
