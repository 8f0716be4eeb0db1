//! ClickHouse as its own operator runs it: a ClickHouseCluster of one replica, and the KeeperCluster
//! that every one of them asks for.
//!
//! Neither has an ownerReference: what would go with the Region is its data.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::network::{dns, policy_of, tcp};
use super::{Cluster, REGION_LABEL, labels, selector};
use crate::apply::{Kind, Wanted};
use crate::config::OptionalApi;
use crate::region::validate::ValidatedRegion;

/// On the pods, whose other labels are their operator's.
const STORE: &str = "hushmark.io/store";

/// What Keeper keeps is small: who has which part.
const KEEPER_VOLUME: &str = "2Gi";

/// Where ClickHouse's operator looks after a server, and a Keeper.
const MANAGEMENT: u16 = 9001;
const KEEPER: u16 = 2181;

/// Left out where its kinds cannot be made; a condition of the Region says so.
pub(super) fn build(region: &ValidatedRegion) -> Option<Cluster> {
    let cluster = region.clickhouse_cluster?;
    region.usable.contains(&OptionalApi::Clickhouse).then(|| Cluster {
        keeper: custom(
            region,
            Kind::KeeperCluster,
            json!({
                "dataVolumeClaimSpec": volume(region, KEEPER_VOLUME),
                "labels": pod_labels(region, "keeper"),
                "podTemplate": {"nodeSelector": region.node_selector},
                "replicas": cluster.keeper_replicas,
            }),
        ),
        clickhouse: custom(
            region,
            Kind::ClickHouseCluster,
            json!({
                "dataVolumeClaimSpec": volume(region, &region.storage.clickhouse),
                "keeperClusterRef": {"name": region.config.name},
                "labels": pod_labels(region, "clickhouse"),
                "podTemplate": {"nodeSelector": region.node_selector},
                "replicas": cluster.replicas,
                "settings": {
                    "defaultUserPassword": {
                        "passwordType": "password",
                        "secret": {"key": "password", "name": region.named("clickhouse-auth")},
                    },
                    // A log on disk would hold queries, and nobody erases it.
                    "logger": {"level": "warning", "logToFile": false},
                },
                "shards": 1,
            }),
        ),
        keeper_net: keeper_policy(region),
    })
}

fn custom(region: &ValidatedRegion, kind: Kind, spec: Value) -> Wanted {
    let labels = labels(&region.config, "clickhouse");
    let value = json!({"metadata": {"labels": labels}, "spec": spec});
    Wanted::new(kind, &region.config.name, &region.config.namespace, value)
}

fn volume(region: &ValidatedRegion, size: &str) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    });
    if let Some(class) = &region.storage.class_name {
        spec["storageClassName"] = class.clone().into();
    }
    spec
}

/// The labels by which we know pods whose other labels are their operator's.
pub(in crate::region) fn pod_labels(
    region: &ValidatedRegion,
    store: &str,
) -> BTreeMap<String, String> {
    let labels = [(REGION_LABEL, region.name.as_str()), (STORE, store)];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn pods(region: &ValidatedRegion, store: &str) -> Value {
    json!({"podSelector": {"matchLabels": pod_labels(region, store)}})
}

/// The writer's way there.
pub(super) fn from_writer(region: &ValidatedRegion, port: u16) -> Value {
    json!({"ports": [tcp(port)], "to": [pods(region, "clickhouse")]})
}

/// Among themselves, the writer, and their operator, which is in any namespace.
pub(super) fn server_policy(region: &ValidatedRegion, port: u16) -> Wanted {
    let writer = json!({"podSelector": {"matchLabels": selector(&region.config, "writer")}});
    policy_of(
        region,
        "clickhouse",
        &json!(pod_labels(region, "clickhouse")),
        vec![
            json!({"from": [pods(region, "clickhouse")]}),
            json!({"from": [writer], "ports": [tcp(port)]}),
            json!({"from": [{"namespaceSelector": {}}], "ports": [tcp(MANAGEMENT)]}),
        ],
        vec![json!({"to": [pods(region, "clickhouse"), pods(region, "keeper")]}), dns()],
    )
}

fn keeper_policy(region: &ValidatedRegion) -> Wanted {
    policy_of(
        region,
        "keeper",
        &json!(pod_labels(region, "keeper")),
        vec![
            json!({"from": [pods(region, "clickhouse"), pods(region, "keeper")]}),
            json!({"from": [{"namespaceSelector": {}}], "ports": [tcp(KEEPER)]}),
        ],
        vec![json!({"to": [pods(region, "keeper")]}), dns()],
    )
}
