//! The writer: one works, one stands by.

use serde_json::{Value, json};

use super::edge::redis_password;
use super::hop::{Hop, To};
use super::pod::{Arguments, Pod, mount, mount_to_read, probe, secret_volume};
use super::{Writer, disruption, object, selector, service_account};
use crate::apply::{Kind, Wanted};
use crate::region::validate::{Store, ValidatedRegion};

const COMPONENT: &str = "writer";

/// Where operators look.
pub(super) const ADMIN: u16 = 8402;

/// Its user, as its image knows it.
const USER: u32 = 65_532;

/// One that works and one that stands by.
const REPLICAS: u8 = 2;

/// A drain may take two minutes (`writer/src/service.rs`).
const GRACE_SECONDS: u16 = 130;

pub(super) fn build(region: &ValidatedRegion) -> Writer {
    Writer {
        service_account: service_account(region, COMPONENT),
        deployment: deployment(region),
        disruption: disruption(region, COMPONENT),
    }
}

fn arguments(region: &ValidatedRegion) -> Value {
    let mut arguments = Arguments::default();
    arguments.flag("--redis", region.redis_url());
    let (user, has_password) = match &region.redis {
        Store::Managed => (Some(COMPONENT), true),
        Store::External(at) => (at.user.as_deref(), at.has_password),
    };
    if let Some(user) = user.filter(|_| has_password) {
        arguments.flag("--redis-user", user);
    }
    if has_password {
        arguments.flag("--redis-password-file", "/etc/hushmark/redis/password");
    }
    arguments.flag("--clickhouse", region.clickhouse_url());
    let (user, has_password) = match &region.clickhouse {
        Store::Managed => (Some("hushmark"), true),
        Store::External(at) => (at.user.as_deref(), at.has_password),
    };
    if let Some(user) = user {
        arguments.flag("--clickhouse-user", user);
    }
    if has_password {
        arguments.flag("--clickhouse-password-file", "/etc/hushmark/clickhouse/password");
    }
    for (name, file) in hops(region).flat_map(|hop| hop.arguments()) {
        arguments.flag(name, file);
    }
    arguments.flag("--ring", "/etc/hushmark/ring");
    arguments.flag("--salts", "/etc/hushmark/salts");
    arguments.flag("--admin", format!("0.0.0.0:{ADMIN}"));
    arguments.flag("--state", "/var/lib/hushmark/state");
    arguments.flag("--refusal-key", "/etc/hushmark/refusal/refusal.pub");
    arguments.flag("--epoch-seconds", region.epoch_seconds.to_string());
    arguments.flag("--minimum-group", region.minimum_group.to_string());
    arguments.flag("--metrics-step", region.minimum_group.to_string());
    arguments.into_value()
}

/// It reaches both stores.
fn hops(region: &ValidatedRegion) -> impl Iterator<Item = Hop> + '_ {
    [To::Redis, To::Clickhouse].into_iter().filter_map(|to| Hop::new(region, COMPONENT, to))
}

fn deployment(region: &ValidatedRegion) -> Wanted {
    let mut mounts = vec![
        mount_to_read("ring", "/etc/hushmark/ring"),
        mount_to_read("salts", "/etc/hushmark/salts"),
        mount_to_read("refusal", "/etc/hushmark/refusal"),
        mount("state", "/var/lib/hushmark"),
    ];
    let mut volumes = vec![
        secret_volume("ring", &region.named("batch-keys"), &[]),
        secret_volume("salts", &region.named("salt-keys"), &[]),
        secret_volume("refusal", &region.named("refusal-pub"), &[]),
        // A copy of the refusal log, which comes again from Redis.
        json!({"emptyDir": {"sizeLimit": "1Gi"}, "name": "state"}),
    ];
    if let Some((secret, entry)) = redis_password(region, "writer.password") {
        mounts.push(mount_to_read("redis", "/etc/hushmark/redis"));
        volumes.push(secret_volume("redis", &secret, &[(entry, "password")]));
    }
    let clickhouse = match &region.clickhouse {
        Store::Managed => Some(region.named("clickhouse-auth")),
        Store::External(at) => at.has_password.then(|| at.secret.clone()),
    };
    if let Some(secret) = clickhouse {
        mounts.push(mount_to_read("clickhouse", "/etc/hushmark/clickhouse"));
        volumes.push(secret_volume("clickhouse", &secret, &[("password", "password")]));
    }
    for hop in hops(region) {
        let (volume, mounted) = hop.files();
        volumes.push(volume);
        mounts.push(mounted);
    }
    let container = json!({
        "args": arguments(region),
        "image": region.config.image_writer,
        "imagePullPolicy": region.config.image_pull_policy.as_str(),
        "livenessProbe": probe("/healthz", 10, 3),
        "name": COMPONENT,
        "ports": [{"containerPort": ADMIN, "name": "admin", "protocol": "TCP"}],
        "readinessProbe": probe("/readyz", 2, 2),
        "resources": {
            "limits": {"memory": "1Gi"},
            "requests": {"cpu": "50m", "memory": "64Mi"},
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
    let value = json!({"spec": {
        "replicas": REPLICAS,
        "selector": {"matchLabels": selector(&region.config, COMPONENT)},
        "strategy": {
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            "type": "RollingUpdate",
        },
        "template": pod.template(region),
    }});
    object(region, Kind::Deployment, COMPONENT, "writer", value)
}
