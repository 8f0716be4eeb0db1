use proptest::prelude::*;

use super::*;

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(n).unwrap()
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let message = "[a-z ]{0,12}";
    prop_oneof![
        message.prop_map(|m| Outcome::Ready("Resolved", m)),
        message.prop_map(|m| Outcome::Waiting("Appending", m)),
        message.prop_map(|m| Outcome::Blocked("NoTenant", m)),
        message.prop_map(|m| Outcome::Refused("AboveCeiling", m)),
    ]
}

fn is(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().find(|c| c.type_ == type_).unwrap().status == "True"
}

proptest! {
    /// Saying the same again changes nothing, whenever it is said; and a time moves exactly when
    /// its status does.
    #[test]
    fn a_condition_that_did_not_change_keeps_its_time(
        story in prop::collection::vec((outcome(), any::<bool>()), 1..12),
    ) {
        let mut old: Vec<Condition> = Vec::new();
        for (i, (outcome, paused)) in story.iter().enumerate() {
            let now = second(1_000 + i as i64);
            let new = merge(&old, &of(outcome, *paused), 7, now);
            let again = merge(&new, &of(outcome, *paused), 7, second(99_999));
            prop_assert_eq!(&new, &again);
            for condition in &new {
                let before = old.iter().find(|c| c.type_ == condition.type_);
                match before.filter(|c| c.status == condition.status) {
                    Some(same) => {
                        prop_assert_eq!(&same.last_transition_time, &condition.last_transition_time);
                    }
                    None => prop_assert_eq!(condition.last_transition_time.0, now),
                }
            }
            old = new;
        }
    }

    /// kstatus reads Reconciling and Stalled before Ready: at most one of the three is true, and
    /// exactly one where the resource is settled.
    #[test]
    fn ready_reconciling_and_stalled_never_contradict_each_other(
        outcome in outcome(), paused: bool,
    ) {
        let all = merge(&[], &of(&outcome, paused), 1, second(5));
        let true_ones = [READY, RECONCILING, STALLED].into_iter().filter(|t| is(&all, t)).count();
        prop_assert_eq!(true_ones, 1);
        prop_assert_eq!(is(&all, SPEC_VALID), !matches!(outcome, Outcome::Refused(..)));
        prop_assert!(all.iter().all(|c| c.observed_generation == Some(1) && !c.reason.is_empty()));
    }
}

#[test]
fn a_status_is_written_only_when_it_differs() {
    let old = hushmark_crds::PolicyStatus { observed_generation: Some(1), ..Default::default() };
    assert_eq!(patch(Some(&old), &old), None);
    assert!(patch(None, &old).is_some());
    let new = hushmark_crds::PolicyStatus { observed_generation: None, ..old.clone() };
    let text = patch(Some(&old), &new).unwrap().to_string();
    assert_eq!(text, r#"{"status":{"conditions":[],"observedGeneration":null,"plan":null}}"#);
}

#[test]
fn times_are_whole_seconds_as_kubernetes_keeps_them() {
    let now: Timestamp = "2026-11-22T01:02:03.456Z".parse().unwrap();
    let all = merge(&[], &of(&Outcome::Ready("Resolved", String::new()), false), 1, now);
    assert_eq!(all[0].last_transition_time.0.to_string(), "2026-11-22T01:02:03Z");
}

#[test]
fn a_message_that_never_ends_is_cut() {
    let wanted = [Wanted::new(READY, Status::False, "Long", "x".repeat(10_000))];
    let all = merge(&[], &wanted, 1, second(0));
    assert!(all[0].message.chars().count() <= 4_096);
}
