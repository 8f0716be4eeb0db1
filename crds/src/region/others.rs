//! What a Region asks of others: a Gateway, cert-manager, ClickHouse's own operator, and a place
//! outside that its network is tried against.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret_name;

/// An HTTPRoute for the host of `baseUrl` and of every former one, and the Gateway that takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// The Gateway's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Left out: the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The one of its listeners that is meant. Left out: every one that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Labels of the namespace that its pods run in: pods there alone may reach the edge. Left out:
    /// pods of every namespace may.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespace_selector: BTreeMap<String, String>,
}

/// A certificate that cert-manager asks for, and renews.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSpec {
    /// The Secret that it is kept in, in the release's namespace. An Ingress takes it from there
    /// where `ingress.tlsSecret` names no other.
    #[x_kube(validation = secret_name())]
    #[schemars(length(max = 253))]
    pub secret: String,
    /// Who issues it.
    pub issuer: Issuer,
}

/// Who issues a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issuer {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// ClusterIssuer, or Issuer for one of the release's namespace.
    #[serde(default)]
    pub kind: IssuerKind,
}

/// How far an issuer reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "kind of issuer")]
pub enum IssuerKind {
    /// Every namespace.
    #[default]
    ClusterIssuer,
    /// The release's namespace.
    Issuer,
}

/// A ClickHouseCluster, and the KeeperCluster that it asks for.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClickhouseCluster {
    /// Replicas of its one shard.
    #[serde(default = "default_clickhouse_replicas")]
    #[x_kube(validation = Rule::new("self == 1").message(
        "must be 1: this version's tables are not replicated, and what one replica took the others \
         would not have"
    ))]
    #[schemars(with = "i32")]
    pub replicas: u16,
    /// Replicas of its Keeper.
    #[serde(default = "default_keeper_replicas")]
    #[x_kube(validation = Rule::new("self in [1, 3, 5]")
        .message("must be 1, 3 or 5: Keeper decides by majority"))]
    #[schemars(with = "i32")]
    pub keeper_replicas: u16,
}

/// A place outside, by which a cluster shows that its network holds the stack back.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressProbeSpec {
    /// Where a pod without a policy gets through and a pod of the stack must not: an address
    /// outside the region that takes TCP connections, and its port. An address needs no answer of
    /// a name server.
    #[x_kube(validation = Rule::new(concat!(
        "self.matches('^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\\\\[[0-9a-f:.]+\\\\]):", port!(), "$')"
    )).message("must be one address or host outside and its port, like 192.0.2.1:443"))]
    #[schemars(length(max = 260))]
    pub target: String,
}

const fn default_clickhouse_replicas() -> u16 {
    1
}

const fn default_keeper_replicas() -> u16 {
    3
}
