//! Proof `hostility`: whatever is deleted, edited, stopped or claimed, the stack is as its Region
//! wants it again, and nothing fights. The API server's audit log counts the writes of every repair.

mod deeds;
mod scenes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Run;
use crate::cluster::{Mark, Scene};
use crate::figure::{Figures, progress};
use deeds::{Child, Deed, children, shape};

/// A refused try, which tells whose field it is, and the one that takes it back.
const WRITES_A_REPAIR: u64 = 2;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let scene = Scene::start(&run.tools, "")?;
    // Every kind that there can be.
    let all = r#"{"spec":{"edge":{"maxReplicas":4},"ingress":{"className":"nginx"}}}"#;
    let name = scene.release.name.as_str();
    scene.cluster.kubectl(&["patch", "region", name, "--type=merge", "-p", all])?;
    scene.wait("there is an ingress", || Ok(scene.get(&["ingress", "eu-edge"]).is_ok()))?;
    scene.cluster.apply(&scene.release.tenant("acme", 1))?;
    scene.wait_condition("Ready", "True")?;
    scene.settle(Duration::from_secs(3))?;

    drift(run, &mut figures, &scene)?;
    scenes::secrets_gone(&mut figures, &scene)?;
    scenes::claimed(run, &mut figures, &scene)?;
    scenes::server_away(run, &mut figures, &scene)?;
    scenes::watch_expired(&mut figures, &scene)?;
    scenes::leader_killed(run, &mut figures, &scene)?;
    scenes::at_rest(run, &mut figures, &scene)?;
    Ok(figures)
}

/// Deletes and edits children in random order, and waits each time until it is as it was.
fn drift(run: &Run, figures: &mut Figures, scene: &Scene) -> Result<()> {
    let children = children(scene)?;
    let mut kinds: Vec<&str> = children.iter().map(|child| child.kind.name).collect();
    kinds.dedup();
    figures.tell("kinds of children", json!(kinds), "");
    let before: BTreeMap<&Child, Value> = children
        .iter()
        .map(|child| Ok((child, shape(child, &child.get(scene)?))))
        .collect::<Result<_>>()?;
    let mut random = fastrand::Rng::with_seed(run.seed());
    let (mut times, mut deletions) = (Vec::new(), 0);
    let mark = scene.cluster.mark()?;
    let rounds = run.size(500, 12);
    for round in 1..=rounds {
        let child = &children[random.usize(..children.len())];
        let deed = Deed::draw(child, &mut random);
        deletions += usize::from(deed == Deed::Delete);
        let old = child.get(scene)?["metadata"]["uid"].clone();
        let began = Instant::now();
        deed.is_done_to(child, scene)?;
        let repaired = || {
            let Ok(now) = child.get(scene) else { return Ok(false) };
            let is_new = deed != Deed::Delete || now["metadata"]["uid"] != old;
            Ok(is_new && shape(child, &now) == before[child])
        };
        scene.wait(&format!("{child} is as it was after: {deed:?}"), repaired).with_context(
            || {
                let now = child.get(scene).map(|now| shape(child, &now)).unwrap_or_default();
                format!("wanted {:#}\nfound {now:#}", before[child])
            },
        )?;
        times.push(began.elapsed());
        if round % 50 == 0 {
            progress(&format!("{round} of {rounds} deeds were put right"));
        }
    }
    times.sort();
    figures.exactly("deeds that were put right", times.len() as u64, rounds as u64, "deeds");
    figures.tell("of them deletions", deletions, "deeds");
    figures.measure("repaired, median", times[times.len() / 2].as_secs_f64(), "s");
    figures.measure("repaired, slowest", times[times.len() - 1].as_secs_f64(), "s");
    scene.wait_condition("Ready", "True")?;
    scene.settle(Duration::from_secs(5))?;
    let most = most_writes_a_deed(scene, &children, &mark)?;
    let holds = most.0 <= WRITES_A_REPAIR;
    let target = format!("at most {WRITES_A_REPAIR}");
    figures.must("most writes of one repair", json!(most.0), &target, holds);
    figures.tell("that was of", most.1, "");
    Ok(())
}

/// How often the operator wrote one child between two deeds that gave reason to.
fn most_writes_a_deed(scene: &Scene, children: &[Child], mark: &Mark) -> Result<(u64, String)> {
    let calls = scene.cluster.calls_since(mark)?;
    let mut most = (0, String::new());
    for child in children {
        let mut since_deed = 0;
        for call in calls.iter().filter(|call| call.is_write()) {
            if call.user == scene.operator.user && child.is_meant_by(call) {
                since_deed += 1;
                if since_deed > most.0 {
                    most = (since_deed, child.to_string());
                }
            } else if call.user == "admin" && child.is_moved_by(call) {
                since_deed = 0;
            }
        }
    }
    Ok(most)
}
