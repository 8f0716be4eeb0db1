//! APIs of others: which a Region asks for, and what to do where one cannot be had. Pure.

use super::ValidatedRegion;
use crate::config::OptionalApi;

/// The field that asks, what it asks for, the chart's value that gives the right to it, and what to
/// do where the cluster lacks it.
const fn words(api: OptionalApi) -> [&'static str; 4] {
    match api {
        OptionalApi::Gateway => [
            "spec.gateway",
            "HTTPRoute of gateway.networking.k8s.io/v1",
            "gateway",
            "install the Gateway API's definitions, or use spec.ingress",
        ],
        OptionalApi::CertManager => [
            "spec.certificate",
            "Certificate of cert-manager.io/v1",
            "certManager",
            "install cert-manager, or put a certificate into the Secret yourself and leave \
             spec.certificate out",
        ],
        OptionalApi::Clickhouse => [
            "spec.clickhouse.cluster",
            "ClickHouseCluster of clickhouse.com/v1alpha1",
            "clickhouse",
            "install ClickHouse's operator, or leave spec.clickhouse.cluster out",
        ],
    }
}

impl ValidatedRegion {
    /// The APIs of others that are asked for.
    #[must_use]
    pub fn asked_apis(&self) -> Vec<OptionalApi> {
        let all = [
            (OptionalApi::Gateway, self.gateway.is_some()),
            (OptionalApi::CertManager, self.certificate.is_some()),
            (OptionalApi::Clickhouse, self.clickhouse_cluster.is_some()),
        ];
        all.into_iter().filter(|(_, is)| *is).map(|(api, _)| api).collect()
    }

    /// What is asked for and cannot be made, with what to do.
    #[must_use]
    pub fn missing_apis(&self) -> Vec<String> {
        let missing = self.asked_apis().into_iter().filter(|api| !self.usable.contains(api));
        missing
            .map(|api| {
                let [field, kind, value, remedy] = words(api);
                if self.config.optional_api.contains(&api) {
                    format!("{field} asks for {kind}, which this cluster does not have: {remedy}")
                } else {
                    format!(
                        "{field} asks for {kind}, and this release has no rights to it: set the \
                         chart's value operator.optionalApis.{value} to true"
                    )
                }
            })
            .collect()
    }
}
