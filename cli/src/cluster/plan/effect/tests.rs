use serde_json::{Value as Json, json};

use super::*;

fn world(kill: bool, default: &str, more: impl Fn(&mut Json)) -> World {
    let mut world = World::default();
    let region = json!({
        "apiVersion": "hushmark.io/v1alpha1", "kind": "Region", "metadata": {"name": "eu"},
        "spec": {
            "jurisdiction": "EU", "baseUrl": "https://t.example.com",
            "ceilings": {"opens": "individual", "clicks": "individual"},
        },
    });
    world.regions.insert("eu".into(), serde_json::from_value(region).unwrap());
    let tenant = json!({
        "apiVersion": "hushmark.io/v1alpha1", "kind": "Tenant",
        "metadata": {"name": "acme", "namespace": "acme"},
        "spec": {
            "region": "eu", "killSwitch": kill,
            "defaults": {"campaign": {"opens": default, "clicks": default}},
        },
    });
    let key = |name: &str| ("acme".to_owned(), name.to_owned());
    world.tenants.insert(key("acme"), serde_json::from_value(tenant).unwrap());
    for name in ["autumn", "spring"] {
        let mut campaign = json!({
            "apiVersion": "hushmark.io/v1alpha1", "kind": "Campaign",
            "metadata": {"name": name, "namespace": "acme"},
            "spec": {
                "type": "campaign", "subject": "s", "from": "a@acme.example",
                "content": {"path": "c.html"}, "list": {"path": "l.csv"},
            },
        });
        more(&mut campaign);
        world.campaigns.insert(key(name), serde_json::from_value(campaign).unwrap());
    }
    world
}

fn said(before: &World, after: &World) -> String {
    let mut out = String::new();
    for Effect { kind, names, lines } in effects(before, after) {
        out += &format!("{kind} {}\n", names.join(" "));
        for Line { direction, reaches_sent_mail, text } in lines {
            out += &format!("  {direction:?} {reaches_sent_mail} {text}\n");
        }
    }
    out
}

const fn nothing(_: &mut Json) {}

#[test]
fn a_kill_switch_reaches_mail_that_was_sent_and_lifting_it_does_not() {
    let (off, on) = (world(true, "anonymous", nothing), world(false, "anonymous", nothing));
    insta::assert_snapshot!(said(&on, &off), @"
    Tenant acme/acme
      Tightens true campaign mail: opens at most anonymous -> off
      Tightens true campaign mail: clicks at most anonymous -> off
      Tightens true transactional mail: opens at most individual -> off
      Tightens true transactional mail: clicks at most individual -> off
    Campaign acme/autumn acme/spring
      Tightens true opens anonymous -> off, because the tenant's kill switch is on
      Tightens true clicks anonymous -> off, because the tenant's kill switch is on
    ");
    let lifted = said(&off, &on);
    assert!(lifted.contains("Loosens false opens off -> anonymous"), "{lifted}");
    assert!(lifted.contains("campaign mail sealed from then on is of generation 1"), "{lifted}");
    assert_eq!(said(&on, &on), "");
}

#[test]
fn what_was_withdrawn_stays_whatever_is_asked_for() {
    let withdrawn = |campaign: &mut Json| {
        let off = json!({"mode": "off", "decidedBy": "Withdrawal"});
        let clicks = json!({"mode": "overall", "decidedBy": "TenantDefault"});
        campaign["status"]["effective"] =
            json!({"opens": off, "clicks": clicks, "place": "none", "trackForDays": 400});
    };
    let before = world(false, "overall", withdrawn);
    let after = said(&before, &world(false, "individual", withdrawn));
    assert!(after.contains("Loosens false clicks overall -> individual"), "{after}");
    assert!(!after.contains("opens off ->"), "{after}");
}

#[test]
fn from_counting_to_the_day_of_a_last_open_mail_that_was_sent_is_left_with_nothing() {
    let tracked = |opens: &'static str| {
        move |campaign: &mut Json| {
            campaign["spec"]["tracking"] = json!({"opens": opens, "clicks": "overall"});
        }
    };
    let counted = world(false, "individual", tracked("anonymous"));
    let kept = world(false, "individual", tracked("lastOpenDay"));
    let because = "because the campaign says so";
    let changed = said(&counted, &kept);
    let line = format!("Other true opens anonymous -> lastOpenDay, {because}");
    assert!(changed.contains(&line), "{changed}");
    let known = world(false, "individual", tracked("individual"));
    assert!(said(&known, &kept).contains("Tightens true opens individual -> lastOpenDay"));
    assert!(said(&kept, &known).contains("Loosens false opens lastOpenDay -> individual"));
    let neither = said(&counted, &world(false, "anonymous", tracked("lastOpenDay")));
    let nothing = "Tightens true opens anonymous -> off, because of tenant and campaign one allows";
    assert!(neither.contains(nothing), "{neither}");
}

#[test]
fn a_pause_holds_back_what_loosens_and_not_what_tightens() {
    let paused = |campaign: &mut Json| {
        campaign["metadata"]["annotations"] = json!({"hushmark.io/paused": "true"});
    };
    let (less, more) = (world(false, "overall", paused), world(false, "individual", paused));
    let loosened = said(&less, &more);
    assert!(loosened.contains("what would loosen waits"), "{loosened}");
    assert!(!loosened.contains("Loosens false opens overall"), "{loosened}");
    assert!(said(&more, &less).contains("Tightens true opens individual -> overall"));
}

#[test]
fn a_region_says_what_is_restarted() {
    let before = world(false, "overall", nothing);
    let mut after = before.clone();
    let region = after.regions.get_mut("eu").unwrap();
    region.spec.minimum_group = 20;
    let text = said(&before, &after);
    // Metrics move on in steps of the group, so that edges have to know it as well.
    assert!(text.contains("the edges are replaced"), "{text}");
    assert!(text.contains("the writers are replaced"), "{text}");
    assert!(text.contains("no figure is about fewer than 20 people (10 so far)"), "{text}");
    assert!(!text.contains("starts again"), "{text}");
}

#[test]
fn only_what_is_newly_wrong_is_refused() {
    let before = world(false, "overall", nothing);
    let mut after = before.clone();
    for campaign in after.campaigns.values_mut() {
        campaign.spec.retention_policy = Some("nowhere".into());
    }
    let wrong = refusals(&before, &after);
    assert_eq!(wrong.len(), 2);
    assert!(wrong[0].message.contains("has no RetentionPolicy \"nowhere\""), "{wrong:?}");
    assert_eq!(refusals(&after, &after), []);
    after.tenants.clear();
    assert!(refusals(&before, &after)[0].message.contains("has no Tenant"));
}
