//! How the edge is reached from outside: by an Ingress or by a Gateway, and with which certificate.

use hushmark_crds::region::{CertificateSpec, GatewaySpec, IngressSpec, IssuerKind};
use serde_json::{Value, json};

use super::edge::{COMPONENT, Door};
use super::{WaysIn, metadata, object};
use crate::apply::{Kind, Wanted};
use crate::config::OptionalApi;
use crate::region::validate::ValidatedRegion;

/// What of others cannot be made here is left out; a condition of the Region says so.
pub(super) fn build(region: &ValidatedRegion) -> WaysIn {
    let usable = |api| region.usable.contains(&api);
    let gateway = region.gateway.as_ref().filter(|_| usable(OptionalApi::Gateway));
    let certificate = region.certificate.as_ref().filter(|_| usable(OptionalApi::CertManager));
    WaysIn {
        ingress: region.ingress.as_ref().map(|ingress| by_ingress(region, ingress)),
        route: gateway.map(|gateway| by_gateway(region, gateway)),
        certificate: certificate.map(|asked| certificate_of(region, asked)),
    }
}

/// Whether an Ingress can be told to keep no log: its lines would hold addresses and tokens.
pub(in crate::region) fn quiet_logs(ingress: &IngressSpec) -> Option<(&'static str, &'static str)> {
    let class = ingress.class_name.as_deref()?;
    class.contains("nginx").then_some(("nginx.ingress.kubernetes.io/enable-access-log", "false"))
}

/// How an Ingress can be told that the edge behind it speaks TLS.
pub(in crate::region) fn speaks_tls(ingress: &IngressSpec) -> Option<(&'static str, &'static str)> {
    let class = ingress.class_name.as_deref()?;
    class.contains("nginx").then_some(("nginx.ingress.kubernetes.io/backend-protocol", "HTTPS"))
}

fn by_ingress(region: &ValidatedRegion, ingress: &IngressSpec) -> Wanted {
    let mut annotations = ingress.annotations.clone();
    if let Some((name, value)) = quiet_logs(ingress) {
        annotations.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    if region.edge_tls.is_some()
        && let Some((name, value)) = speaks_tls(ingress)
    {
        annotations.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    let port = Door::of(region).name;
    let hosts = region.host_names();
    let rules: Vec<Value> = hosts
        .iter()
        .map(|host| {
            let to = json!({"service": {"name": region.named("edge"), "port": {"name": port}}});
            let path = json!({"backend": to, "path": "/", "pathType": "Prefix"});
            json!({"host": host, "http": {"paths": [path]}})
        })
        .collect();
    let mut tls = json!({"hosts": hosts});
    let kept = region.certificate.as_ref().map(|certificate| &certificate.secret);
    if let Some(secret) = ingress.tls_secret.as_ref().or(kept) {
        tls["secretName"] = secret.clone().into();
    }
    let mut spec = json!({"rules": rules, "tls": [tls]});
    if let Some(class) = &ingress.class_name {
        spec["ingressClassName"] = class.clone().into();
    }
    let mut value = json!({"spec": spec, "metadata": metadata(region, COMPONENT)});
    if !annotations.is_empty() {
        value["metadata"]["annotations"] = json!(annotations);
    }
    Wanted::new(Kind::Ingress, &region.named("edge"), &region.config.namespace, value)
}

/// Every default of the Gateway API is said, because its lists belong to one applier and are
/// compared whole.
fn by_gateway(region: &ValidatedRegion, gateway: &GatewaySpec) -> Wanted {
    let mut parent = json!({
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": gateway.name,
    });
    if let Some(namespace) = &gateway.namespace {
        parent["namespace"] = namespace.clone().into();
    }
    if let Some(section) = &gateway.section_name {
        parent["sectionName"] = section.clone().into();
    }
    let to = json!({
        "group": "",
        "kind": "Service",
        "name": region.named("edge"),
        "port": Door::of(region).service_port,
        "weight": 1,
    });
    let all = json!({"path": {"type": "PathPrefix", "value": "/"}});
    let value = json!({"spec": {
        "hostnames": region.host_names(),
        "parentRefs": [parent],
        "rules": [{"backendRefs": [to], "matches": [all]}],
    }});
    object(region, Kind::HttpRoute, COMPONENT, "edge", value)
}

/// One for every host, so that one Secret is enough for an Ingress, a Gateway's listener, or the
/// edge itself.
fn certificate_of(region: &ValidatedRegion, asked: &CertificateSpec) -> Wanted {
    let kind = match asked.issuer.kind {
        IssuerKind::ClusterIssuer => "ClusterIssuer",
        IssuerKind::Issuer => "Issuer",
    };
    let value = json!({"spec": {
        "dnsNames": region.host_names(),
        "issuerRef": {"group": "cert-manager.io", "kind": kind, "name": asked.issuer.name},
        "privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Always", "size": 256},
        "secretName": asked.secret,
    }});
    object(region, Kind::Certificate, COMPONENT, "edge", value)
}
