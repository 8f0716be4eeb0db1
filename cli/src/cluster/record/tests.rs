use std::path::Path;

use hushmark_crds::{Campaign, Region, RetentionPolicy, Tenant};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::world::manifests_at;
use super::*;

fn object<K: DeserializeOwned>(kind: &str, namespace: &str, name: &str, spec: Value) -> K {
    let mut whole = json!({
        "apiVersion": "hushmark.io/v1alpha1", "kind": kind,
        "metadata": {"name": name}, "spec": spec,
    });
    if !namespace.is_empty() {
        whole["metadata"]["namespace"] = namespace.into();
    }
    serde_json::from_value(whole).unwrap()
}

fn region(egress: Value) -> Region {
    let spec = json!({
        "jurisdiction": "EU", "baseUrl": "https://t.example.com", "placeDatabase": "/places.mmdb",
        "ceilings": {"opens": "individual", "clicks": "individual", "place": "country"},
        "egress": egress,
    });
    object("Region", "", "eu", spec)
}

fn tenant(controller: Value) -> Tenant {
    let defaults = json!({"campaign": {"opens": "individual", "clicks": "individual"}});
    let spec = json!({"region": "eu", "defaults": defaults, "controller": controller});
    object("Tenant", "acme", "acme", spec)
}

fn campaign(spec: &Value) -> Campaign {
    let mut whole = json!({
        "type": "campaign", "subject": "What spring brings",
        "from": "Acme News <news@acme.example>",
        "content": {"path": "letter.html"}, "list": {"path": "people.csv"},
    });
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    object("Campaign", "acme", "spring", whole)
}

fn world(region: Region, tenant: Tenant) -> World {
    let keep = json!({"keep": {"rowsDays": 90}});
    let kept: RetentionPolicy = object("RetentionPolicy", "acme", "kept", keep);
    let steps = json!([
        {"action": "hourToDay", "afterDays": 14}, {"action": "dropRows", "afterDays": 60},
    ]);
    let fade = object("AnonymizationPolicy", "acme", "fade", json!({"steps": steps}));
    World {
        anonymization: [(("acme".to_owned(), "fade".to_owned()), fade)].into(),
        regions: [("eu".to_owned(), region)].into(),
        tenants: [(("acme".to_owned(), "acme".to_owned()), tenant)].into(),
        retention: [(("acme".to_owned(), "kept".to_owned()), kept)].into(),
        ..World::default()
    }
}

fn entry_of(campaign: &Campaign, world: &World) -> entry::Entry {
    entry::of(campaign, world, "2026-11-22".to_owned()).unwrap()
}

#[test]
fn an_entry_says_what_the_article_asks_for_and_names_what_nobody_said() {
    let egress = json!([
        {"purpose": "delivery of mail", "host": "smtp.example.com:587", "jurisdiction": "DE"},
        {"purpose": "reports for the head office", "host": "bi.example.com", "jurisdiction": "US"},
    ]);
    let mut region = region(egress);
    let status = json!({"conditions": [
        {"type": "ResidencyProven", "status": "True", "reason": "Proved", "message": "",
         "lastTransitionTime": "2026-11-22T00:00:00Z"},
        {"type": "EncryptedAtRest", "status": "Unknown", "reason": "NotTold",
         "message": "say in spec.encryptedAtRest", "lastTransitionTime": "2026-11-22T00:00:00Z"},
    ]});
    region.status = Some(serde_json::from_value(status).unwrap());
    let controller = json!({
        "name": "Acme GmbH", "contact": "Beispielweg 1, 10115 Berlin; privacy@acme.example",
        "dataProtectionOfficer": "Dr Ada Example, dpo@acme.example",
    });
    let mail = campaign(&json!({
        "tracking": {"opens": "anonymous", "clicks": "individual"}, "place": "country",
        "retentionPolicy": "kept", "anonymizationPolicy": "fade", "trackForDays": 30,
        "recipients": 10_000,
    }));
    let entry = entry_of(&mail, &world(region, tenant(controller)));
    insta::assert_snapshot!(words::say(&entry, Paint::none()));
    insta::assert_json_snapshot!(entry);
}

#[test]
fn where_nothing_is_tracked_nothing_is_said_to_be() {
    let mail = campaign(&json!({"tracking": {"opens": "off", "clicks": "off"}}));
    let entry = entry_of(&mail, &world(region(json!([])), tenant(Value::Null)));
    insta::assert_snapshot!(words::say(&entry, Paint::none()));
}

#[test]
fn a_transfer_is_one_out_of_the_unions_law() {
    let to = |home: &str, there: &str| {
        let mut region = region(json!([{"purpose": "x", "host": "h", "jurisdiction": there}]));
        region.spec.jurisdiction = home.to_owned();
        let mail = campaign(&json!({}));
        entry_of(&mail, &world(region, tenant(Value::Null))).recipients[0].is_transfer
    };
    assert!(!to("EU", "DE") && !to("FR", "NO") && !to("CA", "CA"));
    assert!(to("EU", "GB") && to("CA", "DE") && to("DE", "US"));
}

#[test]
fn manifests_need_no_cluster() {
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");
    let world: World = manifests_at(Path::new(quickstart)).unwrap().into();
    for (key, campaign) in &world.campaigns {
        assert_eq!(world.campaign_meant(&key.1).unwrap(), campaign);
        assert_eq!(entry_of(campaign, &world).controller.unwrap().name, "Acme GmbH");
    }
    let unknown = world.campaign_meant("nothing").unwrap_err().to_string();
    assert!(unknown.starts_with("no campaign \"nothing\"; there are: "), "{unknown}");
}
