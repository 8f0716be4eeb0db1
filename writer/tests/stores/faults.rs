//! Each fault by itself: what is killed, cut or broken, and what must hold afterwards.

use hushmark_event::redis_keys::{
    CLOSABLE_DAYS, DEAD, WRITER_CUT, WRITER_LEASE, dead_field, lane_stream,
};
use hushmark_event::tables::Target;
use hushmark_event::{Hit, Lane};
use hushmark_policy::{Day, Kind, Mode};

use crate::support::{BATCH_KEY, Stack, hit, now_ms, signal, wait, wait_or};

const LANE: Lane = Lane { incarnation: 0xdef, core: 1 };

fn one(n: u64) -> Vec<Hit> {
    vec![hit(Mode::Individual, Kind::Click, n, n)]
}

/// Campaigns stored, and the most hits that any of them has, in either table.
fn stored(stack: &Stack) -> (String, String) {
    let counters = "SELECT count(), max(n) FROM (SELECT campaign, sum(raw) AS n FROM counters \
                    WHERE tenant != 0 AND dimension = 'link' GROUP BY campaign)";
    let rows = "SELECT count(), max(n) FROM (SELECT campaign, count() AS n FROM hits \
                WHERE tenant != 0 GROUP BY campaign)";
    (stack.query(counters), stack.query(rows))
}

fn each_once(n: u64) -> (String, String) {
    (format!("{n}\t1"), format!("{n}\t1"))
}

#[test]
fn an_engine_that_dies_again_and_again_stores_each_entry_once() {
    let mut stack = Stack::start();
    let _writer = stack.writer(&[]);
    for round in 0..6 {
        for number in round * 20 + 1..=round * 20 + 20 {
            stack.append(LANE, number, &one(number));
            std::thread::sleep(std::time::Duration::from_millis(20 * (round + 1)));
        }
        stack.kill_engine();
        stack.start_engine();
    }
    stack.wait_stored(LANE, 120);
    assert_eq!(stored(&stack), each_once(120));
}

#[test]
fn a_redis_that_dies_again_and_again_costs_nothing() {
    let mut stack = Stack::start();
    let _writer = stack.writer(&[]);
    for round in 0..4 {
        for number in round * 20 + 1..=round * 20 + 20 {
            stack.append(LANE, number, &one(number));
        }
        std::thread::sleep(std::time::Duration::from_millis(600));
        stack.kill_redis();
    }
    stack.wait_stored(LANE, 80);
    assert_eq!(stored(&stack), each_once(80));
}

#[test]
fn an_emptied_redis_stores_nothing_twice_and_the_lanes_go_on() {
    let stack = Stack::start();
    let _writer = stack.writer(&[]);
    for round in 0..3 {
        for number in round * 10 + 1..=round * 10 + 10 {
            stack.append(LANE, number, &one(number));
        }
        std::thread::sleep(std::time::Duration::from_millis(700 * round));
        redis::cmd("FLUSHALL").query::<()>(&mut stack.redis()).unwrap();
        // An edge that did not hear the answer repeats its last batch.
        stack.append(LANE, round * 10 + 10, &one(round * 10 + 10));
    }
    stack.append(LANE, 31, &one(31));
    stack.wait_stored(LANE, 31);
    let (counters, rows) = stored(&stack);
    assert!(counters.ends_with("\t1") && rows.ends_with("\t1"), "{counters} {rows}");
}

#[test]
fn a_closed_day_turns_what_is_still_sealed_into_a_counted_drop() {
    let stack = Stack::start();
    let today = Day::of_unix_ms(now_ms());
    let mut old = one(1);
    old[0].at_ms = Day(today.0 - 9).start_ms();
    stack.append(LANE, 1, &old);
    // Sealed today, under a token whose last day is closed.
    let mut late = one(2);
    late[0].context.last_day = Day(today.0 - 9);
    stack.append(LANE, 2, &late);
    stack.append(LANE, 3, &one(3));
    let _writer = stack.writer(&[]);
    stack.wait_stored(LANE, 3);
    assert_eq!(stored(&stack), each_once(1));
    let drops = "SELECT value, sum(raw) FROM counters WHERE tenant = 0 AND dimension = 'drop' \
                 GROUP BY value ORDER BY value";
    assert_eq!(stack.query(drops), "closed\t1\nsealed\t1");
    let dead: bool = redis::cmd("EXISTS").arg(DEAD).query(&mut stack.redis()).unwrap();
    assert!(!dead);
}

#[test]
fn a_day_that_is_seven_days_old_is_handed_over_to_be_closed() {
    let stack = Stack::start();
    let old = Day(Day::of_unix_ms(now_ms()).0 - 8);
    for folder in ["ring", "salts"] {
        std::fs::write(stack.path().join(folder).join(old.to_string()), BATCH_KEY).unwrap();
    }
    let mut broken = stack.seal(LANE, 1, &[Hit { at_ms: old.start_ms(), ..one(1).remove(0) }]);
    *broken.last_mut().unwrap() ^= 1;
    stack.append_bytes(LANE, 1, &broken);
    let _writer = stack.writer(&[]);
    wait_or(
        "the day to be handed over",
        || stack.logs(),
        || {
            let days: Vec<String> =
                redis::cmd("SMEMBERS").arg(CLOSABLE_DAYS).query(&mut stack.redis()).unwrap();
            days == [old.to_string()]
        },
    );
    let dead: bool = redis::cmd("EXISTS").arg(DEAD).query(&mut stack.redis()).unwrap();
    assert!(!dead, "its dead letter goes with it");
    assert_eq!(stack.metric("hushmark_writer_drops_total{reason=\"sealed\"}"), 1.0);
}

#[test]
fn what_cannot_be_opened_is_a_dead_letter_as_it_was_and_the_lane_goes_on() {
    let stack = Stack::start();
    let mut broken = stack.seal(LANE, 2, &one(2));
    broken[9] ^= 1;
    stack.append(LANE, 1, &one(1));
    stack.append_bytes(LANE, 2, &broken);
    stack.append_bytes(LANE, 3, b"");
    stack.append_bytes(LANE, 4, &[9; 40]);
    stack.append(LANE, 5, &one(5));
    let _writer = stack.writer(&[]);
    stack.wait_stored(LANE, 5);
    assert_eq!(stored(&stack), each_once(2));
    let kept: Vec<u8> =
        redis::cmd("HGET").arg(DEAD).arg(dead_field(LANE, 2)).query(&mut stack.redis()).unwrap();
    assert_eq!(kept, broken);
    let count: u64 = redis::cmd("HLEN").arg(DEAD).query(&mut stack.redis()).unwrap();
    assert_eq!(count, 3);
    let named = "hushmark_writer_dead_letters_total{reason=\"seal\"}";
    assert_eq!(stack.metric(named), 3.0);
}

#[test]
fn what_clickhouse_refuses_alone_is_a_dead_letter_and_the_rest_is_stored() {
    let stack = Stack::start();
    let first = stack.writer(&[]);
    stack.append(LANE, 1, &one(1));
    stack.wait_stored(LANE, 1);
    drop(first);
    // Campaign ids in these tests are one more than the number.
    stack.query("ALTER TABLE counters ADD CONSTRAINT never CHECK campaign != 5");
    for number in 2..=8 {
        stack.append(LANE, number, &one(number));
    }
    stack.expire_lease();
    let _writer = stack.writer(&[]);
    stack.wait_stored(LANE, 8);
    assert_eq!(stored(&stack), each_once(7));
    let names: Vec<String> = redis::cmd("HKEYS").arg(DEAD).query(&mut stack.redis()).unwrap();
    assert_eq!(names, [dead_field(LANE, 4)]);
    let cut: Option<String> = redis::cmd("GET").arg(WRITER_CUT).query(&mut stack.redis()).unwrap();
    assert_eq!(cut, None);
}

#[test]
fn gaps_are_counted_and_passed_over() {
    let stack = Stack::start();
    for number in [1, 2, 5, 9] {
        stack.append(LANE, number, &one(number));
    }
    let _writer = stack.writer(&[]);
    stack.wait_stored(LANE, 9);
    assert_eq!(stored(&stack), each_once(4));
    assert_eq!(stack.metric("hushmark_writer_gaps_total"), 5.0);
}

#[test]
fn a_drain_stores_at_once_what_the_window_would_hold_back() {
    let stack = Stack::start();
    let mut writer = stack.writer_with(&["--window-seconds", "60"], &[]);
    wait("the lease", || {
        redis::cmd("EXISTS").arg(WRITER_LEASE).query::<bool>(&mut stack.redis()).unwrap()
    });
    for number in 1..=30 {
        stack.append(LANE, number, &one(number));
    }
    signal(&writer, "TERM");
    assert!(writer.0.wait().unwrap().success(), "{}", stack.logs());
    assert_eq!(stored(&stack), each_once(30));
    let held: bool = redis::cmd("EXISTS").arg(WRITER_LEASE).query(&mut stack.redis()).unwrap();
    assert!(!held, "the lease was given back");
}

#[test]
fn a_drain_without_redis_ends_and_leaves_the_rest_to_the_next_writer() {
    let mut stack = Stack::start();
    let mut writer = stack.writer_with(&["--window-seconds", "60"], &[]);
    wait("the lease", || {
        redis::cmd("EXISTS").arg(WRITER_LEASE).query::<bool>(&mut stack.redis()).unwrap()
    });
    stack.append(LANE, 1, &one(1));
    stack.stop_redis();
    signal(&writer, "TERM");
    // A drain that goes on waiting would take its whole two minutes.
    let mut ended = None;
    wait_or(
        "the writer to end",
        || stack.logs(),
        || {
            ended = writer.0.try_wait().unwrap();
            ended.is_some()
        },
    );
    assert!(ended.is_some_and(|status| status.success()), "{}", stack.logs());
    stack.kill_redis();
    let _next = stack.writer(&[]);
    stack.wait_stored(LANE, 1);
}

#[test]
fn what_is_stored_is_trimmed_and_an_old_number_that_comes_again_is_skipped() {
    let stack = Stack::start();
    let _writer = stack.writer(&[]);
    for number in 1..=10 {
        stack.append(LANE, number, &one(number));
    }
    stack.wait_stored(LANE, 10);
    let length =
        || -> u64 { redis::cmd("XLEN").arg(lane_stream(LANE)).query(&mut stack.redis()).unwrap() };
    wait_or("the stream to be trimmed", || stack.logs(), || length() == 0);
    // What an emptied Redis and a repeating edge would do.
    redis::cmd("DEL").arg(lane_stream(LANE)).query::<u64>(&mut stack.redis()).unwrap();
    stack.append(LANE, 10, &one(10));
    stack.append(LANE, 11, &one(11));
    stack.wait_stored(LANE, 11);
    assert_eq!(stored(&stack), each_once(11));
}

#[test]
fn a_standby_takes_over_and_the_one_that_slept_changes_nothing() {
    let stack = Stack::start();
    let first = stack.writer(&[]);
    stack.append(LANE, 1, &one(1));
    stack.wait_stored(LANE, 1);
    let _second = stack.writer(&[]);
    signal(&first, "STOP");
    for number in 2..=40 {
        stack.append(LANE, number, &one(number));
    }
    stack.wait_stored(LANE, 40);
    signal(&first, "CONT");
    for number in 41..=60 {
        stack.append(LANE, number, &one(number));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    stack.wait_stored(LANE, 60);
    assert_eq!(stored(&stack), each_once(60));
}

#[test]
fn a_newer_schema_stops_the_writer_with_a_reason() {
    let stack = Stack::start();
    let first = stack.writer(&[]);
    stack.append(LANE, 1, &one(1));
    stack.wait_stored(LANE, 1);
    drop(first);
    stack.query("INSERT INTO schema_steps (number, name) VALUES (999, 'future')");
    let mut writer = stack.writer(&[]);
    assert!(!writer.0.wait().unwrap().success());
    let log = std::fs::read_to_string(stack.path().join("writer.log")).unwrap();
    assert!(log.contains("clickhouse has schema step 999, this writer knows steps up to"), "{log}");
}

#[test]
fn every_insert_makes_one_part_of_each_target() {
    let stack = Stack::start();
    let _writer = stack.writer(&[]);
    let hits: Vec<Hit> =
        (0..20_000).map(|n| hit(Mode::Individual, Kind::Click, n % 7_000, n)).collect();
    for (number, hits) in hits.chunks(500).enumerate() {
        stack.append(LANE, number as u64 + 1, hits);
    }
    stack.wait_stored(LANE, 40);
    for target in Target::ALL {
        // Merged parts keep the numbers of the blocks that they are made of: none is skipped.
        let blocks = stack.query(&format!(
            "SELECT max(max_block_number) FROM system.parts WHERE table = '{0}' AND active",
            target.table()
        ));
        let inserts = stack.metric("hushmark_writer_insert_seconds_count") / 2.0;
        assert_eq!(blocks, inserts.to_string(), "{}", target.table());
    }
}
