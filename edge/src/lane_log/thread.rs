//! The thread that does a lane's disk work, so that a slow disk never stops a core.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::LaneLog;
use crate::start::StartError;

/// Why the log did not take a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogRefused {
    /// Its limit is reached, or it is broken.
    #[error("the lane log is full")]
    Full,
    /// The disk is full or failing.
    #[error("the lane log cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The thread is gone; it only ends with the lane.
    #[error("the lane log is closed")]
    Closed,
}

type Reply<T> = oneshot::Sender<Result<T, LogRefused>>;

enum Job {
    Append {
        number: u64,
        blob: Vec<u8>,
        reply: oneshot::Sender<(Vec<u8>, Result<u64, LogRefused>)>,
    },
    Read {
        from: u64,
        room: usize,
        reply: Reply<Vec<u8>>,
    },
    Reclaim {
        start: u64,
        reply: Reply<()>,
    },
    Clear {
        reply: Reply<()>,
    },
    CountDrop {
        records: u16,
        reply: Reply<()>,
    },
}

/// Jobs that wait. A lane has one batch in flight (an append or a drop) and one reader (a read, a
/// reclaim or a clear), so that two is what there can ever be.
const JOBS: usize = 2;

/// A lane's log, owned by a thread.
pub(crate) struct LogThread {
    max: u64,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl LogThread {
    /// Starts the thread.
    pub(crate) fn start(name: String, log: LaneLog) -> Result<Self, StartError> {
        let max = log.max;
        let (jobs, todo) = sync_channel(JOBS);
        let thread = std::thread::Builder::new()
            .name(name)
            .stack_size(128 << 10)
            .spawn(move || work(log, &todo))
            .map_err(|source| StartError::System { what: "cannot start a thread", source })?;
        Ok(Self { max, jobs: Some(jobs), thread: Some(thread) })
    }

    fn send(&self, job: Job) -> Result<(), LogRefused> {
        self.jobs.as_ref().and_then(|jobs| jobs.try_send(job).ok()).ok_or(LogRefused::Closed)
    }

    /// Appends and syncs a batch, and gives the blob back with the log's new length.
    pub(crate) async fn append(
        &self,
        number: u64,
        blob: Vec<u8>,
    ) -> (Vec<u8>, Result<u64, LogRefused>) {
        let (reply, done) = oneshot::channel();
        if let Err(refused) = self.send(Job::Append { number, blob, reply }) {
            return (Vec::new(), Err(refused));
        }
        done.await.unwrap_or_else(|_| (Vec::new(), Err(LogRefused::Closed)))
    }

    /// Reads up to `room` bytes from an offset.
    pub(crate) async fn read(&self, from: u64, room: usize) -> Result<Vec<u8>, LogRefused> {
        let (reply, done) = oneshot::channel();
        self.send(Job::Read { from, room, reply })?;
        done.await.map_err(|_| LogRefused::Closed)?
    }

    /// The log's limit, in bytes.
    pub(crate) const fn max(&self) -> u64 {
        self.max
    }

    /// Gives the room before an offset back to the disk.
    pub(crate) async fn reclaim(&self, start: u64) -> Result<(), LogRefused> {
        let (reply, done) = oneshot::channel();
        self.send(Job::Reclaim { start, reply })?;
        done.await.map_err(|_| LogRefused::Closed)?
    }

    /// Empties the log.
    pub(crate) async fn clear(&self) -> Result<(), LogRefused> {
        let (reply, done) = oneshot::channel();
        self.send(Job::Clear { reply })?;
        done.await.map_err(|_| LogRefused::Closed)?
    }

    /// Counts the records of a dropped batch, on disk.
    pub(crate) async fn count_drop(&self, records: u16) -> Result<(), LogRefused> {
        let (reply, done) = oneshot::channel();
        self.send(Job::CountDrop { records, reply })?;
        done.await.map_err(|_| LogRefused::Closed)?
    }
}

impl Drop for LogThread {
    /// Ends the thread, which removes files that hold nothing.
    fn drop(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a lane log's thread panicked");
        }
    }
}

fn work(mut log: LaneLog, jobs: &Receiver<Job>) {
    // A reply that nobody waits for any more is nobody's loss.
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Append { number, blob, reply } => {
                let appended = log.append(number, &blob);
                drop(reply.send((blob, appended)));
            }
            Job::Read { from, room, reply } => {
                let mut bytes = vec![0; room];
                let read = log.file.read_exact_at(&mut bytes, from);
                drop(reply.send(read.map(|()| bytes).map_err(LogRefused::Io)));
            }
            Job::Reclaim { start, reply } => {
                drop(reply.send(log.reclaim(start).map_err(LogRefused::Io)));
            }
            Job::Clear { reply } => drop(reply.send(log.clear().map_err(LogRefused::Io))),
            Job::CountDrop { records, reply } => {
                drop(reply.send(log.drops.count(records).map_err(LogRefused::Io)));
            }
        }
    }
    let path = log.path.clone();
    if let Err(error) = log.close() {
        tracing::warn!(path = %path.display(), %error, "cannot remove an empty lane log");
    }
}
