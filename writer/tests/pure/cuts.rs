//! Cut after cut stores every entry once, in order, a month at a time.

use std::collections::BTreeMap;

use hushmark_event::Lane;
use hushmark_event::tables::Target;
use hushmark_policy::Day;
use hushmark_writer::entry::{Content, Entry};
use hushmark_writer::queue::{CutLimits, Ledger, Queues};
use proptest::prelude::*;

use crate::entry;

const LIMITS: CutLimits = CutLimits { records: 20, entries: 8 };

/// The last days of a month and the first of the next.
fn day(n: u8) -> Day {
    Day::parse("2026-11-29").unwrap().plus(u16::from(n))
}

/// For each entry: how many numbers are missing before it, its day's step, its records (none for a
/// dead letter).
fn lane() -> impl Strategy<Value = Vec<(u64, bool, Option<u8>)>> {
    let missing = prop_oneof![8 => Just(0u64), 1 => 1..4u64];
    let records = prop::option::weighted(0.9, 1..12u8);
    prop::collection::vec((missing, prop::bool::weighted(0.2), records), 0..25)
}

proptest! {
    #[test]
    fn every_entry_is_in_one_cut_in_order_and_of_one_month(
        lanes in prop::collection::vec((lane(), 0..6u64), 1..4),
    ) {
        let (mut queues, mut ledger) = (Queues::default(), Ledger::default());
        let mut expected = BTreeMap::new();
        for (core, (entries, stored)) in lanes.iter().enumerate() {
            let lane = Lane { incarnation: 1, core: core as u16 };
            for target in Target::ALL {
                ledger.learn(target, [(lane, *stored)]);
            }
            let (mut number, mut step, mut gaps, mut counted) = (0, 0, 0, 0);
            for (missing, next_day, records) in entries {
                number += missing + 1;
                step += u8::from(*next_day);
                let entry = match records {
                    Some(n) => entry(number, day(step), 1, &vec![None; usize::from(*n)]),
                    None => Entry { number, content: Content::Dead },
                };
                counted += queues.push(lane, entry, *stored);
                gaps += (number - missing..number).filter(|n| n > stored).count() as u64;
                if number > *stored {
                    expected.entry(lane).or_insert_with(Vec::new).push(number);
                }
            }
            prop_assert_eq!(counted, gaps);
        }
        let mut found = BTreeMap::<Lane, Vec<u64>>::new();
        while let Some(cut) = queues.plan(u64::MAX, day(0).month(), LIMITS) {
            let (mut records, mut entries) = (0, 0);
            for (lane, entry) in queues.of_cut(&cut) {
                records += entry.records();
                entries += 1;
                if let Some(batch) = entry.batch() {
                    prop_assert_eq!(batch.day.month().to_string(), cut.month.clone());
                }
                found.entry(lane).or_default().push(entry.number);
            }
            prop_assert!(entries == 1 || records <= LIMITS.records && entries <= LIMITS.entries);
            for target in Target::ALL {
                prop_assert!(!ledger.holds(target, &cut));
                ledger.learn(target, cut.lanes.iter().map(|(lane, (_, last))| (*lane, *last)));
                prop_assert!(ledger.holds(target, &cut));
            }
            queues.stored(&ledger);
        }
        prop_assert_eq!(found, expected);
        prop_assert!(queues.is_empty() && queues.bytes() == 0 && queues.records() == 0);
        queues.trim(u64::MAX);
        prop_assert!(queues.trim(u64::MAX).is_empty());
    }
}

#[test]
fn what_arrived_too_lately_waits_and_holds_back_what_follows_it() {
    let lane = Lane { incarnation: 1, core: 0 };
    let mut queues = Queues::default();
    for (number, step) in [(1, 0), (2, 1), (3, 0)] {
        queues.push(lane, entry(number, day(step), 1, &[None]), 0);
    }
    let cut = queues.plan(day(0).start_ms(), day(0).month(), LIMITS).unwrap();
    assert_eq!(cut.lanes, BTreeMap::from([(lane, (1, 1))]));
    assert!(queues.plan(day(0).start_ms() - 1, day(0).month(), LIMITS).is_none());
}

#[test]
fn a_target_that_is_behind_gets_what_the_other_one_has() {
    let lane = Lane { incarnation: 1, core: 0 };
    let (mut queues, mut ledger) = (Queues::default(), Ledger::default());
    ledger.learn(Target::Counters, [(lane, 2)]);
    for number in 1..=3 {
        queues.push(lane, entry(number, day(0), 1, &[None]), ledger.stored_by_all(lane));
    }
    let cut = queues.plan(u64::MAX, day(0).month(), LIMITS).unwrap();
    assert_eq!(cut.lanes, BTreeMap::from([(lane, (1, 3))]));
    assert_eq!((ledger.stored(Target::Counters, lane), ledger.stored_by_all(lane)), (2, 0));
}
