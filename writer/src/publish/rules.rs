//! What an epoch shows of one campaign's one kind. Pure: `policy::shown` applied table by table.

use std::collections::{BTreeMap, BTreeSet};

use hushmark_event::cell::Dimension;
use hushmark_event::{Total, Verdict};
use hushmark_policy::shown::release::{Table, release};
use hushmark_policy::shown::{self, Count, Measure, People, Shown};
use hushmark_policy::{Day, Mode};

/// Where distinct messages are known from, as the tables number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Uniques {
    /// Nobody can tell messages apart.
    None = 0,
    /// Sketches.
    Sketch = 1,
    /// Rows, every hit having one.
    Exact = 2,
}

/// A dimension and a value in it.
pub type Place = (Dimension, String);

/// How long after its end an hour is shown: by then what was on its way has been stored, so that an
/// hour that was shown grows no more.
const SETTLES_SECONDS: u32 = 600;

/// What an epoch judges by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How many people the campaign's total is a part of.
    pub recipients: u64,
    /// The minimum group.
    pub k: u64,
    /// The epoch, in seconds since 1970.
    pub epoch: u32,
}

impl Terms {
    /// The first hour that is not shown yet.
    fn unsettled_hour(&self) -> String {
        let at = u64::from(self.epoch.saturating_sub(SETTLES_SECONDS));
        format!("{}T{:02}", Day::of_unix_ms(at * 1_000), at / 3_600 % 24)
    }
}

/// The counters of one campaign's one kind.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Every cell; sketches' estimates where there are any.
    pub cells: BTreeMap<Place, Count>,
    /// Cells of rows: hits with a row, distinct contacts, distinct contacts with a human hit.
    pub rows: BTreeMap<Place, (u64, u64, u64)>,
}

/// The dimensions that are shown: `mode` and `rules` say how the counting was done.
pub const SHOWN: [Dimension; 8] = [
    Dimension::Total,
    Dimension::Verdict,
    Dimension::Link,
    Dimension::Device,
    Dimension::Client,
    Dimension::System,
    Dimension::Country,
    Dimension::Hour,
];

impl Counted {
    /// The strictest mode that any hit was counted in, or else what the manifest says.
    #[must_use]
    pub fn mode(&self, manifest: Mode) -> Mode {
        let seen = Mode::ALL
            .into_iter()
            .filter(|mode| self.cells.contains_key(&(Dimension::Mode, mode.name().to_owned())))
            .reduce(Mode::strictest);
        match (seen, manifest) {
            // What was counted before a manifest said that nothing is.
            (Some(seen), manifest) if !manifest.counts() => seen,
            (Some(seen), manifest) => seen.strictest(manifest),
            (None, manifest) => manifest,
        }
    }

    /// The versions of the rules that are told. Where nobody may be known the first one would say
    /// that somebody opened, and another one when: they move on with the total, which does so by
    /// groups.
    #[must_use]
    pub fn rules_told(
        &self,
        mode: Mode,
        told: &[u16],
        before: &BTreeMap<Place, Shown>,
        shown: &BTreeMap<Place, Shown>,
    ) -> Vec<u16> {
        let total = |cells: &BTreeMap<Place, Shown>| {
            cells.get(&self.total()).and_then(|total| total.raw.map(|raw| raw.hits))
        };
        if !mode.is_guarded() || total(shown).is_some() && total(shown) != total(before) {
            return self.rules();
        }
        if total(shown).is_some() { told.to_vec() } else { Vec::new() }
    }

    /// The versions of the rules that verdicts were made by.
    fn rules(&self) -> Vec<u16> {
        self.cells
            .keys()
            .filter(|(dimension, _)| *dimension == Dimension::Rules)
            .filter_map(|(_, value)| value.parse().ok())
            .collect()
    }

    fn total(&self) -> Place {
        (Dimension::Total, String::new())
    }

    /// Where distinct messages are known from: rows only while every hit has one.
    #[must_use]
    pub fn uniques(&self, mode: Mode) -> Uniques {
        let hits = self.cells.get(&self.total()).map_or(0, |count| count.raw);
        let rows = self.rows.get(&self.total()).map_or(0, |(hits, ..)| *hits);
        match mode {
            Mode::Off | Mode::LastOpenDay | Mode::Overall => Uniques::None,
            Mode::Individual if rows == hits => Uniques::Exact,
            Mode::Anonymous | Mode::Individual => Uniques::Sketch,
        }
    }

    /// The cells with the distinct messages that the mode allows to know.
    fn counts(&self, uniques: Uniques) -> BTreeMap<Dimension, BTreeMap<String, Count>> {
        let mut tables: BTreeMap<Dimension, BTreeMap<String, Count>> = BTreeMap::new();
        for (place, count) in &self.cells {
            if !SHOWN.contains(&place.0) {
                continue;
            }
            let (uniq_raw, uniq_human) = match uniques {
                Uniques::None => (None, None),
                // A sketch's estimate can lie above the number of hits, which it cannot be.
                Uniques::Sketch => (
                    count.uniq_raw.map(|n| n.min(count.raw)),
                    count.uniq_human.map(|n| n.min(count.human)),
                ),
                Uniques::Exact => {
                    let (_, people, human) = self.rows.get(place).copied().unwrap_or_default();
                    (Some(people), Some(human))
                }
            };
            let count = Count { uniq_raw, uniq_human, ..*count };
            tables.entry(place.0).or_default().insert(place.1.clone(), count);
        }
        tables
    }

    /// Every cell that is to be written. A cell of a guarded mode that is not shown is left out: its
    /// name alone would tell. With each guarded table goes a row of no name, the total that its
    /// cells are parts of: what was added since is measured from there.
    #[must_use]
    pub fn shown(
        &self,
        mode: Mode,
        before: &BTreeMap<Place, Shown>,
        terms: &Terms,
    ) -> BTreeMap<Place, Shown> {
        let tables = self.counts(self.uniques(mode));
        if !mode.is_guarded() {
            return known_readers(tables, before);
        }
        let before = &self.without_lost(before);
        let nothing = Count::default();
        let total =
            tables.get(&Dimension::Total).and_then(|cells| cells.get("")).unwrap_or(&nothing);
        let everyone = People::recipients(terms.recipients);
        let shown_total = shown::cell(total, everyone, before.get(&self.total()), terms.k);
        let may_move = shown::cell(total, everyone, None, terms.k).raw.is_some();
        if shown_total.raw.is_some() && !may_move {
            // Nearly everybody was counted since the total was shown, so it stays as it is, and
            // with it every table: one that moved on would add up to what is withheld.
            return before.clone();
        }
        let mut all = BTreeMap::from([(self.total(), shown_total)]);
        // A table adds up to its total: it is released at a moment at which that is.
        let is_of_now = shown_total.raw.is_some_and(|raw| raw.hits == total.raw);
        for dimension in SHOWN.into_iter().filter(|dimension| *dimension != Dimension::Total) {
            let withheld = withheld(before, dimension);
            let people = |value: &String| {
                let cells = tables.get(&dimension);
                let count = cells.and_then(|cells| cells.get(value)).unwrap_or(&nothing);
                People::from(if value.is_empty() { total } else { count }).raw
            };
            let has_regained = |(value, cell): (&String, &Shown)| {
                shown::has_regained(cell.at.raw, people(value), terms.k)
            };
            let may_return = withheld.is_empty() || is_of_now && withheld.iter().all(has_regained);
            if !may_return {
                all.extend(withheld.into_iter().map(|(v, cell)| ((dimension, v), cell)));
                continue;
            }
            // It is shown anew, and what is not among it has to be written as withheld.
            let gone = withheld.into_keys().map(|value| ((dimension, value), Shown::default()));
            all.extend(gone);
            let mut table = released(before, dimension);
            if let Some(cells) = tables.get(&dimension).filter(|_| is_of_now) {
                let fresh = fresh(dimension, cells, (total, shown_total), terms);
                let is_human: Option<fn(&String) -> bool> =
                    (dimension == Dimension::Verdict).then_some(is_human);
                table = release(&table, fresh, terms.k, is_human);
            }
            if !table.cells.is_empty() {
                all.insert((dimension, String::new()), table.whole);
                all.extend(table.cells.into_iter().map(|(v, cell)| ((dimension, v), cell)));
            }
        }
        all
    }

    /// What was shown, and of it no table that shows more than there is, because a policy removed a
    /// part, or that was released cell by cell, because its readers were known: such a table is
    /// withheld as a whole. What it showed stays known, and is what it has to grow from.
    fn without_lost(&self, before: &BTreeMap<Place, Shown>) -> BTreeMap<Place, Shown> {
        let nothing = Count::default();
        let is_lost = |(dimension, value): &Place, cell: &Shown| {
            let is_whole = value.is_empty();
            let place = if is_whole { self.total() } else { (*dimension, value.clone()) };
            let lost = cell.shows_more_than(self.cells.get(&place).unwrap_or(&nothing));
            let of_whole = before.get(&(*dimension, String::new()));
            // Nothing was held to any mark while readers were known.
            let is_alone = if *dimension == Dimension::Total {
                cell.at.raw == 0
            } else {
                of_whole.is_none_or(|whole| whole.raw.is_none())
            };
            cell.raw.is_some() && (lost || is_alone)
        };
        let lost: BTreeSet<Dimension> = before
            .iter()
            .filter(|(place, cell)| is_lost(place, cell))
            .map(|((dimension, _), _)| *dimension)
            .collect();
        let kept = |((dimension, value), cell): (&Place, &Shown)| {
            let mut cell = cell.with_mark();
            if lost.contains(dimension) {
                (cell.raw, cell.human) = (None, None);
            }
            ((*dimension, value.clone()), cell)
        };
        before.iter().map(kept).collect()
    }
}

/// Every cell where readers agreed to be known. What a policy removed is written as withheld.
fn known_readers(
    tables: BTreeMap<Dimension, BTreeMap<String, Count>>,
    before: &BTreeMap<Place, Shown>,
) -> BTreeMap<Place, Shown> {
    let mut all: BTreeMap<Place, Shown> =
        before.keys().map(|place| (place.clone(), Shown::default())).collect();
    for (dimension, cells) in tables {
        all.extend(cells.iter().map(|(value, count)| ((dimension, value.clone()), whole(count))));
    }
    all
}

/// The cells of a table that is withheld since it lost a part, as they were.
fn withheld(before: &BTreeMap<Place, Shown>, dimension: Dimension) -> BTreeMap<String, Shown> {
    let rows = before.iter().filter(|((of, _), cell)| *of == dimension && cell.raw.is_none());
    rows.filter(|(_, cell)| cell.at.raw > 0).map(|((_, v), cell)| (v.clone(), *cell)).collect()
}

/// A table as it was released last.
fn released(before: &BTreeMap<Place, Shown>, dimension: Dimension) -> Table<String> {
    let rows = before.iter().filter(|((of, _), cell)| *of == dimension && cell.raw.is_some());
    let mut table = Table::default();
    for ((_, value), cell) in rows {
        if value.is_empty() {
            table.whole = *cell;
        } else {
            table.cells.insert(value.clone(), *cell);
        }
    }
    table
}

/// A table of this moment, as its cells and its total allow by themselves.
fn fresh(
    dimension: Dimension,
    cells: &BTreeMap<String, Count>,
    (total, mut whole): (&Count, Shown),
    terms: &Terms,
) -> Table<String> {
    if whole.human.is_some_and(|human| human.hits != total.human) {
        // It was shown at an earlier epoch: of people, nothing is of this moment.
        whole.human = None;
        whole.settle();
    }
    let unsettled = terms.unsettled_hour();
    let may_show = |value: &String| dimension != Dimension::Hour || *value < unsettled;
    let mut cells = match dimension {
        Dimension::Verdict => shown::verdicts(cells, total, terms.k, may_show, is_human),
        _ => shown::table(cells, total, terms.k, may_show),
    };
    if whole.human.is_none() {
        for cell in cells.values_mut() {
            cell.human = None;
            cell.settle();
        }
    }
    Table { whole, cells }
}

/// Whether a verdict is one of those that reports count as people. One that is not known here is
/// of a later version's rules, and is told apart from people.
fn is_human(verdict: &String) -> bool {
    Verdict::ALL.iter().any(|known| known.name() == verdict && known.is_human())
}

/// What is told of one kind of hit outside reports: the total as it is published, and nothing of a
/// kind that is not tracked.
#[must_use]
pub fn told(mode: Mode, shown: &BTreeMap<Place, Shown>) -> Option<Total> {
    let total = shown.get(&(Dimension::Total, String::new()));
    if total.is_none() && !mode.counts() {
        return None;
    }
    // A campaign of known readers without a hit has no cell, and nothing to hide.
    let none = (!mode.is_guarded()).then_some(Measure { hits: 0, uniq: Some(0) });
    let (raw, human) = total.map_or((none, none), |total| (total.raw, total.human));
    Some(Total {
        raw: raw.map(|raw| raw.hits),
        human: human.map(|human| human.hits),
        messages: raw.and_then(|raw| raw.uniq),
        human_messages: human.and_then(|human| human.uniq),
    })
}

/// A cell of a mode whose readers agreed to be known.
const fn whole(count: &Count) -> Shown {
    Shown {
        raw: Some(Measure { hits: count.raw, uniq: count.uniq_raw }),
        human: Some(Measure { hits: count.human, uniq: count.uniq_human }),
        at: People { raw: 0, human: 0, between: 0 },
    }
}

#[cfg(test)]
mod tests;
