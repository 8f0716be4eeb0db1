//! ClickHouse: one node, for regions that need no more.

use serde_json::json;

use super::pod::{Pod, mount, mount_to_read, secret_volume};
use super::{StorePod, claim_template, keep_volumes, object, selector, service_account};
use crate::apply::{Kind, Wanted};
use crate::region::validate::ValidatedRegion;

const COMPONENT: &str = "clickhouse";

/// Its HTTP interface.
pub(super) const PORT: u16 = 8123;

/// Its user in the usual images.
const USER: u32 = 101;

pub(super) fn build(region: &ValidatedRegion) -> StorePod {
    StorePod {
        service_account: service_account(region, COMPONENT),
        stateful_set: stateful_set(region),
        service: service(region),
    }
}

fn stateful_set(region: &ValidatedRegion) -> Wanted {
    let ping = json!({"path": "/ping", "port": "http"});
    let container = json!({
        // The image's own set-up would write beside its configuration, which is read-only here.
        "env": [{"name": "CLICKHOUSE_SKIP_USER_SETUP", "value": "1"}],
        "image": region.config.image_clickhouse,
        "imagePullPolicy": region.config.image_pull_policy.as_str(),
        "livenessProbe": {
            "failureThreshold": 6, "httpGet": ping, "periodSeconds": 10, "timeoutSeconds": 5,
        },
        "name": COMPONENT,
        "ports": [{"containerPort": PORT, "name": "http", "protocol": "TCP"}],
        "readinessProbe": {
            "failureThreshold": 3, "httpGet": ping, "periodSeconds": 2, "timeoutSeconds": 3,
        },
        "resources": {
            "limits": {"memory": "6Gi"},
            "requests": {"cpu": "100m", "memory": "512Mi"},
        },
        // The engine loads its tables before it answers.
        "startupProbe": {
            "failureThreshold": 150, "httpGet": ping, "periodSeconds": 2, "timeoutSeconds": 3,
        },
        "volumeMounts": [
            mount("data", "/var/lib/clickhouse"),
            mount_to_read("users", "/etc/clickhouse-server/users.d"),
            mount("log", "/var/log/clickhouse-server"),
            mount("tmp", "/tmp"),
        ],
    });
    let users = [("users.xml", "hushmark.xml")];
    let pod = Pod {
        component: COMPONENT,
        user: USER,
        grace: 60,
        container,
        volumes: vec![
            secret_volume("users", &region.named("clickhouse-auth"), &users),
            json!({"emptyDir": {"sizeLimit": "1Gi"}, "name": "log"}),
            json!({"emptyDir": {"sizeLimit": "1Gi"}, "name": "tmp"}),
        ],
        figures: None,
        version: None,
    };
    let data = claim_template(region, COMPONENT, "data", &region.storage.clickhouse);
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
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP", "targetPort": "http"}],
        "selector": selector(region, COMPONENT),
        "type": "ClusterIP",
    }});
    object(region, Kind::Service, COMPONENT, COMPONENT, value)
}
