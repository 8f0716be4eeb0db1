//! What goes wrong around the operator.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::edges::nothing;
use super::stage::Stage;
use super::{Cause, Fault};

/// Campaigns that all change with their tenant.
const CAMPAIGNS: usize = 400;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        how: "a rule taken out of the operator's role",
        alerts: &["HushmarkPermissionsMissing"],
        cause: Cause::Once(take_a_rule),
        mend: |stage| give_back(stage, "role.json"),
        quick: true,
    },
    Fault {
        how: "another applier claims a port",
        alerts: &["HushmarkFieldConflict"],
        cause: Cause::Once(|stage| {
            claim(stage, "spec: {ports: [{port: 80, protocol: TCP, targetPort: 9}]}")
        }),
        mend: |stage| claim(stage, ""),
        quick: false,
    },
    Fault {
        how: "a Service deleted again and again",
        alerts: &["HushmarkDriftRepeats"],
        cause: Cause::Again(delete_the_service),
        mend: nothing,
        quick: false,
    },
    Fault {
        how: "the Secret of the region's keys deleted",
        alerts: &["HushmarkReconcileFails"],
        cause: Cause::Once(|stage| {
            let name = stage.scene.named("region-keys");
            keep(stage, "keys.json", &["secret", &name])?;
            stage.scene.kubectl(&["delete", "secret", &name]).map(drop)
        }),
        mend: |stage| {
            give_back(stage, "keys.json")?;
            stage.scene.wait_condition("Ready", "True")
        },
        quick: false,
    },
    Fault {
        how: "a kill switch thrown back and forth over 400 campaigns",
        alerts: &["HushmarkOperatorQueue"],
        cause: Cause::Again(all_at_once),
        mend: nothing,
        quick: false,
    },
    Fault {
        how: "a new region key while no edge says what it has",
        alerts: &["HushmarkKeyRotationWaits"],
        cause: Cause::Once(|stage| {
            let region = &stage.scene.release.name;
            let asked = "hushmark.io/rotate-keys=because nobody has it";
            stage.scene.cluster.kubectl(&["annotate", "region", region, asked]).map(drop)
        }),
        mend: nothing,
        quick: true,
    },
    Fault {
        how: "the operator killed",
        alerts: &["HushmarkNoOperator"],
        cause: Cause::Once(|stage| stage.scene.operator.process.kill9()),
        mend: |stage| stage.scene.operator.process.start(),
        quick: true,
    },
];

/// Keeps an object as it is, to be applied again.
fn keep(stage: &Stage, file: &str, what: &[&str]) -> Result<Value> {
    let object = stage.scene.get(what)?;
    let mut kept = object.clone();
    let metadata = kept["metadata"].as_object_mut().context("no metadata")?;
    metadata.retain(|field, _| ["name", "namespace", "labels"].contains(&field.as_str()));
    fs::write(path(stage, file), kept.to_string())?;
    Ok(object)
}

fn give_back(stage: &Stage, file: &str) -> Result<()> {
    stage.scene.cluster.apply(&fs::read_to_string(path(stage, file))?).map(drop)
}

fn path(stage: &Stage, file: &str) -> PathBuf {
    stage.folder.path().join(file)
}

fn take_a_rule(stage: &Stage) -> Result<()> {
    let name = stage.scene.named("operator");
    let role = keep(stage, "role.json", &["role", &name])?;
    let rules = role["rules"].as_array().context("a role has rules")?;
    let patch = json!({"rules": rules[1..]}).to_string();
    stage.scene.kubectl(&["patch", "role", &name, "--type=merge", "-p", &patch]).map(drop)
}

fn claim(stage: &Stage, spec: &str) -> Result<()> {
    let (name, namespace) = (stage.scene.named("edge"), &stage.scene.release.namespace);
    let manifest = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n{spec}\n"
    );
    let file = path(stage, "claim.yaml");
    fs::write(&file, manifest)?;
    let file = file.to_str().context("the folder's name is not text")?;
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd"];
    stage.scene.kubectl(&[&apply[..], &["-f", file]].concat()).map(drop)
}

fn delete_the_service(stage: &Stage) -> Result<()> {
    let scene = &stage.scene;
    let edge = scene.named("edge");
    scene.kubectl(&["delete", "service", &edge])?;
    scene.wait("it is there again", || Ok(scene.get(&["service", &edge]).is_ok()))
}

fn all_at_once(stage: &Stage) -> Result<()> {
    let cluster = &stage.scene.cluster;
    if cluster.get(&["tenant", "many", "-n", "many"]).is_err() {
        cluster.apply(&stage.scene.release.tenant("many", CAMPAIGNS))?;
    }
    let tenant = cluster.get(&["tenant", "many", "-n", "many"])?;
    let killed = tenant["spec"]["killSwitch"] == true;
    let patch = json!({"spec": {"killSwitch": !killed}}).to_string();
    let what = ["patch", "tenant", "many", "-n", "many", "--type=merge", "-p", &patch];
    cluster.kubectl(&what).map(drop)
}
