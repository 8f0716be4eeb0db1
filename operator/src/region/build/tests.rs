use std::collections::BTreeMap;

use hushmark_crds::Region;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{ProbeRole, Version, Versions};
use crate::apply::{Id, Kind, Wanted, differs};
use crate::config::tests::config;
use crate::region::probing::Asked;
use crate::region::validate::{Around, ValidatedRegion, tests as fixtures, validate};

fn built(region: &Region) -> (Vec<Wanted>, Vec<Id>, ValidatedRegion) {
    let secrets = fixtures::secrets();
    let around = Around { others: &[], secrets: &secrets, usable: &fixtures::usable() };
    let validated = validate(region, &config(), &around).expect("the fixture is valid");
    let of =
        |name: &str| Version { certificate: format!("of-{name}"), users: format!("of-{name}") };
    let versions = Versions { redis: of("redis"), clickhouse: of("clickhouse") };
    let (wanted, unwanted) = super::build(&validated, &versions).into_objects(&validated);
    (wanted, unwanted, validated)
}

fn yaml(wanted: &[Wanted]) -> String {
    let options = serde_saphyr::ser_options! { no_lang_directive: true };
    let documents = wanted.iter().map(|wanted| {
        serde_saphyr::to_string_with_options(&wanted.value, options.clone()).expect("YAML")
    });
    documents.map(|document| format!("---\n{document}")).collect()
}

#[test]
fn the_objects_of_a_minimal_region() {
    let (wanted, unwanted, _) = built(&fixtures::minimal());
    insta::assert_snapshot!(yaml(&wanted));
    let unwanted: Vec<String> = unwanted.iter().map(ToString::to_string).collect();
    let expected = ["HorizontalPodAutoscaler", "Ingress", "HTTPRoute", "Certificate"];
    assert_eq!(unwanted, expected.map(|kind| format!("{kind} demo-edge")));
}

#[test]
fn the_objects_of_a_full_region() {
    let (wanted, unwanted, _) = built(&fixtures::full());
    insta::assert_snapshot!(yaml(&wanted));
    let unwanted: Vec<String> = unwanted.iter().map(ToString::to_string).collect();
    assert_eq!(unwanted, ["HTTPRoute demo-edge", "Certificate demo-edge"]);
}

#[test]
fn the_objects_of_a_region_whose_stores_run_already() {
    let (wanted, _, _) = built(&fixtures::external());
    insta::assert_snapshot!(yaml(&wanted));
}

#[test]
fn the_objects_of_a_region_whose_stores_are_outside_and_by_tls() {
    let (wanted, _, _) = built(&fixtures::external_by_tls());
    insta::assert_snapshot!(yaml(&wanted));
}

/// What differs from [`fixtures::full`] when the edge speaks TLS itself: everything of the edge.
#[test]
fn the_edge_of_a_region_that_speaks_tls_itself() {
    for (name, region) in [("door", fixtures::door()), ("proxied", fixtures::proxied())] {
        let (mut wanted, ..) = built(&region);
        wanted.retain(|wanted| wanted.id.name == "demo-edge");
        insta::assert_snapshot!(name, yaml(&wanted));
    }
}

#[test]
fn what_stores_read_at_their_start_replaces_their_pods_and_no_others() {
    let (before, _, region) = built(&fixtures::minimal());
    let before = templates(&before);
    let renewed = Version { certificate: "another".into(), users: "of-redis".into() };
    let other_users = Version { certificate: "of-clickhouse".into(), users: "another".into() };
    let versions = Versions { redis: renewed, clickhouse: other_users };
    let (after, _) = super::build(&region, &versions).into_objects(&region);
    let changed = templates(&after).into_iter().filter(|(name, it)| before[name] != *it);
    let changed: Vec<String> = changed.map(|(name, _)| name).collect();
    assert_eq!(changed, ["demo-clickhouse", "demo-redis"]);
}

#[test]
fn the_authority_is_mounted_nowhere() {
    for region in [fixtures::minimal(), fixtures::full(), fixtures::external()] {
        assert!(!yaml(&built(&region).0).contains("secretName: demo-ca\n"));
    }
}

#[test]
fn every_policy_is_known_by_its_name() {
    for region in [fixtures::minimal(), fixtures::of_others()] {
        for Wanted { id, .. } in built(&region).0 {
            let ending = id.name.strip_prefix("demo-").unwrap_or_default();
            assert!(id.kind != Kind::NetworkPolicy || super::POLICIES.contains(&ending), "{id}");
        }
    }
}

#[test]
fn the_objects_of_a_region_that_others_make_a_part_of() {
    let (wanted, unwanted, _) = built(&fixtures::of_others());
    let optional = |wanted: &&Wanted| {
        let name = &wanted.id.name;
        let kind = wanted.id.kind;
        kind == Kind::NetworkPolicy
            && (name.contains("clickhouse") || name.contains("keeper") || name.contains("probe"))
            || matches!(
                kind,
                Kind::HttpRoute | Kind::Certificate | Kind::KeeperCluster | Kind::ClickHouseCluster
            )
    };
    let some: Vec<Wanted> = wanted.iter().filter(optional).cloned().collect();
    insta::assert_snapshot!(yaml(&some));
    let unwanted: Vec<String> = unwanted.iter().map(ToString::to_string).collect();
    assert_eq!(unwanted, ["HorizontalPodAutoscaler demo-edge", "Ingress demo-edge"]);
    let data = some.iter().filter(|it| it.value["kind"].as_str().unwrap().ends_with("Cluster"));
    for wanted in data {
        assert!(wanted.value["metadata"]["ownerReferences"].is_null(), "{}", wanted.id);
    }
}

/// The two differ in labels and names alone, so that a difference in what they reach is the
/// policies' work.
#[test]
fn one_of_the_pods_that_probe_is_under_the_policies_and_the_other_under_none() {
    let (wanted, _, region) = built(&fixtures::of_others());
    let asked = Asked::of(&region, &wanted).unwrap();
    let [restricted, control] =
        ProbeRole::ALL.map(|role| super::probe_pod(&region, &asked, "node-1", role));
    assert_eq!(restricted.spec, control.spec);
    insta::assert_snapshot!(serde_saphyr::to_string(&restricted).unwrap());
    let policies = wanted.iter().filter(|wanted| wanted.id.kind == Kind::NetworkPolicy);
    let selects = |pod: &Pod, policy: &Wanted| {
        let labels = policy.value["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
        let has = |(name, value): (&String, &Value)| {
            pod.labels().get(name) == value.as_str().map(str::to_owned).as_ref()
        };
        labels.iter().all(has)
    };
    let under = |pod: &Pod| -> Vec<String> {
        let names = policies.clone().filter(|policy| selects(pod, policy));
        names.map(|policy| policy.id.name.clone()).collect()
    };
    assert_eq!(under(&restricted), ["demo-default-deny", "demo-probe"]);
    assert_eq!(under(&control), Vec::<String>::new());
}

#[test]
fn a_question_changes_with_the_target_the_policies_and_a_persons_wish_alone() {
    let question = |change: &dyn Fn(&mut Region)| {
        let mut region = fixtures::of_others();
        change(&mut region);
        let (wanted, _, region) = built(&region);
        Asked::of(&region, &wanted).unwrap().question
    };
    let first = question(&|_| {});
    let same = [
        question(&|region| region.spec.minimum_group = 50),
        question(&|region| {
            region.spec.edge = serde_json::from_value(json!({"replicas": 5})).unwrap()
        }),
    ];
    assert!(same.iter().all(|other| *other == first));
    let wish = |region: &mut Region| {
        region.annotations_mut().insert("hushmark.io/probe-egress".into(), "now".into());
    };
    let others = [
        question(&|region| {
            region.spec.egress_probe.as_mut().unwrap().target = "192.0.2.2:443".into()
        }),
        question(&wish),
        question(&|region| region.spec.gateway = None),
    ];
    assert!(others.iter().all(|other| *other != first));
    assert!(built(&fixtures::minimal()).2.egress_probe.is_none());
}

#[test]
fn what_the_cluster_lacks_is_left_out_and_nothing_else() {
    let nothing = std::collections::BTreeSet::new();
    let secrets = fixtures::secrets();
    let around = Around { others: &[], secrets: &secrets, usable: &nothing };
    let region = validate(&fixtures::of_others(), &config(), &around).unwrap();
    let versions = Versions::default();
    let (wanted, unwanted) = super::build(&region, &versions).into_objects(&region);
    assert!(wanted.iter().chain([]).all(|it| Kind::ALL.contains(&it.id.kind)));
    assert!(unwanted.iter().all(|id| Kind::ALL.contains(&id.kind)), "kinds that are not there");
    let missing = region.missing_apis();
    assert_eq!(missing.len(), 3);
    assert!(missing[0].contains("operator.optionalApis.gateway to true"), "{}", missing[0]);
}

#[test]
fn the_same_region_gives_the_same_bytes() {
    for region in [fixtures::minimal(), fixtures::full(), fixtures::external()] {
        assert_eq!(yaml(&built(&region).0), yaml(&built(&region).0));
    }
}

/// A field with a typing error would be dropped in silence by a type, and refused by the cluster.
#[test]
fn every_field_is_one_that_kubernetes_knows() {
    fn through<T: DeserializeOwned + serde::Serialize>(value: &Value) -> Value {
        let typed: T = serde_json::from_value(value.clone()).expect("it is of its kind");
        serde_json::to_value(typed).expect("JSON")
    }
    let tls = [fixtures::external_by_tls(), fixtures::door(), fixtures::proxied()];
    let plain = [fixtures::minimal(), fixtures::full(), fixtures::external()];
    for region in tls.into_iter().chain(plain) {
        for Wanted { id, value } in built(&region).0 {
            let known = match id.kind {
                Kind::ServiceAccount => through::<ServiceAccount>(&value),
                Kind::NetworkPolicy => through::<NetworkPolicy>(&value),
                Kind::Service => through::<Service>(&value),
                Kind::StatefulSet => through::<StatefulSet>(&value),
                Kind::Deployment => through::<Deployment>(&value),
                Kind::PodDisruptionBudget => through::<PodDisruptionBudget>(&value),
                Kind::HorizontalPodAutoscaler => through::<HorizontalPodAutoscaler>(&value),
                Kind::Ingress => through::<Ingress>(&value),
                Kind::HttpRoute
                | Kind::Certificate
                | Kind::KeeperCluster
                | Kind::ClickHouseCluster => unreachable!("no region here asks for them"),
            };
            assert!(!differs(id.kind, &value, &known), "{id}: {value:#}\n{known:#}");
        }
    }
}

fn templates(wanted: &[Wanted]) -> BTreeMap<String, &Value> {
    let has_pods =
        |wanted: &&Wanted| matches!(wanted.id.kind, Kind::StatefulSet | Kind::Deployment);
    wanted
        .iter()
        .filter(has_pods)
        .map(|wanted| (wanted.id.name.clone(), &wanted.value["spec"]["template"]))
        .collect()
}

#[test]
fn every_pod_is_restricted_has_no_token_and_stays_on_the_regions_nodes() {
    let (wanted, _, region) = built(&fixtures::full());
    let job = replay(&region);
    let mut templates = templates(&wanted);
    templates.insert("demo-replay-3".into(), &job["spec"]["template"]);
    assert_eq!(templates.len(), 5);
    for (name, template) in templates {
        let spec = &template["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(spec["nodeSelector"]["topology.kubernetes.io/region"], "eu-central", "{name}");
        for container in spec["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        }
    }
}

/// The template of a Job's pod as a value.
fn replay(region: &ValidatedRegion) -> Value {
    serde_json::to_value(super::replay_job(region, 3)).unwrap()
}

#[test]
fn a_job_that_replays_sees_one_volume_and_no_key() {
    for region in [fixtures::minimal(), fixtures::full(), fixtures::external()] {
        let (wanted, _, region) = built(&region);
        let job = replay(&region);
        let spec = &job["spec"]["template"]["spec"];
        assert_eq!(spec["volumes"].as_array().unwrap().len(), spec_mounts(spec));
        let text = job.to_string();
        assert!(!text.contains("region-keys") && !text.contains("batch-keys"), "{text}");
        assert!(text.contains("lanes-demo-edge-3") && text.contains("--replay"), "{text}");
        let policy = wanted.iter().find(|wanted| wanted.id.name == "demo-replay").unwrap();
        let selector = policy.value["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
        for (label, value) in selector {
            assert_eq!(&job["spec"]["template"]["metadata"]["labels"][label], value, "{label}");
        }
    }
    let region = built(&fixtures::full()).2;
    insta::assert_snapshot!(serde_saphyr::to_string(&replay(&region)).unwrap());
}

fn spec_mounts(spec: &Value) -> usize {
    spec["containers"][0]["volumeMounts"].as_array().unwrap().len()
}

#[test]
fn every_pod_is_under_the_policy_that_allows_nothing() {
    let (wanted, _, region) = built(&fixtures::minimal());
    let job = replay(&region);
    let deny = wanted.iter().find(|wanted| wanted.id.name == "demo-default-deny").unwrap();
    assert_eq!([&deny.value["spec"]["ingress"], &deny.value["spec"]["egress"]], [&json!([]); 2]);
    let selector = deny.value["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
    let mut templates = templates(&wanted);
    templates.insert("demo-replay-3".into(), &job["spec"]["template"]);
    for (name, template) in templates {
        for (label, value) in selector {
            assert_eq!(&template["metadata"]["labels"][label], value, "{name} {label}");
        }
    }
}

#[test]
fn no_argument_holds_a_secret_and_the_edge_sees_no_salt() {
    let (wanted, ..) = built(&fixtures::external());
    let all = yaml(&wanted);
    for secret in ["redis-password-in-a-secret", "clickhouse-password-in-a-secret"] {
        assert!(!all.contains(secret));
    }
    let (wanted, ..) = built(&fixtures::minimal());
    let templates = templates(&wanted);
    assert!(!templates["demo-edge"].to_string().contains("salt-keys"));
    assert!(!templates["demo-edge"].to_string().contains("clickhouse"));
    assert!(templates["demo-writer"].to_string().contains("salt-keys"));
    for template in templates.values() {
        let text = template.to_string();
        assert!(!text.contains("demo-refusal-key"), "the signing key is the operator's alone");
    }
}

#[test]
fn secrets_and_volumes_have_no_owner_that_could_take_them_along() {
    let (wanted, ..) = built(&fixtures::full());
    for wanted in &wanted {
        let claims = wanted.value["spec"]["volumeClaimTemplates"].as_array();
        for claim in claims.into_iter().flatten() {
            assert!(claim["metadata"]["ownerReferences"].is_null(), "{}", wanted.id);
            let policy = &wanted.value["spec"]["persistentVolumeClaimRetentionPolicy"];
            assert_eq!(policy, &json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
        }
    }
}

/// Every change that a plan may promise something about, beside what comes of it.
#[test]
fn what_a_plan_says_of_restarts_is_what_comes() {
    type Edit = fn(&mut hushmark_crds::RegionSpec);
    let edits: [(&str, Edit); 18] = [
        ("nothing", |_| {}),
        ("baseUrl", |spec| spec.base_url = "https://other.example.com".into()),
        ("ceilings", |spec| spec.ceilings.opens = hushmark_policy::Mode::Off),
        ("edge.threads", |spec| spec.edge.get_or_insert_default().threads = Some(7)),
        ("edge.replicas", |spec| spec.edge.get_or_insert_default().replicas = Some(3)),
        ("acknowledgement", |spec| {
            spec.acknowledgement = hushmark_crds::region::Acknowledgement::Disk;
        }),
        ("trustedProxies", |spec| spec.trusted_proxies = vec!["10.9.0.0/16".into()]),
        ("minimumGroup", |spec| spec.minimum_group += 1),
        ("epoch", |spec| spec.epoch = "17m".into()),
        ("longestTrackingDays", |spec| spec.longest_tracking_days = 30),
        ("privacySignals", |spec| {
            spec.privacy_signals = hushmark_crds::region::PrivacySignals::CountRaw;
        }),
        ("ingress", |spec| spec.ingress = Some(hushmark_crds::region::IngressSpec::default())),
        ("gateway", |spec| spec.gateway = Some(hushmark_crds::region::GatewaySpec::default())),
        ("egressProbe", |spec| spec.egress_probe = fixtures::of_others().spec.egress_probe),
        ("clickhouse", |spec| spec.clickhouse = fixtures::of_others().spec.clickhouse),
        ("egress", |spec| spec.egress.clear()),
        ("nodeSelector", |spec| {
            spec.node_selector = [("disk".to_owned(), "fast".to_owned())].into();
        }),
        ("formerBaseUrls", |spec| spec.former_base_urls.clear()),
    ];
    let old = fixtures::minimal();
    let templates = |region: &Region| -> BTreeMap<String, Value> {
        let (wanted, _, _) = built(region);
        let workloads = wanted
            .iter()
            .filter(|wanted| matches!(wanted.id.kind, Kind::StatefulSet | Kind::Deployment));
        workloads
            .map(|wanted| {
                let name = wanted.id.name.rsplit('-').next().unwrap().to_owned();
                (name, wanted.value["spec"]["template"].clone())
            })
            .collect()
    };
    for (what, edit) in edits {
        let mut new = old.clone();
        edit(&mut new.spec);
        let (before, after) = (templates(&old), templates(&new));
        let changed: Vec<&str> =
            after.iter().filter(|(k, v)| before.get(*k) != Some(*v)).map(|(k, _)| &**k).collect();
        let said = hushmark_crds::change::replaced(&old.spec, &new.spec);
        let mut said: Vec<&str> = said.iter().map(|workload| workload.name()).collect();
        said.sort_unstable();
        assert_eq!(said, changed, "{what}");
    }
}
