use hushmark_crds::Tenant;
use serde_json::{Value as Json, json};

use super::super::say::say;
use super::*;
use crate::cluster::paint::Paint;

fn now() -> Timestamp {
    "2026-11-22T03:00:00Z".parse().unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Json {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-22T02:50:00Z", "observedGeneration": 1,
    })
}

fn region(conditions: &[Json]) -> Region {
    serde_json::from_value(json!({
        "apiVersion": "hushmark.io/v1alpha1",
        "kind": "Region",
        "metadata": {"name": "eu", "creationTimestamp": "2026-11-20T03:00:00Z"},
        "spec": {
            "jurisdiction": "EU", "baseUrl": "https://t.example.com",
            "ceilings": {"opens": "anonymous", "clicks": "anonymous"},
        },
        "status": {
            "conditions": conditions,
            "owner": {"namespace": "hush", "name": "eu", "uid": "u"},
            "edge": {"desired": 2, "ready": 1},
            "writer": {"desired": 2, "ready": 2},
            "keys": {"kids": [1, 2], "sealing": 2, "firstDay": "2026-11-15", "lastDay": "2028-01-03"},
            "refusalLog": {"length": 1, "hash": "ab".repeat(32)},
        },
    }))
    .unwrap()
}

fn tenant(killed: bool, conditions: &[Json]) -> Tenant {
    serde_json::from_value(json!({
        "apiVersion": "hushmark.io/v1alpha1",
        "kind": "Tenant",
        "metadata": {"name": "acme", "namespace": "acme"},
        "spec": {"region": "eu", "killSwitch": killed},
        "status": {"conditions": conditions},
    }))
    .unwrap()
}

fn release(renewed: &str) -> Release {
    let lease = json!({"spec": {"holderIdentity": "eu-operator-a", "renewTime": renewed}});
    let pod = json!({
        "metadata": {"name": "eu-edge-1"},
        "status": {
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
            "containerStatuses": [{
                "name": "edge", "image": "i", "imageID": "i", "ready": false, "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            }],
        },
    });
    Release {
        region: "eu".into(),
        lease: Some(serde_json::from_value(lease).unwrap()),
        pods: Some(vec![serde_json::from_value(pod).unwrap()]),
    }
}

fn seen(region: Region, tenant: Tenant, release: Release) -> Seen {
    let mut world = World::default();
    world.regions.insert("eu".into(), region);
    world.tenants.insert(("acme".into(), "acme".into()), tenant);
    Seen { world, releases: vec![release] }
}

#[test]
fn a_bad_night_fits_on_one_screen() {
    let waits = "writer: 1 of 2 ready; see the pods' events and logs";
    let conditions = [
        condition("SpecValid", "True", "Accepted", ""),
        condition("Healthy", "False", "NotAllReady", waits),
        condition("ResidencyProven", "Unknown", "EgressNotProbed", "nobody has tried to get out"),
        condition("Ready", "False", "NotAllReady", waits),
        condition("Reconciling", "True", "NotAllReady", waits),
        condition("Stalled", "False", "NotStalled", ""),
    ];
    let refused =
        [condition("Ready", "False", "AboveCeiling", "the tenant's default asks for more")];
    let seen = seen(region(&conditions), tenant(true, &refused), release("2026-11-22T02:55:00Z"));
    let summary = judge(&seen, now());
    assert!(!summary.well);
    let screen = say(&summary, Paint::none());
    for line in [
        "REGION eu  not Ready  EU  https://t.example.com",
        "  operator     none works: eu-operator-a renewed its Lease 5m ago for the last time",
        "  edges        1 of 2 ready",
        "  keys         1, 2; 2 seals; day keys from 2026-11-15 to 2028-01-03",
        "  refusal log  1 entry, head abababababab…",
        "  tenants      0 of 1 Ready; kill switch on for 1",
        "  pod          eu-edge-1: CrashLoopBackOff (4 restarts)",
        "  Healthy is False, NotAllReady, for 10m",
        "      writer: 1 of 2 ready; see the pods' events and logs",
        "  tenant acme/acme  AboveCeiling, for 10m",
        "not all is well",
    ] {
        assert!(screen.lines().any(|said| said == line), "{line}\n{screen}");
    }
    assert!(!screen.contains("Ready is False"), "what Healthy says is not said twice:\n{screen}");
    assert!(screen.lines().count() < 25, "{screen}");
}

#[test]
fn what_nobody_has_proven_is_told_and_does_not_make_a_region_unwell() {
    let conditions = [
        condition("ResidencyProven", "Unknown", "EgressNotProbed", "nobody has tried to get out"),
        condition("Paused", "False", "NotAsked", ""),
        condition("Ready", "True", "Ready", ""),
    ];
    let ready = [condition("Ready", "True", "Resolved", "")];
    let summary = judge(
        &seen(region(&conditions), tenant(false, &ready), release("2026-11-22T02:59:59Z")),
        now(),
    );
    assert!(summary.well);
    let told: Vec<&str> = summary.regions[0].conditions.iter().map(|c| &*c.type_).collect();
    assert_eq!(told, ["ResidencyProven"]);
}

#[test]
fn an_operator_that_is_gone_is_not_well_and_one_that_cannot_be_seen_is_unknown() {
    let works = |release: Option<&Release>, owned| operator(release, owned, now()).works;
    let fresh = release("2026-11-22T02:59:58Z");
    assert_eq!(works(Some(&fresh), true), Some(true));
    assert_eq!(works(Some(&release("2026-11-22T02:59:00Z")), true), Some(false));
    assert_eq!(works(Some(&fresh), false), Some(false));
    assert_eq!(works(None, true), None);
    let empty = r#"{"spec":{"holderIdentity":"","renewTime":"2026-11-22T02:59:58Z"}}"#;
    let lease = serde_json::from_str(empty).ok();
    let let_go = Release { lease, ..release("2026-11-22T02:59:58Z") };
    assert_eq!(works(Some(&let_go), true), Some(false));
}

/// Whoever has just applied a change must not be told that it holds.
#[test]
fn conditions_of_an_older_generation_are_not_taken_for_the_newest() {
    let conditions = [condition("Ready", "True", "Ready", "")];
    let (mut region, mut tenant) = (region(&conditions), tenant(false, &conditions));
    let well = |region: &Region, tenant: &Tenant| {
        judge(&seen(region.clone(), tenant.clone(), release("2026-11-22T02:59:59Z")), now())
    };
    region.metadata.generation = Some(1);
    tenant.metadata.generation = Some(1);
    assert!(well(&region, &tenant).well);
    tenant.metadata.generation = Some(2);
    assert_eq!(well(&region, &tenant).not_ready[0].reason, BEHIND);
    tenant.metadata.generation = Some(1);
    region.metadata.generation = Some(2);
    let summary = well(&region, &tenant);
    assert!(!summary.well && !summary.regions[0].ready);
    assert_eq!(summary.regions[0].conditions[0].reason, BEHIND);
}
