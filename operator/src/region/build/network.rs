//! Who may talk to whom: nobody, but for the paths that the design needs.
//!
//! Policies add up, and the first one allows nothing, so that each of the others is read alone.

use serde_json::{Value, json};

use super::{
    MANAGED_BY, Network, clickhouse, clickhouse_cluster, edge, object, probe, redis, selector,
    writer,
};
use crate::apply::{Kind, Wanted};
use crate::region::edges::REPLAY;
use crate::region::validate::{External, Host, Store, ValidatedRegion};

/// What the names of our policies end with. Nobody else can have one of that name beside ours.
pub(in crate::region) const POLICIES: [&str; 8] =
    ["clickhouse", "default-deny", "edge", "keeper", "probe", "redis", REPLAY, "writer"];

pub(super) fn build(region: &ValidatedRegion) -> Network {
    Network {
        deny: deny(region),
        edge: edge_policy(region),
        writer: writer_policy(region),
        probe: probe_policy(region),
        replay: replay_policy(region),
        redis: (region.redis == Store::Managed).then(|| redis_policy(region)),
        clickhouse: match (&region.clickhouse, region.clickhouse_cluster) {
            (_, Some(_)) => Some(clickhouse_cluster::server_policy(region, clickhouse::PORT)),
            (Store::Managed, None) => Some(clickhouse_policy(region)),
            (Store::External(_), None) => None,
        },
    }
}

pub(super) fn tcp(port: u16) -> Value {
    json!({"port": port, "protocol": "TCP"})
}

/// Pods of a component of this release.
fn pods(region: &ValidatedRegion, component: &str) -> Value {
    json!({"podSelector": {"matchLabels": selector(&region.config, component)}})
}

/// The cluster's names, from its DNS or from the cache of that on the node.
pub(super) fn dns() -> Value {
    json!({
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
        "to": [
            {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": "kube-system"},
                },
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            },
            {"ipBlock": {"cidr": "169.254.20.10/32"}},
        ],
    })
}

/// Figures and probes: no personal data is there, and who scrapes is in any namespace.
fn admin(port: u16) -> Value {
    json!({"from": [{"namespaceSelector": {}}], "ports": [tcp(port)]})
}

/// The way to a store: its pods here, or the one place where it is.
fn to_store(region: &ValidatedRegion, store: &Store, component: &str, port: u16) -> Value {
    match store {
        Store::Managed => json!({"ports": [tcp(port)], "to": [pods(region, component)]}),
        Store::External(external) => to_external(external),
    }
}

fn to_external(external: &External) -> Value {
    let port = tcp(external.port);
    match &external.host {
        Host::Cluster(_) => json!({"ports": [port], "to": [{"namespaceSelector": {}}]}),
        Host::Address(address) => {
            let length = if address.is_ipv4() { 32 } else { 128 };
            let cidr = format!("{address}/{length}");
            json!({"ports": [port], "to": [{"ipBlock": {"cidr": cidr}}]})
        }
        // A NetworkPolicy knows no names: the port is open to every address, and a condition of
        // the Region says so.
        Host::Name(_) => json!({"ports": [port]}),
    }
}

fn policy(
    region: &ValidatedRegion,
    component: &str,
    ingress: Vec<Value>,
    egress: Vec<Value>,
) -> Wanted {
    policy_of(region, component, &json!(selector(&region.config, component)), ingress, egress)
}

pub(super) fn policy_of(
    region: &ValidatedRegion,
    component: &str,
    pods: &Value,
    ingress: Vec<Value>,
    egress: Vec<Value>,
) -> Wanted {
    // Both lists are always said, so that nobody else can add one.
    let value = json!({"spec": {
        "egress": egress,
        "ingress": ingress,
        "podSelector": {"matchLabels": pods},
        "policyTypes": ["Ingress", "Egress"],
    }});
    object(region, Kind::NetworkPolicy, component, component, value)
}

/// Nothing in and nothing out, for every pod that is made here.
fn deny(region: &ValidatedRegion) -> Wanted {
    let value = json!({"spec": {
        "egress": [],
        "ingress": [],
        "podSelector": {"matchLabels": {
            "app.kubernetes.io/instance": region.config.name,
            "app.kubernetes.io/managed-by": MANAGED_BY,
            "app.kubernetes.io/name": "hushmark",
        }},
        "policyTypes": ["Ingress", "Egress"],
    }});
    object(region, Kind::NetworkPolicy, "stack", "default-deny", value)
}

fn edge_policy(region: &ValidatedRegion) -> Wanted {
    let mut clients = json!({"ports": [tcp(edge::Door::of(region).port)]});
    let ingress = region.ingress.as_ref().map(|ingress| &ingress.namespace_selector);
    let gateway = region.gateway.as_ref().map(|gateway| &gateway.namespace_selector);
    let namespace = ingress.or(gateway);
    if let Some(labels) = namespace.filter(|labels| !labels.is_empty()) {
        clients["from"] = json!([{"namespaceSelector": {"matchLabels": labels}}]);
    }
    policy(region, "edge", vec![clients, admin(edge::ADMIN)], edge_egress(region))
}

fn edge_egress(region: &ValidatedRegion) -> Vec<Value> {
    vec![to_store(region, &region.redis, "redis", redis::PORT), dns()]
}

fn writer_policy(region: &ValidatedRegion) -> Wanted {
    policy(region, "writer", vec![admin(writer::ADMIN)], writer_egress(region))
}

fn writer_egress(region: &ValidatedRegion) -> Vec<Value> {
    let clickhouse = match region.clickhouse_cluster {
        Some(_) => clickhouse_cluster::from_writer(region, clickhouse::PORT),
        None => to_store(region, &region.clickhouse, "clickhouse", clickhouse::PORT),
    };
    vec![to_store(region, &region.redis, "redis", redis::PORT), clickhouse, dns()]
}

/// All that any pod of the stack may reach: who gets out by none of these gets out by no pod.
fn probe_policy(region: &ValidatedRegion) -> Wanted {
    let mut all = Vec::new();
    for rule in edge_egress(region).into_iter().chain(writer_egress(region)) {
        if !all.contains(&rule) {
            all.push(rule);
        }
    }
    policy(region, probe::COMPONENT, vec![], all)
}

/// A Job that replays speaks to Redis alone.
fn replay_policy(region: &ValidatedRegion) -> Wanted {
    let egress = vec![to_store(region, &region.redis, "redis", redis::PORT), dns()];
    policy(region, REPLAY, vec![], egress)
}

fn redis_policy(region: &ValidatedRegion) -> Wanted {
    let from: Vec<Value> =
        ["edge", "operator", REPLAY, "writer"].iter().map(|name| pods(region, name)).collect();
    policy(region, "redis", vec![json!({"from": from, "ports": [tcp(redis::PORT)]})], vec![])
}

fn clickhouse_policy(region: &ValidatedRegion) -> Wanted {
    let from = [pods(region, "writer")];
    let ingress = json!({"from": from, "ports": [tcp(clickhouse::PORT)]});
    policy(region, "clickhouse", vec![ingress], vec![])
}
