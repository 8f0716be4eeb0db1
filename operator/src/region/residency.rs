//! Whether a region's data stays where its law wants it. Pure judgement of facts: where pods and
//! volumes are, what was rendered, and what was found when somebody tried to get out.

mod look;
mod volumes;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use hushmark_crds::{EgressProbe, ProbeResult};

use super::probing::{Asked, ProbePod};
use crate::conditions::{RESIDENCY_PROVEN, Status, Wanted};

pub(super) use look::facts;

/// The label by which a node says where it is.
const REGION_OF_NODE: &str = "topology.kubernetes.io/region";

/// Where one pod runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pod: String,
    node: String,
    /// What the node's label says.
    region: Option<String>,
    /// It is the chart's, and does not follow the Region's node selector.
    is_operator: bool,
}

impl Place {
    fn told(&self) -> String {
        let region = self.region.as_deref().unwrap_or("no region");
        format!("{} on node {} in {region}", self.pod, self.node)
    }
}

/// Where one volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    claim: String,
    name: String,
    /// Every region that it may be in; `None` where it does not say.
    regions: Option<BTreeSet<String>>,
}

/// How everything is now.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    places: Vec<Place>,
    volumes: Vec<Volume>,
    /// The pods that probe the network, and what they said.
    pub(super) probes: Vec<ProbePod>,
    /// Policies of others that let a pod of the stack out.
    strangers: Vec<String>,
}

impl Facts {
    /// The nodes on which the Region's own pods run.
    pub(super) fn nodes(&self) -> BTreeSet<String> {
        let own = self.places.iter().filter(|place| !place.is_operator);
        own.map(|place| place.node.clone()).collect()
    }
}

/// What a judgement is made of.
pub(super) struct Case<'a> {
    /// Where the Region's pods belong.
    pub(super) selector: &'a BTreeMap<String, String>,
    /// How everything is.
    pub(super) facts: &'a Facts,
    /// What the rendered policies leave open though `egress[]` does not name it, in words.
    pub(super) open: Vec<String>,
    /// What was asked of the network, if anything was.
    pub(super) asked: Option<&'a Asked>,
    /// What was answered.
    pub(super) probes: &'a [EgressProbe],
    /// Why no pod could be made to probe.
    pub(super) trouble: Option<&'a str>,
}

impl Case<'_> {
    fn target(&self) -> Option<&str> {
        self.asked.map(|asked| asked.target.as_str())
    }
}

fn said(status: Status, reason: &'static str, message: impl Into<String>) -> Wanted {
    Wanted::new(RESIDENCY_PROVEN, status, reason, message)
}

/// What can be said. What is wrong comes first, then what is not known, each with its next step.
pub(super) fn judge(case: &Case<'_>) -> Wanted {
    let Some(wanted) = case.selector.get(REGION_OF_NODE) else {
        return said(
            Status::Unknown,
            "NotPinned",
            format!(
                "spec.nodeSelector does not name {REGION_OF_NODE}: pods may run on any node; name \
                 the region whose nodes they belong on"
            ),
        );
    };
    let doubts = [pods_elsewhere, volumes_elsewhere, egress_open];
    let gaps = [pods_unknown, volumes_unknown, policies_unknown, not_probed, not_answered];
    doubts.iter().chain(&gaps).find_map(|look| look(case, wanted)).unwrap_or_else(|| {
        let Facts { places, volumes, .. } = case.facts;
        said(
            Status::True,
            "Proven",
            format!(
                "all {} pods and {} volumes are in {wanted}; the policies open nothing that \
                 spec.egress does not name; and on each of {} nodes a pod without them connected \
                 to {} and one of the stack's did not (status.egressProbes says when)",
                places.len(),
                volumes.len(),
                case.facts.nodes().len(),
                case.target().unwrap_or_default()
            ),
        )
    })
}

fn pods_elsewhere(case: &Case<'_>, wanted: &str) -> Option<Wanted> {
    let is_elsewhere = |place: &&Place| place.region.as_ref().is_some_and(|it| it != wanted);
    let elsewhere: Vec<&Place> = case.facts.places.iter().filter(is_elsewhere).collect();
    if elsewhere.is_empty() {
        return None;
    }
    let told: Vec<String> = elsewhere.iter().map(|place| place.told()).collect();
    let mut message = format!("pods run outside {wanted}: {}", few(&told));
    if elsewhere.iter().any(|place| !place.is_operator) {
        message += ". Delete them, so that they are made again on nodes of the region, and look at \
                    what they wrote";
    }
    if elsewhere.iter().any(|place| place.is_operator) {
        // It holds every key of the region.
        message += &format!(
            ". The operator's own follow the chart's value operator.nodeSelector: name \
             {REGION_OF_NODE}: {wanted} there"
        );
    }
    Some(said(Status::False, "OutsideTheRegion", message))
}

fn volumes_elsewhere(case: &Case<'_>, wanted: &str) -> Option<Wanted> {
    let told: Vec<String> = case
        .facts
        .volumes
        .iter()
        .filter_map(|volume| {
            let other = volume.regions.as_ref()?.iter().find(|region| *region != wanted)?;
            Some(format!("{} of claim {} in {other}", volume.name, volume.claim))
        })
        .collect();
    (!told.is_empty()).then(|| {
        let message = format!(
            "volumes are or may be outside {wanted}: {}. Move what they hold to volumes of a \
             StorageClass whose allowedTopologies name the region",
            few(&told)
        );
        said(Status::False, "VolumesOutside", message)
    })
}

/// Answers to the question that is asked now, of nodes that are used now.
fn answers<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a EgressProbe> {
    let nodes = case.facts.nodes();
    let current = move |probe: &&EgressProbe| {
        case.asked.is_some_and(|asked| asked.question == probe.question)
            && nodes.contains(&probe.node)
    };
    case.probes.iter().filter(current)
}

fn egress_open(case: &Case<'_>, _: &str) -> Option<Wanted> {
    let target = case.target()?;
    let through: Vec<String> = answers(case)
        .filter(|probe| probe.restricted == ProbeResult::Reached)
        .map(|probe| probe.node.clone())
        .collect();
    (!through.is_empty()).then(|| {
        let message = format!(
            "a pod under the stack's policies connected to {target} from {}: the cluster's network \
             does not enforce NetworkPolicies there; use a network plugin that does. It is tried \
             again within the hour, or at once when the annotation hushmark.io/probe-egress of the \
             Region changes",
            few(&through)
        );
        said(Status::False, "EgressOpen", message)
    })
}

fn pods_unknown(case: &Case<'_>, wanted: &str) -> Option<Wanted> {
    let places = &case.facts.places;
    let silent: BTreeSet<&str> =
        places.iter().filter(|p| p.region.is_none()).map(|p| p.node.as_str()).collect();
    if !silent.is_empty() {
        let silent: Vec<String> = silent.into_iter().map(str::to_owned).collect();
        let message = format!(
            "nodes do not say where they are: {}; label them with {REGION_OF_NODE}",
            few(&silent)
        );
        return Some(said(Status::Unknown, "NodesUnlabelled", message));
    }
    case.facts.nodes().is_empty().then(|| {
        let message = format!("no pod runs yet; {wanted} is asked for");
        said(Status::Unknown, "NothingRuns", message)
    })
}

fn volumes_unknown(case: &Case<'_>, wanted: &str) -> Option<Wanted> {
    let silent: Vec<String> = case
        .facts
        .volumes
        .iter()
        .filter(|volume| volume.regions.is_none())
        .map(|volume| format!("{} of claim {}", volume.name, volume.claim))
        .collect();
    (!silent.is_empty()).then(|| {
        let message = format!(
            "volumes do not say where they are: {}; if they are in {wanted}, label them with \
             {REGION_OF_NODE}: kubectl label pv NAME {REGION_OF_NODE}={wanted}",
            few(&silent)
        );
        said(Status::Unknown, "VolumesUnlabelled", message)
    })
}

fn policies_unknown(case: &Case<'_>, _: &str) -> Option<Wanted> {
    if !case.open.is_empty() {
        let message = format!("what the policies leave open is not known: {}", few(&case.open));
        return Some(said(Status::Unknown, "EgressNotLimited", message));
    }
    let strangers = &case.facts.strangers;
    (!strangers.is_empty()).then(|| {
        let message = format!(
            "network policies that are not the operator's let pods of the stack out, too: {}; \
             take their egress away, or the stack's pods out of their selectors",
            few(strangers)
        );
        said(Status::Unknown, "OtherPolicies", message)
    })
}

fn not_probed(case: &Case<'_>, wanted: &str) -> Option<Wanted> {
    if case.asked.is_none() {
        let message = format!(
            "all {} pods and {} volumes are in {wanted}; that no connection leaves is not probed, \
             and so not proven: set spec.egressProbe.target to an address and port outside that \
             takes connections, like 192.0.2.1:443",
            case.facts.places.len(),
            case.facts.volumes.len()
        );
        return Some(said(Status::Unknown, "EgressNotProbed", message));
    }
    let trouble = case.trouble?;
    let message = format!("no pod can be made to probe the network: {trouble}");
    Some(said(Status::Unknown, "ProbeRefused", message))
}

fn not_answered(case: &Case<'_>, _: &str) -> Option<Wanted> {
    let target = case.target().unwrap_or_default();
    let nodes = case.facts.nodes();
    let mut answered = 0;
    for EgressProbe { node, restricted, control, .. } in answers(case) {
        answered += 1;
        if *control != ProbeResult::Reached {
            let message = format!(
                "from node {node} a pod that no policy of the stack selects did not connect to \
                 {target} either ({}): that one of the stack's did not shows nothing. Name a target \
                 that answers, and let pods labelled app.kubernetes.io/component: probe-control out \
                 to it",
                control.name()
            );
            return Some(said(Status::Unknown, "ControlFailed", message));
        }
        if matches!(restricted, ProbeResult::NotResolved | ProbeResult::NoAnswer) {
            let message = format!(
                "on node {node} the pod under the stack's policies tried nothing ({}): name the \
                 target by its address, and see the pod's events",
                restricted.name()
            );
            return Some(said(Status::Unknown, "ProbeFailed", message));
        }
    }
    (answered < nodes.len()).then(|| {
        let message = format!("{answered} of {} nodes have been probed", nodes.len());
        said(Status::Unknown, "Probing", message)
    })
}

/// The first few of a list that may be long.
fn few(all: &[String]) -> String {
    let shown = all.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(5).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}
