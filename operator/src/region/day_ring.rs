//! Which days get keys, and which lose theirs. Pure.

use std::collections::BTreeSet;

use hushmark_policy::Day;

/// What is to be done to a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Days that get a key.
    pub add: BTreeSet<Day>,
    /// Days whose key is destroyed.
    pub remove: BTreeSet<Day>,
    /// Added days that lie before the last one: their key was there once.
    pub lost: BTreeSet<Day>,
}

impl Plan {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// Today and `ahead` more days have a key; those that every lane has passed lose theirs, which only
/// days before today can.
#[must_use]
pub fn plan(held: &BTreeSet<Day>, today: Day, ahead: u16, closable: &BTreeSet<Day>) -> Plan {
    let add: BTreeSet<Day> =
        (0..=ahead).map(|n| today.plus(n)).filter(|day| !held.contains(day)).collect();
    let last = held.last().copied();
    let lost = add.iter().copied().filter(|day| last.is_some_and(|last| *day < last)).collect();
    let remove = held.iter().copied().filter(|d| *d < today && closable.contains(d)).collect();
    Plan { add, remove, lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Day = Day(20_000);

    fn days(range: impl IntoIterator<Item = u16>) -> BTreeSet<Day> {
        range.into_iter().map(Day).collect()
    }

    #[test]
    fn a_new_ring_reaches_from_today_to_the_longest_life() {
        let plan = plan(&days([]), TODAY, 3, &days([]));
        assert_eq!(plan.add, days(20_000..=20_003));
        assert!(plan.remove.is_empty() && plan.lost.is_empty());
    }

    #[test]
    fn each_day_adds_one_and_a_closed_one_goes() {
        let held = days(19_998..=20_002);
        let plan = plan(&held, TODAY, 3, &days([19_998]));
        assert_eq!(plan.add, days([20_003]));
        assert_eq!(plan.remove, days([19_998]));
        assert!(super::plan(&days(20_000..=20_003), TODAY, 3, &days([])).is_empty());
    }

    #[test]
    fn today_and_later_days_are_never_closed_and_passed_ones_never_made_anew() {
        let plan = plan(&days(20_000..=20_003), TODAY, 3, &days([19_999, 20_000, 20_001]));
        assert!(plan.is_empty(), "{plan:?}");
    }

    #[test]
    fn a_key_that_somebody_took_away_is_made_anew_and_told() {
        let plan = plan(&days([20_000, 20_002, 20_003]), TODAY, 3, &days([]));
        assert_eq!(plan.add, days([20_001]));
        assert_eq!(plan.lost, days([20_001]));
    }
}
