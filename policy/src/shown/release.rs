//! When a table is released again: as a whole, and only by groups.
//!
//! Who reads every release can subtract them from one another. Were each cell released when it
//! grew, a reader would subtract the growth of the cells that were released from the growth of the
//! total, and be left with the one person who was added to another cell. So all cells of a table
//! are released at one epoch, which is one of the total's, and only if since the table's last
//! release
//!
//! - each cell that was shown is shown still, and was hit by nobody or by `k` more people,
//! - and so was what is left, all cells together that were not shown.
//!
//! Cells are added and never taken away. So whatever is computed from releases counts whole groups
//! of at least `k` people: of each cell, between each two releases. Until then a table stays as it
//! is; the total goes on.
//!
//! Where people are told apart, a person can be in several cells, and the sum of the cells less the
//! total tells how often that was: their overlap. It is held to the same rule.

use std::collections::BTreeMap;

use super::{Measure, Shown, is_group};

/// A table as it was released: the total that its cells are parts of at that moment, and the cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<V: Ord> {
    /// The total at the moment of the release.
    pub whole: Shown,
    /// Every cell that is shown.
    pub cells: BTreeMap<V, Shown>,
}

impl<V: Ord> Default for Table<V> {
    fn default() -> Self {
        Self { whole: Shown::default(), cells: BTreeMap::new() }
    }
}

/// What the next release is: `fresh` as far as it may be released after `before`. `fresh` is what
/// the cells allow by themselves, with a total that was released at this very moment. `is_human`
/// tells which verdicts are people's, in a table of verdicts.
#[must_use]
pub fn release<V: Ord + Clone>(
    before: &Table<V>,
    mut fresh: Table<V>,
    k: u64,
    is_human: Option<fn(&V) -> bool>,
) -> Table<V> {
    fresh.cells.retain(|_, cell| cell.raw.is_some());
    let is_first = before.cells.is_empty();
    let step = Step { before, fresh: &fresh, k };
    // All that a table shows is of one moment: a reader would subtract what is of two.
    let moves = step.moves_raw()
        && step.moves_human()
        && is_human.is_none_or(|is_human| step.moves_verdicts(is_human));
    if !is_first && !moves {
        return before.clone();
    }
    let then = if is_first { [None; SUMS] } else { before.overlaps(is_human) };
    let now = fresh.overlaps(is_human);
    let cells = u64::try_from(fresh.cells.len()).unwrap_or(u64::MAX);
    // Each person is in all other cells as well, at most.
    let least = k.saturating_mul(cells.saturating_sub(1).max(1));
    let is_told = |(then, now): (&Option<i64>, &Option<i64>)| {
        now.is_some_and(|now| {
            let more = now.abs_diff(then.unwrap_or_default());
            more != 0 && more < least
        })
    };
    let shows_people = |cell: &Shown| cell.raw.is_some_and(|raw| raw.uniq.is_some());
    if then.iter().zip(&now).any(is_told) {
        if before.cells.values().any(shows_people) {
            return before.clone();
        }
        fresh.cells.values_mut().for_each(without_people);
    }
    fresh
}

fn without_people(cell: &mut Shown) {
    for measure in [&mut cell.raw, &mut cell.human].into_iter().flatten() {
        measure.uniq = None;
    }
}

/// From one release to what may be the next.
struct Step<'a, V: Ord> {
    before: &'a Table<V>,
    fresh: &'a Table<V>,
    k: u64,
}

impl<V: Ord> Step<'_, V> {
    fn moves_raw(&self) -> bool {
        self.moves(true, |shown| Some((shown.raw?.hits, shown.at.raw)))
    }

    fn moves_human(&self) -> bool {
        // Where nothing was told of people, nothing can be subtracted.
        if self.before.whole.human.is_none() {
            return true;
        }
        let Some(total) = self.fresh.whole.human else { return false };
        // How many hits machines had made when `human` was last released is known no more once
        // `raw` moved on; but where nobody is told apart, hits are people.
        let hits_are_people = total.uniq.is_none();
        let machines = |shown: &Shown| {
            let hits = shown.raw?.hits.saturating_sub(shown.human?.hits);
            let hits = if hits_are_people { shown.at.between } else { hits };
            Some((hits, shown.at.between))
        };
        self.moves(true, |shown| Some((shown.human?.hits, shown.at.human)))
            && self.moves(hits_are_people, machines)
    }

    /// The two totals tell what is left of people's verdicts and of machines' apart. So a table of
    /// verdicts moves with both, and each of what is left grew by nobody or a group.
    fn moves_verdicts(&self, is_human: fn(&V) -> bool) -> bool {
        let is_left = |humans: bool, then: (u64, u64), now: (u64, u64)| {
            let (mut then, mut now) = (then, now);
            for (value, cell) in self.before.cells.iter().filter(|(v, _)| is_human(v) == humans) {
                let Some(fresh) = self.fresh.cells.get(value) else { return false };
                let hits = |cell: &Shown| cell.raw.map_or(0, |raw| raw.hits);
                then = (then.0.saturating_sub(hits(cell)), then.1 + fresh.at.raw);
                now = (now.0.saturating_sub(hits(fresh)), now.1 + cell.at.raw);
            }
            let people = now.1.saturating_sub(then.1);
            now.0 == 0 || is_group(now.0.saturating_sub(then.0), people, self.k)
        };
        let totals = |whole: &Shown| {
            let (raw, human) = (whole.raw?.hits, whole.human?.hits);
            Some([(human, whole.at.human), (raw.saturating_sub(human), whole.at.between)])
        };
        let Some(then) = totals(&self.before.whole) else { return true };
        let Some(now) = totals(&self.fresh.whole) else { return false };
        is_left(true, then[0], now[0]) && is_left(false, then[1], now[1])
    }

    /// Whether nobody or a group was added to each cell that was shown, and to what is left.
    /// `part` tells hits and people; hits of the release before only where `knows_hits`.
    fn moves(&self, knows_hits: bool, part: impl Fn(&Shown) -> Option<(u64, u64)>) -> bool {
        let is_grown = |then: (u64, u64), now: (u64, u64)| {
            let people = now.1.saturating_sub(then.1);
            if !knows_hits {
                return people >= self.k;
            }
            now.0.checked_sub(then.0).is_some_and(|hits| is_group(hits, people, self.k))
        };
        let (Some(mut then), Some(mut now)) = (part(&self.before.whole), part(&self.fresh.whole))
        else {
            return false;
        };
        for (value, cell) in &self.before.cells {
            let Some(cell_then) = part(cell) else { continue };
            let Some(cell_now) = self.fresh.cells.get(value).and_then(&part) else { return false };
            if !is_grown(cell_then, cell_now) {
                return false;
            }
            // Who is new in several cells is new once in all: at least so many people are left.
            then = (then.0.saturating_sub(cell_then.0), then.1 + cell_now.1);
            now = (now.0.saturating_sub(cell_now.0), now.1 + cell_then.1);
        }
        now.0 == 0 || is_grown(then, now)
    }
}

/// How many sums of cells are known to be one of the totals.
const SUMS: usize = 5;

impl<V: Ord> Table<V> {
    /// How much more the distinct people of cells are than those of all of them together, for each
    /// sum of cells that makes up a whole: all, people's, machines'.
    fn overlaps(&self, is_human: Option<fn(&V) -> bool>) -> [Option<i64>; SUMS] {
        let less = |all: Measure, part: Measure| {
            let uniq = all.uniq?.saturating_sub(part.uniq?);
            Some(Measure { hits: all.hits.saturating_sub(part.hits), uniq: Some(uniq) })
        };
        let between = |shown: &Shown| less(shown.raw?, shown.human?);
        let whole = &self.whole;
        let is = |value: &V, human| is_human.is_some_and(|is_human| is_human(value) == human);
        [
            self.overlap(whole.raw, |_, cell| cell.raw),
            self.overlap(whole.human, |_, cell| cell.human),
            self.overlap(whole.human, |value, cell| cell.raw.filter(|_| is(value, true))),
            self.overlap(between(whole), |value, cell| cell.raw.filter(|_| is(value, false))),
            self.overlap(between(whole), |_, cell| between(cell)),
        ]
    }

    fn overlap(
        &self,
        whole: Option<Measure>,
        part: impl Fn(&V, &Shown) -> Option<Measure>,
    ) -> Option<i64> {
        let whole = whole?;
        let parts: Vec<Measure> =
            self.cells.iter().filter_map(|(value, cell)| part(value, cell)).collect();
        let hits: u64 = parts.iter().map(|part| part.hits).sum();
        let people: Option<u64> = parts.iter().map(|part| part.uniq).sum();
        let is_whole = hits == whole.hits && !parts.is_empty();
        let less = i64::try_from(people?).ok()? - i64::try_from(whole.uniq?).ok()?;
        is_whole.then_some(less)
    }
}

#[cfg(test)]
mod tests;
