//! A reader's page from end to end, on the stack that `hushmark up` runs: looking changes nothing,
//! the button ends the counting of one message and of no other, whatever dies meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hushmark_policy::CampaignId;
use hushmark_tests::http;
use hushmark_tests::letters::{self, Letter};
use hushmark_tests::one_machine::{OneMachine, QUICKSTART};
use hushmark_tests::tools::Tools;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The quickstart with a link to the page in its newsletter, running.
struct Scene {
    folder: TempDir,
    machine: OneMachine,
}

impl Scene {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (data, manifests) = (folder.path().join("data"), folder.path().join("manifests"));
        fs::create_dir(&data)?;
        fs::create_dir(&manifests)?;
        for entry in fs::read_dir(QUICKSTART)? {
            let entry = entry?;
            fs::copy(entry.path(), manifests.join(entry.file_name()))?;
        }
        let path = manifests.join("newsletter.html");
        let link = "<p><a href=\"{{tracking-page}}\">What this mail records</a></p></body>";
        fs::write(&path, fs::read_to_string(&path)?.replace("</body>", link))?;
        let machine = OneMachine::start_with(&Tools::from_env()?, &data, &manifests)?;
        Ok(Self { folder, machine })
    }

    /// The first two messages of a campaign, stamped anew.
    fn stamp(&self, campaign: &str, out: &str) -> Result<[Letter; 2]> {
        let out: PathBuf = self.folder.path().join(out);
        self.machine.ask(&["stamp", campaign, "--out", out.to_str().unwrap()])?;
        let mut letters = letters::read(&out, &self.machine.base_url()?)?.into_iter();
        let mut next = || letters.next().context("no message");
        Ok([next()?, next()?])
    }

    fn page(&self, letter: &Letter) -> Result<String> {
        let path = letter.page.as_deref().context("no page")?;
        let answer = http::get(self.machine.edge()?, path, ANSWERS_WITHIN)?;
        ensure!(answer.status == 200, "{}", answer.head);
        Ok(answer.text())
    }

    /// Opens a mail; it gets its pixel whatever is counted.
    fn open(&self, letter: &Letter) -> Result<()> {
        let path = letter.pixel.as_deref().context("no pixel")?;
        ensure!(http::get(self.machine.edge()?, path, ANSWERS_WITHIN)?.status == 200);
        Ok(())
    }

    fn object(&self, letter: &Letter) -> Result<()> {
        let path = letter.page.as_deref().context("no page")?;
        let answer = http::post(self.machine.edge()?, path, b"", ANSWERS_WITHIN)?;
        ensure!(answer.status == 200, "{}", answer.head);
        ensure!(answer.text().contains("Your objection holds"), "{}", answer.text());
        Ok(())
    }

    /// Raw hits of a campaign that are stored.
    fn hits(&self, campaign: &str) -> Result<u64> {
        let id = CampaignId::derive("local", "acme", campaign).0;
        let sql =
            format!("SELECT sum(raw) FROM counters WHERE campaign = {id} AND dimension = 'total'");
        let answer = self.machine.query(&sql)?.text();
        answer.trim().parse().with_context(|| format!("ClickHouse answered {answer}"))
    }

    /// Waits until so many are stored, and a while longer for one too many.
    fn counts(&self, campaign: &str, hits: u64) -> Result<()> {
        let what = format!("{hits} hits of {campaign} are stored");
        self.machine.wait(&what, |_| self.hits(campaign).is_ok_and(|found| found >= hits))?;
        std::thread::sleep(Duration::from_secs(3));
        let found = self.hits(campaign)?;
        ensure!(found == hits, "{found} hits of {campaign}, and {hits} were allowed");
        Ok(())
    }

    /// Entries of the refusal log in which a word stands.
    fn entries(&self, with: &str) -> usize {
        let path = self.machine.data().join("refusals/log.jsonl");
        let log = fs::read_to_string(path).unwrap_or_default();
        log.lines().filter(|line| line.contains(with)).count()
    }

    /// Whoever objected by the page is in no list of readers, as if they had written a letter.
    fn is_no_reader(&self, campaign: &str, objected: &str, other: &str) -> Result<()> {
        for told in
            [&["segment", "--campaign", campaign, "--opened"][..], &["export", campaign, "--csv"]]
        {
            let told = self.machine.ask(told)?;
            let opened = told.lines().filter(|line| !line.contains(",sent,"));
            let named = |who: &str| opened.clone().filter(|line| line.contains(who)).count();
            ensure!((named(objected), named(other)) == (0, 1), "{told}");
        }
        let person = self.folder.path().join("person");
        fs::write(&person, objected)?;
        let person = person.to_str().unwrap();
        let page = self.machine.ask(&["contact", "--tenant", "acme", "--person", person])?;
        ensure!(page.contains("ended their tracking on 20"), "{page}");
        ensure!(page.contains("0, because they ended their tracking"), "{page}");
        Ok(())
    }

    fn signal(&self, child: &str, signal: Signal) -> Result<i32> {
        let children = self.machine.children()?;
        let pid = *children.get(child).with_context(|| format!("there is no {child}"))?;
        kill_process(Pid::from_raw(pid).context("no process id")?, signal)?;
        Ok(pid)
    }
}

impl Drop for Scene {
    /// A Redis that hangs could not be told to end.
    fn drop(&mut self) {
        drop(self.signal("redis", Signal::CONT));
    }
}

#[test]
fn an_objection_ends_one_message_though_redis_is_away_and_the_edge_dies() -> Result<()> {
    let scene = Scene::start()?;
    let campaign = "spring-anonymous";
    let [ann, ben] = scene.stamp(campaign, "first")?;
    let page = scene.page(&ann)?;
    ensure!(page.contains("<form method=\"post\">"), "{page}");
    for _ in 0..3 {
        ensure!(scene.page(&ann)? == page);
    }
    scene.open(&ann)?;
    scene.open(&ben)?;
    // Looking at the page changed nothing.
    scene.counts(campaign, 2)?;

    // Redis hangs, the objection is on the edge's disk, and the edge dies.
    scene.signal("redis", Signal::STOP)?;
    scene.object(&ann)?;
    scene.open(&ann)?;
    let edge = scene.signal("edge", Signal::KILL)?;
    scene.machine.wait("another edge answers", |machine| {
        let is_another = machine.children().is_ok_and(|all| all.get("edge") != Some(&edge));
        is_another && scene.page(&ann).is_ok()
    })?;
    // It has read the lane log of the one before.
    scene.open(&ann)?;
    scene.open(&ben)?;
    scene.signal("redis", Signal::CONT)?;
    scene.machine.wait("the refusal log has it", |_| scene.entries("\"message\"") == 1)?;
    scene.open(&ann)?;
    scene.open(&ben)?;
    scene.object(&ann)?;
    ensure!(scene.page(&ann)? == page, "the page does not tell");
    scene.counts(campaign, 4)?;
    ensure!(scene.entries("\"message\"") == 1, "objecting twice adds nothing");
    let audit = fs::read_to_string(scene.machine.data().join("audit/log.jsonl"))?;
    ensure!(audit.contains(r#"{"by":"recipient","action":{"object":{"campaign":"#), "{audit}");
    Ok(())
}

#[test]
fn an_objection_to_mail_that_names_a_contact_holds_for_mail_to_come() -> Result<()> {
    let scene = Scene::start()?;
    let campaign = "spring-individual";
    let [ann, ben] = scene.stamp(campaign, "first")?;
    for letter in [&ann, &ben] {
        scene.open(letter)?;
    }
    scene.counts(campaign, 2)?;
    scene.object(&ann)?;
    scene.machine.wait("the refusal log has it", |_| scene.entries("\"contact\"") == 1)?;
    scene.is_no_reader(campaign, &ann.to, &ben.to)?;
    let [ann_next, ben_next] = scene.stamp(campaign, "second")?;
    ensure!(ann_next.pixel.is_none() && ann_next.links.is_empty(), "mail to come is not tracked");
    let page = scene.page(&ann_next)?;
    ensure!(page.matches("Nothing is recorded.").count() == 2, "{page}");
    for letter in [&ann, &ben, &ben_next] {
        scene.open(letter)?;
    }
    scene.counts(campaign, 4)
}
