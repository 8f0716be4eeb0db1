//! What a long run is watched for: lag, parts and memory, once a second.

use anyhow::Result;

use crate::figure::Figures;
use crate::process::Process;
use crate::proofs::Run;
use crate::stack::Stack;

const MIB: f64 = (1 << 20) as f64;

/// Looks at a stack again and again.
pub(super) struct Watch<'a> {
    stack: &'a Stack,
    window_seconds: f64,
    lag: Vec<f64>,
    parts: Vec<u64>,
    /// Resident memory by process, in MiB.
    memory: Vec<(String, Vec<f64>)>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(stack: &'a Stack, window_seconds: u64) -> Self {
        let window_seconds = window_seconds as f64;
        let memory = processes(stack).map(|process| (process.name(), Vec::new())).collect();
        Self { stack, window_seconds, lag: Vec::new(), parts: Vec::new(), memory }
    }

    pub(super) fn look(&mut self) -> Result<()> {
        let mut lag = 0.0_f64;
        for writer in &self.stack.writers {
            lag = lag.max(writer.metric("hushmark_writer_lag_seconds")?.unwrap_or(0.0));
        }
        self.lag.push((lag - self.window_seconds).max(0.0));
        let sql = "SELECT max(n) FROM (SELECT count() AS n FROM system.parts \
                   WHERE active AND database = currentDatabase() GROUP BY table)";
        self.parts.push(self.stack.clickhouse.number(sql)?);
        for (process, (_, memory)) in processes(self.stack).zip(&mut self.memory) {
            memory.push(process.usage()?.resident as f64 / MIB);
        }
        Ok(())
    }

    /// The last look, for people.
    pub(super) fn now(&self) -> String {
        let last = |list: &[f64]| list.last().copied().unwrap_or_default();
        let memory: Vec<String> =
            self.memory.iter().map(|(name, m)| format!("{name} {:.0}", last(m))).collect();
        let parts = self.parts.last().copied().unwrap_or_default();
        format!("lag {:.1} s, {parts} parts, MiB: {}", last(&self.lag), memory.join(" "))
    }

    pub(super) fn tell(&self, run: &Run, figures: &mut Figures) {
        let most = |list: &[f64]| list.iter().copied().fold(0.0, f64::max);
        run.limit(figures, "longest lag beyond the window", most(&self.lag), 5.0, "s");
        let parts = self.parts.iter().copied().max().unwrap_or_default();
        figures.at_most("most active parts of a table", parts as f64, 299.0, "parts");
        for (name, memory) in &self.memory {
            // The first half is for caches to fill; the rest has to stay where it is.
            let quarter = memory.len() / 4;
            let mean = |from: usize, to: usize| {
                memory[from..to].iter().sum::<f64>() / (to - from).max(1) as f64
            };
            let (third, fourth) = (mean(quarter * 2, quarter * 3), mean(quarter * 3, memory.len()));
            figures.measure(format!("{name}: resident at the end"), fourth, "MiB");
            let growth = (fourth - third - SLACK_MIB).max(0.0) / third.max(1.0);
            run.limit(figures, &format!("{name}: growth in the last quarter"), growth, 0.1, "");
        }
    }
}

/// An allocator's own breathing, in MiB.
const SLACK_MIB: f64 = 8.0;

fn processes(stack: &Stack) -> impl Iterator<Item = &Process> {
    let servers = stack.edges.iter().chain(&stack.writers).map(|server| &server.process);
    servers.chain([&stack.redis.process, &stack.clickhouse.process])
}
