//! What the writer is told of policies, and what their status says of its plans.

use hushmark_crds::{AnonymizationPolicy, RetentionPolicy};
use hushmark_event::audit::Reason;
use hushmark_event::chain::Hash32;
use hushmark_event::plans::{Begun, Found, Past, Plan, Policy, Stopped, Told};
use hushmark_policy::retention::due;
use hushmark_policy::{CampaignId, Day};
use serde_json::{Value as Json, json};

use super::cluster::{Cluster, object, plain};
use crate::plans::{Plans, Policies};
use crate::policies;

const KEPT: &str = "RetentionPolicy acme/short";
const FADED: &str = "AnonymizationPolicy acme/fade";

fn kept(more: Json) -> RetentionPolicy {
    let mut spec = json!({ "mode": "enforce", "keep": { "rowsDays": 30, "countersDays": 60 } });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object("RetentionPolicy", "acme", "short", spec)
}

/// The plain cluster, its campaign with both kinds of policies.
fn cluster(more: Json) -> Cluster {
    let mut cluster = plain().with(kept(more));
    cluster.edit_campaign(|campaign| {
        campaign.spec.retention_policy = Some("short".into());
        campaign.spec.anonymization_policy = Some("fade".into());
    });
    cluster
}

fn told(cluster: &mut Cluster) -> Policies {
    let steps = json!([{ "action": "hourToDay", "afterDays": 10 }]);
    let fade: AnonymizationPolicy =
        object("AnonymizationPolicy", "acme", "fade", json!({ "steps": steps }));
    cluster.apply(fade);
    policies::hand_over(&cluster.world, "eu", &cluster.region.as_ref().unwrap().spec)
}

fn names(policy: &Policy) -> (Vec<&str>, Vec<&str>) {
    let free = policy.campaigns.iter().map(|campaign| campaign.name.as_str());
    (free.collect(), policy.held.iter().map(|held| held.reason.as_str()).collect())
}

#[test]
fn the_writer_is_told_of_accepted_policies_and_of_whom_they_reach() {
    let all = told(&mut cluster(json!({})));
    assert_eq!(all.keys().collect::<Vec<_>>(), [FADED, KEPT]);
    assert_eq!(names(&all[KEPT]), (vec!["acme/spring"], vec![]));
    assert!(all[KEPT].enforces && !all[FADED].enforces);
    assert_eq!(all[FADED].limits.len(), 1);
    assert_eq!(
        all[KEPT].spec,
        r#"{"guard":{"driftPercent":5},"keep":{"countersDays":60,"rowsDays":30},"mode":"enforce"}"#
    );
}

#[test]
fn a_hold_of_the_retention_policy_keeps_what_either_policy_reaches() {
    let hold = json!({ "legalHold": { "reason": "a court" } });
    let all = told(&mut cluster(hold));
    assert_eq!(names(&all[KEPT]), (vec![], vec!["a court"]));
    assert_eq!(names(&all[FADED]), (vec![], vec!["a court"]));
}

#[test]
fn a_refused_policy_removes_nothing_and_still_holds() {
    let mut cluster = cluster(json!({ "legalHold": { "reason": "a court" } }));
    let region = cluster.region.as_mut().unwrap();
    region.spec.ceilings.keep =
        Some(serde_json::from_value(json!({ "rowsDays": 7, "countersDays": 9 })).unwrap());
    let all = told(&mut cluster);
    assert_eq!(all.keys().collect::<Vec<_>>(), [FADED]);
    assert_eq!(names(&all[FADED]), (vec![], vec!["a court"]));
}

#[test]
fn who_could_be_held_by_a_policy_that_is_not_there_is_held() {
    let mut cluster = cluster(json!({}));
    cluster.edit_campaign(|campaign| campaign.spec.retention_policy = Some("gone".into()));
    let all = told(&mut cluster);
    assert_eq!(names(&all[KEPT]), (vec![], vec![]));
    let why = "its RetentionPolicy gone is not there, and could hold it";
    assert_eq!(names(&all[FADED]), (vec![], vec![why]));
    let holds = policies::holds(&cluster.world, "eu");
    let [hold] = holds.as_slice() else { panic!("{holds:?}") };
    assert_eq!((hold.held.name.as_str(), hold.held.reason.as_str()), ("acme/spring", why));
    assert_eq!(hold.campaign, CampaignId::derive("eu", "acme", "spring"));
    assert_eq!(policies::holds(&cluster.world, "us"), [], "the tenant is another release's");
}

fn plan(policy: &Policy, rows: u64) -> Told {
    let found = Found {
        table: "hits".into(),
        part: String::new(),
        rows,
        bytes: 1,
        partitions: Vec::new(),
        oldest: String::new(),
    };
    let due = due(&policy.limits, Day(20_000)).into_iter();
    let plan = Plan::new(policy, due.map(|due| (due, vec![found.clone()])).collect());
    let made_ms = Day(20_000).start_ms() + 1;
    Told { plan, made_ms, after: 1, begun: None, last: None, replaced: None }
}

fn shows(cluster: &mut Cluster, told: &Told) -> (usize, String) {
    cluster.plans = Some(Plans::from([(KEPT.to_owned(), told.clone())]));
    let writes = cluster.settle();
    let policy = cluster.world.retention.in_namespace("acme").next().unwrap();
    let status = policy.status.clone().unwrap();
    let steps = status.plan.unwrap().steps;
    let rows: Vec<String> =
        steps.into_iter().map(|step| format!("{} {}", step.step, step.rows)).collect();
    let said = status.conditions.iter().filter(|c| ["Planned", "Enforced"].contains(&&*c.type_));
    let said = said.map(|c| format!("{} {} {}: {}", c.type_, c.status, c.reason, c.message));
    (writes, [rows, said.collect()].concat().join("\n"))
}

#[test]
fn a_status_tells_roughly_what_is_due_and_is_written_once_a_change() {
    let mut cluster = cluster(json!({}));
    let policy = told(&mut cluster)[KEPT].clone();
    cluster.world.take(super::Seen::ListBegins(super::Kind::Anonymization));
    cluster.world.take(super::Seen::ListEnds(super::Kind::Anonymization));
    cluster.settle();
    let (writes, said) = shows(&mut cluster, &plan(&policy, 19_392));
    assert_eq!(writes, 1);
    insta::assert_snapshot!(said, @r"
    rows about 20000
    counters about 20000
    Planned True Due: rows are due; `kubectl hushmark plan retentionpolicy/short -n acme` shows the plan and its hash
    ");
    assert_eq!(shows(&mut cluster, &plan(&policy, 19_392)).0, 0);
    let few = shows(&mut cluster, &plan(&policy, 99));
    assert_eq!(few.0, 1);
    insta::assert_snapshot!(few.1, @r"
    rows fewer than 100
    counters fewer than 100
    Planned True LittleDue: fewer than 100 rows are due by any step; `kubectl hushmark plan retentionpolicy/short -n acme` shows the plan
    ");
    assert_eq!(shows(&mut cluster, &plan(&policy, 0)).0, 0, "none or few is the same to a status");
    cluster.plans = None;
    assert_eq!(cluster.settle(), 0, "what redis lost was shown all the same");
}

#[test]
fn a_status_tells_what_became_of_the_last_demand_without_a_figure() {
    let mut cluster = cluster(json!({}));
    let policy = told(&mut cluster)[KEPT].clone();
    cluster.world.take(super::Seen::ListBegins(super::Kind::Anonymization));
    cluster.world.take(super::Seen::ListEnds(super::Kind::Anonymization));
    let mut now = plan(&policy, 500);
    let past = |stopped| Past {
        entry: 7,
        plan: Hash32([1; 32]),
        ended_ms: Day(20_000).start_ms(),
        done: Vec::new(),
        stopped,
    };
    let mut said = Vec::new();
    let mut tell = |told: &Told| {
        let all = shows(&mut cluster, told).1;
        said.push(all.lines().last().unwrap().to_owned());
    };
    now.begun = Some(Begun { entry: 7, at_ms: 0, done: Vec::new() });
    tell(&now);
    now.begun = None;
    let drifted = "step rows was announced for 12 rows of hits, and 14 are due".to_owned();
    for stopped in [
        None,
        Some(Stopped { reason: Reason::LegalHold, said: "a legal hold keeps acme/spring".into() }),
        Some(Stopped { reason: Reason::PlanChanged, said: drifted }),
    ] {
        now.last = Some(past(stopped));
        tell(&now);
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    Enforced Unknown Enforcing: entry 7 of the audit log demands it
    Enforced True Enforced: what entry 7 of the audit log demanded was done by 2024-10-04T00:00:00Z
    Enforced False LegalHold: entry 7 of the audit log: a legal hold keeps acme/spring
    Enforced False PlanChanged: what entry 7 of the audit log demanded was not what was due any more: see what is with `kubectl hushmark plan retentionpolicy/short -n acme`
    ");
}
