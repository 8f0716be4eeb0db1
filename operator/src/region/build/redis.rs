//! Redis: one primary, every write on disk before it is answered, nothing evicted. There is no
//! replica: failing over to one that lags loses writes that were answered.

use serde_json::{Value, json};

use super::hop::{self, SERVER};
use super::pod::{Arguments, Pod, mount, mount_to_read, secret_volume};
use super::{StorePod, Version, claim_template, keep_volumes, object, selector, service_account};
use crate::apply::{Kind, Wanted};
use crate::region::keys::acl::PROBE;
use crate::region::validate::ValidatedRegion;

const COMPONENT: &str = "redis";

/// Where it listens.
pub(super) const PORT: u16 = 6379;

/// Its user in the usual images.
const USER: u32 = 999;

pub(super) fn build(region: &ValidatedRegion, version: &Version) -> StorePod {
    StorePod {
        service_account: service_account(region, COMPONENT),
        stateful_set: stateful_set(region, version),
        service: service(region),
    }
}

fn arguments() -> Value {
    let mut arguments = Arguments::default();
    arguments.flag("--dir", "/data");
    arguments.flag("--appendonly", "yes");
    arguments.flag("--appendfsync", "always");
    arguments.flag("--save", "");
    // Half of the memory limit: a rewrite of the file may need as much again.
    arguments.flag("--maxmemory", "1gb");
    arguments.flag("--maxmemory-policy", "noeviction");
    arguments.flag("--aclfile", "/etc/hushmark/redis/users.acl");
    // By TLS alone, and only with a certificate of this region's authority.
    arguments.flag("--port", "0");
    arguments.flag("--tls-port", PORT.to_string());
    arguments.flag("--tls-auth-clients", "yes");
    arguments.flag("--tls-ca-cert-file", format!("{SERVER}/ca.crt"));
    arguments.flag("--tls-cert-file", format!("{SERVER}/tls.crt"));
    arguments.flag("--tls-key-file", format!("{SERVER}/tls.key"));
    // Everyone has a name and a password, but for the probe, to whom only PING is answered.
    arguments.flag("--protected-mode", "no");
    arguments.into_value()
}

fn stateful_set(region: &ValidatedRegion, version: &Version) -> Wanted {
    // Each shows the server's own certificate. A bare connection would be an error in Redis's log.
    let file = |name: &str| format!("{SERVER}/{name}");
    let tls_options = [
        "-p",
        &PORT.to_string(),
        "--tls",
        "--cacert",
        &file("ca.crt"),
        "--cert",
        &file("tls.crt"),
        "--key",
        &file("tls.key"),
        "--user",
        PROBE,
        "--pass",
        PROBE,
        "--no-auth-warning",
    ];
    // While the file is being read, Redis answers with an error: alive, and not ready, as `-e` says.
    let alive = [&["redis-cli"][..], &tls_options, &["ping"]].concat();
    let ready = [&["redis-cli", "-e"][..], &tls_options, &["ping"]].concat();
    let (tls, tls_mount) = hop::server(region, COMPONENT);
    let container = json!({
        "args": arguments(),
        "image": region.config.image_redis,
        "imagePullPolicy": region.config.image_pull_policy.as_str(),
        "livenessProbe": {
            "exec": {"command": alive}, "failureThreshold": 6,
            "periodSeconds": 10, "timeoutSeconds": 5,
        },
        "name": COMPONENT,
        "ports": [{"containerPort": PORT, "name": "redis", "protocol": "TCP"}],
        "readinessProbe": {
            "exec": {"command": ready}, "failureThreshold": 3,
            "periodSeconds": 2, "timeoutSeconds": 3,
        },
        "resources": {
            "limits": {"memory": "2Gi"},
            "requests": {"cpu": "50m", "memory": "64Mi"},
        },
        "volumeMounts": [
            mount("data", "/data"),
            mount_to_read("acl", "/etc/hushmark/redis"),
            tls_mount,
        ],
    });
    let acl_file = [("users.acl", "users.acl")];
    let pod = Pod {
        component: COMPONENT,
        user: USER,
        grace: 30,
        container,
        volumes: vec![secret_volume("acl", &region.named("redis-auth"), &acl_file), tls],
        figures: None,
        versions: &version.annotations(),
    };
    let data = claim_template(region, COMPONENT, "data", &region.storage.redis);
    let value = json!({"spec": {
        "persistentVolumeClaimRetentionPolicy": keep_volumes(),
        "replicas": 1,
        "selector": {"matchLabels": selector(&region.config, COMPONENT)},
        "serviceName": region.named(COMPONENT),
        "template": pod.template(region),
        "volumeClaimTemplates": [data],
    }});
    object(region, Kind::StatefulSet, COMPONENT, COMPONENT, value)
}

fn service(region: &ValidatedRegion) -> Wanted {
    let value = json!({"spec": {
        "ports": [{"name": "redis", "port": PORT, "protocol": "TCP", "targetPort": "redis"}],
        "selector": selector(&region.config, COMPONENT),
        "type": "ClusterIP",
    }});
    object(region, Kind::Service, COMPONENT, COMPONENT, value)
}
