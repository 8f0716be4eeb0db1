use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use hushmark_crds::Replicas;
use hushmark_policy::Day;

use super::*;
use crate::apply::{Id, Kind};
use crate::config::tests::config;
use crate::redis_link::RedisAddress;
use crate::region::edges::Replay;
use crate::region::health::Workload;
use crate::region::keys::{Held, LogAccess, Rotation};
use crate::region::validate::{Around, tests as fixtures, validate};
use crate::region::{encryption, residency, writers};

struct Scene {
    region: ValidatedRegion,
    applied: Applied,
    health: Health,
    rotation: Rotation,
    edges: Edges,
    missing: Vec<String>,
    reached: Wanted,
    schema: Wanted,
    clickhouse: Option<String>,
}

impl Scene {
    fn of(region: &Region) -> Self {
        let secrets = fixtures::secrets();
        let around = Around { others: &[], secrets: &secrets, usable: &fixtures::usable() };
        let region = validate(region, &config(), &around).unwrap();
        let (applied, health) = (Applied::default(), Health::default());
        let (rotation, edges) = (Rotation::default(), Edges::default());
        let schema = writers::schema_in_sync(Some(&[]), &RegionStatus::default());
        let missing = Vec::new();
        let reached = Wanted::new(STORES_ANSWER, True, "RedisAnswers", "");
        let clickhouse = None;
        Self { region, applied, health, rotation, edges, missing, reached, schema, clickhouse }
    }

    fn conditions(&self) -> BTreeMap<&'static str, Wanted> {
        let redis = RedisAddress { url: String::new(), tls: None, user: None, password: None };
        let keys = Keys {
            held: Held::of([1]),
            rotation: self.rotation.clone(),
            days: Some((Day(20_000), Day(20_407))),
            log_access: LogAccess { signing: Arc::new(SigningKey::from_bytes(&[1; 32])), redis },
            versions: Default::default(),
        };
        let done = Done {
            region: &self.region,
            keys: &keys,
            applied: &self.applied,
            health: &self.health,
            edges: &self.edges,
            residency: residency::judge(&residency::Case {
                selector: &self.region.node_selector,
                facts: &residency::Facts::default(),
                open: left_open(&self.region, &self.applied),
                asked: None,
                probes: &[],
                trouble: None,
            }),
            encryption: encryption::judge(&self.region, None),
            reached: self.reached.clone(),
            probes: &[],
            schema: self.schema.clone(),
            clickhouse: self.clickhouse.clone(),
            missing: &self.missing,
        };
        let all = compose(&Outcome::Done(&done));
        all.into_iter().map(|wanted| (wanted.type_, wanted)).collect()
    }

    /// What kstatus makes of it: Stalled is a failure, Reconciling is under way.
    fn summary(&self) -> (Status, Status, Status, &'static str) {
        let all = self.conditions();
        let ready = &all[READY];
        (ready.status, all[RECONCILING].status, all[STALLED].status, ready.reason)
    }
}

use Status::{False, True, Unknown};

#[test]
fn a_stack_that_runs_is_ready_though_its_residency_is_not_proven() {
    let scene = Scene::of(&fixtures::minimal());
    assert_eq!(scene.summary(), (True, False, False, "Ready"));
    assert_eq!(scene.conditions()[RESIDENCY_PROVEN].status, Unknown);
}

#[test]
fn what_is_not_ready_yet_is_under_way() {
    let mut scene = Scene::of(&fixtures::minimal());
    let replicas = Replicas { desired: 2, ready: 1 };
    scene.health.workloads =
        vec![Workload { name: "edge", replicas, settled: false, generation: 1 }];
    assert_eq!(scene.summary(), (False, True, False, "NotAllReady"));
    assert!(scene.conditions()[HEALTHY].message.starts_with("edge: 1 of 2 ready"));
}

#[test]
fn a_store_that_refuses_is_told_in_its_words() {
    let mut scene = Scene::of(&fixtures::external());
    scene.reached = Wanted::new(STORES_ANSWER, False, "RedisRefuses", "give one that it trusts");
    assert_eq!(scene.summary(), (False, True, False, "RedisRefuses"));
    assert_eq!(scene.conditions()[READY].message, "give one that it trusts");
}

#[test]
fn a_schema_that_no_writer_knows_needs_a_person_and_a_clickhouse_that_refuses_is_waited_for() {
    let mut scene = Scene::of(&fixtures::minimal());
    scene.clickhouse = Some("the writer w says: no".into());
    assert_eq!(scene.summary(), (False, True, False, "ClickHouseRefuses"));
    scene.schema = Wanted::new(SCHEMA_IN_SYNC, False, "NewerThanWriter", "upgrade");
    assert_eq!(scene.summary(), (False, False, True, "NewerThanWriter"));
}

#[test]
fn the_documentation_explains_every_condition_and_no_other() {
    let page = include_str!("../../../../docs/conditions.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let explained: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    let summary = [READY, RECONCILING, STALLED];
    let ours = OURS.into_iter().filter(|name| !summary.contains(name));
    let others = [CONTESTED, conditions::PAUSED, conditions::PLANNED, conditions::ENFORCED];
    assert_eq!(explained, ours.chain(others).collect());
}

#[test]
fn an_edge_by_tls_behind_something_is_told_about() {
    let mut scene = Scene::of(&fixtures::door());
    assert_eq!(scene.conditions()[FRONT_SPEAKS_TLS].status, True);
    scene.region.ingress.as_mut().unwrap().class_name = Some("traefik".into());
    assert_eq!(scene.conditions()[FRONT_SPEAKS_TLS].status, Unknown);
    scene.region.gateway = Scene::of(&fixtures::of_others()).region.gateway;
    assert_eq!(scene.conditions()[FRONT_SPEAKS_TLS].reason, "NeedsAPolicy");
    scene.region.edge_tls = None;
    assert!(!scene.conditions().contains_key(FRONT_SPEAKS_TLS));
}

#[test]
fn what_another_manager_holds_needs_a_person() {
    let mut scene = Scene::of(&fixtures::minimal());
    let object = Id { kind: Kind::Service, name: "demo-edge".into() };
    scene.applied.conflicts = vec![Conflict {
        object,
        manager: "argocd".into(),
        field: ".spec.ports".into(),
        gave_up: false,
    }];
    assert_eq!(scene.summary(), (False, False, True, "AnotherManager"));
    let message = &scene.conditions()[FIELDS_OWNED].message;
    assert!(message.contains("Service demo-edge: argocd holds .spec.ports"), "{message}");
}

#[test]
fn a_missing_permission_is_named_with_its_verb_and_resource() {
    let mut scene = Scene::of(&fixtures::minimal());
    scene.missing = vec!["may not patch services (the core group) in namespace hush: …".into()];
    let told = &scene.conditions()[RECONCILE_SUCCEEDED];
    assert_eq!((told.status, told.reason), (False, "PermissionMissing"));
    assert!(told.message.contains("may not patch services"), "{}", told.message);
}

#[test]
fn an_invalid_spec_stalls_and_says_that_nothing_was_touched() {
    let problems =
        [Problem { reason: "HostTaken", message: "the host is another Region's".into() }];
    let all = compose(&Outcome::Invalid(&problems));
    let of = |type_: &str| all.iter().find(|wanted| wanted.type_ == type_).unwrap();
    assert_eq!((of(SPEC_VALID).status, of(SPEC_VALID).reason), (False, "HostTaken"));
    assert_eq!((of(STALLED).status, of(READY).status), (True, False));
    assert!(of(READY).message.ends_with("What runs was left as it is"));
}

#[test]
fn egress_says_what_a_policy_cannot_express() {
    let named = &Scene::of(&fixtures::external()).conditions()[EGRESS_LIMITED];
    assert_eq!((named.status, named.reason), (False, "HostNames"));
    assert!(named.message.contains("port 8123 for ch.example.com"), "{}", named.message);
    assert!(!named.message.contains("192.0.2.7"), "an address can be expressed");
    let full = &Scene::of(&fixtures::full()).conditions()[EGRESS_LIMITED];
    assert_eq!(full.status, True);
    assert!(full.message.contains("smtp.example.com:587"), "{}", full.message);
}

#[test]
fn access_logs_are_known_to_be_off_for_one_controller_and_unknown_for_others() {
    assert_eq!(Scene::of(&fixtures::full()).conditions()[ACCESS_LOGS_OFF].status, True);
    let mut region = fixtures::full();
    region.spec.ingress.as_mut().unwrap().class_name = Some("traefik".into());
    assert_eq!(Scene::of(&region).conditions()[ACCESS_LOGS_OFF].status, Unknown);
    assert!(!Scene::of(&fixtures::minimal()).conditions().contains_key(ACCESS_LOGS_OFF));
}

#[test]
fn a_key_that_waits_and_a_volume_that_is_replayed_are_told_and_stop_nobody() {
    let mut scene = Scene::of(&fixtures::minimal());
    assert_eq!(scene.conditions()[KEYS_ROTATING].status, False);
    assert_eq!(scene.conditions()[LANE_LOGS_REPLAYED].reason, "NothingLeft");
    let text = "waits for demo-edge-1 (has 1)".to_owned();
    scene.rotation.waits = Some(Waits { kid: 2, reason: "WaitsForEdges", text });
    scene.edges = Edges { desired: Some(1), volumes: [0, 1].into(), ..Edges::default() };
    assert_eq!(scene.summary(), (True, False, False, "Ready"));
    let told = scene.conditions();
    assert_eq!(
        told[KEYS_ROTATING].message,
        "key 2 does not seal yet: waits for demo-edge-1 (has 1)"
    );
    assert_eq!(told[LANE_LOGS_REPLAYED].status, False);
    assert!(told[LANE_LOGS_REPLAYED].message.contains("lanes-demo-edge-1"));
    scene.edges.jobs.insert(1, Replay::Done);
    assert_eq!(scene.conditions()[LANE_LOGS_REPLAYED].reason, "Replayed");
}

#[test]
fn a_status_that_says_nothing_new_is_not_written() {
    let scene = Scene::of(&fixtures::minimal());
    let wanted: Vec<Wanted> = scene.conditions().into_values().collect();
    let at = |second| k8s_openapi::jiff::Timestamp::from_second(second).unwrap();
    let mut old = RegionStatus {
        conditions: conditions::merge(&[], &wanted, 1, at(100)),
        ..RegionStatus::default()
    };
    let mut new = old.clone();
    new.conditions = conditions::merge(&old.conditions, &wanted, 1, at(200));
    // What others write is none of our business.
    let others = [Wanted::new("Contested", True, "SecondRelease", "")];
    old.conditions.extend(conditions::merge(&[], &others, 1, at(50)));
    old.refusal_log = Some(hushmark_crds::LogStatus { length: 3, hash: "x".into() });
    assert!(says_the_same(&old, &new));
    new.observed_generation = Some(2);
    assert!(!says_the_same(&old, &new));
}
