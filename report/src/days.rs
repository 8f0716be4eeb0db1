//! Hits by day, as far as an epoch published them. Pure.
//!
//! No table of days is published: an hour's cell that was is added to its day. So a day is told
//! only where one of its hours stands for a minimum group by itself, and its number is a lower bound;
//! what is left of the total is told without a day. Nothing is told that a reader of the report could
//! not add up.

use std::collections::BTreeMap;

use hushmark_event::Verdict;
use hushmark_event::cell::Dimension;
use hushmark_policy::{Day, Kind, Mode};

use crate::model::{Cell, KindReport};
use crate::people::ANONYMIZED;

/// A day as exports write it.
pub(crate) fn date(day: Option<Day>) -> String {
    day.map_or_else(|| ANONYMIZED.to_owned(), |day| day.to_string())
}

/// Whether what was published of a kind may be told of mail that is kept to a mode by now. What was
/// published as of `individual` was not guarded, and waits for an epoch that guards it.
pub(crate) const fn may_tell(kind: &KindReport, mode: Mode) -> bool {
    match mode {
        Mode::Off | Mode::LastOpenDay => false,
        Mode::Overall | Mode::Anonymous => kind.mode.is_guarded(),
        Mode::Individual => true,
    }
}

/// How many people a cell stands for: distinct messages, or hits where nobody knows them.
fn people(cell: &Cell) -> u64 {
    cell.raw.map_or(0, |raw| cell.uniq_raw.unwrap_or(raw))
}

/// Whether a cell stands for a minimum group. What is published of guarded modes does, and it is
/// looked at once more.
fn is_group(cell: &Cell, k: u64) -> bool {
    cell.raw.is_some() && people(cell) >= k
}

/// Hits by day, and as of no day what is left of the total: a reader could subtract, and it is told
/// only where a minimum group was in no hour that is told.
pub(crate) fn hits(kind: &KindReport, k: u64) -> BTreeMap<Option<Day>, u64> {
    let mut days = BTreeMap::new();
    let (mut rest, mut others) = (kind.total.raw.unwrap_or(0), people(&kind.total));
    let hours = kind.tables.get(&Dimension::Hour).into_iter().flatten();
    for (hour, cell) in hours.filter(|(_, cell)| is_group(cell, k)) {
        let day = hour.split_once('T').and_then(|(day, _)| Day::parse(day));
        let (Some(day), Some(raw)) = (day, cell.raw) else { continue };
        *days.entry(Some(day)).or_default() += raw;
        rest = rest.saturating_sub(raw);
        // Whoever is in two hours is taken off twice, so that too few are left, never too many.
        others = others.saturating_sub(people(cell));
    }
    if rest > 0 && others >= k {
        days.insert(None, rest);
    }
    days
}

/// Messages that were opened, each once: the sum of all that the count of distinct messages grew by
/// from epoch to epoch. Each step is a minimum group, and on which day it was is kept nowhere.
pub(crate) fn first_openings(kind: &KindReport, k: u64) -> Option<u64> {
    let total = Some(kind.total).filter(|cell| kind.kind == Kind::Open && is_group(cell, k));
    total.and_then(|cell| cell.uniq_raw)
}

/// Opens that a mail provider's proxy made before anybody looked, of all days together: a table by
/// day and verdict would join the two.
pub(crate) fn by_proxy(kind: &KindReport, k: u64) -> Option<u64> {
    let verdicts = kind.tables.get(&Dimension::Verdict).filter(|_| kind.kind == Kind::Open)?;
    let proxy = verdicts.iter().find(|(value, _)| value == Verdict::AppleProxy.name())?;
    proxy.1.raw.filter(|_| is_group(&proxy.1, k))
}
