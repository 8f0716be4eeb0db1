use hushmark_policy::CampaignId;
use hushmark_policy::retention::{Limit, Step, due};

use super::*;
use crate::plans::{Begun, Found, Held, Past, Reached, Stopped};

const TODAY: Day = Day(20_000);

fn policy() -> Policy {
    Policy {
        region: "eu".into(),
        kind: PolicyKind::Retention,
        namespace: "acme".into(),
        name: "short".into(),
        spec: "{}".into(),
        enforces: true,
        limits: vec![Limit { step: Step::Rows, days: 30 }],
        drift_percent: 5,
        campaigns: vec![Reached { name: "acme/spring".into(), id: CampaignId(7) }],
        held: Vec::new(),
    }
}

fn told(rows: u64) -> Told {
    let found = Found {
        table: "hits".into(),
        part: String::new(),
        rows,
        bytes: 800,
        partitions: vec!["2024-07".into()],
        oldest: "2024-07-03".into(),
    };
    let found = if rows > 0 { vec![found] } else { Vec::new() };
    let due = due(&policy().limits, TODAY);
    let plan = Plan::new(&policy(), due.into_iter().map(|due| (due, found.clone())).collect());
    Told { plan, made_ms: TODAY.start_ms(), after: 3, begun: None, last: None, replaced: None }
}

fn ask(policy: Option<&Policy>, told: Option<&Told>, hash: Hash32) -> Result<Option<u64>, String> {
    let (region, kind) = ("eu".to_owned(), PolicyKind::Retention);
    let of = PlanQuestion { region, kind, policy: "acme/short".into() };
    let may = may_enforce(policy, told, (&of, hash), TODAY);
    may.map_err(|no| format!("{:?} {no}", no.reason()))
}

#[test]
fn the_newest_plan_may_be_carried_out_and_no_other_one() {
    let told = told(12);
    let hash = told.plan.hash();
    assert_eq!(ask(Some(&policy()), Some(&told), hash), Ok(None));
    let no = |answer: Result<Option<u64>, String>, says: &str| {
        let said = answer.unwrap_err();
        assert!(said.contains(says), "{said}");
    };
    no(ask(None, Some(&told), hash), "Some(Unknown) there is no RetentionPolicy acme/short");
    no(ask(Some(&policy()), None, hash), "Some(NotNow) the writer has made no plan");
    let again = "look at `kubectl hushmark plan retentionpolicy/short -n acme`";
    no(ask(Some(&policy()), Some(&told), Hash32([1; 32])), again);
    let held = Held { name: "acme/spring".into(), reason: "a court".into() };
    let held = Policy { campaigns: Vec::new(), held: vec![held], ..policy() };
    no(ask(Some(&held), Some(&told), hash), "Some(LegalHold) a legal hold keeps acme/spring");
    let only_plans = Policy { enforces: false, ..policy() };
    no(ask(Some(&only_plans), Some(&told), hash), "Some(PlanChanged)");
}

#[test]
fn an_empty_plan_is_not_carried_out_and_nobody_is_told() {
    let told = told(0);
    let said = ask(Some(&policy()), Some(&told), told.plan.hash()).unwrap_err();
    assert!(said.starts_with("None nothing is due"), "{said}");
}

#[test]
fn what_is_asked_twice_is_demanded_once() {
    let mut told = told(12);
    told.begun = Some(Begun { entry: 4, at_ms: 0, done: Vec::new() });
    assert_eq!(ask(Some(&policy()), Some(&told), told.plan.hash()), Ok(Some(4)));
}

#[test]
fn a_plan_that_was_carried_out_is_said_to_be_one_and_a_stopped_one_to_be_old() {
    let (old, mut told) = (told(12).plan.hash(), told(0));
    let past = |stopped| {
        let done = Vec::new();
        Some(Past { entry: 4, plan: old, ended_ms: 0, done, stopped })
    };
    told.last = past(None);
    let said = ask(Some(&policy()), Some(&told), old).unwrap_err();
    assert!(said.contains("this plan was carried out"), "{said}");
    told.last = past(Some(Stopped { reason: Reason::LegalHold, said: String::new() }));
    let said = ask(Some(&policy()), Some(&told), old).unwrap_err();
    assert!(said.contains("is not the newest one"), "{said}");
}
