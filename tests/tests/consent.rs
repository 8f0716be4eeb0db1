//! Where a tenant asks for consent, only mail to those who gave it is tracked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use hushmark_tests::http;
use hushmark_tests::letters::{self, Letter};
use hushmark_tests::one_machine::{OneMachine, QUICKSTART};
use hushmark_tests::tools::Tools;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn who_did_not_consent_gets_the_same_mail_without_tracking() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    let manifests = asking(folder.path())?;
    let machine = OneMachine::start_with(&Tools::from_env()?, &data, &manifests)?;
    let tracked = |campaign: &str, name: &str| -> Result<Vec<String>> {
        let out = folder.path().join(name);
        machine.ask(&["stamp", campaign, "--out", out.to_str().unwrap()])?;
        let letters = letters::read(&out, &machine.base_url()?)?;
        ensure!(letters.len() == 200, "{} messages", letters.len());
        let is_tracked = |letter: &&Letter| letter.pixel.is_some() || !letter.links.is_empty();
        Ok(letters.iter().filter(is_tracked).map(|letter| letter.to.clone()).collect())
    };
    let people = |addresses: &str| {
        fs::write(folder.path().join("people"), addresses).unwrap();
        folder.path().join("people").to_str().unwrap().to_owned()
    };
    ensure!(tracked("spring-individual", "before")?.is_empty());
    ensure!(tracked("spring-anonymous", "less")?.len() == 200, "it asks from individual on");

    let three = people("Nadia.Patel@example.org\nkaja.okafor@example.org\nnobody@example.net\n");
    let consent = ["consent", "--tenant", "acme", "--people", &three, "--source", "form of May"];
    insta::assert_snapshot!(machine.ask(&consent)?, @"consented: 3 people of tenant acme");
    let agreed = tracked("spring-individual", "agreed")?;
    ensure!(agreed == ["nadia.patel@example.org", "kaja.okafor@example.org"], "{agreed:?}");

    // Who ends it afterwards is not tracked, and consenting again does not bring it back.
    let one = people("kaja.okafor@example.org\n");
    machine.ask(&["withdraw", "--tenant", "acme", "--people", &one])?;
    insta::assert_snapshot!(machine.ask(&consent)?, @r"
    consented: 1 person of tenant acme
      1 person among them ended their tracking, which outweighs it: their mail carries none
    ");
    let agreed = tracked("spring-individual", "ended")?;
    ensure!(agreed == ["nadia.patel@example.org"], "{agreed:?}");

    // A ClickHouse that is restored from before all that knows neither contacts nor withdrawals.
    for table in ["withdrawals", "contacts"] {
        let sql = format!("TRUNCATE TABLE {table}");
        let answer = http::post(machine.clickhouse()?, "/", sql.as_bytes(), PATIENCE)?;
        ensure!(answer.status == 200, "{}", answer.text());
    }
    let agreed = tracked("spring-individual", "restored")?;
    ensure!(agreed == ["nadia.patel@example.org"], "{agreed:?}");
    ensure!(machine.ask(&consent)?.contains("1 person among them ended their tracking"));

    let lacks = machine.run(&["consent", "--tenant", "acme", "--people", &one])?;
    ensure!(lacks.status.code() == Some(2), "a consent that nobody can show proves nothing");
    machine.stop()?;
    Ok(())
}

/// The quickstart with a tenant that asks for consent from `individual` on.
fn asking(folder: &Path) -> Result<std::path::PathBuf> {
    let manifests = folder.join("manifests");
    fs::create_dir(&manifests)?;
    for entry in fs::read_dir(QUICKSTART)? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        let text = text.replace(
            "spec:\n  region: local\n",
            "spec:\n  region: local\n  consentFrom: individual\n",
        );
        fs::write(manifests.join(entry.file_name()), text)?;
    }
    let tenant = fs::read_to_string(manifests.join("tenant.yaml"))?;
    ensure!(tenant.contains("consentFrom"), "{tenant}");
    Ok(manifests)
}
