//! Whether a report says no more than it may, and no less. Pure.

use hushmark_event::cell::Dimension;
use hushmark_policy::shown::{Count, People, cell as may_show};
use hushmark_policy::{Kind, Mode};
use hushmark_report::{Cell, KindReport, Report};

use super::expect::{Cells, Numbers};

/// The tables that every report has of a kind with hits.
const TABLES: [Dimension; 5] =
    [Dimension::Verdict, Dimension::Device, Dimension::Client, Dimension::System, Dimension::Hour];

/// Everything in a report that is not as it has to be, given the counters as they are.
pub(super) fn faults(report: &Report, actual: &Cells) -> Vec<String> {
    let k = u64::from(report.minimum_group);
    report
        .kinds
        .iter()
        .flat_map(|kind| {
            let faults = match kind.mode {
                Mode::Off | Mode::LastOpenDay => faults_of_nothing(kind),
                Mode::Individual => faults_of_all(kind, actual),
                Mode::Overall | Mode::Anonymous => Guarded { kind, actual, k }.faults(),
            };
            faults
                .into_iter()
                .map(|fault| format!("{} {}: {fault}", report.campaign, kind.kind.name()))
        })
        .collect()
}

fn faults_of_nothing(kind: &KindReport) -> Vec<String> {
    let empty = kind.total == Cell::default() && kind.tables.values().all(Vec::is_empty);
    if empty { Vec::new() } else { vec!["off, and yet something is shown".to_owned()] }
}

/// All cells of one dimension.
fn cells_of(actual: &Cells, kind: Kind, of: Dimension) -> impl Iterator<Item = (&str, &Numbers)> {
    let cells = actual.iter().filter(move |((k, d, _), _)| (*k, *d) == (kind, of));
    cells.map(|((.., value), numbers)| (value.as_str(), numbers))
}

fn total_of(actual: &Cells, kind: Kind) -> Numbers {
    cells_of(actual, kind, Dimension::Total).next().map_or_else(Numbers::default, |(_, n)| *n)
}

fn rows(kind: &KindReport, dimension: Dimension) -> &[(String, Cell)] {
    kind.tables.get(&dimension).map_or(&[], Vec::as_slice)
}

/// Who agreed to be known is shown as counted, to the hit.
fn faults_of_all(kind: &KindReport, actual: &Cells) -> Vec<String> {
    let whole = |n: &Numbers| Cell {
        raw: Some(n.raw),
        human: Some(n.human),
        uniq_raw: Some(n.uniq_raw),
        uniq_human: Some(n.uniq_human),
    };
    let mut faults = Vec::new();
    let total = total_of(actual, kind.kind);
    if total.raw > 0 && kind.total != whole(&total) {
        faults.push(format!("the whole is {:?} and is shown as {:?}", total, kind.total));
    }
    let links = (kind.kind == Kind::Click).then_some(Dimension::Link);
    for dimension in TABLES.into_iter().chain(links) {
        let mut counted: Vec<(String, Cell)> = cells_of(actual, kind.kind, dimension)
            .map(|(value, numbers)| (value.to_owned(), whole(numbers)))
            .collect();
        let mut shown = rows(kind, dimension).to_vec();
        counted.sort_by(|a, b| a.0.cmp(&b.0));
        shown.sort_by(|a, b| a.0.cmp(&b.0));
        if counted != shown {
            let name = dimension.name();
            faults.push(format!("{name} is {counted:?} and is shown as {shown:?}"));
        }
    }
    faults
}

/// A kind that the minimum group guards.
struct Guarded<'a> {
    kind: &'a KindReport,
    actual: &'a Cells,
    k: u64,
}

impl Guarded<'_> {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let total = self.count(&total_of(self.actual, self.kind.kind));
        let everyone = People::recipients(self.kind.sent);
        self.check("the whole", &self.kind.total, &total, everyone, &mut faults);
        for (dimension, rows) in &self.kind.tables {
            self.check_table(*dimension, rows, People::from(&total), &mut faults);
        }
        faults
    }

    fn count(&self, numbers: &Numbers) -> Count {
        let uniq = |n| self.kind.mode.has_mark().then_some(n);
        Count {
            raw: numbers.raw,
            human: numbers.human,
            uniq_raw: uniq(numbers.uniq_raw),
            uniq_human: uniq(numbers.uniq_human),
        }
    }

    /// One cell of `count` as a part of `whole`. What is shown may be older than the counters: it
    /// moves only when as many people as the minimum group were added.
    fn check(
        &self,
        name: &str,
        cell: &Cell,
        count: &Count,
        whole: People,
        faults: &mut Vec<String>,
    ) {
        let (k, now) = (self.k, People::from(count));
        let mut claim = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{name} {what}: {cell:?} of {count:?} in {whole:?}, k {k}"));
            }
        };
        let at_most =
            |shown: Option<u64>, n: Option<u64>| shown.is_none_or(|s| n.is_some_and(|n| s <= n));
        claim(
            at_most(cell.raw, Some(count.raw))
                && at_most(cell.human, Some(count.human))
                && at_most(cell.uniq_raw, count.uniq_raw)
                && at_most(cell.uniq_human, count.uniq_human),
            "shows more than was counted",
        );
        let stands_for = |n: u64, whole: u64| n >= k && whole.saturating_sub(n) >= k;
        // Where people are withheld they are at most the hits, and those who are there now.
        let raw = cell.uniq_raw.or(cell.raw.map(|hits| hits.min(now.raw)));
        let human = cell.uniq_human.or(cell.human.map(|hits| hits.min(now.human)));
        claim(
            raw.is_none_or(|n| stands_for(n, whole.raw))
                && human.is_none_or(|n| stands_for(n, whole.human))
                && (human.is_none() || now.between >= k),
            "stands for too few people",
        );
        claim(cell.raw.is_some() || human.is_none() && raw.is_none(), "shows a part alone");
        let may = may_show(count, whole, None, k).raw.is_some();
        // A table may withhold a cell for another's sake; the whole has no other.
        claim(name != "the whole" || !may || raw.is_some(), "may be shown and is not");
        // A table is released as a whole, and so may wait for another of its cells.
        let is_whole = name == "the whole";
        claim(!is_whole || !may || raw.is_none_or(|n| now.raw < n + k), "is out of date");
    }

    fn check_table(
        &self,
        dimension: Dimension,
        rows: &[(String, Cell)],
        whole: People,
        faults: &mut Vec<String>,
    ) {
        let shown = |value: &str| rows.iter().find(|(other, _)| other == value);
        let (mut withheld, mut largest) = (false, 0);
        // What is withheld is what is left of the total where all of it is of this moment.
        let total = total_of(self.actual, self.kind.kind).raw;
        let mut is_of_now = self.kind.total.raw == Some(total);
        for (value, numbers) in cells_of(self.actual, self.kind.kind, dimension) {
            let count = self.count(numbers);
            match shown(value) {
                Some((_, cell)) => {
                    is_of_now &= cell.raw == Some(count.raw);
                    let name = format!("{} {value:?}", dimension.name());
                    self.check(&name, cell, &count, whole, faults);
                }
                None => {
                    withheld = true;
                    largest = largest.max(People::from(&count).raw);
                }
            }
        }
        let name = dimension.name();
        let is_counted = |value: &str| {
            cells_of(self.actual, self.kind.kind, dimension).any(|(counted, _)| counted == value)
        };
        for (value, _) in rows.iter().filter(|(value, _)| !is_counted(value)) {
            faults.push(format!("{name} {value:?} is shown and was never counted"));
        }
        if is_of_now && withheld && largest < self.k && !rows.is_empty() {
            faults.push(format!("{name}: what is withheld can be told by subtraction"));
        }
    }
}

#[cfg(test)]
mod tests;
