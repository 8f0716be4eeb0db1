use super::*;
use crate::conditions;
use crate::context::now;

fn told(trouble: Option<Trouble>) -> WriterTold {
    WriterTold { pod: "eu-writer-x".into(), schema: 7, trouble }
}

fn judged(told: &[WriterTold]) -> (Status, &'static str) {
    let wanted = schema_in_sync(Some(told), &RegionStatus::default());
    (wanted.status, wanted.reason)
}

#[test]
fn one_writer_that_does_not_know_the_schema_is_enough_to_say_no() {
    let newer = told(Some(Trouble::NewerSchema(9)));
    assert_eq!(judged(&[told(None), newer.clone()]), (Status::False, "NewerThanWriter"));
    let message = schema_in_sync(Some(&[newer]), &RegionStatus::default()).message;
    assert!(
        message.contains("Upgrade the release to the version that brought step 9"),
        "{message}"
    );
    assert_eq!(judged(&[told(None)]), (Status::True, "InSync"));
}

#[test]
fn nobody_who_says_it_is_no_proof() {
    assert_eq!(judged(&[]), (Status::Unknown, "NotTold"));
    let away = told(Some(Trouble::Clickhouse("connection refused".into())));
    assert_eq!(judged(&[away]), (Status::Unknown, "NotTold"));
}

#[test]
fn what_was_said_last_stands_while_redis_is_away() {
    let mut before = RegionStatus::default();
    assert_eq!(schema_in_sync(None, &before).reason, "RedisAway");
    for writers in [vec![told(None)], vec![told(Some(Trouble::NewerSchema(9)))]] {
        let said = schema_in_sync(Some(&writers), &before);
        before.conditions = conditions::merge(&[], std::slice::from_ref(&said), 1, now());
        assert_eq!(schema_in_sync(None, &before), said);
    }
}
