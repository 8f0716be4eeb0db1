//! Redis: one primary, every write on disk before it is answered, nothing evicted. There is no
//! replica: failing over to one that lags loses writes that were answered.

use serde_json::{Value, json};

use super::pod::{Arguments, Pod, mount, mount_to_read, secret_volume};
use super::{StorePod, claim_template, keep_volumes, object, selector, service_account};
use crate::apply::{Kind, Wanted};
use crate::region::keys::acl;
use crate::region::validate::ValidatedRegion;

const COMPONENT: &str = "redis";

/// Where it listens.
pub(super) const PORT: u16 = 6379;

/// Its user in the usual images.
const USER: u32 = 999;

/// Changes when Redis has to read its ACL file again.
const ACL_ANNOTATION: &str = "hushmark.io/acl";

pub(super) fn build(region: &ValidatedRegion) -> StorePod {
    StorePod {
        service_account: service_account(region, COMPONENT),
        stateful_set: stateful_set(region),
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
    // Everyone has a password; without one only PING is answered.
    arguments.flag("--protected-mode", "no");
    arguments.into_value()
}

fn stateful_set(region: &ValidatedRegion) -> Wanted {
    // Fails while the file is being read: an error is an error, and `-e` says so.
    let ping = json!(["redis-cli", "-e", "ping"]);
    let container = json!({
        "args": arguments(),
        "image": region.config.image_redis,
        "imagePullPolicy": region.config.image_pull_policy.as_str(),
        "livenessProbe": {
            "failureThreshold": 6, "periodSeconds": 10,
            "tcpSocket": {"port": "redis"}, "timeoutSeconds": 5,
        },
        "name": COMPONENT,
        "ports": [{"containerPort": PORT, "name": "redis", "protocol": "TCP"}],
        "readinessProbe": {
            "exec": {"command": ping}, "failureThreshold": 3,
            "periodSeconds": 2, "timeoutSeconds": 3,
        },
        "resources": {
            "limits": {"memory": "2Gi"},
            "requests": {"cpu": "50m", "memory": "64Mi"},
        },
        "volumeMounts": [
            mount("data", "/data"),
            mount_to_read("acl", "/etc/hushmark/redis"),
        ],
    });
    let acl_file = [("users.acl", "users.acl")];
    let pod = Pod {
        component: COMPONENT,
        user: USER,
        grace: 30,
        container,
        volumes: vec![secret_volume("acl", &region.named("redis-auth"), &acl_file)],
        figures: None,
        version: Some((ACL_ANNOTATION, acl::version())),
    };
    let data = claim_template(region, COMPONENT, "data", &region.storage.redis);
    let value = json!({"spec": {
        "persistentVolumeClaimRetentionPolicy": keep_volumes(),
        "replicas": 1,
        "selector": {"matchLabels": selector(region, COMPONENT)},
        "serviceName": region.named(COMPONENT),
        "template": pod.template(region),
        "volumeClaimTemplates": [data],
    }});
    object(region, Kind::StatefulSet, COMPONENT, COMPONENT, value)
}

fn service(region: &ValidatedRegion) -> Wanted {
    let value = json!({"spec": {
        "ports": [{"name": "redis", "port": PORT, "protocol": "TCP", "targetPort": "redis"}],
        "selector": selector(region, COMPONENT),
        "type": "ClusterIP",
    }});
    object(region, Kind::Service, COMPONENT, COMPONENT, value)
}
