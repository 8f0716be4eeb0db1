//! Brings the logs of dead processes to Redis, each under its old lane's name, and deletes them.
//!
//! A living edge does this beside its work; `hushmark-edge --replay` does nothing else. Two replays
//! of one log are harmless: a stream takes each number once.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use hushmark_event::redis_keys::lane_stream;
use hushmark_event::{BatchReader, Heartbeat, LaneSealer, Record, Ring, Sealed};
use hushmark_policy::Objected;
use tokio::time::timeout;

use crate::control::pulse;
use crate::lane::drain::{self, DrainError, WINDOW};
use crate::lane_log::DeadLog;
use crate::lane_log::frame::{self, BLOB_MAX, FRAME_HEADER, Frame, Next};
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
    let stream = lane_stream(log.lane);
    let mut windows = Windows::new(log).map_err(io)?;
    while let Some(frames) = windows.next().map_err(io)? {
        let sent = drain::send(link, &stream, &frames).await?;
        for number in sent.conflicts {
            tracing::error!(lane = %log.lane, number, "the stream holds this number with other bytes");
            let records = frames.iter().find(|f| f.number == number).map_or(0, drain::records);
            log.count_drop(records).map_err(io)?;
        }
        replayed.batches += sent.batches;
    }
    if windows.torn > 0 {
        // Torn by the death of its process, before anybody was answered for it.
        tracing::warn!(lane = %log.lane, bytes = windows.torn, "ignored a torn tail");
        replayed.torn_bytes += windows.torn;
    }
    Ok(())
}

/// Reads a dead log, some frames at a time.
struct Windows<'a> {
    log: &'a DeadLog,
    at: u64,
    end: u64,
    bytes: Vec<u8>,
    /// Bytes at the end that are no frame; known once the end is reached.
    torn: u64,
}

impl<'a> Windows<'a> {
    fn new(log: &'a DeadLog) -> io::Result<Self> {
        let (at, end) = (log.start()?, log.file.metadata()?.len());
        Ok(Self { log, at, end, bytes: Vec::new(), torn: 0 })
    }

    /// The frames that follow; none at the end, torn or not.
    fn next(&mut self) -> io::Result<Option<Vec<Frame<'_>>>> {
        let mut room = WINDOW;
        loop {
            if self.at >= self.end {
                return Ok(None);
            }
            let rest = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            self.bytes.resize(room.min(rest), 0);
            self.log.file.read_exact_at(&mut self.bytes, self.at)?;
            match frame::decode(&self.bytes) {
                Next::Frame(..) => break,
                Next::Short(needed)
                    if self.bytes.len() < rest && needed <= BLOB_MAX + FRAME_HEADER =>
                {
                    room = needed.max(WINDOW);
                }
                _ => {
                    self.torn = self.end - self.at;
                    self.at = self.end;
                }
            }
        }
        let (frames, length) = drain::frames(&self.bytes);
        self.at += length as u64;
        Ok(Some(frames))
    }
}

/// Who objected in the logs of dead processes: Redis, and so the refusal log, may not know yet. A
/// batch whose day is closed, or that does not open, holds nothing that can still be obeyed.
pub(crate) fn objected(folder: &Path, ring: &Ring) -> io::Result<Objected> {
    let mut objected = Objected::default();
    for log in DeadLog::find(folder)? {
        let mut windows = match Windows::new(&log) {
            // Another program's, which is left alone here and named when it is replayed.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
            windows => windows?,
        };
        let mut sealer: Option<LaneSealer> = None;
        while let Some(frames) = windows.next()? {
            for Frame { number, blob } in frames {
                let Ok(Sealed { day, .. }) = Sealed::header(blob) else { continue };
                if sealer.as_ref().is_none_or(|sealer| sealer.day() != day) {
                    sealer = ring.get(day).map(|key| LaneSealer::new(key, day, log.lane));
                }
                let mut blob = blob.to_vec();
                let opened = sealer.as_ref().and_then(|it| it.open(number, &mut blob).ok());
                let reader = opened.and_then(|(_, packed)| BatchReader::new(packed).ok());
                for record in reader.into_iter().filter(BatchReader::may_hold_objections).flatten()
                {
                    if let Ok(Record::Objection(objection)) = record {
                        objection.add_to(&mut objected);
                    }
                }
            }
        }
    }
    Ok(objected)
}
