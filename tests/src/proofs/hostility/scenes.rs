//! What a control plane does to an operator, and what people do to each other.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Run;
use crate::cluster::Scene;
use crate::figure::Figures;

/// How long a leader that was killed may go without a successor.
const TAKEN_OVER_WITHIN: f64 = 20.0;

/// How long after the API server is back a deletion may go unseen.
const SEEN_WITHIN: f64 = 10.0;

/// How long an operator may take to end.
const DRAIN: Duration = Duration::from_secs(40);

/// A Secret that cannot be made again is not made again: the Region says which one to restore.
pub(super) fn secrets_gone(figures: &mut Figures, scene: &Scene) -> Result<()> {
    let has_log = || Ok(scene.region()?["status"]["refusalLog"]["length"].as_u64() > Some(0));
    scene.wait("the refusal log has entries", has_log)?;
    let mut told = 0;
    for part in ["region-keys", "batch-keys", "salt-keys", "refusal-key"] {
        let name = scene.named(part);
        let mut kept = scene.get(&["secret", &name])?;
        scene.kubectl(&["delete", "secret", &name])?;
        scene.wait_says("Stalled", &format!("the Secret {name} is gone"))?;
        ensure!(scene.get(&["secret", &name]).is_err(), "{name} was made anew");
        let metadata = kept["metadata"].as_object_mut().context("no metadata")?;
        metadata.retain(|field, _| ["name", "namespace", "labels"].contains(&field.as_str()));
        scene.cluster.apply(&kept.to_string())?;
        scene.wait_condition("Ready", "True")?;
        told += 1;
    }
    figures.exactly("lost Secrets that were named and not made anew", told, 4, "Secrets");
    Ok(())
}

/// Another applier takes a field: it keeps it, people are told, and once it lets go all is as it
/// was.
pub(super) fn claimed(run: &Run, figures: &mut Figures, scene: &Scene) -> Result<()> {
    let edge = scene.named("edge");
    let port = || -> Result<Value> {
        Ok(scene.get(&["service", &edge])?["spec"]["ports"][0]["targetPort"].clone())
    };
    let wanted: Value = port()?;
    let apply = |spec: &str| -> Result<()> {
        let namespace = &scene.release.namespace;
        let manifest = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {edge}, namespace: {namespace}}}\n{spec}"
        );
        let file = scene.cluster.folder().join("claim.yaml");
        fs::write(&file, manifest)?;
        let file = file.to_str().context("the folder's name is not text")?;
        let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd"];
        scene.cluster.kubectl(&[&apply[..], &["-f", file]].concat()).map(drop)
    };
    scene.settle(Duration::from_secs(3))?;
    let mark = scene.cluster.mark()?;
    apply("spec: {ports: [{name: http, port: 80, protocol: TCP, targetPort: 9}]}\n")?;
    scene.wait_condition("FieldsOwned", "False")?;
    let told = scene.says("FieldsOwned")?;
    figures.must("the claim is told", told.clone(), "argocd", told.contains("argocd holds"));
    sleep(Duration::from_secs(run.size(60, 5)));
    figures.must("the claimed field", port()?, "what argocd set", port()? == 9);
    let tries = scene.writes(&mark)?.iter().filter(|call| call.resource == "services").count();
    // One when it is found, one when that was told, and one for what else happened meanwhile.
    figures.must("tries to write the claimed object", json!(tries), "at most 3", tries <= 3);
    apply("")?;
    scene.wait_condition("FieldsOwned", "True")?;
    scene.wait("the port is as it was", || Ok(port()? == wanted))
}

/// The API server is away for a minute: the operator waits, and finds nothing to write.
pub(super) fn server_away(run: &Run, figures: &mut Figures, scene: &Scene) -> Result<()> {
    scene.settle(Duration::from_secs(3))?;
    let process = scene.operator.process.pid()?;
    let mark = scene.cluster.mark()?;
    // Controllers that could not hear from nodes for so long would take them all for dead.
    scene.cluster.controllers.kill9()?;
    scene.cluster.kill_api()?;
    let away = Duration::from_secs(run.size(60, 12));
    sleep(away);
    scene.cluster.restart_api()?;
    let back = Instant::now();
    let renewed = || Ok(scene.operator.process.printed().contains("the lease is renewed again"));
    scene.wait("the lease is renewed", renewed)?;
    scene.cluster.controllers.start()?;
    figures.measure("API server back until the operator may write", secs(back), "s");
    scene.wait_condition("Ready", "True")?;
    scene.settle(Duration::from_secs(5))?;
    let lives = scene.operator.process.pid()? == process;
    figures.must(format!("the operator outlives {away:?} without"), lives, "true", lives);
    // Pods whose nodes could not renew their Leases may have been unready: that is told.
    let objects = scene.writes(&mark)?;
    let objects = objects
        .iter()
        .filter(|call| !call.resource.ends_with("/status") && call.resource != "events");
    figures.exactly("objects written because of it", objects.count() as u64, 0, "writes");
    let seen = deleted_comes_back(scene)?;
    run.limit(figures, "a Service deleted right afterwards is there again", seen, SEEN_WITHIN, "s");
    Ok(())
}

/// What happened is older than what the API server remembers: everything is listed anew.
pub(super) fn watch_expired(figures: &mut Figures, scene: &Scene) -> Result<()> {
    scene.settle(Duration::from_secs(3))?;
    let edge = scene.named("edge");
    let printed = scene.operator.process.printed().len();
    let old = scene.get(&["service", &edge])?["metadata"]["uid"].clone();
    scene.operator.process.signal(Signal::STOP)?;
    scene.kubectl(&["delete", "service", &edge])?;
    let label = ["label", "networkpolicy", &edge, "app.kubernetes.io/component=x", "--overwrite"];
    scene.kubectl(&label)?;
    // One that was just started remembers nothing of before.
    scene.cluster.kill_api()?;
    scene.cluster.restart_api()?;
    scene.operator.process.signal(Signal::CONT)?;
    let went_on = Instant::now();
    scene.wait("what happened meanwhile is put right", || {
        let policy = scene.get(&["networkpolicy", &edge])?;
        let service = scene.get(&["service", &edge]);
        let is_new = service.is_ok_and(|service| service["metadata"]["uid"] != old);
        Ok(is_new && policy["metadata"]["labels"]["app.kubernetes.io/component"] == "edge")
    })?;
    figures.measure("going on until both are put right", secs(went_on), "s");
    let log = &scene.operator.process.printed()[printed..];
    let expired = log.matches("too old resource version").count() as u64;
    figures.at_least("watches that had expired (410)", expired, 1, "watches");
    scene.wait_condition("Ready", "True")
}

/// The leader is killed and something is broken at once; one that stands by puts it right.
pub(super) fn leader_killed(run: &Run, figures: &mut Figures, scene: &Scene) -> Result<()> {
    let second = scene.release.operator(&scene.cluster, &scene.program, "eu-operator-1")?;
    second.process.start()?;
    scene.wait("the second stands by", || Ok(second.is_ready()))?;
    let mut slowest = 0.0_f64;
    let rounds = run.size(6, 2);
    for round in 0..rounds {
        let both = [&scene.operator, &second];
        let (leads, stands_by) = (both[round % 2], both[1 - round % 2]);
        scene.settle(Duration::from_secs(2))?;
        leads.process.kill9()?;
        slowest = slowest.max(deleted_comes_back(scene)?);
        ensure!(stands_by.process.is_running(), "{}", stands_by.process.last_words());
        leads.process.start()?;
        scene.wait("it stands by", || Ok(leads.is_ready()))?;
    }
    figures.tell("leaders that were killed", rounds, "times");
    let what = "kill -9 of the leader until its successor repairs, longest";
    figures.at_most(what, slowest, TAKEN_OVER_WITHIN, "s");
    second.process.terminate(DRAIN)
}

/// After all of it: nothing.
pub(super) fn at_rest(run: &Run, figures: &mut Figures, scene: &Scene) -> Result<()> {
    scene.wait_condition("Ready", "True")?;
    scene.settle(Duration::from_secs(5))?;
    let mark = scene.cluster.mark()?;
    sleep(Duration::from_secs(run.size(60, 8)));
    let writes = scene.writes(&mark)?;
    figures.exactly("writes at rest afterwards", writes.len() as u64, 0, "writes");
    Ok(())
}

/// Deletes the edge's Service, and says after how many seconds there is another one.
fn deleted_comes_back(scene: &Scene) -> Result<f64> {
    let edge = scene.named("edge");
    let uid = |service: Value| service["metadata"]["uid"].clone();
    let old = uid(scene.get(&["service", &edge])?);
    let began = Instant::now();
    scene.kubectl(&["delete", "service", &edge, "--wait=false"])?;
    scene.cluster.wait("the Service is there again", || {
        Ok(scene.get(&["service", &edge]).is_ok_and(|service| uid(service) != old))
    })?;
    Ok(secs(began))
}

fn secs(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
