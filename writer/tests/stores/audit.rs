//! The copy of a cluster's audit log: it outlives a Redis that loses the log.

use ed25519_dalek::SigningKey;
use hushmark_event::audit::{
    Action, Asked, AuditJournal, Name, Outcome, Principal, Says, SignedHead,
};
use hushmark_event::redis_keys::{AUDIT, AUDIT_HEAD, REFUSAL_FIELD};
use redis::streams::StreamRangeReply;

use crate::support::{SIGNING, Stack, wait_or};

/// What an operator appends: one more entry, and the head over all.
fn append(stack: &Stack, journal: &mut AuditJournal) {
    ask(stack, journal, Action::RotateKeys, Outcome::Allowed { position: None });
}

/// The same, of what somebody asked for.
pub(crate) fn ask(stack: &Stack, journal: &mut AuditJournal, action: Action, outcome: Outcome) {
    let by = Principal::Kubernetes(Name::of("jane"));
    let says = Says::Asked(Asked { by, action, outcome });
    let prepared = journal.prepare([says], 1_795_000_000_000).unwrap();
    journal.commit(prepared).unwrap();
    let (n, mut redis) = (journal.log().length(), stack.redis());
    let text = journal.entries().last().unwrap();
    let mut add = redis::cmd("XADD");
    add.arg(AUDIT).arg(format!("{n}-0")).arg(REFUSAL_FIELD).arg(text);
    add.query::<String>(&mut redis).unwrap();
    let head = journal.log().sign_head(&SigningKey::from_bytes(&SIGNING));
    let head = serde_json::to_vec(&head).unwrap();
    redis::cmd("SET").arg(AUDIT_HEAD).arg(head).query::<()>(&mut redis).unwrap();
}

#[test]
fn a_log_that_redis_loses_comes_back_from_clickhouse_to_the_byte() {
    let (stack, mut journal) = (Stack::start(), AuditJournal::default());
    append(&stack, &mut journal);
    append(&stack, &mut journal);
    let writer = stack.writer(&[]);
    let copied = |n: &str| stack.try_query("SELECT max(n) FROM audit").is_ok_and(|max| max == n);
    wait_or("the log to be copied", || stack.logs(), || copied("2"));
    append(&stack, &mut journal);
    wait_or("what was appended to be copied", || stack.logs(), || copied("3"));

    drop(writer);
    redis::cmd("DEL").arg(&[AUDIT, AUDIT_HEAD]).query::<()>(&mut stack.redis()).unwrap();
    let _writer = stack.writer(&[]);
    let head = || -> Option<SignedHead> {
        let head: Option<Vec<u8>> =
            redis::cmd("GET").arg(AUDIT_HEAD).query(&mut stack.redis()).unwrap();
        head.map(|head| serde_json::from_slice(&head).unwrap())
    };
    wait_or("the log to be put back", || stack.logs(), || head().is_some());
    let there: StreamRangeReply =
        redis::cmd("XRANGE").arg(&[AUDIT, "-", "+"]).query(&mut stack.redis()).unwrap();
    let there: Vec<String> = there.ids.iter().filter_map(|it| it.get(REFUSAL_FIELD)).collect();
    assert_eq!(there, journal.entries());
    let key = SigningKey::from_bytes(&SIGNING).verifying_key();
    journal.log().verify_head(&head().unwrap(), &key).unwrap();
}
