//! Child processes that can be killed, stopped, started again and measured. Each dies with us.

mod usage;

pub use usage::Usage;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How a program is started, as often as needed.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What people call it, and the name of its log.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// What is set in its environment on top of ours.
    pub env: BTreeMap<String, String>,
}

/// One program under our hands.
#[derive(Debug)]
pub struct Process {
    recipe: Mutex<Recipe>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// A program that is not started yet; what it prints goes to `NAME.log` in `logs`.
    #[must_use]
    pub fn new(recipe: Recipe, logs: &Path) -> Self {
        let log = logs.join(format!("{}.log", recipe.name));
        Self { recipe: Mutex::new(recipe), log, child: Mutex::new(None) }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> String {
        lock(&self.recipe).name.clone()
    }

    /// Changes how it is started the next time.
    pub fn change(&self, change: impl FnOnce(&mut Recipe)) {
        change(&mut lock(&self.recipe));
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&self) -> Result<()> {
        let mut child = lock(&self.child);
        let recipe = lock(&self.recipe).clone();
        if child.is_some() {
            bail!("{} runs already", recipe.name);
        }
        *child = Some(spawn(recipe, &self.log)?);
        Ok(())
    }

    /// Kills it with -9 and waits until it is gone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill9(&self) -> Result<()> {
        let mut child = lock(&self.child).take().with_context(|| self.is_away())?;
        child.kill().with_context(|| format!("cannot kill {}", self.name()))?;
        child.wait()?;
        Ok(())
    }

    /// Sends it a signal: STOP and CONT, for one.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal)
            .with_context(|| format!("cannot signal {signal:?} to {}", self.name()))
    }

    /// Asks it to end and waits.
    ///
    /// # Errors
    /// When it does not run, fails, or still runs after `patience`.
    pub fn terminate(&self, patience: Duration) -> Result<()> {
        self.end_by(Signal::TERM, patience)
    }

    /// Ctrl-C, and waits.
    ///
    /// # Errors
    /// As [`Process::terminate`].
    pub fn interrupt(&self, patience: Duration) -> Result<()> {
        self.end_by(Signal::INT, patience)
    }

    fn end_by(&self, signal: Signal, patience: Duration) -> Result<()> {
        self.signal(signal)?;
        let mut child = lock(&self.child).take().with_context(|| self.is_away())?;
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!(
                    "{} ended with {status} after {signal:?}:\n{}",
                    self.name(),
                    self.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        bail!("{} still ran {patience:?} after {signal:?}:\n{}", self.name(), self.last_words())
    }

    /// Waits until it ended by itself and returns whether it did so in time.
    ///
    /// # Errors
    /// When it was not started.
    pub fn wait_for_end(&self, patience: Duration) -> Result<bool> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if !self.is_running() {
                lock(&self.child).take();
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(false)
    }

    /// Whether it was started and has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let mut child = lock(&self.child);
        child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<Pid> {
        let child = lock(&self.child);
        let child = child.as_ref().with_context(|| self.is_away())?;
        Ok(Pid::from_child(child))
    }

    /// CPU time and memory it has used.
    ///
    /// # Errors
    /// When it does not run.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid()?).with_context(|| format!("cannot measure {}", self.name()))
    }

    /// All that it printed.
    #[must_use]
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of its log, for a message about its failure.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = self.printed();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(25)..];
        format!("--- end of {}\n{}\n---", self.log.display(), last.join("\n"))
    }

    fn is_away(&self) -> String {
        format!("{} does not run", self.name())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = lock(&self.child).take() {
            // It may have ended by itself; either way it is gone.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// The kernel's parent-death signal follows the thread that forked, so that one thread, which lives
/// as long as we do, starts all children.
static NURSERY: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, reply) in inbox {
            // Who asked has gone away only if it panicked; the child is killed with its handle.
            if let Err(unsent) = reply.send(command.spawn())
                && let Ok(mut child) = unsent.0
            {
                child.kill().ok();
            }
        }
    });
    orders
});

/// Through `setpriv` (util-linux, on every Debian), which sets the parent-death signal and then
/// becomes the program: doing it ourselves would need unsafe code between fork and exec.
fn spawn(recipe: Recipe, log: &Path) -> Result<Child> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    let file = file.with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(&recipe.program).args(&recipe.args);
    command.envs(&recipe.env).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let (reply, answer) = channel();
    NURSERY.send((command, reply)).map_err(|_| anyhow!("the thread that starts children ended"))?;
    let child = answer.recv().context("the thread that starts children ended")?;
    child.with_context(|| format!("cannot start {} by setpriv (util-linux)", recipe.name))
}
