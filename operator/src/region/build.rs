//! Every object of a region's stack. Pure: the same Region gives the same bytes.
//!
//! In reading order: `edge`, `ways_in`, `writer`, `redis`, `clickhouse`, `clickhouse_cluster`,
//! `network`; what pods have in common is in `pod`, and how they reach a store by TLS in `hop`.
//! `replay` makes Jobs and `probe` pods, which come and go.

mod clickhouse;
mod clickhouse_cluster;
mod edge;
mod hop;
mod network;
mod pod;
mod probe;
mod redis;
mod replay;
mod ways_in;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(super) use clickhouse::SETTINGS as CLICKHOUSE_SETTINGS;
pub(super) use clickhouse_cluster::pod_labels;
pub(super) use network::POLICIES;
pub(super) use probe::{ProbeRole, probe_pod};
pub(super) use replay::replay_job;
pub(super) use ways_in::{quiet_logs, speaks_tls};

use super::validate::{Store, ValidatedRegion};
use crate::apply::{Id, Kind, Wanted};
use crate::config::{Config, OptionalApi};

/// The label that every object of a region carries.
pub const REGION_LABEL: &str = "hushmark.io/region";

/// Who made it.
pub const MANAGED_BY: &str = "hushmark-operator";

/// The edge.
pub(super) struct Edge {
    service_account: Wanted,
    stateful_set: Wanted,
    service: Wanted,
    pods_service: Wanted,
    disruption: Wanted,
    autoscaler: Option<Wanted>,
}

/// How the edge is reached from outside.
pub(super) struct WaysIn {
    ingress: Option<Wanted>,
    route: Option<Wanted>,
    certificate: Option<Wanted>,
}

/// The writer.
pub(super) struct Writer {
    service_account: Wanted,
    deployment: Wanted,
    disruption: Wanted,
}

/// A store of one pod.
pub(super) struct StorePod {
    service_account: Wanted,
    stateful_set: Wanted,
    service: Wanted,
}

/// ClickHouse, as its own operator is asked for it.
pub(super) struct Cluster {
    keeper: Wanted,
    clickhouse: Wanted,
    keeper_net: Wanted,
}

/// Who may talk to whom.
pub(super) struct Network {
    deny: Wanted,
    edge: Wanted,
    writer: Wanted,
    probe: Wanted,
    replay: Wanted,
    redis: Option<Wanted>,
    clickhouse: Option<Wanted>,
}

/// All of it.
pub(super) struct Stack {
    edge: Edge,
    ways_in: WaysIn,
    writer: Writer,
    redis: Option<StorePod>,
    clickhouse: Option<StorePod>,
    cluster: Option<Cluster>,
    network: Network,
}

/// What stores read at their start: a pod is replaced when its own changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) redis: Version,
    pub(super) clickhouse: Version,
}

/// What one store read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Version {
    /// Its certificate, hashed.
    pub(super) certificate: String,
    /// The file of its users, hashed: their rules, and passwords of 256 random bits that are
    /// themselves only hashes there.
    pub(super) users: String,
}

impl Version {
    /// As annotations of a pod.
    fn annotations(&self) -> [(&str, &str); 2] {
        [("hushmark.io/certificate", &self.certificate), ("hushmark.io/users", &self.users)]
    }
}

/// Builds the whole stack.
pub(super) fn build(region: &ValidatedRegion, versions: &Versions) -> Stack {
    Stack {
        edge: edge::build(region),
        ways_in: ways_in::build(region),
        writer: writer::build(region),
        redis: (region.redis == Store::Managed).then(|| redis::build(region, &versions.redis)),
        clickhouse: (region.clickhouse == Store::Managed)
            .then(|| clickhouse::build(region, &versions.clickhouse)),
        cluster: clickhouse_cluster::build(region),
        network: network::build(region),
    }
}

impl Stack {
    /// What is wanted in the order in which it is applied, and what may be left of another spec.
    /// Every part is named, so that none can be forgotten.
    pub(super) fn into_objects(self, region: &ValidatedRegion) -> (Vec<Wanted>, Vec<Id>) {
        let Self { edge, ways_in, writer, redis, clickhouse, cluster, network } = self;
        let Edge {
            service_account: edge_account,
            stateful_set: edge_set,
            service: edge_service,
            pods_service,
            disruption: edge_disruption,
            autoscaler,
        } = edge;
        let WaysIn { ingress, route, certificate } = ways_in;
        let Writer {
            service_account: writer_account,
            deployment: writer_deployment,
            disruption: writer_disruption,
        } = writer;
        let Network {
            deny,
            edge: edge_net,
            writer: writer_net,
            probe,
            replay: replay_net,
            redis: redis_net,
            clickhouse: ch,
        } = network;
        let can = |api| region.usable.contains(&api);
        let unwanted = [
            (Kind::HorizontalPodAutoscaler, autoscaler.is_none()),
            (Kind::Ingress, ingress.is_none()),
            (Kind::HttpRoute, route.is_none() && can(OptionalApi::Gateway)),
            (Kind::Certificate, certificate.is_none() && can(OptionalApi::CertManager)),
        ];
        let unwanted = unwanted
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(kind, _)| Id { kind, name: region.named("edge") })
            .collect();
        let stores = [redis, clickhouse].into_iter().flatten().flat_map(|store| {
            let StorePod { service_account, stateful_set, service } = store;
            [service_account, stateful_set, service]
        });
        let mut wanted = vec![
            edge_account,
            edge_set,
            edge_service,
            pods_service,
            edge_disruption,
            writer_account,
            writer_deployment,
            writer_disruption,
            deny,
            edge_net,
            writer_net,
            probe,
            replay_net,
        ];
        let cluster = cluster
            .map(|Cluster { keeper, clickhouse, keeper_net }| [keeper, clickhouse, keeper_net]);
        wanted.extend(cluster.into_iter().flatten());
        wanted.extend(stores);
        let some = [autoscaler, ingress, route, certificate, redis_net, ch];
        wanted.extend(some.into_iter().flatten());
        wanted.sort_by(|a, b| a.id.cmp(&b.id));
        (wanted, unwanted)
    }
}

/// The labels of an object.
pub(super) fn labels(config: &Config, component: &str) -> BTreeMap<String, String> {
    let mut labels = selector(config, component);
    labels.insert("app.kubernetes.io/managed-by".into(), MANAGED_BY.into());
    labels.insert(REGION_LABEL.into(), config.region.clone());
    labels
}

/// What a component's pods are found by. It can never change: a StatefulSet's selector cannot.
pub(super) fn selector(config: &Config, component: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".into(), "hushmark".into()),
        ("app.kubernetes.io/instance".into(), config.name.clone()),
        ("app.kubernetes.io/component".into(), component.to_owned()),
    ])
}

/// Labels and owner. The Region being cluster-scoped, it may own what is in a namespace; what it
/// owns goes with it, except Secrets and volumes, which it does not own.
fn metadata(region: &ValidatedRegion, component: &str) -> Value {
    json!({
        "labels": labels(&region.config, component),
        "ownerReferences": [{
            "apiVersion": "hushmark.io/v1alpha1",
            "kind": "Region",
            "name": region.name,
            "uid": region.uid,
            "controller": true,
        }],
    })
}

/// An object of a component under a name of the release.
fn object(
    region: &ValidatedRegion,
    kind: Kind,
    component: &str,
    part: &str,
    mut value: Value,
) -> Wanted {
    value["metadata"] = metadata(region, component);
    Wanted::new(kind, &region.named(part), &region.config.namespace, value)
}

/// An identity without rights: nothing in the stack speaks to the API server.
fn service_account(region: &ValidatedRegion, component: &str) -> Wanted {
    let value = json!({"automountServiceAccountToken": false});
    object(region, Kind::ServiceAccount, component, component, value)
}

/// One pod at most is away on purpose; one that is broken anyway may go at any time.
fn disruption(region: &ValidatedRegion, component: &str) -> Wanted {
    let value = json!({"spec": {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selector(&region.config, component)},
    }});
    object(region, Kind::PodDisruptionBudget, component, component, value)
}

/// A volume that outlives its pod, its StatefulSet and the Region.
fn claim_template(region: &ValidatedRegion, component: &str, name: &str, size: &str) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    });
    if let Some(class) = &region.storage.class_name {
        spec["storageClassName"] = class.clone().into();
    }
    json!({"metadata": {"name": name, "labels": selector(&region.config, component)}, "spec": spec})
}

/// A StatefulSet's rule for its volumes, said and not left to a default.
fn keep_volumes() -> Value {
    json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
}
