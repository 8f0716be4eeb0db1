//! Where hits are kept: Redis, ClickHouse, and the volumes under all that the stack runs.

use kube::KubeSchema;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClickhouseCluster, secret_name};

/// Where Redis is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedisSpec {
    /// One that runs already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// Where ClickHouse is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.external) || !has(self.cluster)")
        .message("there is an external one as well: hits are stored in one place, so name one")
        .field_path(".cluster"),
)]
pub struct ClickhouseSpec {
    /// One that runs already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// One that ClickHouse's own operator runs, beside the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClickhouseCluster>,
}

/// A store that runs already, and how it is reached.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// A Secret in the release's namespace with `url`, `user` and `password`, and for TLS with
    /// `ca.crt`, and `tls.crt` and `tls.key` where the store asks for a certificate.
    #[x_kube(validation = secret_name())]
    #[schemars(length(max = 253))]
    pub secret: String,
}

/// Volumes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The StorageClass of all of them; it should encrypt. Left out: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// What one edge may keep while Redis is away.
    #[serde(default = "default_lane_log")]
    #[x_kube(validation = size())]
    #[schemars(length(max = 32))]
    pub lane_log: String,
    /// Redis: hits on their way.
    #[serde(default = "default_redis")]
    #[x_kube(validation = size())]
    #[schemars(length(max = 32))]
    pub redis: String,
    /// ClickHouse: all that is kept.
    #[serde(default = "default_clickhouse")]
    #[x_kube(validation = size())]
    #[schemars(length(max = 32))]
    pub clickhouse: String,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            class_name: None,
            lane_log: default_lane_log(),
            redis: default_redis(),
            clickhouse: default_clickhouse(),
        }
    }
}

/// What is known of the storage under the volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(title = "encryption at rest")]
pub enum EncryptedAtRest {
    /// Whoever applies this says that it encrypts, whatever its StorageClass tells.
    Declared,
    /// Nothing is made before the StorageClass tells that it encrypts.
    Required,
}

/// A volume's size.
fn size() -> Rule {
    Rule::new("self.matches('^[1-9][0-9]{0,5}(Mi|Gi|Ti)$')")
        .message("must be a size like 10Gi: a whole number and Mi, Gi or Ti")
}

fn default_lane_log() -> String {
    "1Gi".to_owned()
}

fn default_redis() -> String {
    "10Gi".to_owned()
}

fn default_clickhouse() -> String {
    "20Gi".to_owned()
}
