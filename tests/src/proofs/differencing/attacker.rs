//! Who reads every release and subtracts. The attacker knows the rules, the number of recipients and
//! which values belong to one table, and sees nothing but [`History`].
//!
//! All cells of a table that were released at one moment, and what they leave of the total, are a
//! partition of the hits up to then. Of two moments, a set of cells that both partitions know gives
//! the hits between the moments: the finest such sets are the connected parts of both partitions
//! together. The beginning, when everything was 0, is a moment, too, so that levels and complements
//! are among them. All linear combinations with a meaning are sums of these.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use hushmark_event::cell::Dimension;

use super::released::{History, Release, Seen};

/// Whose hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    All,
    People,
    Machines,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::All, Self::People, Self::Machines];

    fn of(self, seen: &Seen) -> Option<u64> {
        match self {
            Self::All => seen.raw,
            Self::People => seen.human,
            Self::Machines => seen.raw?.checked_sub(seen.human?),
        }
    }

    fn people_of(self, seen: &Seen) -> Option<u64> {
        match self {
            Self::All => seen.uniq_raw,
            Self::People => seen.uniq_human,
            Self::Machines => seen.uniq_raw?.checked_sub(seen.uniq_human?),
        }
    }
}

/// A group of people, by what is publicly known of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// Those with one of these values.
    In(BTreeSet<String>),
    /// Those with any other value, or none.
    NotIn(BTreeSet<String>),
    /// Recipients without a hit.
    Silent,
    /// Those with more than one value.
    InSeveral,
}

/// "So many hits were of this group, between these moments."
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) dimension: Dimension,
    pub(super) who: Who,
    pub(super) part: Part,
    /// The minute of the earlier release; nothing for the beginning.
    pub(super) from: Option<u32>,
    pub(super) to: u32,
    pub(super) hits: u64,
}

/// What is known of one table at one moment.
struct Moment {
    /// Nothing at the beginning, when every cell was 0.
    minute: Option<u32>,
    cells: BTreeMap<String, u64>,
    whole: Option<u64>,
}

/// Pairs of moments that are compared of each table and part, at most: beyond it they are drawn.
const PAIRS: usize = 150;

/// Every claim that the releases allow with certainty, and how many pairs of moments were compared.
pub(super) fn attack(history: &History, random: &mut Rng) -> (BTreeSet<Claim>, u64) {
    let mut claims = BTreeSet::new();
    let mut compared = 0;
    let dimensions: BTreeSet<Dimension> =
        history.releases.iter().flat_map(|(_, release)| release.keys().map(|at| at.0)).collect();
    for dimension in dimensions {
        for part in Part::ALL {
            let moments = moments(history, dimension, part);
            for (i, j) in pairs(moments.len(), random) {
                compared += 1;
                subtract((dimension, part), &moments, (i, j), &mut claims);
            }
        }
        claims.extend(in_several(history, dimension));
    }
    claims.extend(silent(history));
    (claims, compared)
}

fn pairs(moments: usize, random: &mut Rng) -> Vec<(usize, usize)> {
    let all = moments * moments.saturating_sub(1) / 2;
    if all <= PAIRS {
        return (0..moments).flat_map(|i| (i + 1..moments).map(move |j| (i, j))).collect();
    }
    let drawn = (0..PAIRS).map(|n| match n % 3 {
        0 => (0, random.usize(1..moments)),
        1 => {
            let i = random.usize(..moments - 1);
            (i, i + 1)
        }
        _ => {
            let (i, j) = (random.usize(..moments), random.usize(..moments - 1));
            let j = if j >= i { j + 1 } else { j };
            (i.min(j), i.max(j))
        }
    });
    drawn.collect()
}

/// The moments at which anything is known of a table. Without a guard everything is of every epoch;
/// with it, what changed is of the epoch at which it did, and a table changes as one.
fn moments(history: &History, dimension: Dimension, part: Part) -> Vec<Moment> {
    let total = (Dimension::Total, String::new());
    let mut moments = vec![Moment { minute: None, cells: BTreeMap::new(), whole: Some(0) }];
    let nothing = Release::new();
    let mut before = &nothing;
    for (minute, now) in &history.releases {
        let of_now = |release: &Release| -> BTreeMap<String, u64> {
            let cells = release.iter().filter(|((of, _), _)| *of == dimension);
            cells.filter_map(|((_, value), seen)| Some((value.clone(), part.of(seen)?))).collect()
        };
        let changed = |part: Part, of: Dimension| {
            let known = |release: &Release| -> Vec<(String, Option<u64>)> {
                let cells = release.iter().filter(|((dimension, _), _)| *dimension == of);
                cells.map(|((_, value), seen)| (value.clone(), part.of(seen))).collect()
            };
            known(now) != known(before)
        };
        // Machines are known where both measures are of this moment; people move only with all.
        let moved = if part == Part::Machines { Part::People } else { part };
        let is_of_now = |of| !history.guarded || changed(moved, of);
        // A table moves at a moment at which its total is known.
        let whole = now.get(&total).filter(|_| is_of_now(dimension));
        let whole = whole.and_then(|seen| part.of(seen));
        let cells = if is_of_now(dimension) { of_now(now) } else { BTreeMap::new() };
        // Between two moments of the total alone nothing is known that its own table does not tell.
        if !cells.is_empty() {
            moments.push(Moment { minute: Some(*minute), cells, whole });
        }
        before = now;
    }
    moments
}

/// A cell by its name, or all that was never named.
type Element<'a> = Option<&'a str>;

/// The hits between two moments of every set of cells that both of them know.
fn subtract(
    (dimension, part): (Dimension, Part),
    moments: &[Moment],
    (i, j): (usize, usize),
    claims: &mut BTreeSet<Claim>,
) {
    let (then, now) = (&moments[i], &moments[j]);
    let Some(to) = now.minute else { return };
    // Where cells make up the total at a later moment, there were no others before it.
    let complete = moments[j..].iter().find(|moment| {
        !moment.cells.is_empty() && moment.whole == Some(moment.cells.values().sum())
    });
    let named: BTreeSet<&str> = match complete {
        Some(moment) => moment.cells.keys().map(String::as_str).collect(),
        None => moments.iter().flat_map(|moment| moment.cells.keys().map(String::as_str)).collect(),
    };
    let mut elements: Vec<Element<'_>> = named.iter().map(|name| Some(*name)).collect();
    if complete.is_none() {
        elements.push(None);
    }
    // The group of each element: what is left at a moment is one, also where the total is unknown.
    let mut group: BTreeMap<Element<'_>, usize> =
        elements.iter().enumerate().map(|(n, element)| (*element, n)).collect();
    let is_left = |moment: &Moment, element: &Element<'_>| {
        moment.minute.is_some() && element.is_none_or(|name| !moment.cells.contains_key(name))
    };
    for moment in [then, now] {
        let left: Vec<usize> =
            elements.iter().filter(|it| is_left(moment, it)).map(|it| group[it]).collect();
        let Some(first) = left.first().copied() else { continue };
        group.values_mut().filter(|of| left.contains(of)).for_each(|of| *of = first);
    }
    let groups: BTreeSet<usize> = group.values().copied().collect();
    for of in groups {
        let members: Vec<Element<'_>> =
            elements.iter().filter(|element| group[*element] == of).copied().collect();
        let level = |moment: &Moment| -> Option<u64> {
            let cells = |name: &str| moment.cells.get(name).copied().unwrap_or_default();
            let named = members.iter().flatten().map(|name| cells(name)).sum::<u64>();
            if members.iter().any(|element| is_left(moment, element)) {
                let told: u64 = moment.cells.values().sum();
                Some(moment.whole?.checked_sub(told)? + named)
            } else {
                Some(named)
            }
        };
        let (Some(before), Some(after)) = (level(then), level(now)) else { continue };
        let Some(hits) = after.checked_sub(before) else { continue };
        let who = if members.contains(&None) {
            let others = elements.iter().filter(|it| !members.contains(it)).flatten();
            Who::NotIn(others.map(|name| (*name).to_owned()).collect())
        } else {
            Who::In(members.iter().flatten().map(|name| (*name).to_owned()).collect())
        };
        claims.insert(Claim { dimension, who, part, from: then.minute, to, hits });
    }
}

/// Where a table's cells add up to all hits, the sum of their people less all people.
fn in_several(history: &History, dimension: Dimension) -> Vec<Claim> {
    let total = (Dimension::Total, String::new());
    let mut claims = Vec::new();
    let mut told = BTreeSet::new();
    for (minute, release) in &history.releases {
        // Who had machine hits alone in one cell may have had others elsewhere.
        for part in [Part::All, Part::People] {
            let Some(whole) = release.get(&total) else { continue };
            let cells: Vec<&Seen> =
                release.iter().filter(|(place, _)| place.0 == dimension).map(|(_, s)| s).collect();
            let hits: Option<u64> = cells.iter().map(|cell| part.of(cell)).sum();
            let people: Option<u64> = cells.iter().map(|cell| part.people_of(cell)).sum();
            let (Some(people), Some(all)) = (people, part.people_of(whole)) else { continue };
            // Equal sums of hits are of one moment; other sums are of nothing.
            if hits.is_none() || hits != part.of(whole) || !told.insert((part, hits)) {
                continue;
            }
            if let Some(hits) = people.checked_sub(all) {
                let who = Who::InSeveral;
                claims.push(Claim { dimension, who, part, from: None, to: *minute, hits });
            }
        }
    }
    claims
}

/// Who did nothing at all: the recipients less the people of the total, when it was released.
fn silent(history: &History) -> Vec<Claim> {
    let total = (Dimension::Total, String::new());
    let mut before = None;
    let mut claims = Vec::new();
    for (to, release) in &history.releases {
        let seen = release.get(&total);
        let people = seen.and_then(|seen| seen.uniq_raw.or(seen.raw));
        if let Some(hits) = people.and_then(|people| history.recipients.checked_sub(people))
            && (!history.guarded || before != seen)
        {
            let (dimension, who, part) = (Dimension::Total, Who::Silent, Part::All);
            claims.push(Claim { dimension, who, part, from: None, to: *to, hits });
        }
        before = seen;
    }
    claims
}
