//! Erasures: an idle shard shows their position, rows go from every part, and what nobody can look
//! into holds them up.

use std::fs;

use ed25519_dalek::SigningKey;
use hushmark_event::Lane;
use hushmark_event::audit::Ended;
use hushmark_event::chain::Hash32;
use hushmark_event::redis_keys::{ERASED, REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{Entry, Erased, RefusalLog, Refuses};
use hushmark_policy::{Kind, Mode};

use crate::support::{Process, SIGNING, Stack, hit, now_ms, wait_or};

const LANE: Lane = Lane { incarnation: 0x777, core: 0 };

/// Contacts 7 and 8 of tenant 1 have opened a message each, and nothing comes any more.
fn opened() -> (Stack, Process) {
    let stack = Stack::start();
    let hits = [7, 8].map(|contact| hit(Mode::Individual, Kind::Open, 1, contact));
    stack.append(LANE, 1, &hits);
    let writer = stack.writer(&[]);
    stack.wait_stored(LANE, 1);
    // A minute is too long for a test.
    stack.query("ALTER TABLE hits MODIFY SETTING old_parts_lifetime = 1");
    (stack, writer)
}

fn erase(stack: &Stack, erased: Erased) {
    let entry = Entry { n: 1, at_ms: now_ms(), refuses: Refuses::Erase(erased) }.to_bytes();
    let mut log = RefusalLog::default();
    log.append(&entry).unwrap();
    let mut redis = stack.redis();
    let mut add = redis::cmd("XADD");
    add.arg(REFUSALS)
        .arg("1-0")
        .arg(REFUSAL_FIELD)
        .arg(&entry)
        .query::<String>(&mut redis)
        .unwrap();
    let head = serde_json::to_vec(&log.sign_head(&SigningKey::from_bytes(&SIGNING))).unwrap();
    redis::cmd("SET").arg(REFUSALS_HEAD).arg(&head).query::<()>(&mut redis).unwrap();
}

fn contact_7() -> Erased {
    let contacts = vec![format!("{:016x}", 7)];
    Erased::Person { tenant: format!("{:016x}", 1), lookup: Hash32([5; 32]), contacts }
}

fn wait_ended(stack: &Stack) {
    let ended = || stack.query("SELECT count() FROM erased WHERE n = 1 AND name = ''") != "0";
    wait_or("the erasure to end", || stack.logs(), ended);
}

#[test]
fn an_idle_shard_shows_the_position_and_a_person_goes_from_every_part() {
    let (stack, _writer) = opened();
    erase(&stack, contact_7());
    wait_ended(&stack);
    for table in ["counters", "hits"] {
        let position = stack.query(&format!("SELECT max(position) FROM {table} WHERE tenant = 0"));
        assert_eq!(position, "1", "{table}: ledger rows came alone");
    }
    assert_eq!(stack.query("SELECT contact FROM hits WHERE tenant = 1"), "8");
    let counted = "SELECT sum(raw) FROM counters WHERE tenant = 1 AND dimension = 'total'";
    assert_eq!(stack.query(counted), "2", "what was counted belongs to nobody");
    let noted = "SELECT max(rows), max(parts) FROM erased WHERE n = 1 AND name = 'hits'";
    assert_eq!(stack.query(noted), "1\t1");
    assert_eq!(stack.query("SELECT count() FROM withdrawals WHERE source = 'erased'"), "1");
    // What lies on the disk is what is active, and nothing else.
    let path = stack.query("SELECT arrayJoin(data_paths) FROM system.tables WHERE name = 'hits'");
    let is_clean = || {
        let active = stack.query("SELECT name FROM system.parts WHERE table = 'hits' AND active");
        let entries = fs::read_dir(&path).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut parts = names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit()));
        parts.all(|part| active.lines().any(|name| name == part))
    };
    wait_or("parts that are not active to be gone", || stack.logs(), is_clean);
    // The same hit once more: refused when it is stored.
    stack.append(LANE, 2, &[hit(Mode::Individual, Kind::Open, 1, 7)]);
    stack.wait_stored(LANE, 2);
    assert_eq!(stack.query("SELECT contact FROM hits WHERE tenant = 1"), "8");
}

#[test]
fn a_part_that_was_put_aside_holds_an_erasure_up_until_somebody_decides() {
    let (stack, _writer) = opened();
    let part = stack.query("SELECT _part FROM hits WHERE contact = 7");
    stack.query(&format!("ALTER TABLE hits DETACH PART '{part}'"));
    erase(&stack, contact_7());
    let says_so = || stack.logs().contains("detached parts");
    wait_or("the writer to say what it waits for", || stack.logs(), says_so);
    assert_eq!(stack.query("SELECT count() FROM erased WHERE name = ''"), "0");
    stack.query(&format!("ALTER TABLE hits ATTACH PART '{part}'"));
    wait_ended(&stack);
    assert_eq!(stack.query("SELECT contact FROM hits WHERE tenant = 1"), "8");
}

#[test]
fn of_a_tenant_nothing_is_left_but_the_ledger() {
    let (stack, writer) = opened();
    stack.query("ALTER TABLE counters MODIFY SETTING old_parts_lifetime = 1");
    erase(&stack, Erased::Tenant(format!("{:016x}", 1)));
    wait_ended(&stack);
    for table in ["counters", "hits"] {
        assert_eq!(stack.query(&format!("SELECT count() FROM {table} WHERE tenant != 0")), "0");
        let ledger = format!("SELECT max(last) FROM {table} WHERE tenant = 0");
        assert_eq!(stack.query(&ledger), "1", "{table} still says what is stored");
    }
    // Whoever makes receipts has no client of ClickHouse.
    let told = || -> Option<Ended> {
        let told: Option<Vec<u8>> =
            redis::cmd("HGET").arg(ERASED).arg(1).query(&mut stack.redis()).unwrap();
        told.map(|told| serde_json::from_slice(&told).unwrap())
    };
    wait_or("redis to be told", || stack.logs(), || told().is_some());
    let Ended { ledger, gone, .. } = told().unwrap();
    let hits = gone.iter().find(|gone| gone.name == "hits").unwrap();
    assert_eq!((ledger, hits.rows, hits.parts), (1, 2, 1));
    // One that comes after Redis forgot it tells it again.
    redis::cmd("DEL").arg(ERASED).query::<()>(&mut stack.redis()).unwrap();
    drop(writer);
    let _writer = stack.writer(&[]);
    wait_or("redis to be told again", || stack.logs(), || told().is_some());
}

/// A copy of what contact 8 left, as contact 7's: what a restored table may hold.
fn bring_back(stack: &Stack) {
    // The same block a second time would be taken for a repeat.
    stack.query(
        "INSERT INTO hits SETTINGS insert_deduplicate = 0 \
         SELECT * REPLACE (7 AS contact) FROM (SELECT * FROM hits WHERE contact = 8)",
    );
    assert_eq!(stack.query("SELECT count() FROM hits WHERE contact = 7"), "1");
}

fn wait_gone(stack: &Stack) {
    let is_gone = || stack.try_query("SELECT count() FROM hits WHERE contact = 7");
    wait_or("the rows to go again", || stack.logs(), || is_gone().is_ok_and(|count| count == "0"));
    wait_ended(stack);
}

#[test]
fn what_comes_back_under_a_session_goes_again() {
    let (mut stack, _writer) = opened();
    erase(&stack, contact_7());
    wait_ended(&stack);
    // From a backup that was made before the erasure ended.
    bring_back(&stack);
    stack.query("TRUNCATE TABLE erased");
    wait_gone(&stack);
    // From a disk that was put back, of which the newest part of `erased` is there all the same.
    bring_back(&stack);
    stack.kill_engine();
    stack.start_engine();
    wait_gone(&stack);
    let log = fs::read_to_string(stack.path().join("writer.log")).unwrap();
    assert!(!log.contains("session ended"), "all of it in one session:\n{log}");
}
