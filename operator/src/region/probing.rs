//! Two pods a node that try to connect to one place outside: one under the stack's policies, and
//! one that none of them selects, without whose success the other's failure shows nothing.
//!
//! [`plan`] is pure: from what was asked, what is known and which pods there are follow the pods to
//! make and to remove, and the answers. An answer is in the status before its pods are removed, so
//! that a restart loses none, and an operator at rest writes nothing until an answer is old.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use hushmark_crds::{EgressProbe, ProbeResult};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Error as ApiError, ResourceExt as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::build::{ProbeRole, probe_pod};
use super::residency::Facts;
use super::validate::ValidatedRegion;
use crate::apply::{Kind, RENDERED, Wanted};
use crate::probe::heard;
use crate::{Context, Error};

/// How long an answer stands that proves what it should; any other is asked for again sooner.
const PROVEN_FOR: i64 = 24 * 3_600;
const DOUBTED_FOR: i64 = 3_600;

/// A pod that has not ended by then came to no end: it found no place, no image, no network.
const PATIENCE: i64 = 120;

/// Nodes that are probed at once.
const AT_ONCE: usize = 4;

/// Answers that are kept of nodes that are not used now.
const LEFT: usize = 100;

/// While pods run, they are looked at so often: no watch shows them.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// On a pod that probes: which of the two it is, where, and to which question it is the answer.
pub(super) const ROLE: &str = "hushmark.io/probe";
pub(super) const NODE: &str = "hushmark.io/node";
pub(super) const QUESTION: &str = "hushmark.io/question";

/// A new value of this annotation of a Region asks anew.
pub(super) const ASK_AGAIN: &str = "hushmark.io/probe-egress";

/// What is asked of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Where to connect to.
    pub(super) target: String,
    /// A hash of all that the answer depends on.
    pub(super) question: String,
}

impl Asked {
    /// The target, every policy as it is wanted, and what a person last asked for.
    pub(super) fn of(region: &ValidatedRegion, wanted: &[Wanted]) -> Option<Self> {
        let target = region.egress_probe.clone()?;
        let policies: Vec<_> = wanted
            .iter()
            .filter(|wanted| wanted.id.kind == Kind::NetworkPolicy)
            .map(|wanted| &wanted.value["metadata"]["annotations"][RENDERED])
            .collect();
        let all = json!([target, policies, region.ask_again]);
        let hash = hex::encode(Sha256::digest(all.to_string()));
        Some(Self { target, question: hash[..16].to_owned() })
    }
}

/// One of the two pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProbePod {
    name: String,
    uid: String,
    role: ProbeRole,
    node: String,
    question: String,
    made: Timestamp,
    /// What it said in its end, if it came to one.
    ended: Option<String>,
    /// Somebody deletes it.
    going: bool,
}

impl ProbePod {
    /// Reads a pod; nothing if it is none that probes.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let role = ProbeRole::of(pod.labels().get(ROLE)?)?;
        let told = |name: &str| pod.annotations().get(name).cloned().unwrap_or_default();
        let status = pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref());
        let ended = matches!(phase, Some("Succeeded" | "Failed")).then(|| {
            let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
            let state = container.and_then(|it| it.state.as_ref()?.terminated.as_ref());
            state.and_then(|state| state.message.clone()).unwrap_or_default()
        });
        Some(Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            role,
            node: told(NODE),
            question: told(QUESTION),
            made: pod.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            ended,
            going: pod.metadata.deletion_timestamp.is_some(),
        })
    }

    /// What it found; nothing while it may still find something.
    fn result(&self, target: &str, now: Timestamp) -> Option<ProbeResult> {
        match &self.ended {
            Some(said) => Some(heard(said, target).unwrap_or(ProbeResult::NoAnswer)),
            None if seconds_since(self.made, now) > PATIENCE => Some(ProbeResult::NoAnswer),
            None => None,
        }
    }
}

fn seconds_since(then: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(then.as_second())
}

/// What is to be done, and what is known.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    make: Vec<(String, ProbeRole)>,
    /// Names and uids.
    remove: Vec<(String, String)>,
    known: Vec<EgressProbe>,
    /// Something is under way.
    goes_on: bool,
}

fn plan(
    asked: Option<&Asked>,
    nodes: &BTreeSet<String>,
    known: &[EgressProbe],
    pods: &[ProbePod],
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let mut open = BTreeSet::new();
    if let Some(asked) = asked {
        plan.known = kept(asked, nodes, known, now);
        let due = |node: &&String| !plan.known.iter().any(|it| stands(it, node, asked, now));
        open = nodes.iter().filter(due).take(AT_ONCE).cloned().collect();
        for node in &open {
            if let Some(answer) = answer(asked, node, pods, now, &mut plan.make) {
                plan.known.retain(|probe| probe.node != answer.node);
                plan.known.push(answer);
            }
        }
        plan.known.sort_by(|a, b| a.node.cmp(&b.node));
    }
    let needed = |pod: &ProbePod| {
        open.contains(&pod.node) && asked.is_some_and(|asked| asked.question == pod.question)
    };
    let not_needed = pods.iter().filter(|pod| !needed(pod) && !pod.going);
    plan.remove = not_needed.map(|pod| (pod.name.clone(), pod.uid.clone())).collect();
    plan.goes_on = !open.is_empty();
    plan
}

/// Answers of nodes that are used, and of those whose pods may be back in a moment, as in a rollout.
fn kept(
    asked: &Asked,
    nodes: &BTreeSet<String>,
    known: &[EgressProbe],
    now: Timestamp,
) -> Vec<EgressProbe> {
    let (mut kept, others): (Vec<_>, Vec<_>) =
        known.iter().cloned().partition(|probe| nodes.contains(&probe.node));
    let current = |probe: &EgressProbe| stands(probe, &probe.node, asked, now);
    kept.extend(others.into_iter().filter(current).take(LEFT));
    kept
}

/// Whether an answer is this node's, to this question, and not too old.
fn stands(probe: &EgressProbe, node: &str, asked: &Asked, now: Timestamp) -> bool {
    let proves = probe.control == ProbeResult::Reached && probe.restricted != ProbeResult::Reached;
    let tried = !matches!(probe.restricted, ProbeResult::NotResolved | ProbeResult::NoAnswer);
    let holds = if proves && tried { PROVEN_FOR } else { DOUBTED_FOR };
    probe.node == node && probe.question == asked.question && seconds_since(probe.at.0, now) < holds
}

/// What a node's two pods say together, once both have ended; those that are missing are made.
fn answer(
    asked: &Asked,
    node: &str,
    pods: &[ProbePod],
    now: Timestamp,
    make: &mut Vec<(String, ProbeRole)>,
) -> Option<EgressProbe> {
    let [restricted, control] = ProbeRole::ALL.map(|role| {
        let is_it = |pod: &&ProbePod| {
            pod.role == role && pod.node == node && pod.question == asked.question
        };
        let Some(pod) = pods.iter().find(is_it) else {
            make.push((node.to_owned(), role));
            return None;
        };
        pod.result(&asked.target, now).filter(|_| !pod.going)
    });
    // Kubernetes keeps whole seconds.
    let at = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    Some(EgressProbe {
        node: node.to_owned(),
        question: asked.question.clone(),
        at,
        restricted: restricted?,
        control: control?,
    })
}

/// What came of one step.
#[derive(Debug, Default)]
pub(super) struct Probed {
    /// Every answer that stands.
    pub(super) known: Vec<EgressProbe>,
    /// Why no pod could be made.
    pub(super) trouble: Option<String>,
    /// When to look again, if something is under way.
    pub(super) again: Option<Duration>,
}

/// Makes and removes pods, and takes up what they say.
pub(super) async fn step(
    ctx: &Context,
    region: &ValidatedRegion,
    asked: Option<&Asked>,
    facts: &Facts,
    known: &[EgressProbe],
) -> Result<Probed, Error> {
    let Plan { make, remove, known, goes_on } =
        plan(asked, &facts.nodes(), known, &facts.probes, crate::context::now());
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    for (name, uid) in remove {
        let only_it = Preconditions { uid: Some(uid), resource_version: None };
        let params = DeleteParams { preconditions: Some(only_it), ..DeleteParams::default() };
        match api.delete(&name, &params).await {
            Ok(_) => {}
            // Somebody else was faster.
            Err(ApiError::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(Error::api(format!("delete the pod {name}"))(error)),
        }
    }
    let mut trouble = None;
    for (node, role) in make {
        let Some(asked) = asked else { break };
        let pod = probe_pod(region, asked, &node, role);
        match api.create(&PostParams::default(), &pod).await {
            Ok(pod) => tracing::info!(pod = pod.name_any(), node, "probes the network"),
            // One of before is still going.
            Err(ApiError::Api(status)) if status.code == 409 => {}
            Err(ApiError::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                trouble = Some(status.message.clone());
                break;
            }
            Err(error) => {
                return Err(Error::api(format!("make a pod that probes {node}"))(error));
            }
        }
    }
    let again = (goes_on && trouble.is_none()).then_some(LOOK_EVERY);
    Ok(Probed { known, trouble, again })
}
