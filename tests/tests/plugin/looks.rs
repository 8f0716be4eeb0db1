//! What only looks: status, explain, plan, and how words go on.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::Stage;

pub(crate) fn completion(stage: &Stage) -> Result<()> {
    let said = stage.kubectl(&stage.person, &["__complete", "hushmark", "st"])?;
    ensure!(said.out.starts_with("status\t"), "{}{}", said.out, said.err);
    let script = stage.person(&["completions", "bash"])?.ended(0)?;
    let completes =
        |line: &str| line.contains("complete -F") && line.ends_with(" kubectl-hushmark");
    ensure!(script.lines().any(completes), "{script}");
    Ok(())
}

pub(crate) fn well(stage: &Stage) -> Result<()> {
    let text = stage.person(&["status"])?.ended(0)?;
    insta::assert_snapshot!("status_well", stage.settled(&text));
    let json: Value = serde_json::from_str(&stage.person(&["status", "eu", "--json"])?.ended(0)?)?;
    assert_eq!(json["well"], true);
    assert_eq!(json["regions"][0]["campaigns"]["ready"], 2);
    let unknown = stage.person(&["status", "mars"])?.ended(1)?;
    ensure!(unknown.contains("there is no Region mars; there: eu"), "{unknown}");
    // Who may see less is told so, and sees the rest.
    let less = stage.guest(&["status"])?.ended(0)?;
    ensure!(less.contains("not shown: you may not see pods of namespace hush-eu"), "{less}");
    Ok(())
}

pub(crate) fn not_well(stage: &Stage) -> Result<()> {
    let patch = r#"{"spec":{"retentionPolicy":"ten-years"}}"#;
    let what = ["patch", "campaign", "letter-2", "-n", "acme", "--type=merge", "-p", patch];
    stage.cluster.kubectl(&what)?;
    stage.until("the campaign is refused", || {
        let campaign = stage.campaign("letter-2")?;
        Ok(campaign["status"]["conditions"].to_string().contains("ten-years"))
    })?;
    let text = stage.person(&["status", "eu"])?.ended(1)?;
    let from = text.find("NOT READY").context("nothing is said to be not Ready")?;
    insta::assert_snapshot!("status_not_well", stage.settled(&text[from..]));
    let says = stage.person(&["explain", "campaign", "acme/letter-2"])?.ended(1)?;
    ensure!(says.contains("has no RetentionPolicy \"ten-years\"; there: none"), "{says}");
    Ok(())
}

pub(crate) fn explained(stage: &Stage) -> Result<()> {
    let text = stage.person(&["explain", "campaign", "acme/letter-1"])?.ended(0)?;
    insta::assert_snapshot!("explain_campaign", text);
    let same = stage.person(&["explain", "campaign", "letter-1", "-n", "acme"])?.ended(0)?;
    assert_eq!(same, text);
    insta::assert_snapshot!(
        "explain_tenant",
        stage.person(&["explain", "tenant", "acme"])?.ended(0)?
    );
    let json = stage.person(&["explain", "campaign", "acme/letter-1", "--json"])?.ended(0)?;
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(
        (&json["mail"][0]["mode"], &json["mail"][0]["decidedBy"]),
        (&"overall".into(), &"Campaign".into())
    );
    let unknown = stage.person(&["explain", "campaign", "acme/winter"])?.ended(1)?;
    ensure!(unknown.contains("in that namespace: letter-1, letter-2"), "{unknown}");
    stage.person(&["explain", "weather", "acme/letter-1"])?.ended(2)?;
    Ok(())
}

/// What nobody has said is named with where to say it; what was said is not asked for again.
pub(crate) fn recorded(stage: &Stage) -> Result<()> {
    let asked = ["record-of-processing", "acme/letter-1"];
    let before = stage.person(&asked)?.ended(1)?;
    let lack = "(a) who is responsible: give spec.controller of Tenant acme/acme";
    ensure!(before.contains(lack), "{before}");
    let patch = r#"{"spec":{"controller":{"name":"Acme GmbH","contact":"privacy@acme.example"}}}"#;
    let what = ["patch", "tenant", "acme", "-n", "acme", "--type=merge", "-p", patch];
    stage.cluster.kubectl(&what)?;
    let after = stage.person(&asked)?.ended(1)?;
    ensure!(after.contains("  - Acme GmbH\n") && !after.contains(lack), "{after}");
    let json = stage.person(&[&asked[..], &["--json"]].concat())?.ended(1)?;
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(json["controller"]["contact"], "privacy@acme.example");
    ensure!(json["lacks"].as_array().is_some_and(|lacks| !lacks.is_empty()), "{json}");
    let unknown = stage.person(&["record-of-processing", "acme/nothing"])?.ended(1)?;
    ensure!(unknown.contains("there is no campaign acme/nothing"), "{unknown}");
    // Manifests need no cluster, and nobody has looked at them.
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");
    let nowhere = ["--kubeconfig", "/nowhere", "-f", quickstart];
    let said = stage.person(&[&["explain", "tenant", "acme"], &nowhere[..]].concat())?.ended(0)?;
    ensure!(said.starts_with("tenant acme/acme  not applied  in Region local\n"), "{said}");
    let campaign = ["record-of-processing", "spring-anonymous"];
    let said = stage.person(&[&campaign[..], &nowhere].concat())?.ended(1)?;
    ensure!(said.contains("campaign acme/spring-anonymous"), "{said}");
    Ok(())
}

/// What a plan says comes, and nothing was changed by saying it.
pub(crate) fn planned(stage: &Stage) -> Result<()> {
    let manifests = format!(
        "{}---\n{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x, namespace: acme}}\n",
        stage.release.region(),
        stage.release.tenant("acme", 2)
    );
    let same = stage.file("same.yaml", &manifests)?;
    stage.person(&["plan", "-f", &same])?.ended(0)?;

    let changed = manifests
        .replace("edge: {replicas: 2}", "edge: {replicas: 2}\n  epoch: 10m")
        .replace("  region: eu\n", "  region: eu\n  killSwitch: true\n")
        .replace("metadata: {name: letter-2,", "metadata: {name: letter-3,");
    let changed = stage.file("changed.yaml", &changed)?;
    let mark = stage.cluster.mark()?;
    let text = stage.person(&["plan", "-f", &changed])?.ended(3)?;
    insta::assert_snapshot!("plan", stage.settled(&text));
    let json: Value =
        serde_json::from_str(&stage.person(&["plan", "-f", &changed, "--json"])?.ended(3)?)?;
    assert_eq!(json["changes"].as_array().map(Vec::len), Some(3), "{json:#}");
    let writes: Vec<_> = stage.cluster.calls_since(&mark)?;
    let writes = writes.iter().filter(|call| call.user.ends_with(":person") && call.is_write());
    assert_eq!(writes.count(), 0, "a plan writes nothing");

    // Without the right to apply, what can be told is told.
    let less = stage.guest(&["plan", "-f", &changed])?.ended(3)?;
    ensure!(
        less.contains("opens overall -> off, because the tenant's kill switch is on"),
        "{less}"
    );
    ensure!(less.contains("so the API server was not asked"), "{less}");

    let refused = manifests
        .replace("jurisdiction: EU", "jurisdiction: CA")
        .replace("metadata: {name: letter-2,", "metadata: {name: letter-4,")
        .replace("  tracking:", "  retentionPolicy: nowhere\n  place: country\n  tracking:");
    let refused = stage.file("refused.yaml", &refused)?;
    let text = stage.person(&["plan", "-f", &refused])?.ended(1)?;
    let from = text.find("REFUSED").context("nothing is refused")?;
    insta::assert_snapshot!("plan_refused", stage.settled(&text[from..]));

    let bad = stage.file("bad.yaml", &manifests.replace("opens: overall", "opens: all"))?;
    let text = stage.person(&["plan", "-f", &bad])?.ended(1)?;
    ensure!(text.contains("spec.tracking.opens: unknown mode \"all\""), "{text}");

    // What was announced comes.
    stage.cluster.kubectl(&["apply", "-f", &changed])?;
    stage.until("the kill switch holds", || {
        let effective = stage.campaign("letter-1")?["status"]["effective"]["opens"].clone();
        Ok(effective["mode"] == "off" && effective["decidedBy"] == "KillSwitch")
    })?;
    stage.person(&["plan", "-f", &changed])?.ended(0)?;
    let text = stage.person(&["plan", "-f", &same])?.ended(3)?;
    ensure!(text.contains("loosens   opens off -> overall"), "{text}");
    ensure!(text.contains("campaign mail sealed from then on is of generation 1"), "{text}");
    stage.cluster.kubectl(&["apply", "-f", &same])?;
    stage.until("the next generation", || {
        let tenant = stage.cluster.get(&["tenant", "acme", "-n", "acme"])?;
        Ok(tenant["status"]["campaign"]["generation"] == 1)
    })?;
    Ok(())
}
