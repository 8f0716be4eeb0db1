//! ClickHouse: one node, for regions that need no more.

use serde_json::json;

use super::hop::{self, SERVER};
use super::pod::{Pod, mount, mount_to_read, secret_volume};
use super::{StorePod, Version, claim_template, keep_volumes, object, selector, service_account};
use crate::apply::{Kind, Wanted};
use crate::region::validate::ValidatedRegion;

const COMPONENT: &str = "clickhouse";

/// Its HTTP interface, by TLS and for those with a certificate of this region's authority.
pub(super) const PORT: u16 = 8443;

/// In the open, for the kubelet, which has no certificate: `/ping` is answered there, and nothing
/// else.
const PING_PORT: u16 = 8123;

/// What makes a server of the usual image listen so. The figures that it could show at the open
/// port are all switched off, and what is left of that page is called `/ping`.
pub(in crate::region) const SETTINGS: &str = "\
<clickhouse>
  <listen_host>0.0.0.0</listen_host>
  <https_port>8443</https_port>
  <http_port remove=\"remove\"/>
  <tcp_port remove=\"remove\"/>
  <mysql_port remove=\"remove\"/>
  <postgresql_port remove=\"remove\"/>
  <interserver_http_port remove=\"remove\"/>
  <prometheus>
    <endpoint>/ping</endpoint>
    <port>8123</port>
    <metrics>false</metrics>
    <events>false</events>
    <asynchronous_metrics>false</asynchronous_metrics>
    <errors>false</errors>
  </prometheus>
  <openSSL>
    <server>
      <certificateFile>/etc/hushmark/tls/tls.crt</certificateFile>
      <privateKeyFile>/etc/hushmark/tls/tls.key</privateKeyFile>
      <caConfig>/etc/hushmark/tls/ca.crt</caConfig>
      <loadDefaultCAFile>false</loadDefaultCAFile>
      <verificationMode>strict</verificationMode>
      <disableProtocols>sslv2,sslv3,tlsv1,tlsv1_1</disableProtocols>
      <preferServerCiphers>true</preferServerCiphers>
    </server>
  </openSSL>
</clickhouse>
";

/// Its user in the usual images.
const USER: u32 = 101;

pub(super) fn build(region: &ValidatedRegion, version: &Version) -> StorePod {
    StorePod {
        service_account: service_account(region, COMPONENT),
        stateful_set: stateful_set(region, version),
        service: service(region),
    }
}

fn stateful_set(region: &ValidatedRegion, version: &Version) -> Wanted {
    let ping = json!({"path": "/ping", "port": "ping"});
    let (tls, tls_mount) = hop::server(region, COMPONENT);
    let container = json!({
        "env": [
            // The image's own set-up would write beside its configuration, which is read-only here.
            {"name": "CLICKHOUSE_SKIP_USER_SETUP", "value": "1"},
            // This project's own image reads no settings; it is told the same in its own words.
            {"name": "HUSHMARK_EMBEDDED_TLS", "value": SERVER},
            {"name": "HUSHMARK_EMBEDDED_TLS_LISTEN", "value": format!("0.0.0.0:{PORT}")},
        ],
        "image": region.config.image_clickhouse,
        "imagePullPolicy": region.config.image_pull_policy.as_str(),
        "livenessProbe": {
            "failureThreshold": 6, "httpGet": ping, "periodSeconds": 10, "timeoutSeconds": 5,
        },
        "name": COMPONENT,
        "ports": [
            {"containerPort": PORT, "name": "https", "protocol": "TCP"},
            {"containerPort": PING_PORT, "name": "ping", "protocol": "TCP"},
        ],
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
            mount_to_read("settings", "/etc/clickhouse-server/config.d"),
            tls_mount,
            mount("log", "/var/log/clickhouse-server"),
            mount("tmp", "/tmp"),
        ],
    });
    let users = [("users.xml", "hushmark.xml")];
    let settings = [("server.xml", "hushmark.xml")];
    let pod = Pod {
        component: COMPONENT,
        user: USER,
        grace: 60,
        container,
        volumes: vec![
            secret_volume("users", &region.named("clickhouse-auth"), &users),
            secret_volume("settings", &region.named("clickhouse-tls"), &settings),
            tls,
            json!({"emptyDir": {"sizeLimit": "1Gi"}, "name": "log"}),
            json!({"emptyDir": {"sizeLimit": "1Gi"}, "name": "tmp"}),
        ],
        figures: None,
        versions: &version.annotations(),
    };
    let data = claim_template(region, COMPONENT, "data", &region.storage.clickhouse);
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
        "ports": [{"name": "https", "port": PORT, "protocol": "TCP", "targetPort": "https"}],
        "selector": selector(&region.config, COMPONENT),
        "type": "ClusterIP",
    }});
    object(region, Kind::Service, COMPONENT, COMPONENT, value)
}
