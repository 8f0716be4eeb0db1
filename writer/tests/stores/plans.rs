//! A cluster's policies, with a real Redis and the real engine: what the writer plans, and that it
//! removes what the audit log demands and nothing else.

use hushmark_event::audit::{Action, AuditJournal, Outcome, Reason};
use hushmark_event::plans::plan::rows;
use hushmark_event::plans::{Begun, Found, Held, Past, Plan, Policy, PolicyKind, Reached, Told};
use hushmark_event::redis_keys::{PLANS, POLICIES};
use hushmark_policy::retention::{Limit, Step, due};
use hushmark_policy::{CampaignId, Day};

use crate::audit::ask;
use crate::support::{Stack, now_ms, wait_or};

const ALLOWED: Outcome = Outcome::Allowed { position: None };

/// A policy of one campaign of its name, which keeps rows for thirty days.
fn policy(name: &str) -> Policy {
    Policy {
        region: "eu".into(),
        kind: PolicyKind::Retention,
        namespace: "acme".into(),
        name: name.into(),
        spec: format!("{{\"of\":\"{name}\"}}"),
        enforces: true,
        limits: vec![Limit { step: Step::Rows, days: 30 }],
        drift_percent: 10,
        campaigns: vec![Reached {
            name: format!("acme/{name}"),
            id: CampaignId::derive("eu", "acme", name),
        }],
        held: Vec::new(),
    }
}

/// What the operator does.
fn hand_over(stack: &Stack, policy: &Policy) {
    let text = serde_json::to_string(policy).unwrap();
    let mut set = redis::cmd("HSET");
    set.arg(POLICIES).arg(policy.field()).arg(text).query::<()>(&mut stack.redis()).unwrap();
}

fn told(stack: &Stack, policy: &Policy) -> Option<Told> {
    let mut get = redis::cmd("HGET");
    let text: Option<String> =
        get.arg(PLANS).arg(policy.field()).query(&mut stack.redis()).unwrap();
    text.map(|text| serde_json::from_str(&text).unwrap())
}

fn demand(stack: &Stack, journal: &mut AuditJournal, plan: &Plan, outcome: Outcome) -> u64 {
    let action = Action::EnforcePlan { tenant: plan.tenant(), plan: plan.hash() };
    ask(stack, journal, action, outcome);
    journal.log().length()
}

/// Rows of a policy's campaign, so many days old.
fn store(stack: &Stack, policy: &Policy, rows: u64, age: u32) {
    let (tenant, id) = (policy.tenant().0, policy.campaigns[0].id.0);
    stack.query(&format!(
        "INSERT INTO hits (tenant, campaign, contact, at, kind, link, verdict, rules, month) SELECT \
         {tenant}, {id}, number + 1, now() - INTERVAL {age} DAY AS at, 'open', 0, 'human', 1, \
         toStartOfMonth(at) FROM numbers({rows})"
    ));
}

fn stored(stack: &Stack, policy: &Policy) -> u64 {
    let id = policy.campaigns[0].id.0;
    stack.query(&format!("SELECT count() FROM hits WHERE campaign = {id}")).parse().unwrap()
}

/// What became of the plan that an entry demanded.
fn past(stack: &Stack, policy: &Policy, entry: u64) -> Past {
    let last = || told(stack, policy)?.last.filter(|last| last.entry == entry);
    wait_or("a plan to end", || stack.logs(), || last().is_some());
    last().unwrap()
}

fn has_schema(stack: &Stack) {
    let has = || stack.try_query("SELECT count() FROM policies").is_ok();
    wait_or("the schema", || stack.logs(), has);
}

fn plan_of(stack: &Stack, policy: &Policy, due: u64) -> Plan {
    let plan = || {
        let plan = told(stack, policy)?.plan;
        let found = plan.steps.iter().map(|step| rows(&step.found, "hits")).sum::<u64>();
        (found == due).then_some(plan)
    };
    wait_or("a plan", || stack.logs(), || plan().is_some());
    plan().unwrap()
}

#[test]
fn a_younger_entry_of_the_audit_log_removes_what_was_announced_and_nothing_else_does() {
    let (stack, mut journal) = (Stack::start(), AuditJournal::default());
    let short = policy("short");
    ask(&stack, &mut journal, Action::RotateKeys, ALLOWED);
    let _writer = stack.writer(&[]);
    has_schema(&stack);
    store(&stack, &short, 200, 60);
    store(&stack, &short, 50, 3);
    hand_over(&stack, &short);
    let first = plan_of(&stack, &short, 200);

    // A refused one is no demand, and rows that came meanwhile are beyond the guard.
    demand(&stack, &mut journal, &first, Outcome::Refused(Reason::PlanChanged));
    store(&stack, &short, 40, 60);
    let entry = demand(&stack, &mut journal, &first, ALLOWED);
    let stopped = past(&stack, &short, entry).stopped.unwrap();
    assert_eq!(stopped.reason, Reason::PlanChanged);
    assert!(stopped.said.contains("200 rows of hits, and 240 are due"), "{}", stopped.said);
    assert_eq!(stored(&stack, &short), 290, "nothing was removed");

    let second = plan_of(&stack, &short, 240);
    let entry = demand(&stack, &mut journal, &second, ALLOWED);
    let ended = past(&stack, &short, entry);
    assert_eq!(ended.stopped, None);
    assert_eq!(ended.plan, second.hash());
    assert_eq!(rows(&ended.done[0].removed, "hits"), 240);
    assert_eq!(stored(&stack, &short), 50);
    let enforced = "SELECT count() FROM enforced";
    assert_eq!(stack.query(enforced), "1", "a row a campaign and step");

    // The same plan made again is not carried out by the entries that demanded it before.
    store(&stack, &short, 240, 60);
    let spec = |text: &str| Policy { spec: text.into(), ..short.clone() };
    hand_over(&stack, &spec("another"));
    plan_of(&stack, &short, 240);
    hand_over(&stack, &short);
    let is_again = || told(&stack, &short).is_some_and(|told| told.plan.hash() == second.hash());
    wait_or("the plan of before", || stack.logs(), is_again);
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert_eq!(stored(&stack, &short), 290, "nobody demanded it again");

    // Who demands a plan that was made anew meanwhile is told so, and nothing goes.
    hand_over(&stack, &spec("a third"));
    let is_third = || told(&stack, &short).is_some_and(|told| told.plan.spec == "a third");
    wait_or("the plan of now", || stack.logs(), is_third);
    let entry = demand(&stack, &mut journal, &second, ALLOWED);
    let stopped = past(&stack, &short, entry).stopped.unwrap();
    assert_eq!(stopped.reason, Reason::PlanChanged);
    assert!(stopped.said.contains("made anew"), "{}", stopped.said);
    assert_eq!(stored(&stack, &short), 290);
    let overdue = "SELECT rows_days FROM policies FINAL WHERE rows_days > 0";
    assert_eq!(stack.query(overdue), "30", "and the figure of overdue rows knows of it");
}

#[test]
fn who_takes_over_goes_on_with_a_plan_unless_a_hold_came() {
    let (stack, mut journal) = (Stack::start(), AuditJournal::default());
    ask(&stack, &mut journal, Action::RotateKeys, ALLOWED);
    let (begun, held) = (policy("begun"), policy("held"));
    drop({
        let writer = stack.writer(&[]);
        has_schema(&stack);
        writer
    });
    for policy in [&begun, &held] {
        // Of a hundred a part is gone by now.
        store(&stack, policy, 70, 60);
        let found = Found {
            table: "hits".into(),
            part: String::new(),
            rows: 100,
            bytes: 1,
            partitions: Vec::new(),
            oldest: String::new(),
        };
        let due = due(&policy.limits, Day::of_unix_ms(now_ms())).into_iter();
        let plan = Plan::new(policy, due.map(|due| (due, vec![found.clone()])).collect());
        let at_ms = now_ms();
        let begun = Some(Begun { entry: 1, at_ms, done: Vec::new() });
        let told = Told { plan, made_ms: at_ms, after: 0, begun, last: None, replaced: None };
        let text = serde_json::to_string(&told).unwrap();
        let mut set = redis::cmd("HSET");
        set.arg(PLANS).arg(policy.field()).arg(text).query::<()>(&mut stack.redis()).unwrap();
    }
    hand_over(&stack, &begun);
    let name = "acme/held".to_owned();
    let hold = vec![Held { name, reason: "a letter of the court".into() }];
    hand_over(&stack, &Policy { campaigns: Vec::new(), held: hold, ..held.clone() });

    let _writer = stack.writer(&[]);
    let ended = past(&stack, &begun, 1);
    assert_eq!((ended.stopped, rows(&ended.done[0].removed, "hits")), (None, 70));
    assert_eq!(stored(&stack, &begun), 0);
    let stopped = past(&stack, &held, 1).stopped.unwrap();
    assert_eq!(stopped.reason, Reason::LegalHold);
    assert!(stopped.said.contains("a letter of the court"), "{}", stopped.said);
    assert_eq!(stored(&stack, &held), 70, "it is kept");
    assert!(told(&stack, &held).unwrap().begun.is_none());
}
