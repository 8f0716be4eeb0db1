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
            .min();
        match (seen, manifest) {
            (Some(seen), Mode::Off) => seen,
            (Some(seen), manifest) => seen.min(manifest),
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

    fn of(recipients: u64) -> Terms {
        Terms { recipients, k: 10, epoch: 1_795_000_000 }
    }

    fn three_clients(mode: Mode, [a, b, c]: [u64; 3]) -> Counted {
        let of = |n| count(n, n / 2, n);
        let clients = [("a", of(a)), ("b", of(b)), ("c", of(c))];
        let mut cells = vec![(Dimension::Total, "", of(a + b + c))];
        cells.extend(clients.map(|(name, count)| (Dimension::Client, name, count)));
        counted(mode, &cells)
    }

    fn names(shown: &BTreeMap<Place, Shown>) -> Vec<&str> {
        let named = shown.iter().filter(|((dimension, value), shown)| {
            shown.raw.is_some() && (*dimension == Dimension::Total || !value.is_empty())
        });
        named.map(|((_, value), _)| value.as_str()).collect()
    }

    #[test]
    fn a_small_cell_and_the_one_that_would_tell_it_are_not_even_named() {
        let counted = three_clients(Mode::Anonymous, [60, 30, 3]);
        let shown = counted.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
        assert_eq!(names(&shown), ["", "a"]);
        assert_eq!(shown.len(), 3, "with the total of the table");
    }

    #[test]
    fn a_withheld_total_withholds_the_tables_that_would_add_up_to_it() {
        let counted = three_clients(Mode::Anonymous, [80, 70, 45]);
        let shown = counted.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
        assert_eq!(names(&shown), Vec::<&str>::new());
    }

    #[test]
    fn what_was_shown_of_known_readers_is_withheld_once_they_are_not_known() {
        for people in [3, 60] {
            let cells = |people| {
                let total = (Dimension::Total, "", count(people, people, people));
                counted(Mode::Anonymous, &[total])
            };
            let nothing = BTreeMap::new();
            let known = cells(people).shown(Mode::Individual, &nothing, &of(200));
            assert_eq!(names(&known), [""]);
            let now = cells(people).shown(Mode::Anonymous, &known, &of(200));
            assert_eq!(names(&now), Vec::<&str>::new(), "{people}");
            let one_more = cells(people + 1).shown(Mode::Anonymous, &now, &of(200));
            assert_eq!(names(&one_more), Vec::<&str>::new(), "{people}");
            let group_more = cells(people + 10).shown(Mode::Anonymous, &one_more, &of(200));
            assert_eq!(names(&group_more), [""], "{people}");
        }
    }

    #[test]
    fn rules_are_told_with_the_total_and_move_on_with_it() {
        let with_rules = |people: u64, versions: &[&str]| {
            let mut cells = vec![(Dimension::Total, "", count(people, people, people))];
            cells.extend(
                versions.iter().map(|version| (Dimension::Rules, *version, count(1, 1, 1))),
            );
            counted(Mode::Anonymous, &cells)
        };
        let told = |counted: &Counted, told: &[u16], before: &BTreeMap<Place, Shown>| {
            let shown = counted.shown(Mode::Anonymous, before, &of(200));
            (counted.rules_told(Mode::Anonymous, told, before, &shown), shown)
        };
        let nothing = BTreeMap::new();
        let one = with_rules(1, &["1"]);
        assert_eq!(told(&one, &[], &nothing).0, [0; 0], "it would say that somebody opened");
        assert_eq!(one.rules_told(Mode::Individual, &[], &nothing, &nothing), [1]);
        let (rules, before) = told(&with_rules(40, &["1"]), &[], &nothing);
        assert_eq!(rules, [1]);
        let one_more = with_rules(41, &["1", "2"]);
        assert_eq!(told(&one_more, &rules, &before).0, [1], "it would say when somebody opened");
        let more = with_rules(60, &["1", "2"]);
        assert_eq!(told(&more, &rules, &before).0, [1, 2]);
    }

    #[test]
    fn who_agreed_to_be_known_is_shown_as_counted() {
        let mut counted = three_clients(Mode::Individual, [2, 1, 1]);
        let shown = |counted: &Counted| counted.shown(Mode::Individual, &BTreeMap::new(), &of(4));
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
        let shown = counted.shown(Mode::Overall, &BTreeMap::new(), &of(200));
        assert!(shown.values().all(|s| s.raw.is_none_or(|raw| raw.uniq.is_none())));
    }

    #[test]
    fn what_was_shown_stays_when_nearly_everybody_is_counted() {
        let first = three_clients(Mode::Anonymous, [60, 30, 30]);
        let before = first.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
        assert_eq!(names(&before), ["", "a", "b", "c"]);
        let later = three_clients(Mode::Anonymous, [130, 30, 35]);
        assert_eq!(later.shown(Mode::Anonymous, &before, &of(200)), before);
    }

    #[test]
    fn what_is_told_is_what_the_epoch_shows_and_nothing_else() {
        let totals = |mode, raw: [u64; 3]| {
            told(mode, &three_clients(mode, raw).shown(mode, &BTreeMap::new(), &of(200)))
        };
        let shown = totals(Mode::Anonymous, [60, 30, 30]).unwrap();
        assert_eq!((shown.raw, shown.messages), (Some(120), Some(120)));
        assert_eq!(totals(Mode::Anonymous, [3, 2, 2]), Some(Total::default()), "withheld");
        assert_eq!(totals(Mode::Individual, [3, 2, 2]).unwrap().raw, Some(7));
        let nothing = BTreeMap::new();
        assert_eq!(told(Mode::Off, &nothing), None);
        assert_eq!(told(Mode::Overall, &nothing), Some(Total::default()));
        assert_eq!(told(Mode::Individual, &nothing).unwrap().raw, Some(0));
    }

    #[test]
    fn what_a_policy_removed_is_not_shown_and_the_rest_is() {
        for mode in [Mode::Anonymous, Mode::Individual] {
            let whole = three_clients(mode, [60, 30, 30]);
            let before = whole.shown(mode, &BTreeMap::new(), &of(200));
            assert_eq!(names(&before), ["", "a", "b", "c"]);
            let mut less = whole.clone();
            less.cells.retain(|(dimension, _), _| *dimension != Dimension::Client);
            let shown = less.shown(mode, &before, &of(200));
            assert_eq!(names(&shown), [""], "{mode}");
            assert_eq!(shown.len(), before.len(), "what was shown is written as withheld");
        }
    }

    #[test]
    fn a_month_that_went_takes_what_was_shown_with_it() {
        let first = three_clients(Mode::Anonymous, [60, 30, 30]);
        let before = first.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
        let less = three_clients(Mode::Anonymous, [57, 30, 30]);
        let shown = less.shown(Mode::Anonymous, &before, &of(200));
        assert_eq!(names(&shown), Vec::<&str>::new(), "three people would show");
        let grown = |by: u64| {
            let more = three_clients(Mode::Anonymous, [60 + by, 30 + by, 30 + by]);
            more.shown(Mode::Anonymous, &shown, &of(200))
        };
        assert_eq!(names(&grown(9)), [""], "nine would show in each client");
        assert_eq!(names(&grown(10)), ["", "a", "b", "c"]);
        let known = three_clients(Mode::Individual, [57, 30, 30]);
        let total =
            known.shown(Mode::Individual, &before, &of(200))[&(Dimension::Total, String::new())];
        assert_eq!(total.raw.map(|raw| raw.hits), Some(117), "who agreed to be known");
    }

    /// A tenant that turns to `anonymous` has shown every single hit until then.
    #[test]
    fn what_was_shown_of_known_readers_is_no_first_release() {
        let known = three_clients(Mode::Individual, [60, 30, 30]);
        let before = known.shown(Mode::Individual, &BTreeMap::new(), &of(200));
        let one_more = three_clients(Mode::Anonymous, [61, 30, 30]);
        let shown = one_more.shown(Mode::Anonymous, &before, &of(200));
        assert_eq!(names(&shown), Vec::<&str>::new(), "the total was held to no mark, either");
        let more = three_clients(Mode::Anonymous, [70, 40, 40]);
        assert_eq!(names(&more.shown(Mode::Anonymous, &shown, &of(200))), ["", "a", "b", "c"]);
    }

    #[test]
    fn a_new_value_of_one_person_leaves_its_table_as_it_was_while_the_total_moves() {
        let first = three_clients(Mode::Anonymous, [60, 30, 30]);
        let before = first.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
        let mut later = three_clients(Mode::Anonymous, [70, 30, 31]);
        later.cells.insert((Dimension::Client, "d".into()), count(1, 0, 1));
        let shown = later.shown(Mode::Anonymous, &before, &of(200));
        let total = shown[&(Dimension::Total, String::new())];
        assert_eq!(total.raw.map(|raw| raw.hits), Some(131));
        let clients = |of: &BTreeMap<Place, Shown>| {
            let rows = of.iter().filter(|((dimension, _), _)| *dimension == Dimension::Client);
            rows.map(|(place, cell)| (place.clone(), *cell)).collect::<Vec<_>>()
        };
        assert_eq!(clients(&shown), clients(&before));
    }

    #[test]
    fn an_hour_is_shown_when_nothing_of_it_is_on_its_way_any_more() {
        let hours = counted(
            Mode::Anonymous,
            &[
                (Dimension::Total, "", count(80, 40, 80)),
                (Dimension::Hour, "2026-11-18T09", count(50, 25, 50)),
                (Dimension::Hour, "2026-11-18T10", count(30, 15, 30)),
            ],
        );
        // 2026-11-18, at so many minutes past nine, UTC.
        let at = |minutes: u32| Terms { epoch: 1_794_992_400 + minutes * 60, ..of(200) };
        let shown = |minutes| hours.shown(Mode::Anonymous, &BTreeMap::new(), &at(minutes));
        assert_eq!(names(&shown(69)), [""]);
        assert_eq!(names(&shown(70)), ["", "2026-11-18T09"]);
    }
}
