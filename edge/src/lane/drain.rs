//! From a lane log to Redis, in order, each batch confirmed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hushmark_event::redis_keys::BATCH_FIELD;
use tokio::time::{sleep, timeout};

use super::LaneTask;
use crate::config::Durability;
use crate::lane_log::LogRefused;
use crate::lane_log::frame::{self, FRAME_HEADER, Frame, Next};
use crate::link::{Appended, Link, LinkError};
use crate::resp::Value;

/// Bytes that are read, sent and confirmed together.
pub(crate) const WINDOW: usize = 256 << 10;

/// How long a window may take. Redis may be catching up with more than us.
const WINDOW_PATIENCE: Duration = Duration::from_secs(5);

/// How long a probe may take, and the pause before the next one.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);
const PROBE_PAUSE: Duration = Duration::from_millis(100);

/// A log that is held open (`--durability disk`) is emptied when it is this long, or idle.
const HELD_LOG: u64 = 4 << 20;

/// The room of replayed batches is given back in parts of the log's limit.
const RECLAIM_PARTS: u64 = 8;

/// Why a window did not get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrainError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("redis did not answer in time")]
    Late,
    #[error(transparent)]
    Log(#[from] LogRefused),
}

/// What became of a window.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) batches: u64,
    /// Numbers that the stream holds with other bytes.
    pub(crate) conflicts: Vec<u64>,
}

impl LaneTask {
    /// Brings the log to Redis. Returns the connection once Redis has all of it and batches may go
    /// there directly again, with no batch in between.
    pub(super) async fn drain(&self) -> Option<Link> {
        let mut link = None;
        loop {
            let step = self.step(&mut link).await;
            match step {
                Ok(true) => return link,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(lane = %self.lane, %error, "the lane log waits");
                    link = None;
                    self.release();
                    if self.desk.commit.is_closed() && error.is_away() {
                        return None;
                    }
                    sleep(PROBE_PAUSE).await;
                }
            }
        }
    }

    fn release(&self) {
        self.hold.set(false);
        if let Some(waiting) = self.held.take() {
            waiting.wake();
        }
        self.released.notify_one();
    }

    /// One window, or what there is to do when there is none; `true` when the breaker closes.
    async fn step(&self, link: &mut Option<Link>) -> Result<bool, DrainError> {
        let closing = self.desk.commit.is_closed();
        if self.spill.load(Ordering::Relaxed) {
            self.release();
            sleep(PROBE_PAUSE).await;
            return Ok(closing);
        }
        let link = match link {
            Some(link) => link,
            None => link.insert(connect(self).await?),
        };
        if self.replayed.get() < self.written.get() {
            self.window(link).await?;
            return Ok(false);
        }
        // Redis has it all but what is being written now.
        let held = self.durability == Durability::Disk;
        let begun = self.written.get() > frame::BEGIN;
        let empty_now = begun && (self.written.get() > HELD_LOG || self.desk.commit.is_empty());
        if held && !closing && !empty_now {
            // Requests came in during a pause that was asked for when there were none.
            self.release();
            self.progress.notified().await;
            return Ok(false);
        }
        self.hold.set(true);
        if self.busy.get() {
            self.progress.notified().await;
            return Ok(false);
        }
        if begun {
            self.log.clear().await?;
            for end in [&self.written, &self.replayed, &self.reclaimed] {
                end.set(frame::BEGIN);
            }
            self.gauge_log();
            if !held {
                tracing::info!(lane = %self.lane, "breaker closes: redis has the whole lane log");
            }
        }
        self.release();
        Ok(!held || closing)
    }

    async fn window(&self, link: &mut Link) -> Result<(), DrainError> {
        let from = self.replayed.get();
        let rest = usize::try_from(self.written.get() - from).unwrap_or(usize::MAX);
        let mut bytes = self.log.read(from, rest.min(WINDOW)).await?;
        if let Next::Short(needed) = frame::decode(&bytes) {
            // One frame that is longer than a window, or its header cut by the window's end.
            bytes = self.log.read(from, needed.max(FRAME_HEADER).min(rest)).await?;
            if let Next::Short(needed) = frame::decode(&bytes) {
                bytes = self.log.read(from, needed.min(rest)).await?;
            }
        }
        let (frames, length) = frames(&bytes);
        if frames.is_empty() {
            // We wrote it ourselves and the disk gives back something else. What follows cannot be
            // found, so it is given up, aloud.
            tracing::error!(lane = %self.lane, offset = from, "the lane log cannot be read back");
            self.replayed.set(self.written.get());
            return Ok(());
        }
        let sent = send(link, &self.stream, &frames).await?;
        self.desk.stats.replayed.add(sent.batches);
        for number in sent.conflicts {
            self.desk.stats.conflicts.one();
            tracing::error!(lane = %self.lane, number, "the stream holds this number with other bytes");
            let records = frames.iter().find(|f| f.number == number).map_or(0, records);
            self.desk.stats.dropped_batches.one();
            self.desk.stats.dropped_records.add(records.into());
            self.log.count_drop(records).await?;
        }
        self.replayed.set(from + length as u64);
        self.gauge_log();
        // A log that is full while Redis comes back must not drop batches until the last byte is
        // replayed.
        if self.replayed.get() - self.reclaimed.get() >= self.log.max() / RECLAIM_PARTS {
            self.reclaimed.set(self.replayed.get());
            self.log.reclaim(self.replayed.get()).await?;
        }
        Ok(())
    }
}

async fn connect(task: &LaneTask) -> Result<Link, DrainError> {
    let connected = timeout(PROBE_PATIENCE, async {
        let mut link = Link::connect(&task.redis).await?;
        link.ask(&[b"PING"]).await?;
        Ok::<_, LinkError>(link)
    });
    Ok(connected.await.map_err(|_| DrainError::Late)??)
}

/// Records that a sealed batch says it holds.
pub(crate) fn records(frame: &Frame<'_>) -> u16 {
    hushmark_event::Sealed::header(frame.blob).map_or(0, |sealed| sealed.records)
}

/// The whole frames at the front of `bytes`, and how many bytes they take.
pub(crate) fn frames(bytes: &[u8]) -> (Vec<Frame<'_>>, usize) {
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Next::Frame(frame, length) = frame::decode(&bytes[at..]) {
        frames.push(frame);
        at += length;
    }
    (frames, at)
}

/// Sends frames of one lane and confirms each: the stream took it, or has it already.
pub(crate) async fn send(
    link: &mut Link,
    stream: &str,
    frames: &[Frame<'_>],
) -> Result<Sent, DrainError> {
    let all = async {
        for frame in frames {
            link.append(stream, frame.number, frame.blob);
        }
        link.flush().await?;
        let mut repeated = Vec::new();
        for frame in frames {
            if link.appended().await? == Appended::NotAbove {
                repeated.push(frame);
            }
        }
        let mut sent = Sent { batches: frames.len() as u64, conflicts: Vec::new() };
        for frame in repeated {
            if !holds(link, stream, *frame).await? {
                sent.conflicts.push(frame.number);
            }
        }
        Ok(sent)
    };
    timeout(WINDOW_PATIENCE, all).await.unwrap_or(Err(DrainError::Late))
}

/// Whether a number that the stream refused is there with the same bytes. A number below the top
/// that is gone was trimmed: the writer stored it.
async fn holds(link: &mut Link, stream: &str, frame: Frame<'_>) -> Result<bool, LinkError> {
    let id = format!("{}-0", frame.number);
    let found = link.ask(&[b"XRANGE", stream.as_bytes(), id.as_bytes(), id.as_bytes()]).await?;
    let Value::Array(entries) = found else { return Err(LinkError::Unexpected("XRANGE")) };
    let Some(entry) = entries.into_iter().next() else { return Ok(true) };
    let fields = match entry {
        Value::Array(mut parts) if parts.len() == 2 => parts.pop(),
        _ => None,
    };
    match fields {
        Some(Value::Array(fields)) => match &fields[..] {
            [Value::Bytes(name), Value::Bytes(blob)] => {
                Ok(name == BATCH_FIELD.as_bytes() && blob == frame.blob)
            }
            _ => Ok(false),
        },
        _ => Err(LinkError::Unexpected("XRANGE")),
    }
}

impl DrainError {
    /// Whether Redis is away, as against refusing.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Link(LinkError::Io(_) | LinkError::Tls(_)) => true,
            Self::Link(_) | Self::Log(_) => false,
        }
    }
}
