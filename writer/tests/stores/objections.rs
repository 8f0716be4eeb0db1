//! Recipients' objections on their way from a lane to the refusal log.

use ed25519_dalek::SigningKey;
use hushmark_event::objection::name_message;
use hushmark_event::redis_keys::{
    ASKS, ASKS_MOST, QUESTION_FIELD, REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD, lane_stream,
};
use hushmark_event::refusal::{Entry, RefusalLog, Refuses};
use hushmark_event::tables::Target;
use hushmark_event::{DayKey, Hit, Lane, Objection, Ring};
use hushmark_policy::{Kind, Mode};

use crate::support::{BATCH_KEY, SIGNING, Stack, hit, now_ms, wait_or};

const LANE: Lane = Lane { incarnation: 0x223, core: 0 };
const OTHER: Lane = Lane { incarnation: 0x224, core: 0 };
const THIRD: Lane = Lane { incarnation: 0x225, core: 0 };

/// What an edge makes of the page of the message that a hit is of.
fn objection(hit: &Hit) -> Objection {
    let (context, mark) = (hit.context, hit.mark.clone().unwrap());
    let mut ring = Ring::default();
    ring.insert(context.last_day, DayKey::new(BATCH_KEY));
    let message = name_message(&ring, context.campaign, context.last_day, &mark);
    let is_contact = context.mode == Mode::Individual;
    Objection {
        tenant: context.tenant,
        contact: is_contact.then_some(mark),
        message: message.filter(|_| !is_contact),
    }
}

/// Requests that wait: what they say and who asks.
fn asks(stack: &Stack) -> Vec<(String, String)> {
    let mut range = redis::cmd("XRANGE");
    let found: Vec<(String, std::collections::HashMap<String, String>)> =
        range.arg(ASKS).arg("-").arg("+").query(&mut stack.redis()).unwrap();
    let field = |fields: &std::collections::HashMap<String, String>, name: &str| {
        fields.get(name).cloned().unwrap_or_default()
    };
    found.iter().map(|(_, all)| (field(all, REFUSAL_FIELD), field(all, QUESTION_FIELD))).collect()
}

/// What `hushmark up` and the operator do with what is asked.
fn append(stack: &Stack, asked: &[(String, String)]) {
    let (mut log, mut redis) = (RefusalLog::default(), stack.redis());
    for (n, (text, _)) in (1..).zip(asked) {
        let refuses: Refuses = serde_json::from_str(text).unwrap();
        let entry = Entry { n, at_ms: now_ms(), refuses }.to_bytes();
        log.append(&entry).unwrap();
        let mut add = redis::cmd("XADD");
        add.arg(REFUSALS).arg(format!("{n}-0")).arg(REFUSAL_FIELD).arg(entry);
        add.query::<String>(&mut redis).unwrap();
    }
    let head = serde_json::to_vec(&log.sign_head(&SigningKey::from_bytes(&SIGNING))).unwrap();
    redis::cmd("SET").arg(REFUSALS_HEAD).arg(head).query::<()>(&mut redis).unwrap();
    redis::cmd("DEL").arg(ASKS).query::<i64>(&mut redis).unwrap();
}

fn counted(stack: &Stack) -> String {
    stack.query(
        "SELECT campaign, sum(raw) FROM counters WHERE tenant = 1 AND dimension = 'total' \
         GROUP BY campaign ORDER BY campaign",
    )
}

#[test]
fn an_objection_ends_what_was_on_its_way_and_is_asked_for_once() {
    let stack = Stack::start();
    let (own, other) =
        (hit(Mode::Anonymous, Kind::Open, 1, 7), hit(Mode::Anonymous, Kind::Open, 1, 8));
    let contact = hit(Mode::Individual, Kind::Click, 2, 9);
    // Twice, by two edges: the reader pressed the button again.
    stack.append(LANE, 1, &[own.clone(), other.clone(), contact.clone()]);
    stack.append_objections(OTHER, 1, &[objection(&own), objection(&contact)]);
    stack.append_objections(THIRD, 1, &[objection(&own)]);
    let writer = stack.writer(&[]);
    for lane in [LANE, OTHER, THIRD] {
        stack.wait_stored(lane, 1);
    }
    assert_eq!(counted(&stack), "2\t1", "the other's alone");
    assert_eq!(stack.query("SELECT count() FROM hits WHERE tenant = 1"), "0");
    let asked = asks(&stack);
    assert_eq!(asked.len(), 2);
    assert!(asked[0].0.starts_with(r#"{"message":{"campaign":"0000000000000002","until":""#));
    assert!(asked[0].1.starts_with(r#"{"by":"recipient","action":{"object":{"campaign":"#));
    assert_eq!(asked[1].0, r#"{"contact":{"tenant":"0000000000000001","id":"0000000000000009"}}"#);
    assert!(!asked[0].0.contains("0000000000000007"), "the mark is not in it");

    // Nobody appended it, the streams were trimmed, and the writer died: it is obeyed all the same.
    drop(writer);
    stack.expire_lease();
    stack.append(LANE, 2, &[own.clone(), other.clone(), contact.clone()]);
    stack.append_objections(THIRD, 2, &[objection(&own)]);
    let _writer = stack.writer(&[]);
    stack.wait_stored(LANE, 2);
    stack.wait_stored(THIRD, 2);
    assert_eq!(counted(&stack), "2\t2");
    assert_eq!(asks(&stack), asked, "nothing is asked for twice");

    // It is in the log: that is what refuses now, and a repeat asks for nothing.
    append(&stack, &asked);
    wait_or("the log", || stack.logs(), || stack.metric("hushmark_writer_refusals") == 2.0);
    stack.append(LANE, 3, &[own.clone(), other, contact]);
    stack.append_objections(THIRD, 3, &[objection(&own)]);
    stack.wait_stored(LANE, 3);
    stack.wait_stored(THIRD, 3);
    assert_eq!(counted(&stack), "2\t3");
    assert!(asks(&stack).is_empty());
    assert_eq!(stack.query("SELECT sum(raw) FROM counters WHERE dimension = 'drop'"), "6");
}

#[test]
fn an_objection_stays_in_its_stream_until_there_is_room_to_ask() {
    let stack = Stack::start();
    let mut many = redis::pipe();
    for _ in 0..ASKS_MOST {
        many.cmd("XADD").arg(&[ASKS, "*", REFUSAL_FIELD, r#"{"takedown":{"kid":3}}"#]).ignore();
    }
    many.query::<()>(&mut stack.redis()).unwrap();
    let own = hit(Mode::Anonymous, Kind::Open, 1, 7);
    stack.append_objections(OTHER, 1, &[objection(&own)]);
    stack.append(LANE, 1, &[own]);
    let _writer = stack.writer(&[]);
    stack.wait_stored(LANE, 1);
    stack.wait_stored(OTHER, 1);
    assert_eq!(counted(&stack), "", "obeyed although nobody was asked");
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let length =
        || -> u64 { redis::cmd("XLEN").arg(lane_stream(OTHER)).query(&mut stack.redis()).unwrap() };
    assert_eq!(length(), 1);
    redis::cmd("DEL").arg(ASKS).query::<i64>(&mut stack.redis()).unwrap();
    wait_or("it to be asked for", || stack.logs(), || asks(&stack).len() == 1);
    wait_or("the stream to be trimmed", || stack.logs(), || length() == 0);
}

/// Hits that the log refuses, and a writer that cannot have the log.
#[test]
fn nothing_is_stored_on_a_log_that_is_known_to_be_longer() {
    let stack = Stack::start();
    let contact = hit(Mode::Individual, Kind::Open, 1, 7);
    let refuses = objection(&contact).refuses().next().unwrap();
    append(&stack, &[(serde_json::to_string(&refuses).unwrap(), String::new())]);
    let mut redis = stack.redis();
    let range = redis::cmd("XRANGE").arg(&[REFUSALS, "-", "+"]).query(&mut redis);
    let entries: Vec<(String, [String; 2])> = range.unwrap();
    let head: String = redis::cmd("GET").arg(REFUSALS_HEAD).query(&mut redis).unwrap();
    let mut lose = |key: &str| redis::cmd("DEL").arg(key).query::<i64>(&mut redis).unwrap();
    let put_back = || {
        let [(id, [name, entry])] = entries.as_slice() else { panic!("one entry") };
        let mut redis = stack.redis();
        let mut add = redis::cmd("XADD");
        add.arg(&[REFUSALS, id.as_str(), name.as_str(), entry.as_str()])
            .query::<String>(&mut redis)
            .unwrap();
        redis::cmd("SET").arg(&[REFUSALS_HEAD, head.as_str()]).query::<()>(&mut redis).unwrap();
    };
    let told = || {
        let log = std::fs::read_to_string(stack.path().join("writer.log")).unwrap();
        log.matches("nothing is stored on a shorter log").count()
    };

    // A head is signed, and its entries are not there. ClickHouse is empty.
    lose(REFUSALS);
    stack.append(LANE, 1, std::slice::from_ref(&contact));
    let writer = stack.writer(&[]);
    wait_or("the writer to tell of the head", || stack.logs(), || told() > 0);
    assert_eq!(stack.stored(Target::Counters, LANE), 0);
    put_back();
    stack.wait_stored(LANE, 1);

    // Redis has lost all of it, and the writer is new: the ledger says by what was filtered.
    drop(writer);
    stack.expire_lease();
    lose(REFUSALS);
    lose(REFUSALS_HEAD);
    let before = told();
    stack.append(LANE, 2, &[contact]);
    let _writer = stack.writer(&[]);
    wait_or("the writer to tell of the ledger", || stack.logs(), || told() > before);
    assert_eq!(stack.stored(Target::Counters, LANE), 1);
    put_back();
    stack.wait_stored(LANE, 2);
    assert_eq!(counted(&stack), "");
    assert_eq!(stack.query("SELECT count() FROM hits WHERE tenant = 1"), "0");
}
