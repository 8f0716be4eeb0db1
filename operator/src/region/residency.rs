//! Whether a region's pods are where its law wants them. Pure judgement of what nodes say.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use super::build::REGION_LABEL;
use super::validate::ValidatedRegion;
use crate::conditions::{RESIDENCY_PROVEN, Status, Wanted};
use crate::{Context, Error};

/// The label by which a node says where it is.
const REGION_OF_NODE: &str = "topology.kubernetes.io/region";

/// The label by which a pod says what it is of the release; the operator's own is the chart's.
const COMPONENT: &str = "app.kubernetes.io/component";

/// Nodes that are asked at once.
const AT_ONCE: usize = 8;

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

/// Where the stack's pods run now.
pub(super) async fn places(ctx: &Context, region: &ValidatedRegion) -> Result<Vec<Place>, Error> {
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let ours =
        format!("{REGION_LABEL}={},app.kubernetes.io/instance={}", region.name, region.config.name);
    let pods = pods.list(&ListParams::default().labels(&ours)).await;
    let pods = pods.map_err(Error::api("list the stack's pods"))?;
    let placed: Vec<(String, String, bool)> = pods
        .into_iter()
        .filter_map(|pod| {
            let is_operator = pod.labels().get(COMPONENT).is_some_and(|of| of == "operator");
            Some((pod.name_any(), pod.spec?.node_name?, is_operator))
        })
        .collect();
    let nodes: Api<Node> = Api::all(ctx.client.clone());
    let names: BTreeSet<String> = placed.iter().map(|(_, node, _)| node.clone()).collect();
    let labels: BTreeMap<String, Option<String>> = stream::iter(names)
        .map(|name| {
            let nodes = nodes.clone();
            async move {
                let node = nodes.get_opt(&name).await;
                let node = node.map_err(Error::api(format!("read the node {name}")))?;
                let label = node.and_then(|node| node.labels().get(REGION_OF_NODE).cloned());
                Ok::<_, Error>((name, label))
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let place = |(pod, node, is_operator): (String, String, bool)| {
        let region = labels.get(&node).cloned().flatten();
        Place { pod, node, region, is_operator }
    };
    Ok(placed.into_iter().map(place).collect())
}

/// What can be said. `True` is never among it: that pods run on nodes of the region shows where they
/// are, and not that nothing leaves, which takes a probe with a positive control.
pub(super) fn judge(selector: &BTreeMap<String, String>, places: &[Place]) -> Wanted {
    let unknown =
        |reason, message: String| Wanted::new(RESIDENCY_PROVEN, Status::Unknown, reason, message);
    let Some(wanted) = selector.get(REGION_OF_NODE) else {
        return unknown(
            "NotPinned",
            format!(
                "spec.nodeSelector does not name {REGION_OF_NODE}: pods may run on any node; name \
                 the region whose nodes they belong on"
            ),
        );
    };
    let is_elsewhere = |place: &&Place| place.region.as_ref().is_some_and(|it| it != wanted);
    let elsewhere: Vec<&Place> = places.iter().filter(is_elsewhere).collect();
    if !elsewhere.is_empty() {
        let told: Vec<String> = elsewhere.iter().map(|place| place.told()).collect();
        let mut message = format!("pods run outside {wanted}: {}", few(&told));
        if elsewhere.iter().any(|place| !place.is_operator) {
            message += ". Delete them, so that they are made again on nodes of the region, and \
                        look at what they wrote";
        }
        if elsewhere.iter().any(|place| place.is_operator) {
            // It holds every key of the region.
            message += &format!(
                ". The operator's own follow the chart's value operator.nodeSelector: name \
                 {REGION_OF_NODE}: {wanted} there"
            );
        }
        return Wanted::new(RESIDENCY_PROVEN, Status::False, "OutsideTheRegion", message);
    }
    let silent: BTreeSet<&str> =
        places.iter().filter(|p| p.region.is_none()).map(|p| p.node.as_str()).collect();
    if !silent.is_empty() {
        let silent: Vec<String> = silent.into_iter().map(str::to_owned).collect();
        return unknown(
            "NodesUnlabelled",
            format!(
                "nodes do not say where they are: {}; label them with {REGION_OF_NODE}",
                few(&silent)
            ),
        );
    }
    if places.is_empty() {
        return unknown("NothingRuns", format!("no pod runs yet; {wanted} is asked for"));
    }
    unknown(
        "EgressNotProbed",
        format!(
            "all {} pods run on nodes labelled {wanted}, as spec.nodeSelector asks; that no \
             connection leaves is not probed by this version, and so not proven",
            places.len()
        ),
    )
}

/// The first few of a list that may be long.
fn few(all: &[String]) -> String {
    let shown = all.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(5).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pod: &str, region: Option<&str>) -> Place {
        Place {
            pod: pod.into(),
            node: format!("node-of-{pod}"),
            region: region.map(Into::into),
            is_operator: pod.starts_with("operator"),
        }
    }

    fn judged(places: &[Place]) -> (Status, &'static str) {
        let selector = BTreeMap::from([(REGION_OF_NODE.to_owned(), "eu-central".to_owned())]);
        let wanted = judge(&selector, places);
        (wanted.status, wanted.reason)
    }

    #[test]
    fn one_pod_elsewhere_is_enough_to_say_no() {
        let places =
            [place("a", Some("eu-central")), place("b", Some("us-east")), place("c", None)];
        assert_eq!(judged(&places), (Status::False, "OutsideTheRegion"));
    }

    #[test]
    fn the_operator_elsewhere_is_told_where_it_is_pinned() {
        let selector = BTreeMap::from([(REGION_OF_NODE.to_owned(), "eu-central".to_owned())]);
        let told = |places: &[Place]| judge(&selector, places).message;
        let operator = place("operator", Some("us-east"));
        let message = told(&[operator.clone(), place("edge", Some("eu-central"))]);
        assert!(message.contains("operator.nodeSelector: name topology"), "{message}");
        assert!(!message.contains("Delete them"), "that would not move it: {message}");
        let message = told(&[operator, place("edge", Some("us-east"))]);
        assert!(message.contains("Delete them"), "{message}");
    }

    #[test]
    fn without_proof_it_is_unknown_and_never_true() {
        let all_there = [place("a", Some("eu-central")), place("b", Some("eu-central"))];
        assert_eq!(judged(&all_there), (Status::Unknown, "EgressNotProbed"));
        assert_eq!(judged(&[]), (Status::Unknown, "NothingRuns"));
        let silent = [place("a", Some("eu-central")), place("b", None)];
        assert_eq!(judged(&silent), (Status::Unknown, "NodesUnlabelled"));
        let unpinned = judge(&BTreeMap::new(), &all_there);
        assert_eq!((unpinned.status, unpinned.reason), (Status::Unknown, "NotPinned"));
    }
}
