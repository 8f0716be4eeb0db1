//! Verdicts over a small cluster, and what comes of carrying them out again and again.

mod cluster;
mod deeds;
mod policies;

use hushmark_crds::fits::quoted;
use hushmark_crds::{Campaign, Phase, RetentionPolicy, Tenant};
use hushmark_event::ask::left_after;
use hushmark_event::refusal::{Erased, Mail, Refuses};
use hushmark_event::{Total, Totals};
use hushmark_policy::{Kind as Hit, Mode, Place};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::seen::Seen;
use super::world::Kind;
use crate::campaign;
use crate::counts::Counts;
use cluster::{Cluster, modes, object, plain, region, spring};

#[test]
fn a_campaign_is_written_once_and_then_never_again() {
    let mut cluster = plain();
    assert_eq!(cluster.settle(), 2, "the tenant once, the campaign once");
    assert_eq!(cluster.settle(), 0);
    assert_eq!(cluster.length(), 2, "one a type of mail; campaigns need no cap of their own");
    let status = cluster.campaign().status.as_ref().unwrap();
    assert_eq!(status.phase, Some(Phase::Draft));
    insta::assert_snapshot!(cluster.ready().join("\n"), @r"
    True Resolved: what its mail may tell is in the refusal log
    True Resolved: opens are anonymous, because the tenant's default says so; clicks are overall, because the tenant's default says so
    ");
}

#[test]
fn a_status_shows_what_an_epoch_published_and_is_written_when_that_changes() {
    let mut cluster = plain();
    cluster.settle();
    let id = cluster.campaign().status.as_ref().unwrap().id.clone().unwrap();
    let publish = |cluster: &mut Cluster, epoch, raw| {
        let opens = Some(Total { raw, ..Total::default() });
        cluster.counts = Counts::from([(id.clone(), Totals { epoch, opens, clicks: None })]);
        cluster.settle()
    };
    assert_eq!(publish(&mut cluster, 3_600, None), 1);
    let counts = |cluster: &Cluster| cluster.campaign().status.clone().unwrap().counts.unwrap();
    assert_eq!(counts(&cluster).opens.unwrap().shown, "withheld");
    assert_eq!(publish(&mut cluster, 7_200, None), 0, "an epoch that shows nothing else");
    assert_eq!(publish(&mut cluster, 10_800, Some(60)), 1);
    assert_eq!(counts(&cluster).opens.unwrap().raw, Some(60));
    assert_eq!(counts(&cluster).as_of.0.as_second(), 10_800);
    cluster.counts = Counts::new();
    assert_eq!(cluster.settle(), 0, "what redis lost was shown all the same");
}

#[test]
fn one_that_was_sent_without_a_schedule_is_completed_all_the_same() {
    let mut cluster = plain();
    cluster.settle();
    let sent = |cluster: &mut Cluster, at: &str| {
        let mut campaign = cluster.campaign().clone();
        campaign.spec.track_for_days = Some(30);
        let status = campaign.status.as_mut().unwrap();
        status.phase = Some(Phase::Sent);
        status.sent_at = Some(Time(at.parse().unwrap()));
        cluster.apply(campaign);
        cluster.settle();
        cluster.campaign().status.as_ref().unwrap().phase
    };
    assert_eq!(sent(&mut cluster, "2026-11-01T00:00:00Z"), Some(Phase::Sent));
    assert_eq!(sent(&mut cluster, "2026-10-01T00:00:00Z"), Some(Phase::Completed));
}

#[test]
fn the_kill_switch_is_one_cap_a_type_and_lifting_it_frees_only_new_mail() {
    let mut cluster = plain();
    cluster.settle();
    let sealed = (Mode::Anonymous, Place::None);
    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = true);
    cluster.settle();
    assert_eq!(cluster.length(), 4, "one for campaigns, one for transactional mail, none each");
    assert_eq!(cluster.hit(Hit::Open, 0, sealed).0, Mode::Off);
    assert!(cluster.ready()[0].starts_with("True Killed"));

    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = false);
    cluster.settle();
    let generation = cluster.tenant().status.as_ref().unwrap().campaign.unwrap().generation;
    assert_eq!(generation, 1);
    assert_eq!(cluster.hit(Hit::Open, 0, sealed).0, Mode::Off, "old mail stays as it was");
    assert_eq!(cluster.hit(Hit::Open, 1, sealed).0, Mode::Anonymous);
    assert_eq!(cluster.settle(), 0);
}

#[test]
fn an_invalid_region_loosens_nothing_and_still_tightens() {
    let mut cluster = plain();
    cluster.region = Some(region(Mode::Overall, Mode::Overall));
    cluster.settle();
    let transactional = |cluster: &Cluster| {
        let status = cluster.tenant().status.as_ref().unwrap().transactional.unwrap();
        (status.opens, status.clicks, status.generation)
    };
    assert_eq!(transactional(&cluster), (Mode::Overall, Mode::Overall, 0));
    cluster.region = Some(region(Mode::Individual, Mode::Off));
    cluster.invalid = Some("its database of places is a relative path".to_owned());
    cluster.settle();
    assert_eq!(transactional(&cluster), (Mode::Overall, Mode::Off, 0));
    cluster.invalid = None;
    cluster.settle();
    assert_eq!(transactional(&cluster), (Mode::Individual, Mode::Off, 1));
    assert_eq!(cluster.settle(), 0);
}

#[test]
fn a_withdrawal_shows_in_the_status_and_no_loosening_gets_past_it() {
    let mut cluster = plain();
    cluster.settle();
    let campaign = campaign::mail(cluster.campaign(), "eu");
    cluster.append(Refuses::withdrawal(campaign.scope(), left_after(true, false)));
    cluster.settle();
    let says = "True Resolved: opens are off, because it was withdrawn for good; clicks are \
                overall, because the tenant's default says so";
    assert_eq!(cluster.ready()[1], says);
    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = true);
    cluster.settle();
    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = false);
    cluster.settle();
    assert_eq!(cluster.ready()[1], says);
    let sealed = (Mode::Anonymous, Place::None);
    assert_eq!(cluster.hit(Hit::Open, 7, sealed).0, Mode::Off);
    assert_eq!(cluster.hit(Hit::Click, 7, sealed).0, Mode::Anonymous, "clicks go on");

    let tenant = Mail { campaign: None, ..campaign };
    cluster.append(Refuses::withdrawal(tenant.scope(), left_after(true, true)));
    cluster.settle();
    let status = cluster.tenant().status.as_ref().unwrap();
    let of = |found: Option<hushmark_crds::TypeStatus>| found.map(|it| (it.opens, it.clicks));
    assert_eq!(of(status.campaign), Some((Mode::Off, Mode::Off)));
    assert_eq!(of(status.transactional), Some((Mode::Individual, Mode::Individual)));
    assert!(cluster.ready()[1].contains("clicks are off, because it was withdrawn for good"));
    assert_eq!(cluster.settle(), 0, "and then there is rest");
}

#[test]
fn what_was_erased_says_so_with_the_date_and_shows_no_counts() {
    let mut cluster = plain();
    cluster.settle();
    let id = cluster.campaign().status.as_ref().unwrap().id.clone().unwrap();
    let total = Total { raw: Some(60), ..Total::default() };
    let totals = Totals { epoch: 3_600, opens: Some(total), clicks: None };
    cluster.counts = Counts::from([(id.clone(), totals)]);
    cluster.settle();
    assert!(cluster.campaign().status.as_ref().unwrap().counts.is_some());
    let tenant = campaign::mail(cluster.campaign(), "eu").tenant.to_string();
    cluster.append(Refuses::Erase(Erased::Campaign { tenant: tenant.clone(), id }));
    cluster.settle();
    let says = "False Erased: it was erased on 1970-01-01, and nothing under its name is ever \
                stored again: give it another name, or delete it";
    assert_eq!(cluster.ready()[1], says);
    assert!(cluster.ready()[0].starts_with("True"), "the tenant goes on: {:?}", cluster.ready());
    assert!(cluster.campaign().status.as_ref().unwrap().counts.is_none());
    assert_eq!(cluster.settle(), 0);
    cluster.append(Refuses::Erase(Erased::Tenant(tenant)));
    cluster.settle();
    assert!(
        cluster.ready()[0].starts_with("False Erased: the tenant of this namespace was erased")
    );
    assert_eq!(cluster.settle(), 0, "and then there is rest");
}

#[test]
fn a_campaign_that_is_loosened_again_waits_for_the_tenants_generation() {
    let mut cluster = plain();
    cluster.settle();
    let own = |modes| move |c: &mut Campaign| c.spec.tracking = modes;
    let less = serde_json::from_value(modes(Mode::Overall, Mode::Off)).unwrap();
    cluster.edit_campaign(own(Some(less)));
    cluster.settle();
    assert_eq!(cluster.length(), 3);
    cluster.edit_campaign(own(None));
    cluster.settle();
    let status = cluster.tenant().status.as_ref().unwrap();
    assert_eq!(status.campaign.unwrap().generation, 1);
    assert_eq!(status.transactional.unwrap().generation, 0);
    assert!(cluster.ready()[1].starts_with("True Resolved: opens are anonymous"));
    assert_eq!(cluster.hit(Hit::Open, 0, (Mode::Anonymous, Place::None)).0, Mode::Overall);
}

#[test]
fn a_tenant_made_anew_finds_its_generation_in_the_log() {
    let mut cluster = plain();
    cluster.settle();
    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = true);
    cluster.settle();
    let mut anew = cluster.tenant().clone();
    anew.status = None;
    anew.spec.kill_switch = false;
    anew.metadata.uid = Some("another".into());
    cluster.apply(anew);
    cluster.settle();
    let generation = cluster.tenant().status.as_ref().unwrap().campaign.unwrap().generation;
    assert_eq!(generation, 1);
}

#[test]
fn what_asks_for_more_than_the_ceiling_is_refused_in_the_words_of_one_machine() {
    let mut cluster = plain();
    cluster.region = Some(region(Mode::Overall, Mode::Overall));
    cluster.edit_campaign(|c| {
        c.spec.tracking =
            Some(serde_json::from_value(modes(Mode::Individual, Mode::Overall)).unwrap());
    });
    cluster.settle();
    insta::assert_snapshot!(cluster.ready().join("\n"), @r"
    False AboveCeiling: spec.defaults.campaign.opens: the tenant's default for campaign mail asks for anonymous opens, and the region allows at most overall: ask for overall or less, or raise the region's ceiling
    False Refused: spec.tracking.opens: the campaign asks for individual opens, and the region allows at most overall: ask for overall or less, or raise the region's ceiling
    ");
    let status = cluster.campaign().status.as_ref().unwrap();
    assert_eq!(status.effective, None, "nobody can seal by it");
}

#[test]
fn a_lowered_ceiling_reaches_mail_that_was_sent() {
    let mut cluster = plain();
    cluster.settle();
    cluster.region = Some(region(Mode::Overall, Mode::Overall));
    cluster.settle();
    assert!(cluster.ready()[0].starts_with("False AboveCeiling"));
    assert!(cluster.ready()[1].starts_with("False TenantRefused"));
    assert_eq!(cluster.hit(Hit::Open, 0, (Mode::Anonymous, Place::None)).0, Mode::Overall);
    let effective = cluster.campaign().status.as_ref().unwrap().effective.clone().unwrap();
    assert_eq!(effective.opens.decided_by, hushmark_crds::DecidedBy::RegionCeiling);
}

#[test]
fn a_second_tenant_is_told_who_was_first_and_changes_nothing() {
    let mut cluster = plain();
    let mut second: Tenant = object("Tenant", "acme", "aaa", json!({ "region": "eu" }));
    second.metadata.creation_timestamp =
        Some(serde_json::from_value(json!("2026-11-02T00:00:00Z")).unwrap());
    second.spec.kill_switch = true;
    cluster.apply(second);
    cluster.settle();
    assert_eq!(cluster.length(), 2, "what the first one says");
    let tenants: Vec<String> = cluster
        .world
        .tenants
        .in_namespace("acme")
        .map(|t| t.status.as_ref().unwrap().conditions[1].message.clone())
        .collect();
    assert_eq!(
        tenants[0],
        format!(
            "metadata.namespace: the namespace has the Tenant {} already, and a namespace has one: \
             put this one into a namespace of its own",
            quoted("acme")
        )
    );
    assert!(cluster.ready()[0].starts_with("True"));
}

#[test]
fn a_region_that_is_not_there_and_one_of_somebody_else() {
    let mut cluster = plain();
    cluster.edit_tenant(|tenant| tenant.spec.region = "mars".into());
    cluster.settle();
    insta::assert_snapshot!(cluster.ready().join("\n"), @r#"
    False NoSuchRegion: there is no Region "mars" in this cluster; there: eu. Apply that Region, or make the Tenant anew with another: its region cannot change
    False NoSuchRegion: there is no Region "mars" in this cluster; there: eu. Apply that Region, or make the Tenant anew with another: its region cannot change
    "#);
    let mut theirs = plain();
    theirs.regions.insert("us".into());
    theirs.edit_tenant(|tenant| tenant.spec.region = "us".into());
    assert_eq!(theirs.settle(), 0, "another release says what there is to say");
}

#[test]
fn a_campaign_without_a_tenant_is_refused_in_the_words_of_one_machine() {
    let mut cluster = Cluster::new().with(spring(json!({})));
    cluster.settle();
    let conditions = &cluster.campaign().status.as_ref().unwrap().conditions;
    insta::assert_snapshot!(
        conditions[0].message,
        @r#"metadata.namespace: the namespace "acme" has no Tenant, so nobody says what may be tracked: add a manifest with kind: Tenant in this namespace"#
    );
}

#[test]
fn erasing_is_refused_before_anybody_relies_on_it() {
    let mut cluster = plain();
    cluster.edit_campaign(|c| {
        c.spec.deletion_policy = hushmark_crds::campaign::DeletionPolicy::Delete
    });
    cluster.settle();
    assert!(cluster.ready()[1].contains("deleting it erases nothing"), "{:?}", cluster.ready());
}

#[test]
fn a_pause_holds_back_what_loosens_and_nothing_else() {
    let mut cluster = plain();
    cluster.settle();
    let pause = |meta: &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        meta.annotations = Some([(super::PAUSED.to_owned(), "true".to_owned())].into());
    };
    cluster.edit_tenant(|tenant| {
        pause(&mut tenant.metadata);
        tenant.spec.defaults.campaign =
            serde_json::from_value(modes(Mode::Individual, Mode::Off)).unwrap();
    });
    cluster.settle();
    let says = cluster.tenant().status.as_ref().unwrap().campaign.unwrap();
    assert_eq!((says.opens, says.clicks), (Mode::Anonymous, Mode::Off));
    assert_eq!(cluster.hit(Hit::Click, 0, (Mode::Overall, Place::None)).0, Mode::Off);
}

#[test]
fn while_the_log_is_away_what_is_settled_stays_and_what_changes_waits() {
    let mut cluster = plain();
    cluster.settle();
    let log = cluster.log.take();
    assert_eq!(cluster.settle(), 0);
    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = true);
    cluster.settle();
    assert!(cluster.ready()[0].starts_with("False RefusalLog"), "{:?}", cluster.ready());
    cluster.log = log;
    cluster.settle();
    assert!(cluster.ready()[0].starts_with("True Killed"));
}

#[test]
fn a_policy_that_is_not_there_is_named_and_found_once_it_is() {
    let mut cluster = plain();
    cluster.edit_campaign(|c| c.spec.retention_policy = Some("two-years".into()));
    cluster.settle();
    assert!(cluster.ready()[1].contains("has no RetentionPolicy"), "{:?}", cluster.ready());
    let keep = json!({ "mode": "plan", "keep": { "countersDays": 730 } });
    let policy: RetentionPolicy = object("RetentionPolicy", "acme", "two-years", keep);
    let concerned = cluster.apply(policy);
    assert!(concerned.iter().any(|key| key.kind == Kind::Campaign), "{concerned:?}");
    cluster.settle();
    assert!(cluster.ready()[1].starts_with("True"));
}

#[test]
fn older_news_and_what_a_list_does_not_name() {
    let mut cluster = plain();
    let mut new = cluster.tenant().clone();
    new.metadata.resource_version = Some("10".into());
    new.spec.kill_switch = true;
    cluster.apply(new.clone());
    new.metadata.resource_version = Some("9".into());
    new.spec.kill_switch = false;
    assert!(cluster.apply(new).is_empty());
    assert!(cluster.tenant().spec.kill_switch, "a watch tells of a write after its answer");

    cluster.world.take(Seen::ListBegins(Kind::Tenant));
    let concerned = cluster.world.take(Seen::ListEnds(Kind::Tenant));
    assert!(cluster.world.tenant_of("acme").is_none());
    assert!(concerned.iter().any(|key| key.kind == Kind::Campaign), "{concerned:?}");
}
