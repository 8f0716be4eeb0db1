//! Proof `permissions`: the chart's roles hold what the operator uses and nothing else, and each
//! verb that is taken away is named by the operator within ten seconds: in its log, in a figure, on
//! `/readyz`, and in the Region's condition.

mod rights;

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Run;
use crate::cluster::{Mark, Scene};
use crate::figure::{Figures, progress};
use crate::http;
use rights::{Reach, Right, Roles};

/// What is promised.
const NAMED_WITHIN: f64 = 10.0;

/// How long is waited before the proof gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an operator may take to end.
const DRAIN: Duration = Duration::from_secs(40);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let scene = Scene::prepare(&run.tools)?;
    let roles = Roles::read(&scene)?;
    narrow(&mut figures, &scene, &roles)?;
    let mark = scene.cluster.mark()?;
    exercise(&scene)?;
    used(&mut figures, &scene, &roles, &mark)?;
    let all: Vec<Right> = roles.rights.iter().cloned().collect();
    // A prime apart, so that the short form has both roles and many verbs.
    let taken: Vec<Right> = all.iter().step_by(run.size(1, 13)).cloned().collect();
    take_away(run, &mut figures, &scene, &roles, &taken)?;
    at_the_start(&mut figures, &scene, &roles)?;
    Ok(figures)
}

/// What no role of ours may have, whatever it is used for.
fn narrow(figures: &mut Figures, scene: &Scene, roles: &Roles) -> Result<()> {
    figures.at_least("verbs on resources that are granted", roles.rights.len() as u64, 1, "rights");
    let wild = roles.rights.iter().filter(|right| right.is_wild()).count();
    figures.exactly("wildcards", wild as u64, 0, "rights");
    let keys = roles.rights.iter().filter(|right| {
        let holds_keys = ["secrets", "persistentvolumeclaims"].contains(&right.resource.as_str());
        holds_keys && (right.reach == Reach::Cluster || right.verb.starts_with("delete"))
    });
    figures.exactly(
        "cluster-wide secrets, or keys that may be deleted",
        keys.count() as u64,
        0,
        "",
    );
    // Whatever else is bound to the ServiceAccount would make it wider than its roles.
    let mut bound = 0;
    for kind in ["rolebindings", "clusterrolebindings"] {
        let list = scene.cluster.get(&[kind, "--all-namespaces"])?;
        let items = list["items"].as_array().into_iter().flatten();
        let subjects =
            items.flat_map(|binding| binding["subjects"].as_array().into_iter().flatten());
        bound += subjects
            .filter(|subject| {
                subject["kind"] == "ServiceAccount"
                    && subject["namespace"] == scene.release.namespace.as_str()
                    && subject["name"] == scene.named("operator").as_str()
            })
            .count();
    }
    figures.exactly("bindings of the ServiceAccount", bound as u64, 2, "bindings");
    Ok(())
}

/// Everything that an operator does: a stack made, changed, scaled, an ingress and an autoscaler
/// that come and go, a probe of the network, tenants and policies, a Secret put right, and a restart.
fn exercise(scene: &Scene) -> Result<()> {
    scene.cluster.apply(&scene.release.region())?;
    scene.operator.process.start()?;
    scene.wait_condition("Ready", "True")?;
    scene.cluster.apply(&scene.release.tenant("acme", 2))?;
    scene.cluster.apply(POLICIES)?;
    let asked = r#"{"edge":{"replicas":2,"maxReplicas":4},"ingress":{"className":"nginx"}}"#;
    patch(scene, asked)?;
    let has = |kind: &'static str| move || Ok(scene.get(&[kind, &scene.named("edge")]).is_ok());
    scene.wait("there is an ingress", has("ingress"))?;
    scene.wait("there is an autoscaler", has("hpa"))?;
    patch(scene, r#"{"edge":{"replicas":1,"maxReplicas":null},"ingress":null}"#)?;
    scene.wait("ingress and autoscaler are gone", || Ok(!has("ingress")()? && !has("hpa")()?))?;
    let edges = || Ok(scene.get(&["sts", &scene.named("edge")])?["spec"]["replicas"] == 1);
    scene.wait("there is one edge", edges)?;
    // The volume that it leaves is replayed by a Job, which goes when the edge comes back.
    let job = scene.named("replay-1");
    let replays = || Ok(scene.get(&["job", &job]).is_ok());
    scene.wait("the volume is replayed", replays)?;
    patch(scene, r#"{"edge":{"replicas":2}}"#)?;
    scene.wait("nothing is replayed any more", || Ok(!replays()?))?;

    // Pods that probe the network come while they are asked for, and go.
    let probes = || -> Result<bool> {
        let list = scene.get(&["pods", "-l", "hushmark.io/probe"])?;
        Ok(list["items"].as_array().is_some_and(|pods| !pods.is_empty()))
    };
    patch(scene, r#"{"egressProbe":{"target":"192.0.2.1:443"}}"#)?;
    scene.wait("the network is probed", probes)?;
    patch(scene, r#"{"egressProbe":null}"#)?;
    scene.wait("nobody probes any more", || Ok(!probes()?))?;

    let public = scene.named("refusal-pub");
    let key = |secret: Value| secret["data"]["refusal.pub"].clone();
    let right = key(scene.get(&["secret", &public])?);
    let wrong = r#"{"data":{"refusal.pub":"AAAA"}}"#;
    scene.kubectl(&["patch", "secret", &public, "--type=merge", "-p", wrong])?;
    scene.wait("the key is put right", || Ok(key(scene.get(&["secret", &public])?) == right))?;

    // The same thing is told twice, which makes the second one a change of the first.
    for _ in 0..2 {
        patch(scene, r#"{"redis":{"external":{"secret":"nowhere"}}}"#)?;
        scene.wait_condition("SpecValid", "False")?;
        patch(scene, r#"{"redis":{"external":{"secret":"redis-outside"}}}"#)?;
        scene.wait_condition("Ready", "True")?;
    }
    scene.operator.process.terminate(DRAIN)?;
    scene.operator.process.start()?;
    scene.wait("it is ready again", || Ok(scene.operator.is_ready()))?;
    scene.settle(Duration::from_secs(3))
}

const POLICIES: &str = "
apiVersion: hushmark.io/v1alpha1
kind: RetentionPolicy
metadata: {name: a-year, namespace: acme}
spec: {mode: plan, keep: {countersDays: 365}, guard: {driftPercent: 5}}
---
apiVersion: hushmark.io/v1alpha1
kind: AnonymizationPolicy
metadata: {name: soon, namespace: acme}
spec: {mode: plan, steps: [{action: dropRows, afterDays: 30}], guard: {driftPercent: 5}}
";

fn patch(scene: &Scene, spec: &str) -> Result<()> {
    let patch = format!(r#"{{"spec":{spec}}}"#);
    let what = ["patch", "region", &scene.release.name, "--type=merge", "-p", &patch];
    scene.cluster.kubectl(&what).map(drop)
}

/// Each right was used, and each that reaches the cluster was used beyond the release's namespace.
fn used(figures: &mut Figures, scene: &Scene, roles: &Roles, mark: &Mark) -> Result<()> {
    let mut used = BTreeSet::new();
    let mut beyond = BTreeSet::new();
    for call in scene.cluster.calls_since(mark)? {
        if call.user != scene.operator.user || call.code >= 300 {
            continue;
        }
        // What is applied and was not there takes both verbs.
        let made = (call.verb == "patch" && call.code == 201).then_some("create");
        for verb in [Some(&*call.verb), made].into_iter().flatten() {
            let what = (call.group.clone(), call.resource.clone(), verb.to_owned());
            if call.namespace != scene.release.namespace {
                beyond.insert(what.clone());
            }
            used.insert(what);
        }
    }
    let unused: Vec<String> = roles
        .rights
        .iter()
        .filter(|right| {
            let what = (right.group.clone(), right.resource.clone(), right.verb.clone());
            let seen = if right.reach == Reach::Cluster { &beyond } else { &used };
            !seen.contains(&what)
        })
        .map(ToString::to_string)
        .collect();
    figures.must("rights that nothing used", json!(unused), "none", unused.is_empty());
    Ok(())
}

/// Takes the rights away, one at a time, and gives the one before back.
fn take_away(
    run: &Run,
    figures: &mut Figures,
    scene: &Scene,
    roles: &Roles,
    taken: &[Right],
) -> Result<()> {
    let mut slowest = (Duration::ZERO, String::new());
    let mut silent = Vec::new();
    let mut before = None;
    for right in taken {
        let printed = scene.operator.process.printed().len();
        let began = Instant::now();
        roles.without(scene, right, before)?;
        before = Some(right);
        named(scene, right, printed, began)?;
        let took = began.elapsed();
        if took > slowest.0 {
            slowest = (took, right.to_string());
        }
        let condition = format!("may not {} {} ", right.verb, right.resource);
        if !shows(scene, &condition, right, began)? {
            silent.push(right.to_string());
        }
        progress(&format!("{right}: named after {took:?}"));
    }
    roles.whole(scene)?;
    scene.wait_condition("Ready", "True")?;
    figures.exactly(
        "rights taken away and named",
        taken.len() as u64,
        taken.len() as u64,
        "rights",
    );
    let took = slowest.0.as_secs_f64();
    run.limit(figures, "from kubectl's start until the slowest was named", took, NAMED_WITHIN, "s");
    figures.tell("the slowest", slowest.1, "");
    // Without the right to write a status there is none to read it in, and without its Lease an
    // operator writes nothing: the log, the figure and /readyz are what is left.
    let mute = |right: &String| right.contains("regions/status") || right.contains("leases");
    silent.retain(|right| !mute(right));
    figures.must("rights that no condition named", json!(silent), "none", silent.is_empty());
    Ok(())
}

/// Waits until the log names it, and the figure and `/readyz` say that one is missing.
fn named(scene: &Scene, right: &Right, printed: usize, began: Instant) -> Result<()> {
    let text = right.told();
    loop {
        let process = &scene.operator.process;
        let log = process.printed();
        let missing = http::get(scene.operator.admin, "/metrics", Duration::from_secs(2))
            .is_ok_and(|page| page.text().contains("hushmark_operator_permissions_missing 1\n"));
        if missing && log[printed..].contains(&text) && !scene.operator.is_ready() {
            return Ok(());
        }
        ensure!(process.is_running(), "it ended without {right}:\n{}", process.last_words());
        if began.elapsed() > PATIENCE {
            bail!("{right} was not named:\n{}", process.last_words());
        }
        sleep(Duration::from_millis(100));
    }
}

/// Whether the Region's condition names it, too, in what is left of the time.
fn shows(scene: &Scene, text: &str, right: &Right, began: Instant) -> Result<bool> {
    let until = Duration::from_secs_f64(NAMED_WITHIN * 2.0);
    while began.elapsed() < until {
        if scene.says("ReconcileSucceeded")?.contains(text) {
            return Ok(true);
        }
        if right.resource == "regions/status" || right.resource == "leases" {
            return Ok(false);
        }
        sleep(Duration::from_millis(200));
    }
    Ok(false)
}

/// An operator that starts without them ends, and names them all.
fn at_the_start(figures: &mut Figures, scene: &Scene, roles: &Roles) -> Result<()> {
    let first = roles.rights.iter().next().context("there are no rights")?;
    let last = roles.rights.iter().last().context("there are no rights")?;
    roles.without(scene, first, None)?;
    roles.without(scene, last, None)?;
    let next = scene.release.operator(&scene.cluster, &scene.program, "eu-operator-1")?;
    let began = Instant::now();
    next.process.start()?;
    let ended = next.process.wait_for_end(PATIENCE)?;
    let took = began.elapsed().as_secs_f64();
    let log = next.process.printed();
    let names = ended && log.contains(&first.told()) && log.contains(&last.told());
    figures.must("a start without two rights ends and names both", took, "it does", names);
    roles.whole(scene)?;
    scene.wait_condition("Ready", "True")
}
