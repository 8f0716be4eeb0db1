//! What a retention or an anonymization policy comes to on a day: which step is due for what is
//! older than which day, and whether counts are still those that were announced.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Day;

/// What is done to stored hits as they age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Rows of `individual` hits go; counters and sketches stay.
    Rows,
    /// The place goes, of rows and of counters.
    Place,
    /// Of a row the day stays; counters of hours go.
    Hour,
    /// Device, client and system go, of rows and of counters.
    Client,
    /// Counters and sketches go.
    Counters,
}

impl Step {
    /// Every step, in the order in which they are done: what goes first need not be changed.
    pub const ALL: [Self; 5] = [Self::Rows, Self::Place, Self::Hour, Self::Client, Self::Counters];

    /// The name that plans and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Place => "place",
            Self::Hour => "hour",
            Self::Client => "client",
            Self::Counters => "counters",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// For how many days what is kept as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What happens then.
    pub step: Step,
    /// Whole days after the day of a hit's arrival.
    pub days: u16,
}

/// A step that is due for everything that arrived before a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What is to be done.
    pub step: Step,
    /// The first day, in UTC, that is not touched.
    pub before: Day,
    /// Where rows that arrived before this day go altogether in the same plan: they are counted
    /// there, and not changed first.
    pub gone_before: Day,
}

impl Due {
    /// The first month whose counters are not touched. Counters are by month of arrival, so that a
    /// month is due when its last day is.
    #[must_use]
    pub fn month(&self) -> Day {
        self.before.month().first_day()
    }
}

/// What limits come to today, in the order of [`Step::ALL`]. A hit of day D is due for the first
/// time on day D + `days` + 1, so that it was kept for whole days whenever in its day it came.
#[must_use]
pub fn due(limits: &[Limit], today: Day) -> Vec<Due> {
    let before = |limit: &Limit| Day(today.0.saturating_sub(limit.days));
    let rows = limits.iter().filter(|limit| limit.step == Step::Rows).map(before).max();
    let of = |step: Step| {
        let before = limits.iter().filter(|limit| limit.step == step).map(before).max()?;
        let gone_before = rows.filter(|_| step != Step::Rows).unwrap_or(Day(0)).min(before);
        Some(Due { step, before, gone_before })
    };
    Step::ALL.into_iter().filter_map(of).collect()
}

/// Whether what is found differs from what was announced by more than so many per cent of it.
/// Where nothing was announced, anything does.
#[must_use]
pub fn has_drifted(announced: u64, found: u64, percent: u8) -> bool {
    u128::from(announced.abs_diff(found)) * 100 > u128::from(announced) * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(step: Step, days: u16) -> Limit {
        Limit { step, days }
    }

    #[test]
    fn a_day_is_kept_for_whole_days_after_it() {
        let today = Day::parse("2026-11-22").unwrap();
        let one = due(&[limit(Step::Rows, 1)], today)[0];
        assert_eq!(one.before.to_string(), "2026-11-21", "the 21st is kept on the 22nd");
        let long = due(&[limit(Step::Counters, 22)], today)[0];
        assert_eq!(
            (long.before.to_string(), long.month().to_string()),
            ("2026-10-31".into(), "2026-10-01".into()),
            "October has a day that is kept"
        );
        let longer = due(&[limit(Step::Counters, 21)], today)[0];
        assert_eq!(longer.month().to_string(), "2026-11-01", "all of October is due");
    }

    #[test]
    fn rows_that_go_are_not_changed_first() {
        let limits = [limit(Step::Hour, 10), limit(Step::Rows, 30), limit(Step::Client, 50)];
        let found: Vec<(Step, u16, u16)> = due(&limits, Day(1_000))
            .into_iter()
            .map(|due| (due.step, due.before.0, due.gone_before.0))
            .collect();
        assert_eq!(found, [(Step::Rows, 970, 0), (Step::Hour, 990, 970), (Step::Client, 950, 950)]);
    }

    #[test]
    fn drift_is_of_what_was_announced() {
        assert!(!has_drifted(100, 105, 5) && has_drifted(100, 106, 5));
        assert!(!has_drifted(100, 95, 5) && has_drifted(100, 94, 5));
        assert!(!has_drifted(0, 0, 0) && has_drifted(0, 1, 100));
        assert!(has_drifted(u64::MAX, 0, 99) && !has_drifted(u64::MAX, u64::MAX, 0));
    }

    proptest! {
        /// Whatever day it is, nothing younger than its limit is touched, and no month with a day
        /// in it that is kept.
        #[test]
        fn nothing_is_touched_before_its_time(today in 4_000u16..60_000, days in 1u16..3_661) {
            let due = due(&[limit(Step::Counters, days)], Day(today))[0];
            let last_touched = i32::from(due.before.0) - 1;
            prop_assert!(last_touched + i32::from(days) < i32::from(today));
            prop_assert!(due.month() <= due.before);
        }
    }
}
