//! The short forms of the proofs `erasure` and `restore`, and what `hushmark erase` does to campaigns
//! and tenants, and to those who are not there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hushmark_tests::http;
use hushmark_tests::letters::{self, Letter};
use hushmark_tests::one_machine::{OneMachine, QUICKSTART, run};
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn proof(name: &str) -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run(name, &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}

#[test]
fn an_erased_person_is_gone_from_every_part_with_a_receipt() -> Result<()> {
    proof("erasure")
}

#[test]
fn a_restored_backup_serves_nothing_before_it_is_erased_again() -> Result<()> {
    proof("restore")
}

/// The quickstart with mail that was sent and read.
struct Sent {
    machine: OneMachine,
    folder: TempDir,
}

impl Sent {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (data, manifests) = (folder.path().join("data"), folder.path().join("manifests"));
        fs::create_dir(&data)?;
        fs::create_dir(&manifests)?;
        for entry in fs::read_dir(QUICKSTART)? {
            let entry = entry?;
            fs::copy(entry.path(), manifests.join(entry.file_name()))?;
        }
        Ok(Self {
            machine: OneMachine::start_with(&Tools::from_env()?, &data, &manifests)?,
            folder,
        })
    }

    /// Puts the campaign that names people on hold, or lifts the hold.
    fn hold(&self, from: &str, to: &str) -> Result<()> {
        let path = self.path("manifests/policies.yaml");
        let policies = fs::read_to_string(&path)?;
        ensure!(policies.contains(from), "{policies}");
        Ok(fs::write(&path, policies.replacen(from, to, 1))?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sends a campaign, and lets everybody open it.
    fn send(&self, campaign: &str) -> Result<Vec<Letter>> {
        let out = self.path(campaign);
        self.machine.ask(&["stamp", campaign, "--out", text(&out)])?;
        let letters = letters::read(&out, &self.machine.base_url()?)?;
        let before = self.opens(campaign)?;
        letters.iter().try_for_each(|letter| self.open(letter))?;
        let all = before + letters.len() as u64;
        self.wait("all opens are counted", || Ok(self.opens(campaign)? == all))?;
        Ok(letters)
    }

    fn open(&self, letter: &Letter) -> Result<()> {
        let pixel = letter.pixel.as_deref().context("a message has no pixel")?;
        let answer = http::get(self.machine.edge()?, pixel, PATIENCE)?;
        ensure!(answer.status == 200, "{}", answer.status);
        Ok(())
    }

    fn opens(&self, campaign: &str) -> Result<u64> {
        let id = hushmark_policy::CampaignId::derive("local", "acme", campaign).0;
        self.number(&format!(
            "SELECT sum(raw) FROM counters WHERE campaign = {id} AND dimension = 'total'"
        ))
    }

    fn number(&self, sql: &str) -> Result<u64> {
        self.machine.query(sql)?.text().trim().parse().context("no number")
    }

    fn wait(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !done()? {
            ensure!(Instant::now() < until, "waited in vain until {what}: {}", self.machine.said());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn erase_people(&self, people: &str) -> Result<Output> {
        let file = self.path("people");
        fs::write(&file, people)?;
        self.machine.run(&["erase", "--tenant", "acme", "--people", text(&file)])
    }

    /// Length of the refusal log: what was not asked for did not reach it.
    fn log_length(&self) -> Result<usize> {
        let log = fs::read_to_string(self.machine.data().join("refusals/log.jsonl"))?;
        Ok(log.lines().count())
    }

    fn second_verifier_takes(&self, receipts: &[PathBuf]) -> Result<bool> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/receipts/verify.py");
        let key = self.machine.data().join("refusal.pub");
        let said = Command::new("python3").args(["-B", script]).arg(key).args(receipts).output()?;
        Ok(said.status.success())
    }

    fn receipts(&self) -> Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.machine.data().join("receipts"))? {
            all.push(entry?.path());
        }
        Ok(all)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn who_is_not_known_and_a_key_that_is_gone_change_nothing() -> Result<()> {
    let sent = Sent::new()?;
    let letters = sent.send("spring-individual")?;
    let (known, length) = (&letters[0].to, sent.log_length()?);

    let refused = sent.erase_people(&format!("{known}\nstranger@example.net\n"))?;
    let complained = complaint(&refused);
    ensure!(complained.contains("1 of 2 people"), "{complained}");
    ensure!(complained.contains("(address 2)") && complained.contains("nothing was changed"));
    ensure!(!complained.contains("stranger"), "an address is not repeated: {complained}");
    let refused = sent.machine.run(&["erase", "--tenant", "acme"])?;
    ensure!(complaint(&refused).contains("--people FILE, or --all"));
    // What cannot be undone is not guessed: neither whose data is meant, nor that it is.
    for (unclear, says) in [
        (&["erase", "--campaign", "spring-anonymous", "--people", "list"][..], "cannot be used"),
        (&["erase", "--campaign", "spring-anonymous"], "--yes"),
        (&["withdraw", "--all", "--yes", "--people", "list"], "cannot be used"),
        (&["withdraw", "--campaign", "spring-anonymous", "--people", "list"], "cannot be used"),
        (&["withdraw", "--campaign", "spring-anonymous", "--type", "campaign"], "cannot be used"),
    ] {
        let refused = sent.machine.run(unclear)?;
        let complained = String::from_utf8(refused.stderr)?;
        ensure!(!refused.status.success() && complained.contains(says), "{complained}");
    }
    let refused = sent.machine.run(&["erase", "--campaign", "winter"])?;
    ensure!(complaint(&refused).contains("no campaign winter"));
    // Where the receipt cannot be saved is found before anything is erased.
    let (list, nowhere) = (sent.path("known"), sent.path("no/receipt.json"));
    fs::write(&list, known)?;
    let out = ["--people", text(&list), "--out", text(&nowhere)];
    let refused = sent.machine.run(&[&["erase", "--tenant", "acme"][..], &out].concat())?;
    ensure!(complaint(&refused).contains("so nothing is erased"), "{}", complaint(&refused));

    let tenant = hushmark_policy::TenantId::derive("local", "acme");
    let key = sent.machine.data().join(format!("tenants/{tenant}.key"));
    let aside = sent.path("aside.key");
    fs::rename(&key, &aside)?;
    let complained = complaint(&sent.erase_people(&format!("{known}\n"))?);
    ensure!(complained.contains("is gone") && complained.contains("--all"), "{complained}");
    ensure!(!key.exists(), "a new key in place of a lost one would look like a good one");
    // By another key nobody would be found who withdrew, and a receipt would say that nothing was there.
    fs::write(&key, [7; 32])?;
    let complained = complaint(&sent.erase_people(&format!("{known}\n"))?);
    ensure!(complained.contains("is not the key that it was"), "{complained}");
    let stamp = ["stamp", "spring-individual", "--out", text(&nowhere)];
    let complained = complaint(&sent.machine.run(&stamp)?);
    ensure!(complained.contains("is not the key that it was"), "{complained}");
    fs::rename(&aside, &key)?;
    ensure!(sent.log_length()? == length && sent.receipts()?.is_empty());
    ensure!(sent.number("SELECT count() FROM hits WHERE tenant != 0")? == 200);

    // The stranger, and the campaign that never was; and who looks below the minimum group.
    sent.machine.ask(&["counters", "spring-individual"])?;
    let audit = fs::read_to_string(sent.machine.data().join("audit/log.jsonl"))?;
    ensure!(audit.matches("\"refused\":\"unknown\"").count() == 2, "{audit}");
    ensure!(audit.matches("\"what\":\"counters\"").count() == 1, "{audit}");
    sent.machine.stop()?;
    Ok(())
}

#[test]
fn people_are_erased_together_through_a_writer_that_dies_and_asked_again_give_the_same_receipts()
-> Result<()> {
    let sent = Sent::new()?;
    let letters = sent.send("spring-individual")?;
    let people: String = letters[..3].iter().map(|letter| letter.to.clone() + "\n").collect();
    let out = sent.path("handed");
    let file = sent.path("three");
    fs::write(&file, &people)?;
    let args =
        ["erase", "--tenant", "acme", "--people", text(&file), "--out", text(&out), "--json"];
    // A legal hold wins, of whoever has a row in what it keeps.
    let (free, held) =
        ("  mode: plan\n  keep:", "  legalHold: {reason: a letter}\n  mode: plan\n  keep:");
    sent.hold(free, held)?;
    let complained = complaint(&sent.machine.run(&args)?);
    let says = "RetentionPolicy acme/two-years holds acme/spring-individual (a letter)";
    ensure!(complained.contains(says), "{complained}");
    let audit = fs::read_to_string(sent.machine.data().join("audit/log.jsonl"))?;
    ensure!(audit.matches("\"refused\":\"legal_hold\"").count() == 3, "{audit}");
    sent.hold(held, free)?;
    let said = std::thread::scope(|scope| {
        let command = scope.spawn(|| sent.machine.ask(&args));
        sent.wait("it is asked for", || Ok(sent.log_length()? >= 3))?;
        let writer = sent.machine.children()?["writer"];
        kill_process(Pid::from_raw(writer).unwrap(), Signal::KILL)?;
        command.join().unwrap()
    })?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    ensure!(said["receipts"].as_array().unwrap().len() == 3, "{said}");
    for receipt in said["receipts"].as_array().unwrap() {
        let reached = receipt["receipt"]["reached"].as_array().unwrap();
        let rows = |table: &str| {
            reached.iter().find(|it| it["name"] == table).map(|it| it["rows"].clone())
        };
        ensure!(rows("hits") == Some(1.into()) && rows("contacts") == Some(1.into()), "{receipt}");
    }
    ensure!(sent.number("SELECT count() FROM hits WHERE tenant != 0")? == 197);
    ensure!(sent.number("SELECT count() FROM contacts")? == 197);
    ensure!(sent.number("SELECT count() FROM withdrawals WHERE source = 'erased'")? == 3);
    ensure!(sent.opens("spring-individual")? == 200, "what was counted belongs to nobody");
    let handed: Vec<PathBuf> = fs::read_dir(&out)?.map(|it| it.unwrap().path()).collect();
    ensure!(handed.len() == 3 && sent.second_verifier_takes(&handed)?);

    let again = sent.machine.ask(&args)?;
    let again: serde_json::Value = serde_json::from_str(&again)?;
    ensure!(again == said, "{again}");
    ensure!(sent.receipts()?.len() == 3);

    // Uniques of a campaign without some of its rows come from sketches, and the report says so.
    sent.open(&letters[5])?;
    sent.wait("the next epoch is published", || {
        let report = sent.machine.ask(&["report", "spring-individual"])?;
        Ok(report.contains("sketch") || report.contains("estimate"))
    })?;
    sent.machine.stop()?;
    Ok(())
}

#[test]
fn an_erased_campaign_and_an_erased_tenant_are_refused_with_the_date_and_the_key_is_gone()
-> Result<()> {
    let sent = Sent::new()?;
    let letters = sent.send("spring-anonymous")?;
    sent.send("spring-individual")?;
    let said = sent.machine.ask(&["erase", "--campaign", "spring-anonymous", "--yes"])?;
    ensure!(said.contains("ClickHouse, counters:") && said.contains("Redis, published totals"));
    ensure!(sent.opens("spring-anonymous")? == 0 && sent.opens("spring-individual")? == 200);
    sent.open(&letters[0])?;
    let out = sent.path("again");
    let stamp = ["stamp", "spring-anonymous", "--out", text(&out)];
    let complained = complaint(&sent.machine.run(&stamp)?);
    ensure!(complained.contains("spring-anonymous was erased on 20"), "{complained}");
    ensure!(!out.exists());

    let said = sent.machine.ask(&["erase", "--tenant", "acme", "--all", "--yes"])?;
    ensure!(said.contains("keys, the tenant's key: 1 row, 32 bytes"), "{said}");
    let keys = fs::read_dir(sent.machine.data().join("tenants"))?.count();
    ensure!(keys == 0, "{keys} keys are left");
    for table in ["hits", "counters", "campaigns", "sends", "published", "contacts"] {
        let rows = sent.number(&format!("SELECT count() FROM {table} WHERE tenant != 0"))?;
        ensure!(rows == 0, "{rows} rows are left in {table}");
    }
    ensure!(sent.opens("spring-anonymous")? == 0, "what came after an erasure was stored");
    ensure!(sent.second_verifier_takes(&sent.receipts()?)?);
    let complained = complaint(&sent.erase_people("yusuf.haddad@example.org\n")?);
    ensure!(complained.contains("was erased on 20"), "{complained}");
    // Neither looking nor writing brings a key of the tenant back, while `up` still has its manifest.
    let person = sent.path("people");
    let person = text(&person);
    for command in [
        &["contact", "--tenant", "acme", "--person", person][..],
        &["segment", "--tenant", "acme", "--sent"],
        &["export", "spring-individual"],
        &["log", "--tenant", "acme"],
        &["consent", "--tenant", "acme", "--people", person, "--source", "a form"],
        &["delivered", "spring-individual", "--people", person],
        &["withdraw", "--tenant", "acme", "--people", person],
        &["stamp", "spring-individual", "--out", text(&out)],
    ] {
        let complained = complaint(&sent.machine.run(command)?);
        ensure!(complained.contains("was erased on 20"), "{command:?}: {complained}");
    }
    ensure!(fs::read_dir(sent.machine.data().join("tenants"))?.count() == 0, "a key came back");
    ensure!(sent.number("SELECT count() FROM consents")? == 0);
    let Sent { machine, folder } = sent;
    machine.stop()?;

    let started =
        run(&Tools::from_env()?, &folder.path().join("data"), &["up", QUICKSTART, "--once"])?;
    ensure!(complaint(&started).contains("was erased on 20"));
    Ok(())
}
