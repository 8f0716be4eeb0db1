use super::super::{Count, People, cell, table};
use super::*;
use proptest::prelude::*;

const K: u64 = 10;

fn count(raw: u64, human: u64) -> Count {
    Count { raw, human, uniq_raw: None, uniq_human: None }
}

/// What the cells allow by themselves, and the total of this moment.
fn fresh(cells: &[(&'static str, u64, u64)]) -> Table<&'static str> {
    let of = cells.iter().map(|(name, raw, human)| (*name, count(*raw, *human))).collect();
    let sum = |n: fn(&(&str, u64, u64)) -> u64| cells.iter().map(n).sum();
    let total = count(sum(|cell| cell.1), sum(|cell| cell.2));
    let whole = cell(&total, People::recipients(1_000_000), None, K);
    Table { whole, cells: table(&of, &total, K, |_| true) }
}

fn after(before: &Table<&'static str>, cells: &[(&'static str, u64, u64)]) -> Table<&'static str> {
    release(before, fresh(cells), K, None)
}

fn hits(table: &Table<&'static str>) -> Vec<(&'static str, u64)> {
    table.cells.iter().filter_map(|(name, cell)| Some((*name, cell.raw?.hits))).collect()
}

#[test]
fn one_who_is_left_when_the_others_and_the_total_grew_keeps_the_table_as_it_is() {
    let first = after(&Table::default(), &[("a", 50, 0), ("b", 34, 0)]);
    assert_eq!(hits(&first), [("a", 50), ("b", 34)]);
    // 95 less 60 and 34 is one person of b.
    assert_eq!(after(&first, &[("a", 60, 0), ("b", 35, 0)]), first);
    let second = after(&first, &[("a", 60, 0), ("b", 44, 0)]);
    assert_eq!(hits(&second), [("a", 60), ("b", 44)]);
}

#[test]
fn a_cell_that_nobody_hit_stays_while_the_others_move() {
    let first = after(&Table::default(), &[("a", 50, 0), ("b", 34, 0)]);
    assert_eq!(hits(&after(&first, &[("a", 70, 0), ("b", 34, 0)])), [("a", 70), ("b", 34)]);
}

#[test]
fn one_new_value_is_no_reason_to_withhold_another_that_was_shown() {
    let first = after(&Table::default(), &[("a", 50, 0), ("b", 34, 0)]);
    assert_eq!(after(&first, &[("a", 60, 0), ("b", 44, 0), ("c", 1, 0)]), first);
    let all = [("a", 60, 0), ("b", 44, 0), ("c", 10, 0)];
    assert_eq!(hits(&after(&first, &all)), [("a", 60), ("b", 44), ("c", 10)]);
}

#[test]
fn what_is_left_grows_by_groups_as_well() {
    let first = after(&Table::default(), &[("a", 50, 0), ("b", 9, 0), ("c", 12, 0), ("d", 11, 0)]);
    assert_eq!(hits(&first), [("a", 50), ("c", 12)], "9 and 11 are told as 20");
    let one_more = [("a", 60, 0), ("b", 10, 0), ("c", 12, 0), ("d", 11, 0)];
    assert_eq!(after(&first, &one_more), first);
}

#[test]
fn a_table_whose_machines_grew_by_one_stays_as_a_whole() {
    let first = after(&Table::default(), &[("a", 50, 30), ("b", 60, 40)]);
    assert_eq!(after(&first, &[("a", 61, 40), ("b", 70, 50)]), first, "21 machines, one new");
    let second = after(&first, &[("a", 80, 40), ("b", 90, 60)]);
    assert_eq!(second.cells["a"].human.map(|human| human.hits), Some(40));
}

#[test]
fn three_who_used_two_clients_are_not_told_by_the_sum_of_clients() {
    let measure = |hits, uniq| Some(Measure { hits, uniq: Some(uniq) });
    let shown = |hits, uniq| Shown {
        raw: measure(hits, uniq),
        human: None,
        at: People { raw: uniq, human: 0, between: 0 },
    };
    let table = |a, b, all| Table {
        whole: shown(200, all),
        cells: BTreeMap::from([("a", shown(120, a)), ("b", shown(80, b))]),
    };
    let uniq = |table: Table<&str>| table.cells["a"].raw.and_then(|raw| raw.uniq);
    let first = |a, b, all| uniq(release(&Table::default(), table(a, b, all), K, None));
    assert_eq!(first(100, 70, 170), Some(100), "nobody used both");
    assert_eq!(first(100, 73, 170), None);
    assert_eq!(first(100, 80, 170), Some(100), "ten people used both");
}

#[test]
fn one_person_is_not_told_by_what_verdicts_of_people_leave_of_them() {
    let is_human: fn(&&str) -> bool = |verdict| matches!(*verdict, "human" | "gmail" | "yahoo");
    let at = |cells: &[(&'static str, u64, u64)]| {
        let of = cells.iter().map(|(name, raw, human)| (*name, count(*raw, *human))).collect();
        let sum = |n: fn(&(&str, u64, u64)) -> u64| cells.iter().map(n).sum();
        let total = count(sum(|cell| cell.1), sum(|cell| cell.2));
        let whole = cell(&total, People::recipients(1_000_000), None, K);
        let cells = super::super::verdicts(&of, &total, K, |_| true, is_human);
        Table { whole, cells }
    };
    let cells = |human, gmail, bot| {
        let people = [("human", human, human), ("gmail", gmail, gmail), ("yahoo", 9, 9)];
        at(&[people.as_slice(), &[("apple", 40, 0), ("bot", bot, 0), ("scanner", 9, 0)]].concat())
    };
    let first = release(&Table::default(), cells(100, 12, 12), K, Some(is_human));
    assert_eq!(hits(&first), [("apple", 40), ("human", 100)]);
    let next = |human, gmail, bot| release(&first, cells(human, gmail, bot), K, Some(is_human));
    assert_eq!(next(120, 13, 24), first, "one more at Gmail");
    assert_eq!(hits(&next(120, 22, 24)), [("apple", 40), ("human", 120)]);
}

/// What a reader knows at a release: each cell that is shown, and what is left of the total.
type Known = BTreeMap<&'static str, u64>;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

proptest! {
    /// Between any two releases, nothing that can be subtracted counts fewer than k.
    #[test]
    fn no_two_releases_tell_of_fewer(
        steps in prop::collection::vec(prop::collection::vec(0..25u64, 5), 1..12),
    ) {
        let (mut now, mut table) = ([0_u64; 5], Table::default());
        let mut releases: Vec<(Known, u64)> = Vec::new();
        for step in steps {
            now.iter_mut().zip(step).for_each(|(n, more)| *n += more);
            let cells: Vec<_> = NAMES.into_iter().zip(now).map(|(v, n)| (v, n, 0)).collect();
            let cells: Vec<_> = cells.into_iter().filter(|cell| cell.1 > 0).collect();
            let next = after(&table, &cells);
            if next != table {
                releases.push((hits(&next).into_iter().collect(), next.whole.raw.unwrap().hits));
            }
            table = next;
        }
        for (i, (then, all_then)) in releases.iter().enumerate() {
            for (known, all) in &releases[i + 1..] {
                let grown = known.iter().filter_map(|(v, n)| Some(n - then.get(v)?));
                let left = (all - all_then) - grown.clone().sum::<u64>();
                for grown in grown.chain([left]) {
                    prop_assert!(grown == 0 || grown >= K, "{grown} in {releases:?}");
                }
            }
        }
    }
}
