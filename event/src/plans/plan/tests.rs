use hushmark_policy::retention::Limit;

use super::*;

const AGAIN: &str = "hushmark plan acme/fade";

fn policy() -> Policy {
    Policy {
        region: "eu".into(),
        kind: PolicyKind::Anonymization,
        namespace: "acme".into(),
        name: "fade".into(),
        spec: "{}".into(),
        enforces: true,
        limits: vec![Limit { step: Step::Hour, days: 90 }],
        drift_percent: 5,
        campaigns: vec![Reached { name: "acme/spring".into(), id: CampaignId(7) }],
        held: vec![Held { name: "acme/autumn".into(), reason: "a court".into() }],
    }
}

fn plan() -> Plan {
    let found = Found {
        table: "counters".into(),
        part: "hour".into(),
        rows: 12,
        bytes: 800,
        partitions: vec!["2026-07".into()],
        oldest: "2026-07-03".into(),
    };
    let due = Due { step: Step::Hour, before: Day(20_000), gone_before: Day(19_000) };
    Plan::new(&policy(), vec![(due, vec![found])])
}

fn said(policy: &Policy, today: u16) -> String {
    let held = plan().still_holds(policy, Day(today), AGAIN);
    held.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_plan_is_hashed_as_it_reads() {
    insta::assert_snapshot!(plan().canonical(), @r"
    hushmark plan 1
    region eu
    policy AnonymizationPolicy acme/fade
    spec {}
    campaign 0000000000000007 acme/spring
    held acme/autumn
    step hour from 2022-01-08 before 2024-10-04
    rows counters hour 12
    ");
}

#[test]
fn whatever_is_announced_changes_the_hash_and_bytes_do_not() {
    let first = plan().hash();
    let changes: [fn(&mut Plan); 6] = [
        |plan| plan.region = "us".into(),
        |plan| plan.spec = "{ }".into(),
        |plan| plan.kind = PolicyKind::Retention,
        |plan| plan.campaigns.clear(),
        |plan| plan.steps[0].before = "2024-10-05".into(),
        |plan| plan.steps[0].found[0].rows += 1,
    ];
    for change in changes {
        let mut other = plan();
        change(&mut other);
        assert_ne!(other.hash(), first, "{}", other.canonical());
    }
    let mut merged = plan();
    merged.steps[0].found[0].bytes = 1;
    assert_eq!(merged.hash(), first);
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let text = serde_json::to_string(&plan()).unwrap();
    assert!(text.contains(r#""id":"0000000000000007""#), "{text}");
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan());
    let due = plan().steps[0].due().unwrap();
    assert_eq!((due.step, due.before, due.gone_before), (Step::Hour, Day(20_000), Day(19_000)));
}

#[test]
fn a_plan_holds_as_long_as_its_policy_is_the_one_that_was_announced() {
    assert_eq!(said(&policy(), 20_090), "");
    assert_eq!(said(&policy(), 20_091), "", "a day later it is due all the same");
    assert!(said(&policy(), 20_089).contains("younger than acme/fade says today"));
    type Change = fn(&mut Policy);
    let changes: [(Change, &str); 5] = [
        (|policy| policy.enforces = false, "has mode: plan"),
        (|policy| policy.spec = "{ }".into(), "says something else"),
        (|policy| policy.campaigns.clear(), "other campaigns name acme/fade"),
        (
            |policy| policy.held[0] = Held { name: "acme/spring".into(), reason: "a judge".into() },
            "a legal hold keeps acme/spring since this plan was made (a judge)",
        ),
        (|policy| policy.limits.clear(), "younger"),
    ];
    for (change, says) in changes {
        let mut other = policy();
        change(&mut other);
        assert!(said(&other, 20_090).contains(says), "{}", said(&other, 20_090));
    }
}

#[test]
fn a_hold_wins_over_every_other_reason() {
    let mut held = policy();
    held.held[0].name = "acme/spring".into();
    (held.enforces, held.spec) = (false, String::new());
    let unfit = plan().still_holds(&held, Day(20_090), AGAIN).unwrap_err();
    assert_eq!(unfit.reason(), Reason::LegalHold);
}

#[test]
fn drift_stops_a_plan_unless_it_was_begun_and_less_is_left() {
    let plan = plan();
    let found = |rows| vec![Found { rows, ..plan.steps[0].found[0].clone() }];
    let check = |rows, is_begun| plan.steps[0].check_drift(&found(rows), (10, is_begun), AGAIN);
    assert!(check(12, false).is_ok() && check(13, false).is_ok());
    let drifted = check(14, false).unwrap_err();
    assert!(drifted.to_string().contains("12 rows of counters, and 14 are due, more than 10 %"));
    assert!(check(0, false).is_err() && check(0, true).is_ok() && check(14, true).is_err());
}
