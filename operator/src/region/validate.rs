//! From a Region as it was written to one that can be built: whoever holds a [`ValidatedRegion`]
//! holds checked values, and nothing downstream checks again. Pure.

mod optional;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use hushmark_crds::Region;
use hushmark_crds::region::{
    Acknowledgement, CertificateSpec, ClickhouseCluster, EncryptedAtRest, GatewaySpec, IngressSpec,
    KeysSpec, PrivacySignals, Storage,
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use crate::apply::quantity;
use crate::config::{Config, OptionalApi};

use super::probing::ASK_AGAIN;

pub use store::{External, ExternalTls, Host, Store};
pub(super) use store::{StoreKind, undeclared};
use store::{unplaced, unused};

/// Edges where a Region does not say how many: one may go while another serves.
const EDGES: u16 = 2;

/// Why a Region cannot be built, for its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In one word.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Everything that a stack is built from.
#[derive(Clone, Debug)]
pub struct ValidatedRegion {
    /// The Region's name.
    pub name: String,
    /// Its uid, for ownerReferences.
    pub uid: String,
    /// Its annotations, in which people ask for something once.
    pub annotations: BTreeMap<String, String>,
    /// The command line: names and images.
    pub config: Config,
    /// Every tracking host, the one for new mail first.
    pub hosts: Vec<String>,
    /// How many edges.
    pub edges: Edges,
    /// Threads of one edge.
    pub threads: Option<u16>,
    /// Bytes that the lane logs of one edge may take.
    pub lane_log_bytes: u64,
    /// What an answer waits for.
    pub acknowledgement: Acknowledgement,
    /// What an open with a privacy signal does.
    pub privacy_signals: PrivacySignals,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<String>,
    /// The Secret with the edge's own certificate, where it speaks TLS itself.
    pub edge_tls: Option<String>,
    /// Whether each connection to the edge begins with the PROXY protocol's header.
    pub proxy_protocol: bool,
    /// A database of countries in the edge's image.
    pub country_db: Option<String>,
    /// Seconds between epochs.
    pub epoch_seconds: u32,
    /// The smallest number of people that a figure may stand for.
    pub minimum_group: u32,
    /// How many days ahead there are keys.
    pub ring_days: u16,
    /// Days between two rotations of the region key, if there is a schedule.
    pub rotate_keys_every: Option<u16>,
    /// Redis.
    pub redis: Store,
    /// ClickHouse.
    pub clickhouse: Store,
    /// Volumes.
    pub storage: Storage,
    /// What was said of their encryption.
    pub encrypted_at_rest: Option<EncryptedAtRest>,
    /// A ClickHouse that its own operator runs; [`Self::clickhouse`] says how it is reached.
    pub clickhouse_cluster: Option<ClickhouseCluster>,
    /// The way in from outside.
    pub ingress: Option<IngressSpec>,
    /// The same by the Gateway API.
    pub gateway: Option<GatewaySpec>,
    /// What cert-manager is to keep.
    pub certificate: Option<CertificateSpec>,
    /// APIs of others whose kinds can be made.
    pub usable: BTreeSet<OptionalApi>,
    /// Where a probe of the network tries to connect to.
    pub egress_probe: Option<String>,
    /// What a person set to have the network probed again.
    pub ask_again: Option<String>,
    /// Where pods may run.
    pub node_selector: BTreeMap<String, String>,
    /// Hosts of `egress[]` that nothing in this stack connects to.
    pub unused_egress: Vec<String>,
    /// Hosts of stores in this cluster that are somebody else's: where their pods run is not known.
    pub unplaced_stores: Vec<String>,
}

/// How many edges there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edges {
    /// So many.
    Fixed(u16),
    /// As many as there is work for, between these.
    Between(u16, u16),
}

/// What a Region is checked against.
pub struct Around<'a> {
    /// All other Regions.
    pub others: &'a [std::sync::Arc<Region>],
    /// Secrets that it refers to, by name, as far as they are there.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// APIs of others that are there and may be used.
    pub usable: &'a BTreeSet<OptionalApi>,
}

/// The names of the Secrets that a Region refers to.
#[must_use]
pub fn referred_secrets(region: &Region) -> Vec<String> {
    let stores = [StoreKind::Redis, StoreKind::Clickhouse].map(|what| what.external(region));
    let stores = stores.into_iter().flatten().map(|external| &external.secret);
    let edge = region.spec.edge.as_ref().and_then(|edge| edge.tls.as_ref()).map(|tls| &tls.secret);
    stores.chain(edge).cloned().collect()
}

/// Every tracking host of a Region with its port where that is not the scheme's own, the one for new
/// mail first.
#[must_use]
pub fn hosts(region: &Region) -> Vec<String> {
    let urls = std::iter::once(&region.spec.base_url).chain(&region.spec.former_base_urls);
    let mut hosts = Vec::new();
    for url in urls {
        let (scheme, host) = url.split_once("://").unwrap_or(("https", url));
        let implied = if scheme == "http" { ":80" } else { ":443" };
        let host = host.strip_suffix(implied).unwrap_or(host).to_owned();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// Checks a Region against its surroundings.
///
/// # Errors
/// Every [`Problem`] there is, so that a person need not find them one by one.
pub fn validate(
    region: &Region,
    config: &Config,
    around: &Around<'_>,
) -> Result<ValidatedRegion, Vec<Problem>> {
    let spec = &region.spec;
    let mut problems = Vec::new();
    problems.extend(taken_hosts(region, around.others));
    problems.extend(country_database(spec.place_database.as_deref()));
    let epoch_seconds = seconds(&spec.epoch).unwrap_or_else(|| {
        problems.push(Problem {
            reason: "Epoch",
            message: format!("spec.epoch {:?} is no time like 10s or 1h", spec.epoch),
        });
        1
    });
    let lane_log_bytes = share_of(&spec.storage.lane_log).unwrap_or_else(|| {
        let size = &spec.storage.lane_log;
        let message = format!("spec.storage.laneLog {size:?} is no size like 2Gi");
        problems.push(Problem { reason: "Storage", message });
        0
    });
    let mut store = |what: StoreKind| match Store::read(region, what, around.secrets) {
        Ok(store) => {
            problems.extend(undeclared(region, &store, what));
            store
        }
        Err(problem) => {
            problems.push(problem);
            Store::Managed
        }
    };
    let redis = store(StoreKind::Redis);
    let clickhouse_cluster = spec.clickhouse.as_ref().and_then(|it| it.cluster);
    let clickhouse = match clickhouse_cluster {
        Some(_) => Store::External(External::of_cluster(config)),
        None => store(StoreKind::Clickhouse),
    };
    let edge_tls = spec.edge.as_ref().and_then(|edge| edge.tls.as_ref());
    problems.extend(edge_tls.and_then(|tls| certificate_problem(&tls.secret, around.secrets)));
    if !problems.is_empty() {
        return Err(problems);
    }
    let edge = spec.edge.clone().unwrap_or_default();
    let fewest = edge.replicas.unwrap_or(EDGES);
    let edges = match edge.max_replicas {
        Some(most) if most > fewest => Edges::Between(fewest, most),
        _ => Edges::Fixed(fewest),
    };
    let unused_egress = unused(region, [&redis, &clickhouse]);
    let of_others = if clickhouse_cluster.is_some() { &Store::Managed } else { &clickhouse };
    let unplaced_stores = unplaced(region, [&redis, of_others]);
    Ok(ValidatedRegion {
        name: region.name_any(),
        uid: region.uid().unwrap_or_default(),
        annotations: region.annotations().clone(),
        config: config.clone(),
        hosts: hosts(region),
        edges,
        threads: edge.threads,
        lane_log_bytes,
        acknowledgement: spec.acknowledgement,
        privacy_signals: spec.privacy_signals,
        trusted_proxies: spec.trusted_proxies.clone(),
        edge_tls: edge.tls.map(|tls| tls.secret),
        proxy_protocol: edge.proxy_protocol,
        country_db: spec.place_database.clone(),
        epoch_seconds,
        minimum_group: spec.minimum_group,
        ring_days: ring_days(region),
        rotate_keys_every: spec.keys.as_ref().and_then(KeysSpec::rotate_every_days),
        redis,
        clickhouse,
        storage: spec.storage.clone(),
        encrypted_at_rest: spec.encrypted_at_rest,
        clickhouse_cluster,
        ingress: spec.ingress.clone(),
        gateway: spec.gateway.clone(),
        certificate: spec.certificate.clone(),
        usable: around.usable.clone(),
        egress_probe: spec.egress_probe.as_ref().map(|probe| probe.target.clone()),
        ask_again: region.annotations().get(ASK_AGAIN).cloned(),
        node_selector: spec.node_selector.clone(),
        unused_egress,
        unplaced_stores,
    })
}

/// H of the design: a day is closed at the latest so many days after it ended.
const HOLD_DAYS: u16 = 7;

/// How many days ahead a Region has keys.
pub(super) fn ring_days(region: &Region) -> u16 {
    region.spec.longest_tracking_days.saturating_add(HOLD_DAYS)
}

/// Of two Regions with one tracking host the older keeps it: its mail is out already.
fn taken_hosts(region: &Region, others: &[std::sync::Arc<Region>]) -> Vec<Problem> {
    let age = |region: &Region| {
        let created = region.creation_timestamp().map(|time| time.0);
        (created, region.name_any())
    };
    let mine = hosts(region);
    let older = others.iter().filter(|other| age(other) < age(region));
    older
        .flat_map(|other| {
            let shared: Vec<String> =
                hosts(other).into_iter().filter(|host| mine.contains(host)).collect();
            shared.into_iter().map(move |host| Problem {
                reason: "HostTaken",
                message: format!(
                    "the tracking host {host} is Region {}'s, which is older: a link must lead to \
                     one region alone; choose another host in spec.baseUrl or \
                     spec.formerBaseUrls",
                    other.name_any()
                ),
            })
        })
        .collect()
}

/// In a cluster there is no folder that a manifest lies in.
fn country_database(path: Option<&str>) -> Option<Problem> {
    let path = path.filter(|path| !path.starts_with('/'))?;
    let message = format!(
        "spec.placeDatabase {path:?} is a path beside a manifest, and a cluster has no such \
         folder: put the file into the edge's image and give its absolute path there, or set \
         spec.ceilings.place to none"
    );
    Some(Problem { reason: "PlaceDatabase", message })
}

/// The edge does not start with a certificate that it cannot use, and pods would say so one by one.
fn certificate_problem(name: &str, secrets: &BTreeMap<String, Secret>) -> Option<Problem> {
    let wrong = |what: String| {
        let message = format!("spec.edge.tls.secret: the Secret {name} {what}");
        Some(Problem { reason: "EdgeCertificate", message })
    };
    let Some(secret) = secrets.get(name) else {
        return wrong(
            "is not in the release's namespace: make it, of type kubernetes.io/tls, or let \
             cert-manager make it"
                .into(),
        );
    };
    let entry = |entry: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(entry));
        bytes.map(|bytes| (format!("its {entry}"), bytes.0.clone()))
    };
    let (certificate, key) = match (entry("tls.crt"), entry("tls.key")) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, _) => return wrong("has no tls.crt: add the certificate, in PEM".into()),
        (_, None) => return wrong("has no tls.key: add the certificate's key, in PEM".into()),
    };
    // Its own authorities do not matter here: mail clients judge them.
    let parsed = hushmark_hop::Pem::parse(certificate.clone(), Some((certificate, key)));
    parsed.err().and_then(|error| wrong(format!("cannot be used: {error}")))
}

/// `10s`, `5m` or `1h` in seconds.
fn seconds(text: &str) -> Option<u32> {
    let at = text.len().checked_sub(1)?;
    let (number, unit) = text.split_at_checked(at)?;
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Four fifths of a volume: the rest is for the refusal log's copy and the file system.
fn share_of(size: &str) -> Option<u64> {
    let bytes = quantity(size)? / 1_000;
    u64::try_from(bytes / 5 * 4).ok().filter(|bytes| *bytes > 0)
}

impl ValidatedRegion {
    /// A name of the release: `demo-edge`.
    #[must_use]
    pub fn named(&self, part: &str) -> String {
        self.config.named(part)
    }

    /// Every tracking host without its port, as what is in front of the edge knows them.
    #[must_use]
    pub fn host_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for host in &self.hosts {
            let name = host.split(':').next().unwrap_or(host);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Where edge and writer find Redis.
    #[must_use]
    pub fn redis_url(&self) -> String {
        self.redis.redis_url(&self.config)
    }

    /// Where the writer finds ClickHouse.
    #[must_use]
    pub fn clickhouse_url(&self) -> String {
        match &self.clickhouse {
            Store::Managed => format!("https://{}:8443", self.config.service("clickhouse")),
            Store::External(external) => external.url.clone(),
        }
    }

    /// Every name of a component's Service: what its certificate has to bear.
    #[must_use]
    pub fn hosts_of(&self, part: &str) -> Vec<String> {
        let (name, namespace) = (self.named(part), &self.config.namespace);
        vec![
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.cluster.local"),
            format!("{name}.{namespace}"),
            name,
        ]
    }
}

#[cfg(test)]
pub(in crate::region) mod tests;
