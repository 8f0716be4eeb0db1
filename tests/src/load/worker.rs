//! The loop of the client: one thread, one epoll, all connections.

use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result};
use hushmark_policy::Kind;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

use super::connection::{Connection, Read1, Waiting};
use super::{Job, Latency, Outcome, Progress};

/// How long the loop sleeps at most: the grain of pacing, retries and patience.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

struct Worker<'a> {
    job: Job,
    progress: &'a Progress,
    poll: OwnedFd,
    connections: Vec<Connection>,
    /// Connections that are open and have nothing under way.
    idle: Vec<usize>,
    outcome: Outcome,
    request: Vec<u8>,
    began: Instant,
    /// The hit that goes next, and the one after the last.
    next: u64,
    end: u64,
    /// Hits that the rate has allowed so far.
    allowance: f64,
    refilled: Instant,
}

pub(super) fn run(job: Job, progress: &Progress) -> Result<Outcome> {
    let poll = epoll::create(CreateFlags::CLOEXEC).context("cannot make an epoll")?;
    let now = Instant::now();
    let targets = job.targets.iter().copied().cycle().take(job.connections);
    let mut worker = Worker {
        poll,
        progress,
        connections: targets.map(|target| Connection::new(target, now)).collect(),
        idle: Vec::new(),
        outcome: Outcome::default(),
        request: Vec::with_capacity(1_024),
        began: now,
        next: job.first,
        end: job.first.saturating_add(job.count),
        allowance: 0.0,
        refilled: now,
        job,
    };
    worker.run()?;
    worker.outcome.took = worker.began.elapsed();
    Ok(worker.outcome)
}

impl Worker<'_> {
    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(1_024);
        loop {
            events.clear();
            match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&TICK))
            {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for answers"),
            }
            let now = Instant::now();
            self.refill(now);
            for event in &events {
                self.receive(event.data.u64() as usize, now)?;
            }
            self.tend(now)?;
            if self.is_over() {
                return Ok(());
            }
        }
    }

    fn has_more(&self) -> bool {
        self.next < self.end && !self.progress.stop.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        !self.has_more() && self.connections.iter().all(|c| c.waiting.is_none())
    }

    fn refill(&mut self, now: Instant) {
        let rate = self.progress.rate.load(Ordering::Relaxed);
        if rate == u64::MAX {
            self.allowance = f64::MAX;
        } else {
            let grown = self.allowance.min(rate as f64)
                + rate as f64 * now.duration_since(self.refilled).as_secs_f64();
            // What could not be sent in a tenth of a second is not made up for.
            self.allowance = grown.min(rate as f64 / 10.0 + 1.0);
        }
        self.refilled = now;
    }

    fn receive(&mut self, at: usize, now: Instant) -> Result<()> {
        match self.connections[at].read() {
            Read1::Partial => Ok(()),
            Read1::Dead => {
                self.lose(at, now);
                Ok(())
            }
            Read1::Answer(status) => {
                if let Some(waiting) = self.connections[at].waiting.take() {
                    self.record(waiting, status);
                }
                self.send(at)
            }
        }
    }

    fn record(&mut self, waiting: Waiting, status: u16) {
        let right = match waiting.kind {
            Kind::Open => 200,
            Kind::Click => 302,
        };
        if status != right {
            self.outcome.wrong_count += 1;
            let text = format!("{:?} was answered {status}", waiting.kind);
            if !self.outcome.wrong.contains(&text) {
                self.outcome.wrong.push(text);
            }
            return;
        }
        self.outcome.answered.insert(waiting.n);
        if waiting.n.is_multiple_of(self.job.latency_every) {
            let sent = waiting.since.duration_since(self.began);
            self.outcome.latencies.push(Latency::new(sent, waiting.since.elapsed()));
        }
        self.progress.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a hit may go right now.
    fn may_send(&self) -> bool {
        self.has_more()
            && self.allowance >= 1.0
            && self.next < self.progress.until.load(Ordering::Relaxed)
    }

    /// Sends the next hit on an open connection, or leaves it idle where none may go now.
    fn send(&mut self, at: usize) -> Result<()> {
        if !self.may_send() {
            self.idle.push(at);
            return Ok(());
        }
        self.allowance -= 1.0;
        let n = self.next;
        self.next += 1;
        let hit = self.job.plan.hit(n);
        self.request.clear();
        self.job.minter.request(&hit, &mut self.request)?;
        // From here on it counts as sent: even a part of it may have been enough.
        self.outcome.sent.insert(n);
        self.progress.sent.fetch_add(1, Ordering::Relaxed);
        let since = Instant::now();
        let waiting = Waiting { n, kind: hit.kind, since };
        if !self.connections[at].send(&self.request, waiting) {
            self.lose(at, since);
        }
        Ok(())
    }

    fn lose(&mut self, at: usize, now: Instant) {
        self.idle.retain(|idle| *idle != at);
        if self.connections[at].close(now).is_some() {
            self.progress.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens what is closed, sends what the rate allows, and gives up on what is silent.
    fn tend(&mut self, now: Instant) -> Result<()> {
        for at in 0..self.connections.len() {
            let connection = &mut self.connections[at];
            if connection.stream.is_none() {
                let due = connection.retry_at <= now && self.has_more();
                if due && self.connections[at].open(now) {
                    self.watch(at)?;
                    self.send(at)?;
                }
            } else if connection
                .waiting
                .is_some_and(|w| now.saturating_duration_since(w.since) > self.job.patience)
            {
                self.outcome.silent += 1;
                self.lose(at, now);
            }
        }
        while self.may_send() {
            let Some(at) = self.idle.pop() else { break };
            self.send(at)?;
        }
        Ok(())
    }

    /// A closed socket leaves the epoll by itself.
    fn watch(&self, at: usize) -> Result<()> {
        if let Some(stream) = &self.connections[at].stream {
            let data = EventData::new_u64(at as u64);
            epoll::add(&self.poll, stream, data, EventFlags::IN | EventFlags::RDHUP)
                .context("cannot watch a connection")?;
        }
        Ok(())
    }
}
