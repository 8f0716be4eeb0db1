use std::sync::Arc;

use serde_json::{Value, json};

use hushmark_crds::region::{EdgeTls, External};

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

/// An edge that speaks TLS itself, behind an Ingress that speaks it to the edge.
pub(in crate::region) fn door() -> Region {
    let mut region = full();
    let edge = region.spec.edge.as_mut().expect("it has an edge");
    edge.tls = Some(EdgeTls { secret: "tracking-tls".into() });
    region
}

/// An edge that speaks TLS behind a load balancer that does not read HTTP.
pub(in crate::region) fn proxied() -> Region {
    let mut region = door();
    region.spec.ingress = None;
    region.spec.edge.as_mut().expect("it has an edge").proxy_protocol = true;
    region
}

/// Stores outside by TLS: one asks for a certificate, the other does not.
pub(in crate::region) fn external_by_tls() -> Region {
    let mut region = external();
    let secret = |name: &str| Some(External { secret: name.into() });
    region.spec.redis.as_mut().expect("it is outside").external = secret("our-redis-by-tls");
    region.spec.clickhouse.as_mut().expect("it is outside").external =
        secret("our-clickhouse-by-tls");
    region
}

/// A certificate and its key, in PEM. Drawn once: what is built from it does not depend on it.
fn certificate() -> &'static (String, String) {
    static DRAWN: std::sync::LazyLock<(String, String)> = std::sync::LazyLock::new(|| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["t.example.com".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    });
    &DRAWN
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
    let (certificate, key) = certificate();
    BTreeMap::from([
        ("tracking-tls".to_owned(), secret(&[("tls.crt", certificate), ("tls.key", key)])),
        (
            "our-redis-by-tls".to_owned(),
            secret(&[
                ("url", "rediss://192.0.2.7:6380"),
                ("password", "redis-password-in-a-secret"),
                ("ca.crt", certificate),
                ("tls.crt", certificate),
                ("tls.key", key),
            ]),
        ),
        (
            "our-clickhouse-by-tls".to_owned(),
            secret(&[("url", "https://ch.example.com:8123"), ("ca.crt", certificate)]),
        ),
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
    assert_eq!(valid.redis_url(), "rediss://demo-redis.hush.svc:6379");
    assert_eq!(valid.clickhouse_url(), "https://demo-clickhouse.hush.svc:8443");
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
    younger.spec.former_base_urls = vec!["https://t.example.com:443".to_owned()];
    assert_eq!(checked(&younger, &[Arc::clone(&older)]).unwrap_err(), problems, "the same host");
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
    assert!(redis.has_password && redis.tls.is_none());
    let Store::External(clickhouse) = &valid.clickhouse else { panic!("{:?}", valid.clickhouse) };
    assert_eq!(clickhouse.host, Host::Name("ch.example.com".into()));
    assert_eq!(clickhouse.user.as_deref(), Some("writer"));
    assert_eq!(valid.unused_egress, Vec::<String>::new());
}

#[test]
fn a_secret_that_cannot_be_used_is_told_with_what_it_lacks() {
    for (entries, expected) in [
        (&[("password", "x")][..], "has no url: add one like rediss://host:port"),
        (&[("url", "redis//x")], "has a url that is none"),
        (&[("url", "http://192.0.2.7")], "it has to be rediss://, or redis:// without TLS"),
        (&[("url", "rediss://192.0.2.7")], "begins with rediss:// and no ca.crt: add the"),
        (&[("url", "rediss://192.0.2.7"), ("tls.crt", "x")], "a tls.crt and no tls.key"),
        (&[("url", "rediss://192.0.2.7"), ("tls.key", "x")], "a tls.key and no tls.crt"),
        (
            &[("url", "rediss://192.0.2.7"), ("tls.key", "x"), ("tls.crt", "x")],
            "a tls.crt and no ca.crt",
        ),
        (
            &[("url", "rediss://192.0.2.7"), ("ca.crt", "x")],
            "cannot be used for TLS: its ca.crt holds no certificate in PEM",
        ),
        (&[("url", "redis://me:secret@192.0.2.7")], "stands in the process list"),
        (&[("url", "redis://192.0.2.7/3")], "more than a host and a port"),
        (&[("url", "redis://192.0.2.7/?password=secret@")], "stands in the process list"),
        (&[("url", "redis://192.0.2.7/?protocol=3&user=secret@")], "stands in the process list"),
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
fn a_store_by_tls_is_read_with_what_it_asks_for() {
    let valid = checked(&external_by_tls(), &[]).unwrap();
    let tls = |store: &Store| match store {
        Store::External(at) => at.tls,
        Store::Managed => None,
    };
    assert_eq!(tls(&valid.redis), Some(ExternalTls { has_own: true }));
    assert_eq!(tls(&valid.clickhouse), Some(ExternalTls { has_own: false }));
    let (certificate, _) = certificate();
    let message = redis_problem(&[("url", "redis://192.0.2.7"), ("ca.crt", certificate)]);
    assert!(message.contains("certificates are for rediss:// alone"), "{message}");
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let entries = [
        ("url", "rediss://192.0.2.7"),
        ("ca.crt", certificate),
        ("tls.crt", certificate),
        ("tls.key", &other),
    ];
    let message = redis_problem(&entries);
    assert!(message.contains("its tls.crt and its tls.key cannot be used together"), "{message}");
}

#[test]
fn the_edges_own_certificate_has_to_be_there_and_whole() {
    let problem = |entries: Option<&[(&str, &str)]>| {
        let mut secrets = secrets();
        match entries {
            Some(entries) => secrets.insert("tracking-tls".into(), secret(entries)),
            None => secrets.remove("tracking-tls"),
        };
        let around = Around { others: &[], secrets: &secrets, usable: &usable() };
        let found = validate(&door(), &config(), &around);
        let problems = found.expect_err("it has a problem");
        assert_eq!(problems[0].reason, "EdgeCertificate");
        problems[0].message.clone()
    };
    let (certificate, key) = certificate();
    assert!(problem(None).contains("is not in the release's namespace: make it"));
    assert!(problem(Some(&[("tls.key", key)])).contains("has no tls.crt"));
    assert!(problem(Some(&[("tls.crt", certificate)])).contains("has no tls.key"));
    let broken = problem(Some(&[("tls.crt", "x"), ("tls.key", key)]));
    assert!(broken.contains("its tls.crt holds no certificate in PEM"), "{broken}");
    assert_eq!(checked(&door(), &[]).unwrap().edge_tls.as_deref(), Some("tracking-tls"));
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
