//! The edge: a StatefulSet, because each replica has a volume for its lane logs.

use hushmark_crds::region::{Acknowledgement, PrivacySignals};
use serde_json::{Value, json};

use super::hop::{Hop, To};
use super::pod::{Arguments, Pod, mount, mount_to_read, probe, secret_volume};
use super::{Edge, claim_template, disruption, keep_volumes, object, selector, service_account};
use crate::apply::{Kind, Wanted};
use crate::region::validate::{Edges, Store, ValidatedRegion};

pub(super) const COMPONENT: &str = "edge";

/// Where mail clients connect, in the open or by TLS, and where operators look.
const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;
pub(super) const ADMIN: u16 = 9080;

/// Its user, as its image knows it.
pub(super) const USER: u32 = 65_532;

/// Where the volume with lane logs is in a container, and the folder on it.
pub(super) const LANES: (&str, &str) = ("/var/lib/hushmark", "/var/lib/hushmark/lanes");

/// Two seconds until every node sends requests elsewhere, twenty for what is in flight and in the
/// lane log, and some to spare.
const GRACE_SECONDS: u16 = 40;

/// The share of its CPU request above which there is one edge more.
const BUSY_PERCENT: u8 = 70;

/// An edge goes only when it was not needed for so long: each that goes leaves a lane log to look
/// after.
const CALM_SECONDS: u16 = 600;

pub(super) fn build(region: &ValidatedRegion) -> Edge {
    Edge {
        service_account: service_account(region, COMPONENT),
        stateful_set: stateful_set(region),
        service: service(region),
        pods_service: pods_service(region),
        disruption: disruption(region, COMPONENT),
        autoscaler: autoscaler(region),
    }
}

/// The one way in: its name, the pod's port, and the Service's.
pub(super) struct Door {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) service_port: u16,
}

impl Door {
    pub(super) fn of(region: &ValidatedRegion) -> Self {
        if region.edge_tls.is_some() {
            Self { name: "https", port: HTTPS, service_port: 443 }
        } else {
            Self { name: "http", port: HTTP, service_port: 80 }
        }
    }
}

fn arguments(region: &ValidatedRegion) -> Value {
    let mut arguments = Arguments::default();
    arguments.flag("--listen", format!("0.0.0.0:{}", Door::of(region).port));
    if region.edge_tls.is_some() {
        arguments.flag("--tls-certificate", "/etc/hushmark/tls/tls.crt");
        arguments.flag("--tls-key", "/etc/hushmark/tls/tls.key");
    }
    if region.proxy_protocol {
        arguments.switch("--proxy-protocol");
    }
    arguments.flag("--admin", format!("0.0.0.0:{ADMIN}"));
    arguments.flag("--keys", "/etc/hushmark/keys");
    arguments.flag("--ring", "/etc/hushmark/ring");
    arguments.flag("--refusal-key", "/etc/hushmark/refusal/refusal.pub");
    for (name, value) in redis_access(region).arguments {
        arguments.flag(name, value);
    }
    arguments.flag("--metrics-step", region.minimum_group.to_string());
    arguments.flag("--lane-log", LANES.1);
    arguments.flag("--lane-log-max-bytes", region.lane_log_bytes.to_string());
    if let Some(threads) = region.threads {
        arguments.flag("--threads", threads.to_string());
    }
    for proxy in &region.trusted_proxies {
        arguments.flag("--trusted-proxy", proxy);
    }
    if let Some(database) = &region.country_db {
        arguments.flag("--country-db", database);
    }
    if region.acknowledgement == Acknowledgement::Disk {
        arguments.flag("--durability", "disk");
    }
    if region.privacy_signals == PrivacySignals::CountRaw {
        arguments.flag("--privacy-signals", "count-raw");
    }
    arguments.into_value()
}

/// What it takes to speak to Redis as an edge does.
pub(super) struct RedisAccess {
    pub(super) arguments: Vec<(&'static str, String)>,
    pub(super) mounts: Vec<Value>,
    pub(super) volumes: Vec<Value>,
}

pub(super) fn redis_access(region: &ValidatedRegion) -> RedisAccess {
    let (mut mounts, mut volumes) = (Vec::new(), Vec::new());
    let mut arguments = vec![("--redis", region.redis_url())];
    if let Some((secret, entry)) = redis_password(region, "edge.password") {
        let user = match &region.redis {
            Store::Managed => Some("edge"),
            Store::External(at) => at.user.as_deref(),
        };
        arguments.extend(user.map(|user| ("--redis-user", user.to_owned())));
        arguments.push(("--redis-password-file", "/etc/hushmark/redis/password".to_owned()));
        mounts.push(mount_to_read("redis", "/etc/hushmark/redis"));
        volumes.push(secret_volume("redis", &secret, &[(entry, "password")]));
    }
    if let Some(hop) = Hop::new(region, COMPONENT, To::Redis) {
        arguments.extend(hop.arguments());
        let (volume, mounted) = hop.files();
        volumes.push(volume);
        mounts.push(mounted);
    }
    RedisAccess { arguments, mounts, volumes }
}

fn stateful_set(region: &ValidatedRegion) -> Wanted {
    let mut mounts = vec![
        mount_to_read("keys", "/etc/hushmark/keys"),
        mount_to_read("ring", "/etc/hushmark/ring"),
        mount_to_read("refusal", "/etc/hushmark/refusal"),
        mount("lanes", LANES.0),
    ];
    let mut volumes = vec![
        secret_volume("keys", &region.named("region-keys"), &[]),
        secret_volume("ring", &region.named("batch-keys"), &[]),
        secret_volume("refusal", &region.named("refusal-pub"), &[]),
    ];
    let RedisAccess { mounts: more, volumes: secrets, .. } = redis_access(region);
    mounts.extend(more);
    volumes.extend(secrets);
    if let Some(secret) = &region.edge_tls {
        mounts.push(mount_to_read("tls", "/etc/hushmark/tls"));
        let entries = [("tls.crt", "tls.crt"), ("tls.key", "tls.key")];
        volumes.push(secret_volume("tls", secret, &entries));
    }
    let Door { name, port, .. } = Door::of(region);
    let container = json!({
        "args": arguments(region),
        "image": region.config.image_edge,
        "imagePullPolicy": region.config.image_pull_policy.as_str(),
        "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
        "livenessProbe": probe("/healthz", 10, 3),
        "name": COMPONENT,
        "ports": [
            {"containerPort": port, "name": name, "protocol": "TCP"},
            {"containerPort": ADMIN, "name": "admin", "protocol": "TCP"},
        ],
        "readinessProbe": probe("/readyz", 2, 2),
        "resources": {
            "limits": {"memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "64Mi"},
        },
        "volumeMounts": mounts,
    });
    let pod = Pod {
        component: COMPONENT,
        user: USER,
        grace: GRACE_SECONDS,
        container,
        volumes,
        figures: Some(ADMIN),
        versions: &[],
    };
    let lanes = claim_template(region, COMPONENT, "lanes", &region.storage.lane_log);
    let mut spec = json!({
        "persistentVolumeClaimRetentionPolicy": keep_volumes(),
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": selector(&region.config, COMPONENT)},
        "serviceName": region.named("edge-pods"),
        "template": pod.template(region),
        "updateStrategy": {"type": "RollingUpdate"},
        "volumeClaimTemplates": [lanes],
    });
    // Left out where an autoscaler owns it.
    if let Edges::Fixed(edges) = region.edges {
        spec["replicas"] = edges.into();
    }
    object(region, Kind::StatefulSet, COMPONENT, "edge", json!({"spec": spec}))
}

/// The Secret and the entry that hold a component's password, if there is one.
pub(super) fn redis_password<'a>(
    region: &ValidatedRegion,
    entry: &'a str,
) -> Option<(String, &'a str)> {
    match &region.redis {
        Store::Managed => Some((region.named("redis-auth"), entry)),
        Store::External(at) => at.has_password.then(|| (at.secret.clone(), "password")),
    }
}

fn service(region: &ValidatedRegion) -> Wanted {
    let Door { name, service_port, .. } = Door::of(region);
    let value = json!({"spec": {
        "ports": [{"name": name, "port": service_port, "protocol": "TCP", "targetPort": name}],
        "selector": selector(&region.config, COMPONENT),
        "type": "ClusterIP",
    }});
    object(region, Kind::Service, COMPONENT, "edge", value)
}

/// Names for single pods, which a StatefulSet asks for.
fn pods_service(region: &ValidatedRegion) -> Wanted {
    let value = json!({"spec": {
        "clusterIP": "None",
        "ports": [{"name": "admin", "port": ADMIN, "protocol": "TCP", "targetPort": "admin"}],
        "publishNotReadyAddresses": true,
        "selector": selector(&region.config, COMPONENT),
    }});
    object(region, Kind::Service, COMPONENT, "edge-pods", value)
}

fn autoscaler(region: &ValidatedRegion) -> Option<Wanted> {
    let Edges::Between(fewest, most) = region.edges else { return None };
    let value = json!({"spec": {
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": CALM_SECONDS}},
        "maxReplicas": most,
        "metrics": [{
            "resource": {
                "name": "cpu",
                "target": {"averageUtilization": BUSY_PERCENT, "type": "Utilization"},
            },
            "type": "Resource",
        }],
        "minReplicas": fewest,
        "scaleTargetRef": {
            "apiVersion": "apps/v1", "kind": "StatefulSet", "name": region.named("edge"),
        },
    }});
    Some(object(region, Kind::HorizontalPodAutoscaler, COMPONENT, "edge", value))
}
