//! Runs the test programs of the workspace, several at once: most of their time they wait, for
//! epochs, for old parts, for programs that were killed to be back. What one prints is shown if it
//! fails. Longest first, by what each took the last time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::setup::Ready;
use crate::tree::Tree;

/// Programs at once, for each core.
const PER_CORE: usize = 2;

/// More than any takes on two busy cores.
const LONGEST: Duration = Duration::from_secs(900);

/// One test program.
struct Suite {
    /// The file in `tests/`, or the library or program whose unit tests they are.
    name: String,
    /// The room, where its tests expect to be started.
    room: PathBuf,
    program: PathBuf,
}

impl Suite {
    fn title(&self) -> String {
        let room = self.room.file_name().unwrap_or_default().to_string_lossy();
        format!("{room}/{}", self.name)
    }
}

/// A line of `cargo --message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    target: Option<Built>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Built {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds all tests and runs them. All run, also after one has failed.
pub(crate) fn run(tree: &Tree, ready: &Ready) -> Result<()> {
    let mut suites = build(tree, ready)?;
    let times = tree.target.join("test-seconds.json");
    let known: BTreeMap<String, f64> = fs::read(&times)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    // What was never run may take long.
    let took = |suite: &Suite| known.get(&suite.title()).copied().unwrap_or(f64::MAX);
    suites.sort_by(|a, b| took(a).total_cmp(&took(b)));

    let logs = tree.target.join("test-logs");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let workers = PER_CORE * thread::available_parallelism().map_or(1, usize::from);
    let (waiting, done) = (Mutex::new(suites), Mutex::new((BTreeMap::new(), Vec::new())));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // Taken in a statement of its own: a lock in the condition would be held all along.
                let next = || waiting.lock().expect("no holder panics").pop();
                while let Some(suite) = next() {
                    let (title, began) = (suite.title(), Instant::now());
                    let log = logs.join(title.replace('/', "-"));
                    let ended = one(tree, ready, &suite, &log);
                    let seconds = began.elapsed().as_secs_f64();
                    let said = fs::read_to_string(&log).unwrap_or_default();
                    let mut done = done.lock().expect("no holder panics");
                    done.0.insert(title.clone(), seconds);
                    match ended {
                        Ok(status) if status.success() => {
                            println!("   {seconds:>6.1} s  {title}: {}", result(&said));
                        }
                        ended => {
                            let why = ended.map_or_else(|e| format!("{e:#}"), |it| it.to_string());
                            println!("\n{said}\n   {seconds:>6.1} s  {title} FAILED: {why}\n");
                            done.1.push(title);
                        }
                    }
                }
            });
        }
    });
    let (seconds, mut failed) = done.into_inner().expect("no holder panics");
    fs::write(&times, serde_json::to_vec_pretty(&seconds)?).context("cannot keep the times")?;
    failed.sort();
    if !failed.is_empty() {
        bail!("{} of {} failed: {}", failed.len(), seconds.len(), failed.join(", "));
    }
    Ok(())
}

fn build(tree: &Tree, ready: &Ready) -> Result<Vec<Suite>> {
    let mut cargo = tree.cargo(Some(ready));
    cargo.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let lines = BufReader::new(child.stdout.take().context("cargo's output is not piped")?).lines();
    let mut suites = Vec::new();
    for line in lines {
        let line = line.context("cannot read what cargo built")?;
        let message: Message =
            serde_json::from_str(&line).with_context(|| format!("cargo said {line:?}"))?;
        let Message { reason, manifest_path, target, profile, executable } = message;
        let is_test = reason == "compiler-artifact" && profile.is_some_and(|profile| profile.test);
        if let (true, Some(target), Some(program)) = (is_test, target, executable) {
            let room = manifest_path.parent().context("a manifest is in a folder")?.to_owned();
            suites.push(Suite { name: target.name, room, program });
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("the tests do not compile: cargo ended with {status}");
    }
    Ok(suites)
}

/// Runs one as cargo would.
fn one(tree: &Tree, ready: &Ready, suite: &Suite, log: &Path) -> Result<ExitStatus> {
    let log = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut command = Command::new(&suite.program);
    for (name, value) in tree.cargo(Some(ready)).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(&suite.room).env("CARGO_MANIFEST_DIR", &suite.room);
    command.env("INSTA_WORKSPACE_ROOT", &tree.root);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", suite.program.display()))?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            bail!("it was still running after {LONGEST:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// What libtest says last, in short: how many passed and how many were left out.
fn result(said: &str) -> String {
    let line = said.lines().rev().find_map(|line| line.strip_prefix("test result: ok. "));
    line.map_or("no tests".into(), |line| line.split("; ").take(3).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libtest_says_is_told_in_short() {
        let said = "\nrunning 3 tests\n\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 \
                    measured; 0 filtered out; finished in 0.42s\n\n";
        assert_eq!(result(said), "2 passed, 0 failed, 1 ignored");
        assert_eq!(result(""), "no tests");
    }

    #[test]
    fn a_program_of_tests_is_told_from_what_else_cargo_builds() {
        let line = r#"{"reason":"compiler-artifact","package_id":"p","manifest_path":"/w/edge/Cargo.toml",
            "target":{"kind":["test"],"name":"control"},"profile":{"test":true},"executable":"/t/control-1"}"#;
        let message: Message = serde_json::from_str(line).unwrap();
        assert!(message.profile.unwrap().test && message.executable.is_some());
        let other: Message = serde_json::from_str(r#"{"reason":"build-finished"}"#).unwrap();
        assert!(other.executable.is_none() && other.profile.is_none());
    }
}
