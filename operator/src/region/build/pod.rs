//! What all pods of a stack have in common.

use serde_json::{Value, json};

use crate::region::build::{labels, selector};
use crate::region::validate::ValidatedRegion;

/// Files that only a pod's group reads (0440).
const GROUP_READS: u16 = 0o440;

/// What differs between the components' pods.
pub(super) struct Pod<'a> {
    pub(super) component: &'a str,
    /// User and group; no two components need the same.
    pub(super) user: u32,
    /// Seconds from SIGTERM to SIGKILL.
    pub(super) grace: u16,
    pub(super) container: Value,
    pub(super) volumes: Vec<Value>,
    /// The port of the admin page with figures, if it has one.
    pub(super) figures: Option<u16>,
    /// What changes when its pods have to be replaced though nothing else in them changed.
    pub(super) versions: &'a [(&'a str, &'a str)],
}

impl Pod<'_> {
    /// The template: the restricted Pod Security Standard, and the region's nodes.
    pub(super) fn template(self, region: &ValidatedRegion) -> Value {
        let Self { component, user, grace, container, volumes, figures, versions } = self;
        let mut annotations = serde_json::Map::new();
        if let Some(port) = figures {
            annotations.insert("prometheus.io/path".into(), "/metrics".into());
            annotations.insert("prometheus.io/port".into(), port.to_string().into());
            annotations.insert("prometheus.io/scrape".into(), "true".into());
        }
        for (name, version) in versions {
            annotations.insert((*name).to_owned(), (*version).into());
        }
        let mut spec = json!({
            "automountServiceAccountToken": false,
            "containers": [hardened(container)],
            "enableServiceLinks": false,
            "securityContext": {
                "fsGroup": user,
                "fsGroupChangePolicy": "OnRootMismatch",
                "runAsGroup": user,
                "runAsNonRoot": true,
                "runAsUser": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "serviceAccountName": region.named(component),
            "terminationGracePeriodSeconds": grace,
            "topologySpreadConstraints": [
                spread(region, component, "kubernetes.io/hostname"),
                spread(region, component, "topology.kubernetes.io/zone"),
            ],
            "volumes": volumes,
        });
        if !region.node_selector.is_empty() {
            spec["nodeSelector"] = json!(region.node_selector);
        }
        let pull: Vec<Value> =
            region.config.image_pull_secret.iter().map(|name| json!({"name": name})).collect();
        if !pull.is_empty() {
            spec["imagePullSecrets"] = pull.into();
        }
        let mut metadata = json!({"labels": labels(&region.config, component)});
        if !annotations.is_empty() {
            metadata["annotations"] = annotations.into();
        }
        json!({"metadata": metadata, "spec": spec})
    }
}

pub(super) fn hardened(mut container: Value) -> Value {
    container["securityContext"] = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
    });
    container
}

/// Apart where that is possible, together where it is not: a pod that waits serves nobody.
fn spread(region: &ValidatedRegion, component: &str, key: &str) -> Value {
    json!({
        "labelSelector": {"matchLabels": selector(&region.config, component)},
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
    })
}

/// A probe of a page on the admin port.
pub(super) fn probe(path: &str, period: u16, failures: u16) -> Value {
    json!({
        "failureThreshold": failures,
        "httpGet": {"path": path, "port": "admin"},
        "periodSeconds": period,
        "timeoutSeconds": 3,
    })
}

/// A Secret's entries as files; all of them where none is named.
pub(super) fn secret_volume(name: &str, secret: &str, entries: &[(&str, &str)]) -> Value {
    let mut volume = json!({"defaultMode": GROUP_READS, "secretName": secret});
    if !entries.is_empty() {
        let items = entries.iter().map(|(key, path)| json!({"key": key, "path": path}));
        volume["items"] = items.collect();
    }
    json!({"name": name, "secret": volume})
}

/// Where a volume is in a container.
pub(super) fn mount(name: &str, path: &str) -> Value {
    json!({"mountPath": path, "name": name})
}

/// Where a volume can be read in a container.
pub(super) fn mount_to_read(name: &str, path: &str) -> Value {
    json!({"mountPath": path, "name": name, "readOnly": true})
}

/// Arguments, in the order in which they are given.
#[derive(Default)]
pub(super) struct Arguments(Vec<String>);

impl Arguments {
    pub(super) fn flag(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.to_owned());
        self.0.push(value.into());
    }

    pub(super) fn switch(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    pub(super) fn into_value(self) -> Value {
        self.0.into()
    }
}
