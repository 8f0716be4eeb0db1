//! The short form of the proof `withdrawal`, and what a person's withdrawal does to mail to come.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use anyhow::{Result, ensure};
use hushmark_tests::letters::{self, Letter};
use hushmark_tests::one_machine::OneMachine;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn who_withdrew_is_ignored_within_a_second_and_nobody_else_is() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("withdrawal", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}

/// Whoever withdrew before any mail named them gets mail that is not tracked, in every mode.
#[test]
fn mail_to_come_does_not_track_who_withdrew() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    let machine = OneMachine::start(&Tools::from_env()?, &data)?;
    let people = folder.path().join("people");
    fs::write(&people, "Nadia.Patel@example.org\nstranger@example.net\n")?;
    let people = people.to_str().unwrap();
    let withdraw = ["withdraw", "--tenant", "acme", "--people", people];
    let said = machine.ask(&[&withdraw[..], &["--source", "a letter of 3 March"]].concat())?;
    insta::assert_snapshot!(said, @"withdrawn: 2 people of tenant acme, contacts already: 0; edges obey within a second, and mail that is stamped from now on does not track them");

    for campaign in ["spring-individual", "spring-anonymous"] {
        let out = folder.path().join(campaign);
        let said = machine.ask(&["stamp", campaign, "--out", out.to_str().unwrap()])?;
        ensure!(said.contains("1 recipient ended their tracking or did not consent"));
        let letters = letters::read(&out, &machine.base_url()?)?;
        let is_tracked = |letter: &Letter| letter.pixel.is_some() || !letter.links.is_empty();
        let (tracked, untracked): (Vec<_>, Vec<_>) = letters.iter().partition(|l| is_tracked(l));
        ensure!(tracked.len() == 199, "{campaign}: {} are tracked", tracked.len());
        ensure!(untracked.len() == 1 && untracked[0].to == "nadia.patel@example.org");
    }

    // An address that is none changes nothing, and is not repeated.
    let wrong = folder.path().join("wrong");
    fs::write(&wrong, "kaja.okafor@example.org\nnobody at all\n")?;
    let refused = machine.run(&[&withdraw[..4], &[wrong.to_str().unwrap()]].concat())?;
    let complained = String::from_utf8(refused.stderr)?;
    ensure!(refused.status.code() == Some(1), "{}", refused.status);
    ensure!(complained.contains("line 2 is no address, so nothing was changed"), "{complained}");
    ensure!(!complained.contains("nobody at all"), "{complained}");

    // The end of everybody's is asked for once more.
    let all = machine.run(&["withdraw", "--all"])?;
    let complained = String::from_utf8(all.stderr)?;
    ensure!(complained.contains("this cannot be undone: say --yes"), "{complained}");
    let said = machine.ask(&["withdraw", "--all", "--yes"])?;
    insta::assert_snapshot!(said, @"withdrawn: opens and clicks of all mail of region local are counted no more, mail that was sent included; edges obey within a second");
    let out = folder.path().join("after");
    let said = machine.ask(&["stamp", "spring-individual", "--out", out.to_str().unwrap()])?;
    ensure!(said.contains("opens off, because the refusal log leaves no more of it"), "{said}");
    machine.stop()?;
    Ok(())
}
