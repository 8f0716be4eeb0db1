//! A client of our own: many HTTP/1.1 connections, one request under way on each, and a memory of
//! which hit was sent and which was answered.
//!
//! A hit is never sent twice. When its connection dies before the answer came, nobody knows whether
//! it was taken: it may be stored once or not at all. One that was answered has to be found.

mod connection;
mod latency;
mod worker;

pub use latency::{Latencies, Latency};

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::bitmap::Bitmap;
use crate::plan::{Minter, Plan};

/// What is sent, where to, and how fast.
pub struct Job {
    /// The edges; connections are spread over them.
    pub targets: Vec<SocketAddr>,
    /// Connections kept open.
    pub connections: usize,
    /// What each hit is.
    pub plan: Plan,
    /// Seals its token.
    pub minter: Minter,
    /// The first hit's number.
    pub first: u64,
    /// How many hits are sent at most; the load ends when all were answered or lost.
    pub count: u64,
    /// Hits a second, or as fast as answers come. Can be changed while it runs.
    pub rate: Option<u64>,
    /// How long an answer is waited for. A later one counts as none.
    pub patience: Duration,
    /// Every how many answers the latency is kept.
    pub latency_every: u64,
}

/// What has happened so far; read while the load runs.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    answered: AtomicU64,
    lost: AtomicU64,
    rate: AtomicU64,
    until: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Hits sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Hits answered as they should be.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Hits whose connection died before the answer.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every hit that was sent.
    pub sent: Bitmap,
    /// Every hit that was answered as it should be.
    pub answered: Bitmap,
    /// Hits whose answer did not come within the patience.
    pub silent: u64,
    /// Answers that were not the pixel or redirect, the first of each status.
    pub wrong: Vec<String>,
    /// Number of such answers.
    pub wrong_count: u64,
    /// How long answers took.
    pub latencies: Latencies,
    /// How long the load ran.
    pub took: Duration,
}

/// A load on a thread of its own.
pub struct Load {
    began: Instant,
    progress: Arc<Progress>,
    worker: JoinHandle<Result<Outcome>>,
}

impl Load {
    /// Begins to send.
    #[must_use]
    pub fn start(job: Job) -> Self {
        let progress = Arc::new(Progress::default());
        progress.rate.store(job.rate.unwrap_or(u64::MAX), Ordering::Relaxed);
        progress.until.store(u64::MAX, Ordering::Relaxed);
        let shared = Arc::clone(&progress);
        let worker = std::thread::spawn(move || worker::run(job, &shared));
        Self { began: Instant::now(), progress, worker }
    }

    /// How long it has run: what latencies are dated by.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What has happened so far.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Changes the rate; `None` is as fast as answers come.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.progress.rate.store(rate.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Holds back hits from this number on, until it is called with a higher one: what may be sent
    /// is sent as fast as answers come.
    pub fn hold_from(&self, n: u64) {
        self.progress.until.store(n, Ordering::Relaxed);
    }

    /// Whether all was sent and answered or lost.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.worker.is_finished()
    }

    /// Sends nothing more, waits for what is under way, and tells what came of it.
    ///
    /// # Errors
    /// What made the client itself fail.
    pub fn stop(self) -> Result<Outcome> {
        self.progress.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until the whole job was sent and answered or lost.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub fn join(self) -> Result<Outcome> {
        self.worker.join().map_err(|_| anyhow!("the load client panicked"))?
    }
}
