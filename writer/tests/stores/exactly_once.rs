//! The writer against a real Redis and the real engine.

use crate::support::{Stack, hit};
use hushmark_event::Lane;
use hushmark_policy::{Kind, Mode};

const LANE: Lane = Lane { incarnation: 0xabc, core: 0 };

#[test]
fn what_is_appended_is_stored_once_in_every_dimension() {
    let stack = Stack::start();
    let writer = stack.writer(&[]);
    for number in 1..=20 {
        let hits: Vec<_> = (0..50u64)
            .map(|n| {
                let kind = if n % 2 == 0 { Kind::Open } else { Kind::Click };
                let mode = [Mode::Overall, Mode::Anonymous, Mode::Individual][n as usize % 3];
                hit(mode, kind, n % 7, number * 100 + n)
            })
            .collect();
        stack.append(LANE, number, &hits);
    }
    stack.wait_stored(LANE, 20);
    drop(writer);
    for dimension in ["total", "mode", "verdict", "device", "client", "system", "hour", "rules"] {
        let sum = stack.query(&format!(
            "SELECT sum(raw) FROM counters WHERE tenant != 0 AND dimension = '{dimension}'"
        ));
        assert_eq!(sum, "1000", "{dimension}");
    }
    assert_eq!(stack.query("SELECT count() FROM hits WHERE tenant != 0"), "320");
    let people = "SELECT uniqCombined64ArrayMerge(14)(uniq_raw) FROM counters \
                  WHERE tenant != 0 AND dimension = 'total' AND kind = 'open'";
    assert_eq!(stack.query(people), "320", "each hit of a mode with marks is a person of its own");
}

#[test]
fn killed_again_and_again_it_stores_each_entry_once() {
    let stack = Stack::start();
    let total = 300;
    for round in 0..12 {
        let writer = stack.writer(&[]);
        for number in (round * 25 + 1)..=(round * 25 + 25) {
            stack.append(LANE, number, &[hit(Mode::Anonymous, Kind::Click, number, number)]);
        }
        std::thread::sleep(std::time::Duration::from_millis(300 + 170 * round));
        // Dropping kills with -9.
        drop(writer);
        stack.expire_lease();
    }
    let writer = stack.writer(&[]);
    stack.wait_stored(LANE, total);
    drop(writer);
    let once = "SELECT count(), max(n) FROM (SELECT campaign, sum(raw) AS n FROM counters \
                WHERE tenant != 0 AND dimension = 'total' GROUP BY campaign)";
    assert_eq!(stack.query(once), format!("{total}\t1"));
}
