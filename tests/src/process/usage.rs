//! What a process has used, from `/proc` (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;

/// CPU time and memory of one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time of all its threads since it started.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub resident: u64,
}

impl Usage {
    /// Reads a process's use so far.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: Pid) -> Result<Self> {
        let folder = format!("/proc/{}", pid.as_raw_nonzero());
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The second field is the program's name in brackets and may hold anything.
        let fields = stat.rsplit_once(')').context("stat has no name")?.1;
        let field = |n: usize| -> Result<u64> {
            let text = fields.split_whitespace().nth(n - 3).context("stat is short")?;
            Ok(text.parse()?)
        };
        let ticks = field(14)? + field(15)?;
        let pages = field(24)?;
        let second = rustix::param::clock_ticks_per_second();
        Ok(Self {
            cpu: Duration::from_nanos(ticks * (1_000_000_000 / second)),
            resident: pages * rustix::param::page_size() as u64,
        })
    }

    /// CPU time since an earlier measurement, in microseconds.
    #[must_use]
    pub fn cpu_us_since(&self, before: &Self) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6
    }
}
