//! Servers on one core, and what they used of it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_tests::process::{Process, Recipe, Usage};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The core of the server and its store; the load has the other one.
const SERVER_CORE: usize = 0;
/// The core of the load.
pub const LOAD_CORE: usize = 1;

/// A program started on the servers' core.
///
/// # Errors
/// When it cannot be started.
pub fn start(name: &str, program: PathBuf, args: Vec<String>, folder: &Path) -> Result<Process> {
    let recipe = Recipe { name: name.into(), program, args, env: [].into() };
    let process = Process::new(recipe, folder);
    pin(&process);
    process.start()?;
    Ok(process)
}

/// Has a program that is not started yet run on the servers' core.
pub fn pin(process: &Process) {
    process.change(|recipe| {
        let program = std::mem::replace(&mut recipe.program, "taskset".into());
        let words = ["-c".into(), SERVER_CORE.to_string(), program.display().to_string()];
        recipe.args.splice(0..0, words);
    });
}

/// Keeps this program, and what it starts unpinned, on the load's core.
///
/// # Errors
/// When the machine has but one core: then nothing here means anything.
pub fn stay_on_the_load_core() -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(LOAD_CORE);
    sched_setaffinity(None, &cores).context("a machine with one core cannot run this")
}

/// Waits until something answers connections there.
///
/// # Errors
/// When nothing does within ten seconds; the message has the program's last words.
pub fn wait_until_open(process: &Process, is_open: impl Fn() -> bool) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    while !is_open() {
        if Instant::now() > until || !process.is_running() {
            bail!("{} does not answer:\n{}", process.name(), process.last_words());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether a server takes connections.
#[must_use]
pub fn takes_connections(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// CPU time of a program and all its children so far, in microseconds.
///
/// # Errors
/// When it is gone.
pub fn cpu_us(process: &Process) -> Result<f64> {
    let mut total = 0.0;
    let mut next = vec![process.pid()?];
    while let Some(pid) = next.pop() {
        total += Usage::of(pid)?.cpu_us_since(&Usage::default());
        next.extend(children(pid)?);
    }
    Ok(total)
}

fn children(pid: Pid) -> Result<Vec<Pid>> {
    let pid = pid.as_raw_nonzero();
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .with_context(|| format!("cannot read the children of process {pid}"))?;
    let pids = text.split_whitespace().filter_map(|word| Pid::from_raw(word.parse().ok()?));
    Ok(pids.collect())
}
