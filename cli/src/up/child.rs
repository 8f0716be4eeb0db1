//! Child processes: started, watched, started again, and stopped in the order of the data's path.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::data::{ChildRecord, DataFolder, State};

/// How long a child may take to stop before it is killed. The edge's own limit is shorter.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// The longest pause before a child that keeps dying is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A child that ended so often before everything was ready will not come up by itself.
const HOPELESS: u32 = 3;

/// A wait that lasts longer is explained.
const SILENCE: Duration = Duration::from_secs(3);

/// A child that ran this long has recovered: its next death is a first one.
const RECOVERED_AFTER: Duration = Duration::from_secs(30);

/// What to start.
pub(super) struct Start {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

/// All children, in the order in which they were started.
pub(super) struct Children {
    folder: DataFolder,
    state: Arc<Mutex<State>>,
    running: Vec<Running>,
}

struct Running {
    name: &'static str,
    /// How often it ended by itself.
    deaths: Arc<AtomicU32>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
}

impl Children {
    pub(super) fn new(folder: &DataFolder, state: State) -> Self {
        Self { folder: folder.clone(), state: Arc::new(Mutex::new(state)), running: Vec::new() }
    }

    pub(super) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    pub(super) fn save(&self) -> Result<()> {
        self.folder.save(&lock(&self.state))
    }

    /// Starts a child and keeps it running until it is stopped.
    pub(super) async fn start(&mut self, start: Start) -> Result<()> {
        let name = start.name;
        let (stop, stopped) = watch::channel(false);
        let deaths = Arc::new(AtomicU32::new(0));
        let mut keeper = Keeper {
            folder: self.folder.clone(),
            state: Arc::clone(&self.state),
            start,
            deaths: Arc::clone(&deaths),
            stopped,
        };
        let child = keeper.spawn()?;
        let task = tokio::spawn(async move { keeper.keep(child).await });
        self.running.push(Running { name, deaths, stop, task });
        Ok(())
    }

    /// Asks until the child answers, and says why it does not when time is up.
    pub(super) async fn wait_ready<F: Future<Output = Result<String>>>(
        &mut self,
        name: &str,
        within: Duration,
        ask: impl Fn() -> F,
    ) -> Result<()> {
        let until = Instant::now() + within;
        let mut silent_until = Some(Instant::now() + SILENCE);
        loop {
            let Err(error) = ask().await else { return Ok(()) };
            if silent_until.take_if(|until| Instant::now() > *until).is_some() {
                warned!("waiting for {name}: {error:#}");
            }
            let dying = |child: &&Running| child.deaths.load(Ordering::Relaxed) >= HOPELESS;
            if let Some(child) = self.running.iter().find(dying) {
                bail!("{} does not start: {}", child.name, self.end_of_log(child.name));
            }
            if Instant::now() > until {
                let log = self.end_of_log(name);
                bail!("{name} is not ready after {} s: {error:#}\n{log}", within.as_secs());
            }
            // Short, because this wait is part of every start.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn end_of_log(&self, name: &str) -> String {
        let log = self.folder.path("logs").join(format!("{name}.log"));
        format!("the end of {}:\n{}", log.display(), tail(&log))
    }

    /// Returns when a child cannot be kept running.
    pub(super) async fn watch(&mut self) -> Result<()> {
        loop {
            if let Some(ended) = self.running.iter().position(|child| child.task.is_finished()) {
                let child = self.running.remove(ended);
                return child.task.await.map_err(|error| anyhow!("{}: {error}", child.name))?;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Stops the edge, then the writer, then the engine, then Redis: each one's data is then with
    /// the next. Every child is stopped even where one before it resists.
    pub(super) async fn stop_in_order(&mut self) -> Result<()> {
        let mut failed = None;
        for name in ["edge", "writer", "clickhouse", "redis"] {
            let Some(at) = self.running.iter().position(|child| child.name == name) else {
                continue;
            };
            let child = self.running.remove(at);
            let begun = Instant::now();
            child.stop.send_replace(true);
            match child.task.await {
                Ok(Ok(())) => {
                    said!("  {name:<10} stopped in {:.1} s", begun.elapsed().as_secs_f64())
                }
                Ok(Err(error)) => failed = Some(error),
                Err(error) => failed = Some(anyhow!("{name}: {error}")),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

struct Keeper {
    folder: DataFolder,
    state: Arc<Mutex<State>>,
    start: Start,
    deaths: Arc<AtomicU32>,
    stopped: watch::Receiver<bool>,
}

impl Keeper {
    fn log_path(&self) -> PathBuf {
        self.folder.path("logs").join(format!("{}.log", self.start.name))
    }

    /// Starts the process and writes down which it is, before anything else can happen.
    fn spawn(&self) -> Result<Child> {
        let path = self.log_path();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let child = Command::new(&self.start.program)
            .args(&self.start.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log file")?)
            .stderr(log)
            // Ctrl-C in the terminal is for `up`, which then stops its children in order.
            .process_group(0)
            // Should `up` itself come to a sudden end, nothing stays behind.
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.start.program.display()))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        let record = ChildRecord {
            name: self.start.name.to_owned(),
            pid,
            started: start_time(pid).unwrap_or_default(),
        };
        let mut state = lock(&self.state);
        state.children.retain(|known| known.name != record.name);
        state.children.push(record);
        if let Err(error) = self.folder.save(&state) {
            // It runs, and that is worth more than the note: a full disk must not stop it.
            said!("process id {pid} of {} is not written down: {error:#}", self.start.name);
        }
        Ok(child)
    }

    async fn keep(&mut self, mut child: Child) -> Result<()> {
        let mut pause = Duration::from_millis(100);
        loop {
            let begun = Instant::now();
            let ended = tokio::select! {
                status = child.wait() => Some(status.context("cannot wait for a child")?),
                _ = self.stopped.wait_for(|stopped| *stopped) => None,
            };
            let Some(status) = ended else { return self.stop(child).await };
            if begun.elapsed() > RECOVERED_AFTER {
                pause = Duration::from_millis(100);
            }
            self.deaths.fetch_add(1, Ordering::Relaxed);
            let (name, log) = (self.start.name, self.log_path());
            said!(
                "{name} ended by itself ({status}); starting it again in {:.1} s; its log is {}",
                pause.as_secs_f64(),
                log.display()
            );
            child = loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = self.stopped.wait_for(|stopped| *stopped) => return Ok(()),
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                match self.spawn() {
                    Ok(child) => break child,
                    // Whatever it is, a full disk or too many processes, the others go on.
                    Err(error) => said!(
                        "{name} cannot be started again: {error:#}; trying again in {:.1} s",
                        pause.as_secs_f64()
                    ),
                }
            };
        }
    }

    async fn stop(&self, mut child: Child) -> Result<()> {
        let name = self.start.name;
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop {name}"))?;
        }
        match tokio::time::timeout(STOP_WITHIN, child.wait()).await {
            Ok(status) => {
                let status = status.with_context(|| format!("cannot wait for {name}"))?;
                // Ended by the signal itself: it had only just been started and handled none yet, so
                // there was nothing to drain.
                let had_not_begun = status.signal() == Some(Signal::TERM.as_raw());
                if !status.success() && !had_not_begun {
                    bail!(
                        "{name} did not stop cleanly ({status}): see {}",
                        self.log_path().display()
                    );
                }
                Ok(())
            }
            Err(_) => {
                child.kill().await.with_context(|| format!("cannot kill {name}"))?;
                bail!("{name} did not stop within {} s and was killed", STOP_WITHIN.as_secs());
            }
        }
    }
}

/// Stops the children of an `up` that was killed: those that it wrote down, and only while they
/// are still the same processes.
pub(super) async fn stop_left_behind(folder: &DataFolder) -> Result<()> {
    let Ok(mut state) = folder.state() else { return Ok(()) };
    for name in ["edge", "writer", "clickhouse", "redis"] {
        let Some(child) = state.children.iter().find(|child| child.name == name) else { continue };
        let is_the_same = || start_time(child.pid) == Some(child.started);
        let Some(pid) = Pid::from_raw(child.pid).filter(|_| is_the_same()) else { continue };
        said!("stopping {name} (process id {}), which an earlier `up` left behind", child.pid);
        let until = Instant::now() + STOP_WITHIN;
        let mut signal = Signal::TERM;
        while is_the_same() && test_kill_process(pid).is_ok() {
            if kill_process(pid, signal).is_err() {
                break;
            }
            if Instant::now() > until {
                signal = Signal::KILL;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    state.children.clear();
    folder.save(&state)
}

/// When a process started, in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)). A
/// zombie has ended, so it has none.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; what follows it is regular.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The last lines of a log, for an error.
fn tail(path: &std::path::Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_else(|error| format!("(cannot be read: {error})"));
    let lines: Vec<&str> = text.lines().rev().take(12).collect();
    lines.into_iter().rev().map(|line| format!("  {line}\n")).collect()
}

/// State is plain data: a panic elsewhere cannot have left it half-changed.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
