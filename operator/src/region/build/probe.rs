//! The pods that probe the network. They differ in one thing alone, their labels: the stack's
//! policies select one and not the other.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::pod::hardened;
use super::{MANAGED_BY, labels, metadata};
use crate::region::probing::{Asked, NODE, QUESTION, ROLE};
use crate::region::validate::ValidatedRegion;

/// The component of the one that is held back.
pub(super) const COMPONENT: &str = "probe";

/// Its user, as the operator's image knows it.
const USER: u32 = 65_532;

/// Which of the two pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::region) enum ProbeRole {
    /// Under the stack's policies.
    Restricted,
    /// Under none of them.
    Control,
}

impl ProbeRole {
    pub(in crate::region) const ALL: [Self; 2] = [Self::Restricted, Self::Control];

    const fn name(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Control => "control",
        }
    }

    pub(in crate::region) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    const fn component(self) -> &'static str {
        match self {
            Self::Restricted => COMPONENT,
            Self::Control => "probe-control",
        }
    }
}

/// A pod that asks once, on one node, and ends.
pub(in crate::region) fn probe_pod(
    region: &ValidatedRegion,
    asked: &Asked,
    node: &str,
    role: ProbeRole,
) -> Pod {
    let mut metadata = metadata(region, role.component());
    let mut labels = labels(&region.config, role.component());
    labels.insert(ROLE.to_owned(), role.name().to_owned());
    if role == ProbeRole::Control {
        // What the policy that allows nothing looks for.
        labels.insert("app.kubernetes.io/managed-by".into(), format!("{MANAGED_BY}-probe"));
    }
    metadata["labels"] = json!(labels);
    metadata["annotations"] = json!({NODE: node, QUESTION: asked.question});
    // The same question to the same node has the same name, so that none is asked twice at once.
    let hash = hex::encode(Sha256::digest(format!("{node}\n{}", asked.question)));
    metadata["name"] = region.named(&format!("{}-{}", role.component(), &hash[..10])).into();
    metadata["namespace"] = region.config.namespace.clone().into();
    let container = json!({
        "args": ["probe", asked.target],
        "image": region.config.image_operator,
        "imagePullPolicy": region.config.image_pull_policy.as_str(),
        "name": COMPONENT,
        "resources": {
            "limits": {"memory": "64Mi"},
            "requests": {"cpu": "10m", "memory": "16Mi"},
        },
    });
    // By name and through the scheduler, as a DaemonSet does it: a node that is full says so.
    let on_node = json!({"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": [node]},
    ]});
    let pull: Vec<Value> =
        region.config.image_pull_secret.iter().map(|name| json!({"name": name})).collect();
    let pod = json!({
        "metadata": metadata,
        "spec": {
            "activeDeadlineSeconds": 60,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [on_node],
            }}},
            "automountServiceAccountToken": false,
            "containers": [hardened(container)],
            "enableServiceLinks": false,
            "imagePullSecrets": pull,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsGroup": USER,
                "runAsNonRoot": true,
                "runAsUser": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": 0,
        },
    });
    serde_json::from_value(pod).expect("every field is a pod's: a test reads it back")
}
