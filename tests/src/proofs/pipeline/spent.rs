//! CPU time of each part of a stack, and what it comes to for a hit.

use std::fmt;

use anyhow::{Context, Result};

use crate::process::{Process, Usage};
use crate::stack::{Server, Stack};

/// CPU time in microseconds, since the programs started, or of one hit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) edge: f64,
    pub(super) redis: f64,
    pub(super) writer: f64,
    pub(super) engine: f64,
    batches: f64,
    pub(super) hits_a_batch: f64,
}

impl Spent {
    /// What was spent so far. A program that does not run has spent nothing.
    ///
    /// # Errors
    /// When a program is gone that should run.
    pub(super) fn of(stack: &Stack) -> Result<Self> {
        let mut batches = 0.0;
        for edge in &stack.edges {
            let of = edge.metric("hushmark_edge_batches_total")?;
            batches += of.context("the edge does not count its batches")?;
        }
        Ok(Self {
            edge: servers(&stack.edges)?,
            redis: one(&stack.redis.process)?,
            writer: servers(&stack.writers)?,
            engine: one(&stack.clickhouse.process)?,
            batches,
            hits_a_batch: 0.0,
        })
    }

    /// What was spent since an earlier measurement.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            edge: self.edge - before.edge,
            redis: self.redis - before.redis,
            writer: self.writer - before.writer,
            engine: self.engine - before.engine,
            batches: self.batches - before.batches,
            hits_a_batch: 0.0,
        }
    }

    /// What that is for one of so many hits.
    pub(super) fn each(&self, hits: u64) -> Self {
        let hits = hits.max(1) as f64;
        Self {
            edge: self.edge / hits,
            redis: self.redis / hits,
            writer: self.writer / hits,
            engine: self.engine / hits,
            batches: self.batches / hits,
            hits_a_batch: if self.batches > 0.0 { hits / self.batches } else { 0.0 },
        }
    }

    /// All parts together.
    pub(super) fn all(&self) -> f64 {
        self.edge + self.redis + self.writer + self.engine
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { edge, redis, writer, engine, batches: _, hits_a_batch } = self;
        write!(
            f,
            "edge {edge:.2}, Redis {redis:.2}, writer {writer:.2}, engine {engine:.2} µs a hit, \
             {hits_a_batch:.1} hits a batch"
        )
    }
}

fn servers(servers: &[Server]) -> Result<f64> {
    servers.iter().map(|server| one(&server.process)).sum()
}

fn one(process: &Process) -> Result<f64> {
    if !process.is_running() {
        return Ok(0.0);
    }
    Ok(process.usage()?.cpu_us_since(&Usage::default()))
}
