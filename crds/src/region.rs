//! `Region`: where data lives, and the most that anyone in it may ask for.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function")]

use std::collections::BTreeMap;

use hushmark_policy::{Mode, Place};
use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::policies::Keep;
use crate::status::RegionStatus;

/// The edge expects no PROXY header.
macro_rules! proxied {
    () => {
        "!has(self.edge) || !has(self.edge.proxyProtocol) || !self.edge.proxyProtocol"
    };
}

/// A port from 1 to 65535.
macro_rules! port {
    () => {
        concat!(
            "([1-9][0-9]{0,3}|[1-5][0-9]{4}|",
            "6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
        )
    };
}

/// A store is one that runs already.
macro_rules! is_outside {
    ($on:literal, $store:literal) => {
        concat!("(has(", $on, ".", $store, ") && has(", $on, ".", $store, ".external))")
    };
}

/// ClickHouse's own operator runs it.
macro_rules! is_cluster {
    ($on:literal) => {
        concat!("(has(", $on, ".clickhouse) && has(", $on, ".clickhouse.cluster))")
    };
}

mod others;
mod stores;

pub use others::{
    CertificateSpec, ClickhouseCluster, EgressProbeSpec, GatewaySpec, Issuer, IssuerKind,
};
pub use stores::{ClickhouseSpec, EncryptedAtRest, External, RedisSpec, Storage};

/// A region: one jurisdiction, one stack, one set of ceilings.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "hushmark.io",
    version = "v1alpha1",
    kind = "Region",
    derive = "PartialEq",
    doc = "Where data lives, and the most that anyone in it may ask for.",
    category = "hushmark",
    shortname = "reg",
    status = "RegionStatus",
    printcolumn(name = "Jurisdiction", type_ = "string", json_path = ".spec.jurisdiction"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.baseUrl"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.jurisdiction",
    cel
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.ceilings.place == 'none' || has(self.placeDatabase)")
        .message("ceilings.place allows a country, and there is no placeDatabase to find it with: \
                  name an .mmdb file, or set ceilings.place to none")
        .field_path(".ceilings.place"),
    validation = Rule::new("!has(self.formerBaseUrls) || !(self.baseUrl in self.formerBaseUrls)")
        .message("names baseUrl again: a host is either the one for new mail or a former one")
        .field_path(".formerBaseUrls"),
    validation = Rule::new(concat!(proxied!(), " || (has(self.trustedProxies) && size(self.trustedProxies) > 0)"))
        .message("needs trustedProxies in the Region: whoever reaches the edge could otherwise write \
                  any address into the header")
        .field_path(".edge.proxyProtocol"),
    validation = Rule::new(concat!(proxied!(), " || !has(self.ingress)"))
        .message("has no place behind spec.ingress: an Ingress controller speaks HTTP to the edge and \
                  sends no such header; take one of the two away")
        .field_path(".edge.proxyProtocol"),
    validation = Rule::new(
        "!has(self.encryptedAtRest) || self.encryptedAtRest != 'required' || \
         has(self.storage.className)"
    )
        .message("required needs storage.className: name the StorageClass whose encryption is to be \
                  looked at, or write declared")
        .field_path(".encryptedAtRest"),
    validation = Rule::new(
        "!has(self.egressProbe) || !has(self.egress) || !self.egress.exists(e, \
         e.host == self.egressProbe.target || self.egressProbe.target.startsWith(e.host + ':'))"
    ).message("is in egress, so the stack may connect to it: name one outside that nothing may reach")
        .field_path(".egressProbe.target"),
    validation = Rule::new("!has(self.ingress) || !has(self.gateway)")
        .message("there is an ingress as well: give one way in, so that one set of access logs is \
                  to be looked after")
        .field_path(".gateway"),
    validation = Rule::new(concat!(is_outside!("self", "redis"), " == ", is_outside!("oldSelf", "redis")))
        .message("cannot change between one of the operator's and one outside: hits that were answered \
                  would wait in the one that is left; make a new Region")
        .field_path(".redis"),
    validation = Rule::new(concat!(
        is_outside!("self", "clickhouse"), " == ", is_outside!("oldSelf", "clickhouse"), " && ",
        is_cluster!("self"), " == ", is_cluster!("oldSelf")
    ))
        .message("cannot change between one of the operator's, one outside and a cluster: what is \
                  stored stays in the one that is left; make a new Region")
        .field_path(".clickhouse"),
)]
pub struct RegionSpec {
    /// The law that the data is under: EU, or a country's ISO 3166-1 code such as DE or CA.
    #[x_kube(validation = Rule::new("self.matches('^[A-Z]{2}$')")
        .message("must be EU or a country's code in two capital letters, like DE"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("cannot change: what is stored was stored under this law; make a new Region"))]
    #[schemars(length(max = 64))]
    pub jurisdiction: String,

    /// What the links of new mail begin with: scheme, host and at most a port.
    #[x_kube(validation = base_url_form(), validation = base_url_scheme())]
    #[schemars(length(max = 300))]
    pub base_url: String,

    /// What the links of older mail begin with, as long as such mail is to be answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(
        merge_strategy = kube::core::ListMerge::Set,
        validation = former_base_urls(),
    )]
    #[schemars(length(max = 16), inner(length(max = 300)))]
    pub former_base_urls: Vec<String>,

    /// The size of the edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeSpec>,

    /// When a hit is answered: `redis` once Redis has it on disk, `disk` once the edge's own lane
    /// log has it on disk.
    #[serde(default)]
    pub acknowledgement: Acknowledgement,

    /// Networks whose `X-Forwarded-For` and `Forwarded` headers are believed, in CIDR notation.
    /// With none, the address that connects is the client's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(
        merge_strategy = kube::core::ListMerge::Set,
        validation = Rule::new("self.all(net, isCIDR(net))")
            .message("every entry must be a network in CIDR notation, like 10.0.0.0/8 or fd00::/8"),
    )]
    #[schemars(length(max = 64), inner(length(max = 64)))]
    pub trusted_proxies: Vec<String>,

    /// A MaxMind database (.mmdb) that says which country an address is in. A relative path is
    /// beside the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.endsWith('.mmdb')")
        .message("must be the path of a MaxMind database, which ends in .mmdb"))]
    #[schemars(length(max = 1024))]
    pub place_database: Option<String>,

    /// The most that any tenant or campaign may ask for. More is refused, never clamped.
    pub ceilings: Ceilings,

    /// The smallest number of people that a figure may stand for, in `overall` and `anonymous`.
    #[serde(default = "default_minimum_group")]
    #[schemars(with = "i32", range(min = 5, max = 10_000))]
    #[x_kube(validation = Rule::new("self >= oldSelf")
        .message("can only be raised: people were counted under the promise of the old number"))]
    pub minimum_group: u32,

    /// How often figures are published: a number and s, m or h. Between two epochs nothing that a
    /// reader sees changes.
    #[serde(default = "default_epoch")]
    #[x_kube(validation = Rule::new(
        "self.matches('^[0-9]{1,5}[smh]$') && duration(self) >= duration('1s') && \
         duration(self) <= duration('24h')"
    ).message("must be a number and s, m or h, from 1s to 24h, like 10s or 1h"))]
    #[schemars(length(max = 32))]
    pub epoch: String,

    /// For how many days after sending a hit may count at the longest. Keys exist that far ahead.
    #[serde(default = "default_longest_tracking")]
    #[schemars(with = "i32", range(min = 1, max = 1096))]
    pub longest_tracking_days: u16,

    /// The keys that links are sealed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysSpec>,

    /// What an open with Global Privacy Control or Do Not Track does. A click is always counted.
    #[serde(default)]
    pub privacy_signals: PrivacySignals,

    /// The only hosts outside that the region's stack may connect to. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["host".into()]))]
    #[schemars(length(max = 64))]
    pub egress: Vec<Egress>,

    /// How a cluster shows that nothing leaves but to `egress`. Left out: `ResidencyProven` stays
    /// `Unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_probe: Option<EgressProbeSpec>,

    /// Redis, in a cluster. Left out: the operator runs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSpec>,

    /// ClickHouse, in a cluster. Left out: the operator runs one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickhouse: Option<ClickhouseSpec>,

    /// The volumes of what the operator runs in a cluster.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "cannot change: a StatefulSet's volumes are made once; let a volume grow by its own \
         PersistentVolumeClaim, or make a new Region"
    ))]
    pub storage: Storage,

    /// Whether the storage under the volumes encrypts, in a cluster. Left out: the condition
    /// EncryptedAtRest says what the StorageClass tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_at_rest: Option<EncryptedAtRest>,

    /// How the edge is reached from outside a cluster. With neither this nor `gateway` the operator
    /// makes a Service alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,

    /// The same by an HTTPRoute of the Gateway API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,

    /// A certificate that cert-manager keeps for every tracking host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSpec>,

    /// Labels of the nodes that the region's pods may run on: how a region stays in its
    /// jurisdiction.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
}

/// The keys that links are sealed under.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeysSpec {
    /// A new key seals new links so often: a number of days, like 90d. Links under older keys go on
    /// working. Left out: only when the annotation hushmark.io/rotate-keys asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,3}d$')")
        .message("must be a number of days, from 1d to 9999d, like 90d"))]
    #[schemars(length(max = 32))]
    pub rotate_every: Option<String>,
}

impl KeysSpec {
    /// The days between two rotations by schedule, if there is one.
    #[must_use]
    pub fn rotate_every_days(&self) -> Option<u16> {
        self.rotate_every.as_deref()?.strip_suffix('d')?.parse().ok().filter(|days| *days > 0)
    }
}

/// The annotation that asks for a new key: any value that was not there before.
pub const ROTATE_KEYS: &str = "hushmark.io/rotate-keys";

/// An Ingress for the host of `baseUrl` and of every former one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// The IngressClass. Left out: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// The Secret with the certificate, in the release's namespace. Left out: the controller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret: Option<String>,
    /// Annotations that its controller understands.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the namespace that the controller runs in: pods there alone may reach the edge.
    /// Left out: pods of every namespace may.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespace_selector: BTreeMap<String, String>,
}

/// How large the edge is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.maxReplicas) || (has(self.replicas) && self.maxReplicas >= self.replicas)"
    ).message("needs replicas beside it, and is at least as many: edges are scaled between the two")
        .field_path(".maxReplicas"),
)]
pub struct EdgeSpec {
    /// Threads, and so lanes, of one edge. Left out: one a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 256))]
    pub threads: Option<u16>,
    /// Edges in a cluster, or the fewest of them where `maxReplicas` says more. On one machine
    /// there is always one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub replicas: Option<u16>,
    /// The most edges that there may be when there is much to do. Left out: as many as `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub max_replicas: Option<u16>,
    /// The edge's own TLS in a cluster: its Service has port 443 then, and no port 80. Left out:
    /// what is in front of it speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<EdgeTls>,
    /// Expect the PROXY protocol's header, version 2, on every connection in a cluster, from
    /// trustedProxies alone: for a load balancer that does not read HTTP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
}

/// What the edge shows mail clients.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeTls {
    /// A Secret of type `kubernetes.io/tls` in the release's namespace. A renewed certificate needs
    /// no restart.
    #[x_kube(validation = secret_name())]
    #[schemars(length(max = 253))]
    pub secret: String,
}

/// What has to be durable before a hit is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(title = "acknowledgement")]
pub enum Acknowledgement {
    /// Redis has it; while Redis is away, the lane log.
    #[default]
    Redis,
    /// The lane log has it, synced.
    Disk,
}

/// The most that may be asked for in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ceilings {
    /// The most that an open may tell: "off", overall, anonymous or individual. The last allows
    /// lastOpenDay, too.
    #[schemars(schema_with = "field::ceiling")]
    pub opens: Mode,
    /// The most that a click may tell: "off", overall, anonymous or individual.
    #[schemars(schema_with = "field::ceiling")]
    pub clicks: Mode,
    /// The finest place that may be kept: none or country.
    #[serde(default = "field::no_place")]
    #[schemars(schema_with = "field::place")]
    pub place: Place,
    /// The longest that a RetentionPolicy may keep anything. Where it says something, every
    /// campaign that tracks names a policy. Left out: as long as policies say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
}

/// What an open with a privacy signal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "answer to privacy signals")]
pub enum PrivacySignals {
    /// It stores nothing.
    #[default]
    IgnoreOpen,
    /// It adds one to the raw count and tells nothing else.
    CountRaw,
}

/// One host outside that the stack may connect to.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Why, in words for a data protection officer.
    #[schemars(length(min = 1, max = 200))]
    pub purpose: String,
    /// The host's name or address, with a port if need be.
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9.-]+(:[0-9]{1,5})?$')")
        .message("must be one host in lower case, like smtp.example.com:587: no scheme, no path"))]
    #[schemars(length(max = 260))]
    pub host: String,
    /// The law that the host is under: EU or a country's code.
    #[x_kube(validation = Rule::new("self.matches('^[A-Z]{2}$')")
        .message("must be EU or a country's code in two capital letters, like DE"))]
    #[schemars(length(max = 64))]
    pub jurisdiction: String,
}

/// Scheme, host, and a port from 1 to 65535; nothing that a link could not be joined to.
macro_rules! base_url {
    ($on:literal) => {
        concat!($on, ".matches('^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:", port!(), ")?$')")
    };
}

/// Links in mail cross networks that nobody chose, so they are https; a machine's own loopback
/// crosses none.
macro_rules! safe_scheme {
    ($on:literal) => {
        concat!(
            "(!",
            $on,
            ".startsWith('http://') || ",
            $on,
            ".matches('^http://(localhost|127[.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3})(:[0-9]+)?$'))"
        )
    };
}

fn base_url_form() -> Rule {
    Rule::new(base_url!("self")).message(
        "must be a scheme, a host in lower case and at most a port, like https://t.example.com: no \
         path, no / at the end, no user",
    )
}

fn base_url_scheme() -> Rule {
    Rule::new(safe_scheme!("self"))
        .message("must be https: plain http is for localhost and 127.0.0.1 alone")
}

fn former_base_urls() -> Rule {
    Rule::new(concat!("self.all(u, ", base_url!("u"), " && ", safe_scheme!("u"), ")")).message(
        "every entry must be a scheme, a host in lower case and at most a port, like \
         https://t.example.com; plain http is for localhost and 127.0.0.1 alone",
    )
}

fn secret_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("must be the name of a Secret: lower-case letters, digits, - and .")
}

const fn default_minimum_group() -> u32 {
    10
}

fn default_epoch() -> String {
    "1h".to_owned()
}

const fn default_longest_tracking() -> u16 {
    400
}
