//! The day of a contact's last open: one row, the newest day, and nothing else anywhere.

use ed25519_dalek::SigningKey;
use hushmark_event::chain::Hash32;
use hushmark_event::redis_keys::{REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{Entry, Erased, RefusalLog, Refuses};
use hushmark_event::{BatchBuilder, DayKey, Hit, Lane, LaneSealer, Verdict};
use hushmark_policy::{Day, Kind, Mode};

use crate::support::{BATCH_KEY, SIGNING, Stack, hit, now_ms, wait_or};

const LANE: Lane = Lane { incarnation: 0x888, core: 0 };

/// Puts entries into the refusal log.
fn refuse(stack: &Stack, all: &[Refuses]) {
    let (mut log, mut redis) = (RefusalLog::default(), stack.redis());
    for (n, refuses) in (1..).zip(all) {
        let entry = Entry { n, at_ms: now_ms(), refuses: refuses.clone() }.to_bytes();
        log.append(&entry).unwrap();
        let mut add = redis::cmd("XADD");
        add.arg(REFUSALS).arg(format!("{n}-0")).arg(REFUSAL_FIELD).arg(entry);
        add.query::<String>(&mut redis).unwrap();
    }
    let head = serde_json::to_vec(&log.sign_head(&SigningKey::from_bytes(&SIGNING))).unwrap();
    redis::cmd("SET").arg(REFUSALS_HEAD).arg(head).query::<()>(&mut redis).unwrap();
}

/// An open that came so many days ago.
fn open(contact: u64, days_ago: u64) -> Hit {
    let hit = hit(Mode::LastOpenDay, Kind::Open, 1, contact);
    Hit { at_ms: hit.at_ms - days_ago * 86_400_000, ..hit }
}

/// A batch of opens that came so many days ago, sealed today: keys of older days are none of this
/// stack's.
fn append(stack: &Stack, number: u64, hits: &[Hit]) {
    let mut builder = BatchBuilder::new(1);
    hits.iter().for_each(|hit| builder.push_hit(hit));
    let (mut packed, mut blob) = (Vec::new(), Vec::new());
    let records = builder.take(&mut packed);
    let today = Day::of_unix_ms(now_ms());
    LaneSealer::new(&DayKey::new(BATCH_KEY), today, LANE).seal(number, records, &packed, &mut blob);
    stack.append_bytes(LANE, number, &blob);
}

/// The only rows, oldest contact first, as days before today.
fn days(stack: &Stack) -> String {
    stack.query(
        "SELECT contact, toDate(now('UTC')) - max(day) FROM last_opens WHERE tenant = 1 \
         GROUP BY contact ORDER BY contact",
    )
}

#[test]
fn a_later_day_overwrites_an_earlier_one_and_nothing_else_is_stored() {
    let stack = Stack::start();
    let _writer = stack.writer(&[]);
    append(&stack, 1, &[open(7, 2), open(8, 2)]);
    stack.wait_stored(LANE, 1);
    assert_eq!(days(&stack), "7\t2\n8\t2");
    append(&stack, 2, &[open(7, 0)]);
    stack.wait_stored(LANE, 2);
    // A day that comes late moves nothing back.
    append(&stack, 3, &[open(7, 1), open(7, 1)]);
    stack.wait_stored(LANE, 3);
    assert_eq!(days(&stack), "7\t0\n8\t2");
    stack.query("OPTIMIZE TABLE last_opens FINAL");
    assert_eq!(stack.query("SELECT count() FROM last_opens"), "2", "one row a contact");
    assert_eq!(stack.query("SELECT count() FROM hits WHERE tenant != 0"), "0");
    assert_eq!(stack.query("SELECT count() FROM counters WHERE tenant != 0"), "0");
    let voids = "SELECT sum(raw) FROM counters WHERE tenant = 0 AND dimension = 'void'";
    assert_eq!(stack.query(voids), "5", "what is not counted is known to have come");
    let columns = "SELECT groupArray(name) FROM system.columns WHERE table = 'last_opens'";
    assert_eq!(stack.query(columns), "['tenant','contact','day']");
}

#[test]
fn a_machine_keeps_nobody_and_an_individual_hit_that_was_capped_keeps_its_day_alone() {
    let stack = Stack::start();
    let cap =
        r#"{"cap":{"scope":"all","up_to":1,"opens":"lastOpenDay","clicks":"off","place":"none"}}"#;
    refuse(&stack, &[serde_json::from_str(cap).unwrap()]);
    let machines = [Verdict::Scanner, Verdict::Prefetch, Verdict::Bot, Verdict::AppleProxy];
    let mut hits: Vec<Hit> =
        machines.into_iter().map(|verdict| Hit { verdict, ..open(7, 0) }).collect();
    hits.push(hit(Mode::Individual, Kind::Open, 1, 8));
    hits.push(hit(Mode::Individual, Kind::Click, 1, 9));
    hits.push(hit(Mode::Anonymous, Kind::Open, 1, 10));
    let _writer = stack.writer(&[]);
    append(&stack, 1, &hits);
    stack.wait_stored(LANE, 1);
    assert_eq!(days(&stack), "8\t0");
    assert_eq!(stack.query("SELECT count() FROM hits WHERE tenant != 0"), "0");
    let dropped = "SELECT sum(raw) FROM counters WHERE tenant = 0 AND dimension = 'drop'";
    assert_eq!(stack.query(dropped), "2", "who was promised to be counted is not kept instead");
}

#[test]
fn whoever_objects_or_is_erased_is_gone() {
    let stack = Stack::start();
    let _writer = stack.writer(&[]);
    append(&stack, 1, &[open(7, 1), open(8, 1), open(9, 1)]);
    stack.wait_stored(LANE, 1);
    // A minute is too long for a test.
    stack.query("ALTER TABLE last_opens MODIFY SETTING old_parts_lifetime = 1");
    let id = |n: u64| format!("{n:016x}");
    let erased = Erased::Person { tenant: id(1), lookup: Hash32([5; 32]), contacts: vec![id(8)] };
    refuse(&stack, &[Refuses::Contact { tenant: id(1), id: id(7) }, Refuses::Erase(erased)]);
    let ended = || stack.query("SELECT count() FROM erased WHERE n = 2 AND name = ''") != "0";
    wait_or("the erasure to end", || stack.logs(), ended);
    let noted = "SELECT max(rows) FROM erased WHERE n = 2 AND name = 'last_opens'";
    assert_eq!(stack.query(noted), "1");
    wait_or("the objection to be obeyed", || stack.logs(), || days(&stack) == "9\t1");
    // Both open once more.
    append(&stack, 2, &[open(7, 0), open(8, 0), open(9, 0)]);
    stack.wait_stored(LANE, 2);
    assert_eq!(days(&stack), "9\t0");
    let today = Day::of_unix_ms(now_ms()).to_string();
    assert_eq!(stack.query("SELECT toString(max(day)) FROM last_opens"), today);
}
