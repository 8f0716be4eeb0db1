//! The minimum group: what an epoch may publish of a campaign's counters in the guarded modes.
//!
//! Five rules, each on `raw`, on `human` and on what lies between them:
//!
//! 1. *Both sides.* A measure is shown only if `n >= k` and `N - n >= k`, where `n` is the number
//!    of people in the cell and `N` the number of people that the cell is a part of.
//! 2. *Difference.* `human` is shown only where `raw` is, and where the people between the two
//!    pass rule 1 themselves, because a reader can subtract.
//! 3. *Complement.* A table's total gives the sum of its withheld cells away. So one of the
//!    withheld cells must hold `k` people: else the smallest shown cell is withheld as well. In a
//!    table of verdicts the two totals, all hits and human ones, give two such sums away: that of
//!    the withheld verdicts of people, and that of machines.
//! 4. *Growth.* A total changes only when `k` people were added since it was shown, and a table only
//!    as a whole: see [`release`].
//! 5. *Loss.* A total that shows more than there is, because a policy removed a part, is withheld
//!    until rule 4 shows it again: what is left of it would tell what was removed.
//!
//! People are distinct messages where the mode knows them, and hits where nobody does (`overall`).

pub mod release;

use std::collections::BTreeMap;

/// What the counters hold for one cell. All are totals so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All hits.
    pub raw: u64,
    /// Hits that no machine made, as far as the verdicts know.
    pub human: u64,
    /// Distinct messages with a hit, where the mode knows them.
    pub uniq_raw: Option<u64>,
    /// Distinct messages with a human hit, where the mode knows them.
    pub uniq_human: Option<u64>,
}

/// People behind a cell: for all hits, for human hits, and for the difference of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// People with any hit.
    pub raw: u64,
    /// People with a human hit.
    pub human: u64,
    /// People with machine hits alone.
    pub between: u64,
}

impl People {
    /// The whole that a campaign's total is a part of: its recipients, for every measure.
    #[must_use]
    pub const fn recipients(n: u64) -> Self {
        Self { raw: n, human: n, between: n }
    }
}

impl From<&Count> for People {
    fn from(count: &Count) -> Self {
        let raw = count.uniq_raw.unwrap_or(count.raw);
        // A sketch's estimate can put a part above its whole.
        let human = count.uniq_human.unwrap_or(count.human).min(raw);
        Self { raw, human, between: raw - human }
    }
}

/// One shown measure: hits, and distinct messages where the mode knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Number of hits.
    pub hits: u64,
    /// Number of distinct messages.
    pub uniq: Option<u64>,
}

/// What is shown of one cell. A measure that is withheld reads so, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// All hits, if they may be shown.
    pub raw: Option<Measure>,
    /// Human hits, if they may be shown.
    pub human: Option<Measure>,
    /// The people who were counted when each measure was last changed: growth is measured from
    /// here. Kept beside the cell, never shown.
    pub at: People,
}

impl Shown {
    /// Withholds what shows more than there is (rule 5). What it grew from stays known.
    pub fn withhold_lost(&mut self, now: &Count) {
        if self.shows_more_than(now) {
            (self.raw, self.human) = (None, None);
        }
    }

    /// Whether it shows hits that are there no more.
    #[must_use]
    pub fn shows_more_than(&self, now: &Count) -> bool {
        let more = |shown: Option<Measure>, hits| shown.is_some_and(|shown| shown.hits > hits);
        more(self.raw, now.raw) || more(self.human, now.human)
    }

    /// With the people that it shows, where it was shown of readers who were known: nothing was
    /// held to any mark then.
    #[must_use]
    pub fn with_mark(mut self) -> Self {
        if let Some(raw) = self.raw.filter(|_| self.at.raw == 0) {
            let people = |measure: Measure| measure.uniq.unwrap_or(measure.hits);
            let human = self.human.map_or(0, people);
            let machines = raw.hits.saturating_sub(self.human.map_or(0, |human| human.hits));
            self.at = People { raw: people(raw), human, between: machines };
        }
        self
    }

    /// Withholds what cannot stand alone.
    pub fn settle(&mut self) {
        if self.raw.is_none() {
            *self = Self::default();
        }
        if self.human.is_none() {
            (self.at.human, self.at.between) = (0, 0);
        }
    }
}

/// Whether what was added is nobody's hit, or those of at least `k` people.
#[must_use]
pub(crate) fn is_group(hits: u64, people: u64, k: u64) -> bool {
    // A sketch's estimate can grow by more people than there were hits.
    hits == 0 || people.min(hits) >= k
}

/// Whether what is not shown was never shown, or is a group larger than when it last was.
#[must_use]
pub fn has_regained(then: u64, now: u64, k: u64) -> bool {
    then == 0 || now >= then.saturating_add(k)
}

/// What may be shown of one cell as a part of `whole`, where `before` is shown already.
#[must_use]
pub fn cell(count: &Count, whole: People, before: Option<&Shown>, k: u64) -> Shown {
    let now = People::from(count);
    let passes = |n: u64, whole: u64| n >= k && whole.saturating_sub(n) >= k;
    let mut shown = before.copied().unwrap_or_default();
    shown.withhold_lost(count);
    let raw_grew = match shown.raw {
        Some(raw) => {
            let hits = count.raw.saturating_sub(raw.hits);
            hits > 0 && is_group(hits, now.raw.saturating_sub(shown.at.raw), k)
        }
        None => has_regained(shown.at.raw, now.raw, k),
    };
    let raw_passes = passes(now.raw, whole.raw);
    if raw_passes && raw_grew {
        shown.raw = Some(Measure { hits: count.raw, uniq: count.uniq_raw });
        shown.at.raw = now.raw;
    }
    let Some(raw) = shown.raw else {
        return Shown { raw: None, human: None, ..shown };
    };
    let human_passes =
        raw_passes && passes(now.human, whole.human) && passes(now.between, whole.between);
    let human_grew = match shown.human {
        Some(human) => {
            let hits = count.human.saturating_sub(human.hits);
            hits > 0
                && is_group(hits, now.human.saturating_sub(shown.at.human), k)
                && now.between >= shown.at.between + k
        }
        None => {
            has_regained(shown.at.human, now.human, k)
                && has_regained(shown.at.between, now.between, k)
        }
    };
    // `human` moves with `raw` alone, so that the two are always of one moment when they move.
    if human_passes && human_grew && raw.hits == count.raw && count.human <= count.raw {
        shown.human = Some(Measure { hits: count.human, uniq: count.uniq_human });
        shown.at.human = now.human;
        shown.at.between = now.between;
    }
    shown
}

/// What the people in each cell of a table allow, all cells being parts of `total`.
#[must_use]
pub fn table<V: Ord + Clone>(
    cells: &BTreeMap<V, Count>,
    total: &Count,
    k: u64,
    may_show: impl Fn(&V) -> bool,
) -> BTreeMap<V, Shown> {
    verdicts(cells, total, k, may_show, |_| true)
}

/// As [`table`], of cells each of which holds hits of people alone or of machines alone, and whose
/// names tell which.
#[must_use]
pub fn verdicts<V: Ord + Clone>(
    cells: &BTreeMap<V, Count>,
    total: &Count,
    k: u64,
    may_show: impl Fn(&V) -> bool,
    is_human: impl Fn(&V) -> bool,
) -> BTreeMap<V, Shown> {
    let whole = People::from(total);
    let alone = |(value, count): (&V, &Count)| {
        let shown = if may_show(value) { cell(count, whole, None, k) } else { Shown::default() };
        (value.clone(), shown)
    };
    let mut shown: BTreeMap<V, Shown> = cells.iter().map(alone).collect();
    withhold_complement(cells, &mut shown, k, &is_human, |p| p.raw, |s| &mut s.raw);
    withhold_complement(cells, &mut shown, k, |value| !is_human(value), |p| p.raw, |s| &mut s.raw);
    // A part of which all is withheld is one with the rest: its sum alone is not told.
    withhold_complement(cells, &mut shown, k, |_| true, |p| p.raw, |s| &mut s.raw);
    withhold_complement(cells, &mut shown, k, |_| true, |p| p.human, |s| &mut s.human);
    withhold_complement(cells, &mut shown, k, |_| true, |p| p.between, |s| &mut s.human);
    shown.values_mut().for_each(Shown::settle);
    shown
}

/// Rule 3 for one measure, of the cells whose sum is known.
fn withhold_complement<V: Ord + Clone>(
    cells: &BTreeMap<V, Count>,
    shown: &mut BTreeMap<V, Shown>,
    k: u64,
    is_part: impl Fn(&V) -> bool,
    people: impl Fn(&People) -> u64,
    measure: impl Fn(&mut Shown) -> &mut Option<Measure>,
) {
    let n = |value: &V| cells.get(value).map_or(0, |count| people(&People::from(count)));
    loop {
        let (mut withheld, mut largest_withheld, mut smallest_shown) = (false, 0, None);
        for (value, cell) in shown.iter_mut().filter(|(value, _)| is_part(value)) {
            if measure(cell).is_none() {
                withheld = true;
                largest_withheld = largest_withheld.max(n(value));
            } else if smallest_shown.as_ref().is_none_or(|(least, _)| n(value) < *least) {
                smallest_shown = Some((n(value), value.clone()));
            }
        }
        let Some((_, value)) = smallest_shown.filter(|_| withheld && largest_withheld < k) else {
            return;
        };
        if let Some(cell) = shown.get_mut(&value) {
            *measure(cell) = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const K: u64 = 10;

    fn count(raw: u64, human: u64) -> Count {
        Count { raw, human, uniq_raw: None, uniq_human: None }
    }

    #[test]
    fn fewer_than_k_and_all_but_fewer_than_k_are_both_withheld() {
        let whole = People::recipients(100);
        let shown = |n| cell(&count(n, 0), whole, None, K).raw.is_some();
        let all: Vec<u64> = (0..=100).filter(|n| shown(*n)).collect();
        assert_eq!((all.first(), all.last()), (Some(&10), Some(&90)));
    }

    #[test]
    fn human_is_withheld_where_subtraction_would_single_out() {
        let whole = People::recipients(1_000);
        assert!(cell(&count(100, 91), whole, None, K).human.is_none());
        assert!(cell(&count(100, 100), whole, None, K).human.is_none());
        assert!(cell(&count(100, 90), whole, None, K).human.is_some());
    }

    #[test]
    fn a_single_small_cell_takes_the_next_smallest_with_it() {
        let cells = BTreeMap::from([("a", count(50, 0)), ("b", count(30, 0)), ("c", count(4, 0))]);
        let shown = table(&cells, &count(84, 0), K, |_| true);
        assert!(shown["a"].raw.is_some());
        assert!(shown["b"].raw.is_none() && shown["c"].raw.is_none());
    }

    #[test]
    fn a_cell_moves_only_in_steps_of_k_people() {
        let whole = People::recipients(1_000);
        let first = cell(&count(20, 0), whole, None, K);
        let later = cell(&count(29, 0), whole, Some(&first), K);
        assert_eq!(later.raw, first.raw);
        let grown = cell(&count(30, 0), whole, Some(&first), K);
        assert_eq!(grown.raw.map(|m| m.hits), Some(30));
    }

    #[test]
    fn a_cell_that_lost_a_part_tells_nothing_of_it() {
        let whole = People::recipients(1_000);
        let first = cell(&count(60, 30), whole, None, K);
        assert!(first.raw.is_some() && first.human.is_some());
        let lost = cell(&count(57, 28), whole, Some(&first), K);
        assert_eq!((lost.raw, lost.human, lost.at), (None, None, first.at));
        let grown = cell(&count(69, 40), whole, Some(&lost), K);
        assert_eq!(grown.raw, None, "12 were added, and 9 would show");
        let more = cell(&count(70, 40), whole, Some(&lost), K);
        assert_eq!(more.raw.map(|raw| raw.hits), Some(70));
    }

    #[test]
    fn two_machines_are_not_told_by_the_totals_of_people_and_of_all() {
        let machine = |n| count(n, 0);
        let human = |n| count(n, n);
        let cells = BTreeMap::from([
            ("apple_proxy", machine(30)),
            ("gmail_proxy", human(38)),
            ("human", human(96)),
            ("prefetch", machine(16)),
            ("scanner", machine(2)),
        ]);
        let is_human = |verdict: &&str| matches!(*verdict, "human" | "gmail_proxy");
        let shown = verdicts(&cells, &count(182, 134), K, |_| true, is_human);
        let named: Vec<_> =
            shown.iter().filter(|(_, cell)| cell.raw.is_some()).map(|(name, _)| *name).collect();
        assert_eq!(named, ["apple_proxy", "gmail_proxy", "human"]);
    }

    #[test]
    fn two_machines_are_not_told_by_what_the_others_leave_of_the_difference() {
        let cells = BTreeMap::from([
            ("Apple Mail", count(48, 18)),
            ("Gmail", count(54, 38)),
            ("Outlook", count(44, 42)),
            ("Yahoo Mail", count(36, 36)),
        ]);
        let shown = table(&cells, &count(182, 134), K, |_| true);
        let human: Vec<_> =
            shown.iter().filter(|(_, cell)| cell.human.is_some()).map(|(name, _)| *name).collect();
        assert_eq!(human, ["Apple Mail"], "48 machines less 30 and 16 are two");
    }

    fn counts() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((0..60u64, 0..60u64), 1..8)
    }

    proptest! {
        /// Whatever was published, subtracting shown cells from the total never leaves fewer than
        /// k people, and no shown cell or its complement holds fewer.
        #[test]
        fn no_residue_singles_anyone_out(parts in counts()) {
            let cells: BTreeMap<usize, Count> = parts.iter().enumerate()
                .map(|(i, (human, machine))| (i, count(human + machine, *human))).collect();
            let total = cells.values().fold(count(0, 0), |t, c| count(t.raw + c.raw, t.human + c.human));
            let shown = table(&cells, &total, K, |_| true);
            let mut residue = total.raw;
            for (i, cell) in &shown {
                if let Some(raw) = cell.raw {
                    prop_assert!(raw.hits >= K && total.raw - raw.hits >= K);
                    residue -= raw.hits;
                    if let Some(human) = cell.human {
                        prop_assert!(human.hits >= K && raw.hits - human.hits >= K);
                    }
                } else {
                    prop_assert!(cell.human.is_none(), "cell {} shows human alone", i);
                }
            }
            let both = || shown.values().filter_map(|cell| Some((cell.raw?, cell.human?)));
            let machines: u64 = both().map(|(raw, human)| raw.hits - human.hits).sum();
            let residue_of_machines = total.raw - total.human - machines;
            prop_assert!(
                both().next().is_none() || both().count() == shown.len() || residue_of_machines >= K,
                "machines {residue_of_machines}"
            );
            // Where nothing is shown, the residue is the total, which rule 1 judges by itself.
            let nothing = shown.values().all(|cell| cell.raw.is_none());
            prop_assert!(nothing || residue == 0 || residue >= K, "residue {}", residue);
        }

        /// The same of verdicts, whose two totals are known: of people, and of machines.
        #[test]
        fn no_residue_of_either_part_singles_anyone_out(
            parts in prop::collection::vec((0..60u64, prop::bool::ANY), 1..8),
        ) {
            let cells: BTreeMap<(usize, bool), Count> = parts.iter().enumerate()
                .map(|(i, (n, human))| ((i, *human), count(*n, if *human { *n } else { 0 })))
                .collect();
            let total = cells.values().fold(count(0, 0), |t, c| count(t.raw + c.raw, t.human + c.human));
            let shown = verdicts(&cells, &total, K, |_| true, |(_, human)| *human);
            let all = [(true, total.human), (false, total.raw - total.human)];
            for (part, whole) in all {
                let of_part = || shown.iter().filter(|((_, human), _)| *human == part);
                let told: u64 = of_part().filter_map(|(_, cell)| Some(cell.raw?.hits)).sum();
                let nothing = of_part().all(|(_, cell)| cell.raw.is_none());
                let residue = whole - told;
                // A part of which nothing is shown is its total, which rule 2 judges.
                prop_assert!(nothing || residue == 0 || residue >= K, "{part}: {residue}");
            }
        }
    }
}
