//! What there is to judge: pods and their nodes, volumes, and policies that are somebody else's.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::core::{Selector, SelectorExt as _};
use kube::{Api, ResourceExt as _};

use super::volumes::{self, Nodes};
use super::{Facts, Place, REGION_OF_NODE, Volume};
use crate::region::build::{POLICIES, REGION_LABEL, labels, pod_labels, selector};
use crate::region::edges::REPLAY;
use crate::region::probing::ProbePod;
use crate::region::validate::ValidatedRegion;
use crate::{Context, Error};

/// The label by which a pod says what it is of the release; the operator's own is the chart's.
const COMPONENT: &str = "app.kubernetes.io/component";

/// The labels by which a claim says whose it is.
const NAME: &str = "app.kubernetes.io/name";
const INSTANCE: &str = "app.kubernetes.io/instance";

/// Nodes and volumes that are asked for at once.
const AT_ONCE: usize = 8;

/// How everything is now.
pub(in crate::region) async fn facts(
    ctx: &Context,
    region: &ValidatedRegion,
) -> Result<Facts, Error> {
    let (placed, probes) = pods(ctx, region).await?;
    let nodes = nodes(ctx, placed.iter().map(|placed| placed.node.clone()).collect()).await?;
    let volumes = bound_volumes(ctx, region, &nodes).await?;
    let place = |placed: Placed| {
        let region = nodes.get(&placed.node).and_then(|labels| labels.get(REGION_OF_NODE)).cloned();
        Place { pod: placed.pod, node: placed.node, region, is_operator: placed.is_operator }
    };
    let places = placed.into_iter().map(place).collect();
    Ok(Facts { places, volumes, probes, strangers: strangers(ctx, region).await? })
}

/// A pod that runs somewhere.
struct Placed {
    pod: String,
    node: String,
    is_operator: bool,
}

/// Pods of the stack that have a node, and those that probe it.
async fn pods(
    ctx: &Context,
    region: &ValidatedRegion,
) -> Result<(Vec<Placed>, Vec<ProbePod>), Error> {
    let ours = format!("{REGION_LABEL}={}", region.name);
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let pods = api.list(&ListParams::default().labels(&ours)).await;
    let (mut placed, mut probes) = (Vec::new(), Vec::new());
    for pod in pods.map_err(Error::api("list the stack's pods"))? {
        if let Some(probe) = ProbePod::of(&pod) {
            probes.push(probe);
        } else if has_ended(&pod) {
            continue;
        } else if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
            let is_operator = pod.labels().get(COMPONENT).is_some_and(|of| of == "operator");
            placed.push(Placed { pod: pod.name_any(), node, is_operator });
        }
    }
    Ok((placed, probes))
}

/// One that ended uses its node no more.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

async fn nodes(ctx: &Context, names: BTreeSet<String>) -> Result<Nodes, Error> {
    let api: Api<Node> = Api::all(ctx.client.clone());
    let found = stream::iter(names).map(|name| {
        let api = api.clone();
        async move {
            let node = api.get_opt(&name).await;
            let node = node.map_err(Error::api(format!("read the node {name}")))?;
            Ok::<_, Error>((name, node.map(|node| node.labels().clone()).unwrap_or_default()))
        }
    });
    found.buffered(AT_ONCE).try_collect().await
}

/// The volumes that hold the region's data, of pods that went as well.
async fn bound_volumes(
    ctx: &Context,
    region: &ValidatedRegion,
    nodes: &Nodes,
) -> Result<Vec<Volume>, Error> {
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let claims = claims.list(&ListParams::default()).await;
    let claims = claims.map_err(Error::api("list the namespace's volume claims"))?;
    let own = selector(&region.config, "");
    // A StatefulSet's claims cannot be given a label later; those of ClickHouse's own operator have
    // the Region's.
    let is_ours = |claim: &PersistentVolumeClaim| {
        let labels = claim.labels();
        labels.get(REGION_LABEL) == Some(&region.name)
            || [NAME, INSTANCE].iter().all(|name| labels.get(*name) == own.get(*name))
    };
    let bound: Vec<(String, String)> = claims
        .into_iter()
        .filter(is_ours)
        .filter_map(|claim| Some((claim.name_any(), claim.spec?.volume_name?)))
        .collect();
    let api: Api<PersistentVolume> = Api::all(ctx.client.clone());
    let found = stream::iter(bound).map(|(claim, name)| {
        let api = api.clone();
        async move {
            let volume = api.get_opt(&name).await;
            let volume = volume.map_err(Error::api(format!("read the volume {name}")))?;
            let regions = volume.and_then(|volume| volumes::regions(&volume, nodes));
            Ok::<_, Error>(Volume { claim, name, regions })
        }
    });
    found.buffered(AT_ONCE).try_collect().await
}

/// Policies add up: one of somebody else may open what ours do not.
async fn strangers(ctx: &Context, region: &ValidatedRegion) -> Result<Vec<String>, Error> {
    let api: Api<NetworkPolicy> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let policies = api.list(&ListParams::default()).await;
    let policies = policies.map_err(Error::api("list the namespace's network policies"))?;
    let mut ours = vec![pod_labels(region, "clickhouse"), pod_labels(region, "keeper")];
    let parts = ["edge", "writer", "redis", "clickhouse", REPLAY];
    ours.extend(parts.map(|part| labels(&region.config, part)));
    let known = POLICIES.map(|name| region.named(name));
    let opens = |policy: &NetworkPolicy| {
        !known.contains(&policy.name_any()) && opens_egress_of(policy, &ours)
    };
    Ok(policies.into_iter().filter(opens).map(|policy| policy.name_any()).collect())
}

/// Whether a policy lets pods of these labels out.
fn opens_egress_of(policy: &NetworkPolicy, pods: &[BTreeMap<String, String>]) -> bool {
    let Some(spec) = policy.spec.as_ref() else { return false };
    let opens = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
    let selector = spec.pod_selector.clone().unwrap_or_default();
    // A selector that cannot be read could be any.
    let selects = Selector::try_from(selector)
        .map_or(true, |selector| pods.iter().any(|labels| selector.matches(labels)));
    opens && selects
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_policy_of_somebody_else_counts_if_it_lets_out_a_pod_of_the_stack() {
        let edge = BTreeMap::from([(COMPONENT.to_owned(), "edge".to_owned())]);
        let opens = |metadata: Value, spec: Value| {
            let policy = json!({"metadata": metadata, "spec": spec});
            let policy: NetworkPolicy = serde_json::from_value(policy).unwrap();
            opens_egress_of(&policy, std::slice::from_ref(&edge))
        };
        let theirs = || json!({"name": "theirs"});
        let all = json!({"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]});
        assert!(opens(theirs(), all));
        assert!(!opens(theirs(), json!({"podSelector": {}, "egress": []})), "it opens nothing");
        assert!(!opens(theirs(), json!({"podSelector": {}, "ingress": [{}]})));
        let of = |component: &str| json!({"podSelector": {"matchLabels": {COMPONENT: component}}, "egress": [{}]});
        assert!(opens(theirs(), of("edge")));
        assert!(!opens(theirs(), of("operator")), "the chart's own policy");
    }
}
