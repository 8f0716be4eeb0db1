//! What must be refused, each with its words, and nothing changed.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Scene, morning, text};
use crate::figure::Figures;

pub(super) fn prove(scene: &Scene, figures: &mut Figures) -> Result<()> {
    let mut refused = Refused { scene, count: 0 };
    let first = scene.plan("fade")?;
    ensure!(hash(&first["plan"])? == text(&first["hash"])?, "the hash is not what docs say");
    ensure!(
        first["plan"]["held"].as_array().is_some_and(|held| held.len() == 2),
        "both held campaigns are named: {first}"
    );
    let held = scene.up.run(&["plan", "tenant/held", "--json"])?;
    ensure!(
        held.status.code() == Some(0),
        "nothing that is held is due, and it ended {}",
        held.status
    );

    refused.holds("fade", &"0".repeat(64), "no plan has the hash")?;
    let old = text(&first["hash"])?;
    refused.holds("keep", &old, "this plan is of AnonymizationPolicy tenant/fade")?;
    let elsewhere = another_region(scene, &first["plan"])?;
    refused.holds("fade", &elsewhere, "this plan is of region mars")?;
    fs::remove_file(scene.up.data().join(format!("plans/{elsewhere}.json")))?;

    // Rows that are due come in, as from a lane log that was long away.
    old_rows(scene, 10)?;
    // Planned once: an epoch in between changes what is published, and so the hash.
    let plan = scene.plan("fade")?;
    let second = text(&plan["hash"])?;
    ensure!(second != old, "other counts, and the same hash");
    refused.holds("fade", &old, "this plan is an old one")?;
    let announced = plan["plan"]["steps"][0]["found"][0]["rows"].as_u64();
    old_rows(scene, announced.context("rows are due")? / 15)?;
    refused.holds("fade", &second, "more than 5 % apart (guard.driftPercent)")?;

    let third = text(&scene.plan("fade")?["hash"])?;
    let hold = "countersDays: 120}\n  legalHold: {reason: a letter of May}\n---";
    scene.folder.with("countersDays: 120}\n---", hold, || {
        refused.holds("fade", &third, "a legal hold keeps tenant/newsletter-0000")
    })?;
    scene.folder.with("mode: enforce", "mode: plan", || {
        refused.holds("fade", &third, "has mode: plan, so nothing was changed")
    })?;
    scene.folder.with("afterDays: 50", "afterDays: 49", || {
        refused.holds("fade", &third, "says something else since this plan was made")
    })?;
    figures.exactly("commands that were refused", refused.count, 8, "commands");
    erasures(scene)?;
    let audit = fs::read_to_string(scene.up.data().join("audit/log.jsonl"))?;
    let told = |action: &str, reason: &str| {
        let outcome = format!("\"outcome\":{{\"refused\":\"{reason}\"}}");
        let is_it = |line: &&str| line.contains(action) && line.contains(&outcome);
        audit.lines().filter(is_it).count() as u64
    };
    // Of a hash that no plan has nobody knows whose it would be.
    let [held, changed, elsewhere] =
        ["legal_hold", "plan_changed", "another_region"].map(|it| told("enforce_plan", it));
    figures.exactly("of these, told as such", held + changed + elsewhere, 7, "entries");
    figures.exactly("refused because of a hold", held, 1, "entries");
    figures.exactly("erasures refused because of one", told("erase", "legal_hold"), 2, "entries");
    Ok(())
}

/// A hold keeps a campaign, and the tenant that has it, from being erased.
fn erasures(scene: &Scene) -> Result<()> {
    let campaign = format!("{}/{}", morning::NAMESPACE, morning::name(2));
    for target in
        [&["--campaign", campaign.as_str()][..], &["--tenant", morning::NAMESPACE, "--all"]]
    {
        let output = scene.up.run(&[&["erase"][..], target].concat())?;
        let complained = String::from_utf8_lossy(&output.stderr);
        let says = format!(
            "RetentionPolicy {}/held holds {campaign} (a court asked for it)",
            morning::NAMESPACE
        );
        let is_refused = output.status.code() == Some(1) && complained.contains(&says);
        ensure!(is_refused, "{}: {complained}", output.status);
    }
    let log = fs::read_to_string(scene.up.data().join("refusals/log.jsonl"))?;
    ensure!(!log.contains("\"erase\""), "something that is held is erased");
    Ok(())
}

struct Refused<'a> {
    scene: &'a Scene,
    count: u64,
}

impl Refused<'_> {
    fn holds(&mut self, policy: &str, hash: &str, says: &str) -> Result<()> {
        let policy = format!("tenant/{policy}");
        let output = self.scene.up.run(&["enforce", &policy, "--plan", hash])?;
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && complained.contains(says),
            "{}, where {says:?} was expected: {complained}",
            output.status
        );
        self.count += 1;
        Ok(())
    }
}

/// Rows of the first campaign that every step of `fade` is due for.
fn old_rows(scene: &Scene, n: u64) -> Result<()> {
    let at = hushmark_policy::Day(scene.today.0 - 55);
    scene.query(&format!(
        "INSERT INTO hits_in SELECT {}, {}, number, toDateTime({}, 'UTC') + number % 80000, 'open', \
         0, 'human', 1, 'phone', 'gmail', 'ios', 'DE', '{}', '', 0, 0 FROM numbers({n})",
        crate::plan::tenant().0,
        morning::id(0).0,
        at.start_ms() / 1_000,
        at.month().first_day()
    ))?;
    Ok(())
}

/// A plan's hash, made from `docs/retention.md` alone.
fn hash(plan: &Value) -> Result<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut lines = vec![
        "hushmark plan 1".to_owned(),
        format!("region {}", word(&plan["region"])),
        format!("policy {} {}", word(&plan["kind"]), word(&plan["policy"])),
        format!("spec {}", word(&plan["spec"])),
    ];
    for campaign in list(&plan["campaigns"]) {
        lines.push(format!("campaign {} {}", word(&campaign["id"]), word(&campaign["name"])));
    }
    for held in list(&plan["held"]) {
        lines.push(format!("held {}", word(&held["name"])));
    }
    for step in list(&plan["steps"]) {
        let (name, from) = (word(&step["step"]), word(&step["gone_before"]));
        lines.push(format!("step {name} from {from} before {}", word(&step["before"])));
        for found in list(&step["found"]) {
            let part = Some(word(&found["part"])).filter(|part| !part.is_empty());
            let (table, rows) = (word(&found["table"]), &found["rows"]);
            lines.push(format!("rows {table} {} {rows}", part.unwrap_or("-".to_owned())));
        }
    }
    Ok(hex(&Sha256::digest(lines.join("\n") + "\n")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same plan as another region would have made it, where this one's plans are.
fn another_region(scene: &Scene, plan: &Value) -> Result<String> {
    let mut plan = plan.clone();
    plan["region"] = json!("mars");
    let hash = hash(&plan)?;
    let made_ms = 4_000_000_000_000u64;
    let kept = json!({"made_ms": made_ms, "begun_ms": null, "enforced_ms": null, "plan": plan});
    fs::write(scene.up.data().join(format!("plans/{hash}.json")), kept.to_string())?;
    Ok(hash)
}
