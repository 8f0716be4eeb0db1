use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::config::tests::config;

fn region(name: &str, created: &str, spec: Value) -> Region {
    serde_json::from_value(json!({
        "apiVersion": "hushmark.io/v1alpha1",
        "kind": "Region",
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "creationTimestamp": created},
        "spec": spec,
    }))
    .expect("a Region")
}

/// No more than has to be said.
pub(in crate::region) fn minimal() -> Region {
    let spec = json!({
        "jurisdiction": "EU",
        "baseUrl": "https://t.example.com",
        "ceilings": {"opens": "anonymous", "clicks": "anonymous"},
    });
    region("eu", "2026-11-20T00:00:00Z", spec)
}

/// Everything that can be said of a stack that runs here.
pub(in crate::region) fn full() -> Region {
    let spec = json!({
        "jurisdiction": "EU",
        "baseUrl": "https://t.example.com",
        "formerBaseUrls": ["https://old.example.com", "https://t.example.com:8443"],
        "edge": {"threads": 4, "replicas": 3, "maxReplicas": 12},
        "acknowledgement": "disk",
        "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
        "placeDatabase": "/usr/share/places.mmdb",
        "ceilings": {"opens": "individual", "clicks": "individual", "place": "country"},
        "minimumGroup": 25,
        "epoch": "15m",
        "longestTrackingDays": 90,
        "privacySignals": "countRaw",
        "egress": [
            {"purpose": "sending mail", "host": "smtp.example.com:587", "jurisdiction": "DE"},
        ],
        "storage": {
            "className": "encrypted", "laneLog": "2Gi", "redis": "20Gi", "clickhouse": "500Gi",
        },
        "ingress": {
            "className": "nginx",
            "tlsSecret": "tracking-tls",
            "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"},
            "namespaceSelector": {"kubernetes.io/metadata.name": "ingress-nginx"},
        },
        "nodeSelector": {"topology.kubernetes.io/region": "eu-central"},
    });
    region("eu", "2026-11-20T00:00:00Z", spec)
}

/// Stores that run already: one outside by its name, one by its address.
pub(in crate::region) fn external() -> Region {
    let mut region = minimal();
    let spec = json!({
        "redis": {"external": {"secret": "our-redis"}},
        "clickhouse": {"external": {"secret": "our-clickhouse"}},
        "egress": [
            {"purpose": "hits", "host": "192.0.2.7", "jurisdiction": "DE"},
            {"purpose": "reports", "host": "ch.example.com:8123", "jurisdiction": "DE"},
        ],
    });
    let mut whole = serde_json::to_value(&region.spec).expect("JSON");
    for (field, value) in spec.as_object().expect("an object") {
        whole[field] = value.clone();
    }
    region.spec = serde_json::from_value(whole).expect("a spec");
    region
}

/// A cluster that has every API of others.
pub(in crate::region) fn usable() -> BTreeSet<OptionalApi> {
    [OptionalApi::Gateway, OptionalApi::CertManager, OptionalApi::Clickhouse].into()
}

/// What others make: the way in, the certificate, ClickHouse.
pub(in crate::region) fn of_others() -> Region {
    let mut region = minimal();
    let mut whole = serde_json::to_value(&region.spec).expect("JSON");
    whole["gateway"] = json!({
        "name": "public", "namespace": "gateways", "sectionName": "https",
        "namespaceSelector": {"kubernetes.io/metadata.name": "gateways"},
    });
    whole["certificate"] = json!({"secret": "tracking-tls", "issuer": {"name": "letsencrypt"}});
    whole["clickhouse"] = json!({"cluster": {"keeperReplicas": 1}});
    whole["nodeSelector"] = json!({"topology.kubernetes.io/region": "eu-central"});
    whole["egressProbe"] = json!({"target": "192.0.2.1:443"});
    region.spec = serde_json::from_value(whole).expect("a spec");
    region
}

fn secret(entries: &[(&str, &str)]) -> Secret {
    let data: BTreeMap<String, k8s_openapi::ByteString> = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), k8s_openapi::ByteString(value.as_bytes().to_vec())))
        .collect();
    Secret { data: Some(data), ..Secret::default() }
}

/// What [`external`] refers to.
pub(in crate::region) fn secrets() -> BTreeMap<String, Secret> {
    BTreeMap::from([
        (
            "our-redis".to_owned(),
            secret(&[
                ("url", "redis://192.0.2.7:6380\n"),
                ("password", "redis-password-in-a-secret"),
            ]),
        ),
        (
            "our-clickhouse".to_owned(),
            secret(&[
                ("url", "http://ch.example.com:8123"),
                ("user", "writer"),
                ("password", "clickhouse-password-in-a-secret"),
            ]),
        ),
    ])
}

fn checked(region: &Region, others: &[Arc<Region>]) -> Result<ValidatedRegion, Vec<Problem>> {
    let secrets = secrets();
    validate(region, &config(), &Around { others, secrets: &secrets, usable: &usable() })
}

/// The one problem of a region that differs from [`external`] by its Redis Secret.
fn redis_problem(entries: &[(&str, &str)]) -> String {
    let mut secrets = secrets();
    secrets.insert("our-redis".into(), secret(entries));
    let found = validate(
        &external(),
        &config(),
        &Around { others: &[], secrets: &secrets, usable: &usable() },
    );
    let problems = found.expect_err("it has a problem");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].reason, "ExternalSecret");
    problems[0].message.clone()
}

#[test]
fn what_is_not_said_has_a_sound_default() {
    let valid = checked(&minimal(), &[]).unwrap();
    assert_eq!(valid.edges, Edges::Fixed(2));
    assert_eq!(valid.ring_days, 407, "the longest tracking life and seven days");
    assert_eq!(valid.epoch_seconds, 3_600);
    assert_eq!(valid.lane_log_bytes, (1 << 30) / 5 * 4);
    assert_eq!(valid.redis_url(), "redis://demo-redis.hush.svc:6379");
    assert_eq!(valid.clickhouse_url(), "http://demo-clickhouse.hush.svc:8123");
}

#[test]
fn an_autoscaler_needs_room_to_scale() {
    assert_eq!(checked(&full(), &[]).unwrap().edges, Edges::Between(3, 12));
    let mut region = full();
    region.spec.edge.as_mut().unwrap().max_replicas = Some(3);
    assert_eq!(checked(&region, &[]).unwrap().edges, Edges::Fixed(3));
}

#[test]
fn of_two_regions_with_one_host_the_younger_is_told() {
    let mut younger = region(
        "us",
        "2026-11-21T00:00:00Z",
        json!({
            "jurisdiction": "US",
            "baseUrl": "https://u.example.com",
            "formerBaseUrls": ["https://t.example.com"],
            "ceilings": {"opens": "off", "clicks": "off"},
        }),
    );
    let older = Arc::new(minimal());
    let problems = checked(&younger, &[Arc::clone(&older)]).unwrap_err();
    assert_eq!(problems[0].reason, "HostTaken");
    assert!(problems[0].message.contains("t.example.com is Region eu's"), "{problems:?}");
    assert!(checked(&older, &[Arc::new(younger.clone())]).is_ok());
    younger.spec.former_base_urls.clear();
    assert!(checked(&younger, &[older]).is_ok());
}

#[test]
fn a_path_beside_a_manifest_is_none_in_a_cluster() {
    let mut region = full();
    region.spec.place_database = Some("places.mmdb".into());
    let problems = checked(&region, &[]).unwrap_err();
    assert_eq!(problems[0].reason, "PlaceDatabase");
}

#[test]
fn an_external_store_is_read_from_its_secret() {
    let valid = checked(&external(), &[]).unwrap();
    let Store::External(redis) = &valid.redis else { panic!("{:?}", valid.redis) };
    assert_eq!(redis.host, Host::Address("192.0.2.7".parse().unwrap()));
    assert_eq!((redis.port, redis.user.as_deref()), (6380, None));
    assert_eq!(redis.password_secret.as_deref(), Some("our-redis"));
    let Store::External(clickhouse) = &valid.clickhouse else { panic!("{:?}", valid.clickhouse) };
    assert_eq!(clickhouse.host, Host::Name("ch.example.com".into()));
    assert_eq!(clickhouse.user.as_deref(), Some("writer"));
    assert_eq!(valid.unused_egress, Vec::<String>::new());
}

#[test]
fn a_secret_that_cannot_be_used_is_told_with_what_it_lacks() {
    for (entries, expected) in [
        (&[("password", "x")][..], "has no url: add one like redis://host:port"),
        (&[("url", "redis//x")], "has a url that is none"),
        (&[("url", "rediss://192.0.2.7")], "TLS to the stores is not there yet"),
        (&[("url", "redis://me:secret@192.0.2.7")], "stands in the process list"),
    ] {
        let message = redis_problem(entries);
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("secret@"), "{message}");
    }
    let nothing = BTreeMap::new();
    let around = Around { others: &[], secrets: &nothing, usable: &usable() };
    let problems = validate(&external(), &config(), &around).unwrap_err();
    assert_eq!(problems.len(), 2, "every problem at once: {problems:?}");
    assert!(problems[0].message.contains("is not in the release's namespace"));
}

#[test]
fn a_store_outside_has_to_be_among_the_declared_hosts() {
    let mut region = external();
    region.spec.egress.clear();
    let problems = checked(&region, &[]).unwrap_err();
    let reasons: Vec<&str> = problems.iter().map(|problem| problem.reason).collect();
    assert_eq!(reasons, ["ExternalNotInEgress"; 2]);
    for host in ["redis", "redis.data.svc", "redis.data.svc.cluster.local"] {
        assert_eq!(Host::parse(host), Host::Cluster(host.into()));
    }
    for host in ["redis.data", "redis.example.com"] {
        assert_eq!(Host::parse(host), Host::Name(host.into()));
    }
}

#[test]
fn hosts_that_nothing_connects_to_are_named() {
    assert_eq!(checked(&full(), &[]).unwrap().unused_egress, ["smtp.example.com:587"]);
}

#[test]
fn an_epoch_is_a_number_and_a_unit() {
    for (text, expected) in [("10s", Some(10)), ("15m", Some(900)), ("24h", Some(86_400))] {
        assert_eq!(seconds(text), expected);
    }
    for text in ["", "s", "10", "0s", "1d", "-1s", "99999999h"] {
        assert_eq!(seconds(text), None, "{text}");
    }
}
