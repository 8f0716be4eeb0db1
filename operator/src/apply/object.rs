//! What is applied: kinds, names, and objects as they are wanted.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::Context;
use crate::config::OptionalApi;

/// Holds a hash of everything that was applied, so that a field that is not wanted any more shows.
pub const RENDERED: &str = "hushmark.io/rendered";

/// The kinds of objects in a stack, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who pods are.
    ServiceAccount,
    /// Who may talk to whom; before any pod that it is for.
    NetworkPolicy,
    /// Names in the cluster.
    Service,
    /// Redis, ClickHouse, the edge.
    StatefulSet,
    /// The writer.
    Deployment,
    /// How many may be away at once.
    PodDisruptionBudget,
    /// How many edges there are.
    HorizontalPodAutoscaler,
    /// The way in from the internet.
    Ingress,
    /// The same by the Gateway API.
    HttpRoute,
    /// What cert-manager keeps.
    Certificate,
    /// What ClickHouse's own operator runs for the next.
    KeeperCluster,
    /// ClickHouse, run by its own operator.
    ClickHouseCluster,
}

impl Kind {
    /// Every kind that a cluster always has.
    pub const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::NetworkPolicy,
        Self::Service,
        Self::StatefulSet,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::Ingress,
    ];

    /// The kinds that an API of others brings.
    #[must_use]
    pub const fn of_api(api: OptionalApi) -> &'static [Self] {
        match api {
            OptionalApi::Gateway => &[Self::HttpRoute],
            OptionalApi::CertManager => &[Self::Certificate],
            OptionalApi::Clickhouse => &[Self::KeeperCluster, Self::ClickHouseCluster],
        }
    }

    /// Group, version and names.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            Self::Ingress => ApiResource::erase::<Ingress>(&()),
            Self::HttpRoute => {
                foreign("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
            }
            Self::Certificate => foreign("cert-manager.io", "v1", "Certificate", "certificates"),
            Self::KeeperCluster => {
                foreign("clickhouse.com", "v1alpha1", "KeeperCluster", "keeperclusters")
            }
            Self::ClickHouseCluster => {
                foreign("clickhouse.com", "v1alpha1", "ClickHouseCluster", "clickhouseclusters")
            }
        }
    }

    /// As manifests write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Service => "Service",
            Self::StatefulSet => "StatefulSet",
            Self::Deployment => "Deployment",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::Ingress => "Ingress",
            Self::HttpRoute => "HTTPRoute",
            Self::Certificate => "Certificate",
            Self::KeeperCluster => "KeeperCluster",
            Self::ClickHouseCluster => "ClickHouseCluster",
        }
    }

    pub(super) fn api(self, ctx: &Context) -> Api<DynamicObject> {
        Api::namespaced_with(ctx.client.clone(), &ctx.config.namespace, &self.resource())
    }
}

fn foreign(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// What names an object in the release's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// An object as it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What names it.
    pub id: Id,
    /// All of it that is ours, with [`RENDERED`] among its annotations.
    pub value: Value,
}

impl Wanted {
    /// Adds apiVersion, kind, name, namespace and the hash of it all.
    #[must_use]
    pub fn new(kind: Kind, name: &str, namespace: &str, mut value: Value) -> Self {
        let resource = kind.resource();
        value["apiVersion"] = resource.api_version.into();
        value["kind"] = resource.kind.into();
        value["metadata"]["name"] = name.into();
        value["metadata"]["namespace"] = namespace.into();
        let hash = Sha256::digest(value.to_string());
        value["metadata"]["annotations"][RENDERED] = hex::encode(&hash[..8]).into();
        Self { id: Id { kind, name: name.to_owned() }, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hash_changes_with_what_is_wanted_and_with_nothing_else() {
        let wanted = |port: u16| {
            let value = json!({"spec": {"ports": [{"port": port}]}});
            Wanted::new(Kind::Service, "demo-edge", "hush", value)
        };
        assert_eq!(wanted(80), wanted(80));
        let hash = |port| wanted(port).value["metadata"]["annotations"][RENDERED].clone();
        assert_ne!(hash(80), hash(81));
        assert!(!wanted(80).value["metadata"]["annotations"][RENDERED].is_null());
    }
}
