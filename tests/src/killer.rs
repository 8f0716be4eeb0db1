//! Kills everything with -9, again and again, each process only after it was ready again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;

use crate::figure::progress;
use crate::process::Process;
use crate::stack::{Server, Stack};

/// What can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An edge.
    Edge,
    /// The writer that works.
    Writer,
    /// redis-server.
    Redis,
    /// The ClickHouse engine.
    Engine,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Edge, Self::Writer, Self::Redis, Self::Engine];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Writer => "writer",
            Self::Redis => "redis-server",
            Self::Engine => "engine",
        }
    }

    /// The longest time that it is left alone once it is ready. A take-over costs the writer's
    /// lease of five seconds, so that it gets less peace: all die about equally often.
    const fn longest_peace(self) -> Duration {
        match self {
            Self::Writer => Duration::from_secs(3),
            Self::Edge | Self::Redis | Self::Engine => Duration::from_secs(10),
        }
    }
}

/// One process that is killed as a part.
struct Victim<'a> {
    part: Part,
    process: &'a Process,
    server: Option<&'a Server>,
    /// When it dies next; `None` while it is not ready.
    dies_at: Option<Instant>,
    /// Since when it is not ready.
    away_since: Instant,
}

/// Kills the parts of a stack at random moments.
pub struct Killer<'a> {
    stack: &'a Stack,
    victims: Vec<Victim<'a>>,
    random: Rng,
    each: u32,
    kills: [u32; 4],
    /// Standby writers that died as well.
    standbys: u32,
}

impl<'a> Killer<'a> {
    /// A killer that kills each part `each` times.
    #[must_use]
    pub fn new(stack: &'a Stack, each: u32, seed: u64) -> Self {
        let victim = |part, process, server| Victim {
            part,
            process,
            server,
            dies_at: None,
            away_since: Instant::now(),
        };
        let servers = |part, servers: &'a [Server]| {
            servers.iter().map(move |s| victim(part, &s.process, Some(s))).collect::<Vec<_>>()
        };
        let mut victims = vec![
            victim(Part::Redis, &stack.redis.process, None),
            victim(Part::Engine, &stack.clickhouse.process, None),
        ];
        victims.extend(servers(Part::Edge, &stack.edges));
        victims.extend(servers(Part::Writer, &stack.writers));
        let random = Rng::with_seed(seed);
        Self { stack, victims, random, each, kills: [0; 4], standbys: 0 }
    }

    /// How often a part was killed.
    #[must_use]
    pub fn kills(&self, part: Part) -> u32 {
        self.kills[part as usize]
    }

    /// How often a writer was killed while it stood by.
    #[must_use]
    pub const fn standbys(&self) -> u32 {
        self.standbys
    }

    /// How much of the work is done, from 0 to 1.
    #[must_use]
    pub fn done(&self) -> f64 {
        let done: u32 = self.kills.iter().map(|kills| (*kills).min(self.each)).sum();
        f64::from(done) / f64::from(self.each * 4)
    }

    /// Kills until each part was killed often enough. `before` runs right before each kill, for one
    /// who wants traffic just then.
    ///
    /// # Errors
    /// When a process ends by itself, cannot be started again, or is not ready for too long.
    pub fn run(&mut self, mut before: impl FnMut(&Self)) -> Result<()> {
        while self.done() < 1.0 {
            for at in 0..self.victims.len() {
                self.step(at, &mut before)?;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn step(&mut self, at: usize, before: &mut impl FnMut(&Self)) -> Result<()> {
        let victim = &self.victims[at];
        let (part, process) = (victim.part, victim.process);
        if self.kills(part) >= self.each {
            return Ok(());
        }
        if !process.is_running() {
            bail!("{} ended by itself:\n{}", process.name(), process.last_words());
        }
        let (now, away_since) = (Instant::now(), victim.away_since);
        if let Some(dies_at) = victim.dies_at {
            if dies_at <= now {
                before(self);
                return self.kill(at);
            }
            return Ok(());
        }
        if self.is_ready(at) {
            let peace = part.longest_peace().mul_f64(self.random.f64());
            self.victims[at].dies_at = Some(Instant::now() + peace);
        } else if self.stands_by(at) {
            self.victims[at].away_since = now;
        } else if now.duration_since(away_since) > Duration::from_secs(120) {
            bail!("{} is not ready for two minutes:\n{}", process.name(), process.last_words());
        }
        Ok(())
    }

    fn kill(&mut self, at: usize) -> Result<()> {
        let victim = &mut self.victims[at];
        let working = victim.server.is_none_or(|server| works(server).unwrap_or(true));
        victim.process.kill9()?;
        victim.process.start().context("a killed process cannot be started again")?;
        victim.dies_at = None;
        victim.away_since = Instant::now();
        let part = victim.part;
        if part == Part::Writer && !working {
            self.standbys += 1;
            return Ok(());
        }
        self.kills[part as usize] += 1;
        if self.kills.iter().sum::<u32>().is_multiple_of(20) {
            let counts: Vec<String> =
                Part::ALL.map(|part| format!("{} {}", part.name(), self.kills(part))).into();
            progress(&format!("killed: {}", counts.join(", ")));
        }
        Ok(())
    }

    /// A writer that stands by is ready for anything but its own death.
    fn stands_by(&self, at: usize) -> bool {
        let victim = &self.victims[at];
        victim.part == Part::Writer && victim.server.is_some_and(Server::is_ready)
    }

    /// A writer's turn comes when it works; now and then its standby dies instead.
    fn is_ready(&mut self, at: usize) -> bool {
        let victim = &self.victims[at];
        match (victim.part, victim.server) {
            (Part::Redis, _) => self.stack.redis.is_ready(),
            (Part::Engine, _) => self.stack.clickhouse.is_ready(),
            (Part::Writer, Some(server)) => {
                let standby_too = self.random.u16(..1_000) == 0;
                server.is_ready() && (standby_too || works(server).unwrap_or(false))
            }
            (_, server) => server.is_some_and(Server::is_ready),
        }
    }
}

/// Whether a writer holds the lease; edges always work.
fn works(server: &Server) -> Result<bool> {
    Ok(server.metric("hushmark_writer_working")?.is_none_or(|working| working > 0.0))
}
