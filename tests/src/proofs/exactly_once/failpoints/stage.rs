//! Where scenes are played: a stack whose writers come on one by one.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::load::{Job, Load, Outcome};
use crate::plan::{Plan, tenant};
use crate::stack::{Server, Shape, Stack, wait_ready};
use crate::tools::Tools;
use crate::verify::{Account, wait_until_drained};

/// A lease runs for five seconds, and a take-over has to read and to store.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is lost while the engine is down. Its note of a token in the deduplication log and the part
/// are two steps, and a death can fall between them, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forget {
    /// Nothing.
    Nothing,
    /// The last record of each log.
    Last,
    /// Every record.
    All,
    /// The part that the last record of each log names.
    LastPart,
}

/// How a scene ended.
pub(super) struct Found {
    missing: u64,
    surplus: u64,
    /// What the scene says about itself.
    so: bool,
}

impl Found {
    pub(super) const fn right(&self) -> bool {
        self.missing == 0 && self.surplus == 0 && self.so
    }

    pub(super) fn words(&self) -> String {
        let so = if self.so { "" } else { ", and no cut was found" };
        format!("{} lost, {} stored twice{so}", self.missing, self.surplus)
    }
}

pub(super) struct Stage {
    stack: Arc<Stack>,
    plan: Plan,
    outcome: Outcome,
    sent: u64,
    so: bool,
}

impl Stage {
    /// Three writers that wait behind the curtain; `without` switches a part off in all of them.
    ///
    /// None of them believes its own clock about the lease: a stop can outlast any clock, so that
    /// no scene may be right, and no control may miss its moment, because a holder gave up in time.
    pub(super) fn set(tools: &Tools, without: Option<&str>, seed: u64) -> Result<Self> {
        let shape = Shape {
            writers: 3,
            writer_program: "hushmark-writer-failpoints",
            window_seconds: 0,
            ..Shape::default()
        };
        let stack = Stack::prepare(tools, &shape, seed)?;
        stack.start_stores()?;
        stack.start_edges()?;
        for writer in &stack.writers {
            writer.process.change(|recipe| {
                let off =
                    without.map_or("lease-clock".into(), |part| format!("lease-clock,{part}"));
                recipe.env.insert("HUSHMARK_WITHOUT".into(), off);
            });
        }
        let plan = Plan::EachItsOwn { seed };
        Ok(Self { stack: Arc::new(stack), plan, outcome: Outcome::default(), sent: 0, so: true })
    }

    pub(super) fn stack(&self) -> &Stack {
        &self.stack
    }

    pub(super) fn logs(&self) -> String {
        self.stack.logs()
    }

    /// Sends so many hits, one batch or a few, and waits until all are answered.
    pub(super) fn send(&mut self, count: u64) -> Result<()> {
        let load = Load::start(Job {
            targets: self.stack.targets(),
            connections: 16,
            plan: self.plan,
            minter: self.stack.minter(),
            first: self.sent,
            count,
            rate: None,
            patience: PATIENCE,
            latency_every: 1,
        });
        let outcome = load.join()?;
        self.sent += count;
        if outcome.answered.count() != count {
            bail!("{} of {count} hits were answered", outcome.answered.count());
        }
        self.outcome.sent.extend(&outcome.sent);
        self.outcome.answered.extend(&outcome.answered);
        Ok(())
    }

    /// Something that a scene needs to have been so, whatever is stored in the end.
    pub(super) fn must_be_so(&mut self, so: bool) {
        self.so &= so;
    }

    fn writer(&self, n: usize) -> &Server {
        &self.stack.writers[n]
    }

    /// A writer comes on, with a failpoint or without, and is ready: working or standing by.
    pub(super) fn enter(&self, n: usize, failpoint: Option<&str>) -> Result<()> {
        self.comes(n, failpoint)?;
        let writer = self.writer(n);
        wait_ready(&writer.process.name(), &writer.process, || writer.is_ready())
    }

    /// As [`Self::enter`], for one that may reach its failpoint before it says that it is ready.
    pub(super) fn comes(&self, n: usize, failpoint: Option<&str>) -> Result<()> {
        let writer = self.writer(n);
        writer.process.change(|recipe| {
            recipe.env.insert("HUSHMARK_FAILPOINT".into(), failpoint.unwrap_or_default().into());
        });
        writer.process.start()
    }

    /// Waits until a writer died at its failpoint.
    pub(super) fn dies(&self, n: usize) -> Result<()> {
        if !self.writer(n).process.wait_for_end(PATIENCE)? {
            bail!("writer {n} did not reach its failpoint");
        }
        Ok(())
    }

    /// Waits until a writer stopped at its failpoint.
    pub(super) fn stops(&self, n: usize) -> Result<()> {
        let pid = self.writer(n).process.pid()?.as_raw_nonzero();
        wait("a writer to stop at its failpoint", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            Ok(stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')))
        })
    }

    /// A stopped writer goes on, and has the time to do its worst.
    pub(super) fn goes_on(&self, n: usize) -> Result<()> {
        self.writer(n).process.signal(Signal::CONT)?;
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    }

    /// Waits until all that was sent is in the counters.
    pub(super) fn stored(&self) -> Result<()> {
        let wanted = (0..self.sent).filter(|n| self.plan.hit(*n).cell().is_some()).count() as u64;
        let sql = format!(
            "SELECT sum(raw) FROM counters WHERE tenant = {} AND dimension = 'total'",
            tenant().0
        );
        wait("all hits to be stored", || Ok(self.stack.clickhouse.number(&sql)? >= wanted))
    }

    /// The engine dies with -9 and comes back, perhaps with less.
    pub(super) fn engine_restarts(&self, forget: Forget) -> Result<()> {
        let clickhouse = &self.stack.clickhouse;
        clickhouse.process.kill9()?;
        if forget != Forget::Nothing {
            let mut cut = 0;
            for log in deduplication_logs(&clickhouse.folder)? {
                cut += u64::from(match forget {
                    Forget::LastPart => remove_last_part(&log)?,
                    _ => cut_records(&log, forget)?,
                });
            }
            if cut == 0 {
                bail!("nothing in {} could be lost", clickhouse.folder.display());
            }
        }
        clickhouse.process.start()?;
        wait_ready("the engine", &clickhouse.process, || clickhouse.is_ready())
    }

    /// Waits until all is stored and compares it with what was answered.
    pub(super) fn find(&self) -> Result<Found> {
        wait_until_drained(&self.stack, PATIENCE)?;
        let account = Account::of(&self.stack, self.plan, &self.outcome)?;
        Ok(Found {
            missing: account.missing + account.rows_missing,
            surplus: account.surplus + account.rows_surplus,
            so: self.so,
        })
    }
}

fn wait(what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        if done()? {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("waited {PATIENCE:?} in vain for {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `deduplication_log_N.txt` of every table, below the engine's folder.
fn deduplication_logs(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with("deduplication_log_") {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Cuts whole lines off the end of a log; whether there was one.
fn cut_records(log: &Path, forget: Forget) -> Result<bool> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let kept = match forget {
        Forget::All => 0,
        Forget::Nothing | Forget::LastPart => text.len(),
        Forget::Last => text.trim_end().rfind('\n').map_or(0, |end| end + 1),
    };
    OpenOptions::new().write(true).open(log)?.set_len(kept as u64)?;
    Ok(kept < text.len())
}

/// Removes the part that the last record of a log names; whether there was one. A record is a 1,
/// the part's name and the token's hash, with tabs between them.
fn remove_last_part(log: &Path) -> Result<bool> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let Some(part) = text.lines().last().and_then(|record| record.split('\t').nth(1)) else {
        return Ok(false);
    };
    let table = log.ancestors().nth(2).context("a log lies in a folder of its table's")?;
    let part = table.join(part);
    fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    Ok(true)
}
