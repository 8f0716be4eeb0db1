//! Where a tenant asks for consent, only mail to those who gave it is tracked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use hushmark_tests::letters::{self, Letter};
use hushmark_tests::one_machine::{OneMachine, QUICKSTART};
use hushmark_tests::tools::Tools;

/// The voice that decides where somebody has to be asked and was not.
const NO_CONSENT: &str = "the recipient's consent none on record: off <- decides";

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

    explained(&machine, folder.path(), &people)?;
    let one = people("kaja.okafor@example.org\n");

    // A ClickHouse that is restored from before all that knows neither contacts nor withdrawals.
    for table in ["withdrawals", "contacts"] {
        machine.query(&format!("TRUNCATE TABLE {table}"))?;
    }
    let agreed = tracked("spring-individual", "restored")?;
    ensure!(agreed == ["nadia.patel@example.org"], "{agreed:?}");
    ensure!(machine.ask(&consent)?.contains("1 person among them ended their tracking"));

    let lacks = machine.run(&["consent", "--tenant", "acme", "--people", &one])?;
    ensure!(lacks.status.code() == Some(2), "a consent that nobody can show proves nothing");

    // By a new key nobody would be found who withdrew.
    for key in fs::read_dir(machine.data().join("tenants"))? {
        fs::remove_file(key?.path())?;
    }
    let withdraw = ["withdraw", "--tenant", "acme", "--people", &one];
    let out = folder.path().join("keyless").display().to_string();
    let stamp = ["stamp", "spring-individual", "--out", &out];
    for command in [&consent[..], &withdraw, &stamp] {
        let refused = machine.run(command)?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(refused.status.code() == Some(1) && said.contains(".key is gone"), "{said}");
    }
    ensure!(
        fs::read_dir(machine.data().join("tenants"))?.next().is_none() && !Path::new(&out).exists()
    );
    machine.stop()?;
    Ok(())
}

/// What was told of each before the mail was made is what the mail turned out to be.
fn explained(machine: &OneMachine, folder: &Path, people: &dyn Fn(&str) -> String) -> Result<()> {
    let explain = |address: &str, more: &[&str]| {
        let person = people(address);
        let asked = ["explain", "spring-individual", "--person", &person];
        machine.ask(&[&asked[..], more].concat())
    };
    // Who decides opens, and in which words.
    let opens = |said: String| -> Result<Vec<String>> {
        ensure!(!said.contains("@example"), "an address is in it: {said}");
        let of = said.lines().skip_while(|line| !line.starts_with("OPENS"));
        let of: Vec<&str> = of.take_while(|line| !line.starts_with("CLICKS")).collect();
        let decides = of.iter().filter(|line| line.ends_with("<- decides"));
        let decides: Vec<Vec<&str>> =
            decides.map(|line| line.split_whitespace().collect()).collect();
        ensure!(decides.len() == 1, "{said}");
        let words: Vec<&str> = decides.into_iter().flatten().collect();
        let first: Vec<&str> = of[0].split_whitespace().collect();
        Ok(vec![first.join(" "), words.join(" ")])
    };
    let agreed = opens(explain("nadia.patel@example.org", &[])?)?;
    ensure!(agreed[0].starts_with("OPENS individual"), "{agreed:?}");
    let silent = opens(explain("petra.brandt@example.com", &[])?)?;
    let off = ["OPENS off, because they did not consent", NO_CONSENT];
    ensure!(silent == off, "{silent:?}");
    let said = explain("kaja.okafor@example.org", &["--json"])?;
    let json: serde_json::Value = serde_json::from_str(&said)?;
    let of = |path: &str| json.pointer(path).cloned().unwrap_or_default();
    ensure!(of("/recipient/untracked") == "withdrew" && of("/mail/1/mode") == "off", "{said}");
    ensure!(of("/recipient/consent/source") == "form of May", "{said}");
    ensure!(of("/recipient/withdrawal/source") == "not said", "{said}");
    ensure!(of("/recipient/sent").is_string(), "{said}");

    // Without a recipient it is told who is asked, and what holds for whoever says nothing.
    let said = machine.ask(&["explain", "spring-individual"])?;
    ensure!(said.contains("asked for, because Tenant acme wants it from individual on"), "{said}");
    let said = machine.ask(&["explain", "spring-anonymous"])?;
    ensure!(said.contains("not asked for: Tenant acme wants it from individual on"), "{said}");

    // An address is no argument, and one that nobody knows is no contact with nothing said of it.
    let typed = machine.run(&["explain", "spring-individual", "ann@example.org"])?;
    let complained = String::from_utf8_lossy(&typed.stderr);
    ensure!(typed.status.code() == Some(2) && complained.contains("--person FILE"), "{complained}");
    let stranger = people("stranger@example.com");
    let unknown = machine.run(&["explain", "spring-individual", "--person", &stranger])?;
    let complained = String::from_utf8_lossy(&unknown.stderr);
    ensure!(unknown.status.code() == Some(1) && unknown.stdout.is_empty(), "{complained}");
    ensure!(complained.contains("tenant acme knows nobody with this address"), "{complained}");
    ensure!(!complained.contains("stranger"), "{complained}");
    let log = fs::read_to_string(folder.join("data/audit/log.jsonl"))?;
    let looked = log.matches(r#""read":{"what":"explanation","of":{"person""#).count();
    ensure!(looked == 4, "{looked} looks are in the audit log");
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
