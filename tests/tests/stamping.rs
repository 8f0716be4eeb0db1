//! What happens to a stamping while others stamp, withdraw and erase.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hushmark_tests::letters::{self, Letter};
use hushmark_tests::one_machine::{OneMachine, QUICKSTART};
use hushmark_tests::tools::Tools;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// So many that a stamping can be stopped between its look at the contacts and its new ids.
const PEOPLE: usize = 4_000;

/// Whoever withdraws meanwhile.
const WITHDRAWS: &str = "reader-7@example.org";

struct Scene {
    tools: Tools,
    machine: OneMachine,
    folder: TempDir,
}

/// A command that is killed where the test fails, so that nobody waits for its turn any more.
struct Running(Option<Child>);

impl Running {
    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.0.as_ref().context("it is over")?;
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    fn is_over(&mut self) -> Result<bool> {
        Ok(self.0.as_mut().context("it is over")?.try_wait()?.is_some())
    }

    fn end(mut self) -> Result<Output> {
        Ok(self.0.take().context("it is over")?.wait_with_output()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.kill().and_then(|()| child.wait()));
        }
    }
}

impl Scene {
    fn start() -> Result<Self> {
        let (tools, folder) = (Tools::from_env()?, tempfile::tempdir()?);
        let (data, manifests) = (folder.path().join("data"), folder.path().join("manifests"));
        fs::create_dir(&data)?;
        fs::create_dir(&manifests)?;
        for entry in fs::read_dir(QUICKSTART)? {
            let entry = entry?;
            fs::copy(entry.path(), manifests.join(entry.file_name()))?;
        }
        let list = (0..PEOPLE).map(|n| format!("reader-{n}@example.org,Ann,A,Ghent\n"));
        let list = format!("address,first_name,last_name,city\n{}", list.collect::<String>());
        fs::write(manifests.join("recipients.csv"), list)?;
        let machine = OneMachine::start_with(&tools, &data, &manifests)?;
        Ok(Self { tools, machine, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn stamp(&self, campaign: &str, out: &str) -> Result<Running> {
        let child = Command::new(self.tools.program("hushmark")?)
            .arg("--data")
            .arg(self.machine.data())
            .args(["stamp", campaign, "--out"])
            .arg(self.path(out))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("hushmark does not start")?;
        Ok(Running(Some(child)))
    }

    /// Stops a stamping that has looked at the contacts and has stored none.
    fn stop_midway(&self, stamping: &mut Running) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !self.has_draft()? {
            ensure!(!stamping.is_over()? && Instant::now() < until, "it never wrote a message");
        }
        stamping.signal(Signal::STOP)?;
        ensure!(self.number("SELECT count() FROM contacts")? == 0, "it was stopped too late");
        Ok(())
    }

    fn has_draft(&self) -> Result<bool> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder.path())? {
            names.push(entry?.file_name());
        }
        Ok(names.iter().any(|name| name.to_string_lossy().ends_with(".partial")))
    }

    fn query(&self, sql: &str) -> Result<String> {
        Ok(self.machine.query(sql)?.text())
    }

    fn number(&self, sql: &str) -> Result<u64> {
        self.query(sql)?.trim().parse().context("no number")
    }

    fn untracked(&self, out: &str) -> Result<Vec<String>> {
        let letters = letters::read(&self.path(out), &self.machine.base_url()?)?;
        ensure!(letters.len() == PEOPLE, "{} messages", letters.len());
        let is_untracked = |letter: &Letter| letter.pixel.is_none() && letter.links.is_empty();
        Ok(letters.into_iter().filter(is_untracked).map(|letter| letter.to).collect())
    }
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Nobody gets two ids of two stampings at once, and no mail is tracked of whoever withdrew while it
/// was made, though no mail had named them and the refusal log has no id of theirs.
#[test]
fn stampings_wait_for_one_another_and_a_withdrawal_waits_for_none() -> Result<()> {
    let scene = Scene::start()?;
    let mut first = scene.stamp("spring-individual", "first")?;
    scene.stop_midway(&mut first)?;
    let mut second = scene.stamp("spring-anonymous", "second")?;

    let people = scene.path("people");
    fs::write(&people, WITHDRAWS)?;
    let withdraw = ["withdraw", "--tenant", "acme", "--people", text(&people)];
    let said = scene.machine.ask(&withdraw)?;
    ensure!(said.contains("contacts already: 0"), "{said}");
    std::thread::sleep(Duration::from_secs(2));
    ensure!(!second.is_over()?, "two draw ids at once");

    first.signal(Signal::CONT)?;
    let complained = complaint(&first.end()?);
    ensure!(complained.contains("1 person ended their tracking while"), "{complained}");
    ensure!(!scene.path("first").exists() && !scene.has_draft()?);
    let done = second.end()?;
    ensure!(done.status.success(), "{done:?}");
    let waited = String::from_utf8_lossy(&done.stderr);
    ensure!(waited.contains("waiting for another `hushmark stamp`"), "{waited}");
    let again = scene.stamp("spring-individual", "first")?.end()?;
    ensure!(again.status.success(), "{again:?}");
    for out in ["first", "second"] {
        ensure!(scene.untracked(out)? == [WITHDRAWS], "{out}");
    }
    let ids = "SELECT max(ids) FROM \
               (SELECT uniqExact(contact) AS ids FROM contacts GROUP BY lookup)";
    ensure!(scene.number(ids)? == 1, "somebody has two ids");

    // Of whoever has two of an earlier time, both are refused.
    scene.query(
        "INSERT INTO contacts SELECT tenant, lookup, contact + 1, sealed, addSeconds(at, 1) \
         FROM contacts WHERE lookup = (SELECT lookup FROM withdrawals LIMIT 1)",
    )?;
    let refused = || -> Result<usize> {
        let log = fs::read_to_string(scene.machine.data().join("refusals/log.jsonl"))?;
        Ok(log.matches("\"contact\"").count())
    };
    let before = refused()?;
    scene.machine.ask(&withdraw)?;
    ensure!(refused()? == before + 2, "{} of 2 ids are refused", refused()? - before);
    scene.machine.stop()?;
    Ok(())
}
