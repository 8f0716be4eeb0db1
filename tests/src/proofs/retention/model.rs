//! What is stored, asked for row by row without the code under test, and what policies leave of it
//! by a model of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use hushmark_policy::{Day, Kind};

use super::manifests::{FADE, KEEP};
use super::{Scene, morning, query};
use crate::figure::Figures;
use crate::one_machine::OneMachine;

/// Hits, those of people, and a cell's distinct messages.
type Counts = (u64, u64, u64);

/// Campaign, day of arrival, and whether place, client and hour are there.
type Hit = (u64, Day, bool, bool, bool);
/// Campaign, kind, dimension, value and month.
type Cell = (u64, u8, String, String, Day);

/// Every row of people's hits that arrived before today, and every counter.
pub(super) struct Rows {
    today: Day,
    hits: BTreeMap<Hit, u64>,
    /// Hits, human ones, and what the sketch estimates.
    cells: BTreeMap<Cell, Counts>,
    /// What the ledgers say of the lanes that the mail was loaded by, line by line.
    ledger: BTreeSet<String>,
}

impl Rows {
    pub(super) fn read(up: &OneMachine) -> Result<Self> {
        let today = crate::keys::today();
        let mut rows =
            Self { today, hits: BTreeMap::new(), cells: BTreeMap::new(), ledger: BTreeSet::new() };
        let hits = format!(
            "SELECT campaign, toUInt16(toDate(at)), country != '', client != '' OR device != '' OR \
             system != '', last = 0, count() FROM hits WHERE tenant != 0 AND at < toDateTime({}, \
             'UTC') GROUP BY 1, 2, 3, 4, 5",
            today.start_ms() / 1_000
        );
        for line in query(up, &hits)?.lines() {
            let n = numbers(line)?;
            let hit = (n[0], Day(n[1] as u16), n[2] == 1, n[3] == 1, n[4] == 1);
            rows.hits.insert(hit, n[5]);
        }
        let cells = "SELECT dimension, value, campaign, toUInt8(kind), toUInt16(month), sum(c.raw), \
                     sum(c.human), uniqCombined64ArrayMerge(14)(uniq_raw) FROM counters AS c WHERE \
                     tenant != 0 GROUP BY tenant, campaign, kind, dimension, value, month";
        for line in query(up, cells)?.lines() {
            let mut parts = line.splitn(3, '\t');
            let mut part = || parts.next().context("a counter has three parts");
            let (dimension, value, rest) = (part()?.to_owned(), part()?.to_owned(), part()?);
            let n = numbers(rest)?;
            let cell = (n[0], n[1] as u8, dimension, value, Day(n[2] as u16));
            rows.cells.insert(cell, (n[3], n[4], n[5]));
        }
        let ledger = "SELECT 'counters', value, month, max(last), sum(raw), max(position) FROM \
                      counters WHERE tenant = 0 AND campaign = 0 AND dimension = 'lane' AND value \
                      LIKE '10ad10ad10ad10ad.%' GROUP BY value, month UNION ALL SELECT 'hits', lane, \
                      month, max(last), count(), max(position) FROM hits WHERE tenant = 0 AND \
                      campaign = 0 AND lane LIKE '10ad10ad10ad10ad.%' GROUP BY lane, month";
        rows.ledger = query(up, ledger)?.lines().map(str::to_owned).collect();
        Ok(rows)
    }

    /// Rows of people's hits.
    pub(super) fn hits(&self) -> u64 {
        self.hits.values().sum()
    }

    /// Hits of `individual` campaigns, as the counters have them.
    pub(super) fn hits_counted(&self) -> u64 {
        let individual = |id: u64| (0..super::CAMPAIGNS).step_by(2).any(|n| morning::id(n).0 == id);
        let total = self
            .cells
            .iter()
            .filter(|((id, _, dimension, ..), _)| dimension == "total" && individual(*id));
        total.map(|(_, (raw, ..))| raw).sum()
    }

    /// Hits of a month's total.
    pub(super) fn total_of(&self, ids: &[u64], kind: Kind, month: Day) -> u64 {
        let of = self.cells.iter().filter(|((id, of, dimension, _, at), _)| {
            ids.contains(id) && *of == kind as u8 && dimension == "total" && *at >= month
        });
        of.map(|(_, (raw, ..))| raw).sum()
    }

    /// Rows and cells that are here and not there; what was added is none of them.
    pub(super) fn missing_from(&self, other: &Self) -> u64 {
        let there = |hit: &Hit| other.hits.get(hit).copied().unwrap_or(0);
        let hits: u64 = self.hits.iter().map(|(hit, n)| n.saturating_sub(there(hit))).sum();
        let less = |(cell, now): &(&Cell, &Counts)| {
            other.cells.get(*cell).is_none_or(|then| then.0 < now.0 || then.1 < now.1)
        };
        hits + self.cells.iter().filter(less).count() as u64
            + self.ledger.difference(&other.ledger).count() as u64
    }

    /// What both policies leave, by the days that they say.
    fn left(&self) -> (BTreeMap<Hit, u64>, BTreeMap<Cell, Counts>) {
        let is_older =
            |day: Day, days: u16| u32::from(day.0) + u32::from(days) < u32::from(self.today.0);
        let ([place, hour, client, faded], [kept, counters]) = (FADE, KEEP);
        let mut hits = BTreeMap::new();
        for ((id, day, has_place, has_client, has_hour), n) in &self.hits {
            let is_reached = reached(*id);
            if is_reached && (is_older(*day, faded) || is_older(*day, kept)) {
                continue;
            }
            let stays = |days| !is_reached || !is_older(*day, days);
            let left = (
                *id,
                *day,
                *has_place && stays(place),
                *has_client && stays(client),
                *has_hour && stays(hour),
            );
            *hits.entry(left).or_default() += n;
        }
        let mut cells = self.cells.clone();
        cells.retain(|(id, _, dimension, value, month), _| {
            // The day before the first of the month after.
            let mut days =
                (month.0..month.0 + 31).map(Day).filter(|day| day.month() == month.month());
            let last = days.next_back().unwrap_or(*month);
            let hours = value.split('T').next().and_then(Day::parse);
            let is_gone = match dimension.as_str() {
                "country" => is_older(last, place),
                "device" | "client" | "system" => is_older(last, client),
                "hour" => hours.is_some_and(|day| is_older(day, hour)),
                _ => false,
            };
            let goes = reached(*id) && (is_gone || is_older(last, counters));
            !goes
        });
        (hits, cells)
    }
}

/// Whether policies that nothing holds reach a campaign.
fn reached(id: u64) -> bool {
    (0..2).any(|n| morning::id(n).0 == id)
}

fn numbers(line: &str) -> Result<Vec<u64>> {
    line.split('\t')
        .map(|text| text.parse().with_context(|| format!("{text:?} of {line:?} is no number")))
        .collect()
}

/// Rows that were taken between two looks: of `hits` those that are gone, and once for each thing
/// that those which are left have lost; of `counters` those that are gone.
pub(super) fn taken(
    before: &Rows,
    after: &Rows,
    scene: &Scene,
) -> Result<[(&'static str, u64); 2]> {
    let mut days = BTreeSet::new();
    days.extend(before.hits.keys().map(|(id, day, ..)| (*id, *day)));
    let mut hits = 0;
    for (id, day) in days {
        let of = |rows: &Rows, has: fn(&Hit) -> bool| -> u64 {
            let of_day = rows.hits.iter().filter(|((of, at, ..), _)| (*of, *at) == (id, day));
            of_day.filter(|(hit, _)| has(hit)).map(|(_, n)| n).sum()
        };
        if of(after, |_| true) < of(before, |_| true) {
            hits += of(before, |_| true) - of(after, |_| true);
            continue;
        }
        let measures: [fn(&Hit) -> bool; 3] = [|hit| hit.2, |hit| hit.3, |hit| hit.4];
        hits += measures.iter().map(|has| of(before, *has) - of(after, *has)).sum::<u64>();
    }
    let cells = before.cells.keys().filter(|cell| !after.cells.contains_key(*cell)).count() as u64;
    anyhow::ensure!(scene.today == crate::keys::today(), "midnight passed: run it again");
    Ok([("hits", hits), ("counters", cells)])
}

/// What is there against what the policies leave.
pub(super) fn compare(
    scene: &Scene,
    before: &Rows,
    after: &Rows,
    figures: &mut Figures,
) -> Result<()> {
    let (hits, cells) = before.left();
    let mut wrong = 0;
    for hit in hits.keys().chain(after.hits.keys()).collect::<BTreeSet<_>>() {
        let n = |all: &BTreeMap<Hit, u64>| all.get(hit).copied().unwrap_or(0);
        wrong += n(&hits).abs_diff(n(&after.hits));
    }
    figures.exactly("rows of hits that are not as the policies say", wrong, 0, "rows");
    let mut wrong = 0;
    for cell in cells.keys().chain(after.cells.keys()).collect::<BTreeSet<_>>() {
        let (wanted, found) = (cells.get(cell), after.cells.get(cell));
        // Hits come in meanwhile, in this month.
        let comes_in = reached(cell.0) && cell.4 == scene.today.month().first_day();
        let is_right = match (wanted, found) {
            (Some(wanted), Some(found)) if comes_in => wanted.0 <= found.0 && wanted.1 <= found.1,
            (None, Some(_)) if comes_in => !before.cells.contains_key(cell),
            (wanted, found) => wanted == found,
        };
        wrong += u64::from(!is_right);
    }
    figures.exactly("counters that are not as the policies say", wrong, 0, "cells");
    let lines = before.ledger.symmetric_difference(&after.ledger).count() as u64;
    figures.at_least(
        "lines of the ledger that were there",
        before.ledger.len() as u64,
        20,
        "lines",
    );
    figures.exactly("of these changed", lines, 0, "lines");
    let whole = "SELECT count() FROM hits WHERE tenant != 0 AND last != 0 AND \
                 (last != 1 OR at != toStartOfDay(at))";
    figures.exactly("rows with a time beside their day", scene.number(whole)?, 0, "rows");
    let gone = before.hits() - after.hits();
    figures.at_least("rows of hits that are gone", gone, 1, "rows");
    let gone = (before.cells.len() - cells.len()) as u64;
    figures.at_least("counters that are gone", gone, 1, "cells");
    Ok(())
}
