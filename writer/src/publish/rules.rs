//! What an epoch shows of one campaign's one kind. Pure: `policy::shown` applied table by table.

use std::collections::BTreeMap;

use hushmark_event::cell::Dimension;
use hushmark_event::{Total, Verdict};
use hushmark_policy::Mode;
use hushmark_policy::shown::{self, Count, Measure, People, Shown};

/// Where distinct messages are known from, as the tables number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Uniques {
    /// Nobody can tell messages apart.
    None = 0,
    /// Sketches.
    Sketch = 1,
    /// Rows, every hit having one.
    Exact = 2,
}

/// A dimension and a value in it.
pub(super) type Place = (Dimension, String);

/// The counters of one campaign's one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// Every cell; sketches' estimates where there are any.
    pub(super) cells: BTreeMap<Place, Count>,
    /// Cells of rows: hits with a row, distinct contacts, distinct contacts with a human hit.
    pub(super) rows: BTreeMap<Place, (u64, u64, u64)>,
}

/// The dimensions that are shown: `mode` and `rules` say how the counting was done.
pub(super) const SHOWN: [Dimension; 8] = [
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
    pub(super) fn mode(&self, manifest: Mode) -> Mode {
        let seen = Mode::ALL
            .into_iter()
            .filter(|mode| self.cells.contains_key(&(Dimension::Mode, mode.name().to_owned())))
            .min();
        match (seen, manifest) {
            (Some(seen), Mode::Off) => seen,
            (Some(seen), manifest) => seen.min(manifest),
            (None, manifest) => manifest,
        }
    }

    /// The versions of the rules that verdicts were made by.
    #[must_use]
    pub(super) fn rules(&self) -> Vec<u16> {
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
    pub(super) fn uniques(&self, mode: Mode) -> Uniques {
        let hits = self.cells.get(&self.total()).map_or(0, |count| count.raw);
        let rows = self.rows.get(&self.total()).map_or(0, |(hits, ..)| *hits);
        match mode {
            Mode::Off | Mode::Overall => Uniques::None,
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

    /// Every cell that is to be written: what is shown, and what was shown and is withheld now.
    /// A cell of a guarded mode that never was shown is left out: its name alone would tell.
    #[must_use]
    pub(super) fn shown(
        &self,
        mode: Mode,
        recipients: u64,
        before: &BTreeMap<Place, Shown>,
        k: u64,
    ) -> BTreeMap<Place, Shown> {
        let mut all = self.shown_of_what_is(mode, recipients, before, k);
        // What a policy removed is not shown any more, whichever rule would have left it.
        let nothing = Count::default();
        for (place, cell) in before {
            let cell = all.entry(place.clone()).or_insert(*cell);
            cell.withhold_lost(self.cells.get(place).unwrap_or(&nothing));
        }
        all
    }

    fn shown_of_what_is(
        &self,
        mode: Mode,
        recipients: u64,
        before: &BTreeMap<Place, Shown>,
        k: u64,
    ) -> BTreeMap<Place, Shown> {
        let tables = self.counts(self.uniques(mode));
        if !mode.is_guarded() {
            return tables
                .into_iter()
                .flat_map(|(dimension, cells)| {
                    cells.into_iter().map(move |(value, count)| ((dimension, value), whole(&count)))
                })
                .collect();
        }
        let nothing = Count::default();
        let total =
            tables.get(&Dimension::Total).and_then(|cells| cells.get("")).unwrap_or(&nothing);
        let shown_total =
            shown::cell(total, People::recipients(recipients), before.get(&self.total()), k);
        let mut all = BTreeMap::from([(self.total(), shown_total)]);
        let may_move = shown::cell(total, People::recipients(recipients), None, k).raw.is_some();
        if shown_total.raw.is_some() && !may_move {
            // Nearly everybody was counted since the total was shown, so it stays as it is, and
            // with it every table: one that moved on would add up to what is withheld.
            return before.clone();
        }
        for dimension in SHOWN.into_iter().filter(|dimension| *dimension != Dimension::Total) {
            let before: BTreeMap<String, Shown> = before
                .iter()
                .filter(|((of, _), _)| *of == dimension)
                .map(|((_, value), shown)| (value.clone(), *shown))
                .collect();
            let cells = tables.get(&dimension).cloned().unwrap_or_default();
            let table = match dimension {
                Dimension::Verdict => shown::verdicts(&cells, total, &before, k, is_human),
                _ => shown::table(&cells, total, &before, k),
            };
            for (value, mut cell) in table {
                // A table adds up to its total: where that is withheld, so is the table.
                if shown_total.raw.is_none() {
                    cell.raw = None;
                }
                if shown_total.human.is_none() {
                    cell.human = None;
                }
                cell.settle(before.get(&value));
                if cell.raw.is_some() || before.contains_key(&value) {
                    all.insert((dimension, value), cell);
                }
            }
        }
        all
    }
}

/// Whether a verdict is one of those that reports count as people. One that is not known here is
/// of a later version's rules, and is told apart from people.
fn is_human(verdict: &String) -> bool {
    Verdict::ALL.iter().any(|known| known.name() == verdict && known.is_human())
}

/// What is told of one kind of hit outside reports: the total as it is published, and nothing of a
/// kind that is not tracked.
#[must_use]
pub(super) fn told(mode: Mode, shown: &BTreeMap<Place, Shown>) -> Option<Total> {
    let total = shown.get(&(Dimension::Total, String::new()));
    if total.is_none() && mode == Mode::Off {
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
mod tests {
    use super::*;

    fn count(raw: u64, human: u64, people: u64) -> Count {
        Count { raw, human, uniq_raw: Some(people), uniq_human: Some(people.min(human)) }
    }

    fn counted(mode: Mode, cells: &[(Dimension, &str, Count)]) -> Counted {
        let mut counted = Counted::default();
        for (dimension, value, count) in cells {
            counted.cells.insert((*dimension, (*value).to_owned()), *count);
        }
        counted.cells.insert((Dimension::Mode, mode.name().to_owned()), count(1, 1, 1));
        counted
    }

    fn three_clients(mode: Mode, raw: [u64; 3]) -> Counted {
        let total = raw.iter().sum();
        counted(
            mode,
            &[
                (Dimension::Total, "", count(total, total / 2, total)),
                (Dimension::Client, "a", count(raw[0], raw[0] / 2, raw[0])),
                (Dimension::Client, "b", count(raw[1], raw[1] / 2, raw[1])),
                (Dimension::Client, "c", count(raw[2], raw[2] / 2, raw[2])),
            ],
        )
    }

    fn names(shown: &BTreeMap<Place, Shown>) -> Vec<&str> {
        shown
            .iter()
            .filter(|(_, s)| s.raw.is_some())
            .map(|((_, value), _)| value.as_str())
            .collect()
    }

    #[test]
    fn a_small_cell_and_the_one_that_would_tell_it_are_not_even_named() {
        let counted = three_clients(Mode::Anonymous, [60, 30, 3]);
        let shown = counted.shown(Mode::Anonymous, 200, &BTreeMap::new(), 10);
        assert_eq!(names(&shown), ["", "a"]);
        assert_eq!(shown.len(), 2);
    }

    #[test]
    fn a_withheld_total_withholds_the_tables_that_would_add_up_to_it() {
        let counted = three_clients(Mode::Anonymous, [80, 70, 45]);
        let shown = counted.shown(Mode::Anonymous, 200, &BTreeMap::new(), 10);
        assert_eq!(names(&shown), Vec::<&str>::new());
    }

    #[test]
    fn who_agreed_to_be_known_is_shown_as_counted() {
        let mut counted = three_clients(Mode::Individual, [2, 1, 1]);
        let shown = |counted: &Counted| counted.shown(Mode::Individual, 4, &BTreeMap::new(), 10);
        assert_eq!(names(&shown(&counted)), ["", "a", "b", "c"]);
        assert_eq!(counted.uniques(Mode::Individual), Uniques::Sketch);
        counted.rows.insert((Dimension::Total, String::new()), (4, 3, 2));
        assert_eq!(counted.uniques(Mode::Individual), Uniques::Exact);
        let total = shown(&counted)[&(Dimension::Total, String::new())];
        assert_eq!(total.raw, Some(Measure { hits: 4, uniq: Some(3) }));
    }

    #[test]
    fn one_hit_of_a_stricter_mode_makes_all_of_it_guarded() {
        let mut counted = three_clients(Mode::Individual, [20, 20, 20]);
        assert_eq!(counted.mode(Mode::Individual), Mode::Individual);
        counted.cells.insert((Dimension::Mode, "overall".into()), count(1, 1, 1));
        assert_eq!(counted.mode(Mode::Individual), Mode::Overall);
        assert_eq!(counted.mode(Mode::Off), Mode::Overall, "switched off later");
        let shown = counted.shown(Mode::Overall, 200, &BTreeMap::new(), 10);
        assert!(shown.values().all(|s| s.raw.is_none_or(|raw| raw.uniq.is_none())));
    }

    #[test]
    fn what_was_shown_stays_when_nearly_everybody_is_counted() {
        let first = three_clients(Mode::Anonymous, [60, 30, 30]);
        let before = first.shown(Mode::Anonymous, 200, &BTreeMap::new(), 10);
        assert_eq!(names(&before), ["", "a", "b", "c"]);
        let later = three_clients(Mode::Anonymous, [130, 30, 35]);
        assert_eq!(later.shown(Mode::Anonymous, 200, &before, 10), before);
    }

    #[test]
    fn what_is_told_is_what_the_epoch_shows_and_nothing_else() {
        let of = |mode, raw: [u64; 3]| {
            told(mode, &three_clients(mode, raw).shown(mode, 200, &BTreeMap::new(), 10))
        };
        let shown = of(Mode::Anonymous, [60, 30, 30]).unwrap();
        assert_eq!((shown.raw, shown.messages), (Some(120), Some(120)));
        assert_eq!(of(Mode::Anonymous, [3, 2, 2]), Some(Total::default()), "withheld");
        assert_eq!(of(Mode::Individual, [3, 2, 2]).unwrap().raw, Some(7));
        let nothing = BTreeMap::new();
        assert_eq!(told(Mode::Off, &nothing), None);
        assert_eq!(told(Mode::Overall, &nothing), Some(Total::default()));
        assert_eq!(told(Mode::Individual, &nothing).unwrap().raw, Some(0));
    }

    #[test]
    fn what_a_policy_removed_is_not_shown_and_the_rest_is() {
        for mode in [Mode::Anonymous, Mode::Individual] {
            let whole = three_clients(mode, [60, 30, 30]);
            let before = whole.shown(mode, 200, &BTreeMap::new(), 10);
            assert_eq!(names(&before), ["", "a", "b", "c"]);
            let mut less = whole.clone();
            less.cells.retain(|(dimension, _), _| *dimension != Dimension::Client);
            let shown = less.shown(mode, 200, &before, 10);
            assert_eq!(names(&shown), [""], "{mode}");
            assert_eq!(shown.len(), 4, "what was shown is written as withheld");
        }
    }

    #[test]
    fn a_month_that_went_takes_what_was_shown_with_it() {
        let before = three_clients(Mode::Anonymous, [60, 30, 30]).shown(
            Mode::Anonymous,
            200,
            &BTreeMap::new(),
            10,
        );
        let less = three_clients(Mode::Anonymous, [57, 30, 30]);
        let shown = less.shown(Mode::Anonymous, 200, &before, 10);
        assert_eq!(names(&shown), Vec::<&str>::new(), "three people would show");
        let known = three_clients(Mode::Individual, [57, 30, 30]);
        let total =
            known.shown(Mode::Individual, 200, &before, 10)[&(Dimension::Total, String::new())];
        assert_eq!(total.raw.map(|raw| raw.hits), Some(117), "who agreed to be known");
    }

    #[test]
    fn what_was_shown_and_is_withheld_is_written_so() {
        let first = three_clients(Mode::Anonymous, [60, 30, 30]);
        let before = first.shown(Mode::Anonymous, 200, &BTreeMap::new(), 10);
        let mut later = three_clients(Mode::Anonymous, [60, 30, 30]);
        later.cells.insert((Dimension::Client, "d".into()), count(1, 0, 1));
        let shown = later.shown(Mode::Anonymous, 200, &before, 10);
        assert_eq!(shown.iter().filter(|(_, cell)| cell.raw.is_none()).count(), 1);
        assert!(!shown.contains_key(&(Dimension::Client, "d".to_owned())));
    }
}
