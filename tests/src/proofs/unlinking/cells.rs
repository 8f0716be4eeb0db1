//! Are there people who use this client in that country? Who intersects sketches asks that of all
//! pairs of cells. Half of the campaigns are stored as the writer does it, and half with one hash a
//! person in all cells, which is what other systems do.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use fastrand::Rng;
use hushmark_event::Hit;
use hushmark_event::cell::Dimension;
use hushmark_policy::{CampaignId, Mark};
use hushmark_writer::rows::CounterRow;

use super::mail::hit;
use super::store::Store;
use crate::figure::Figures;
use crate::keys::today;
use crate::proofs::{Run, chance};
use crate::stack::Stack;

/// People of one campaign: with five clients and five countries, about half of the pairs are used.
const PEOPLE: u64 = 18;
const KEYED: u64 = 0x0b00_0000_0000_0000;
const UNKEYED: u64 = 0x0c00_0000_0000_0000;

/// Campaign, client and country.
type Pair = (u64, String, String);

pub(super) fn prove(
    run: &Run,
    stack: &Stack,
    store: &Store<'_>,
    random: &mut Rng,
    figures: &mut Figures,
) -> Result<()> {
    let campaigns = run.size(400, 40);
    let mut used = BTreeSet::new();
    for at_once in (0..campaigns).collect::<Vec<_>>().chunks(20) {
        let (mut keyed, mut unkeyed) = (Vec::new(), Vec::new());
        for n in at_once {
            keyed.extend(read(KEYED + n, random, &mut used));
            unkeyed.extend(read(UNKEYED + n, random, &mut used));
        }
        store.send(&store.rows(&keyed)?, today())?;
        // Its ledger row is of a cut of its own.
        let mut rows = store.rows(&unkeyed)?;
        rows.iter_mut().for_each(|row| same_hashes(row, &unkeyed));
        store.send(&rows, today())?;
    }
    store.merge()?;
    for (name, first) in [("keyed a cell", KEYED), ("one hash a person", UNKEYED)] {
        let pairs = intersections(stack, first..first + campaigns)?;
        let trials = pairs.len() as u64;
        let is_used = |pair: &Pair| used.contains(pair);
        let right = pairs.iter().filter(|(pair, both)| is_used(pair) == (**both > 0)).count();
        let yes = pairs.keys().filter(|pair| is_used(pair)).count() as u64;
        let base = yes.max(trials - yes);
        figures.tell(format!("{name}: pairs of cells intersected"), trials, "pairs");
        figures.tell(format!("{name}: right who always says the same"), base, "guesses");
        let figure = format!("{name}: right who intersects");
        if first == KEYED {
            let most = chance::bound(trials, base as f64 / trials as f64);
            figures.at_most(&figure, right as f64, most as f64, "guesses");
        } else {
            figures.at_least(&figure, right as u64, trials * 99 / 100, "guesses");
        }
    }
    Ok(())
}

/// The opens of one campaign, and who used what where.
fn read(campaign: u64, random: &mut Rng, used: &mut BTreeSet<Pair>) -> Vec<Hit> {
    let mut open = || {
        let at_ms = today().start_ms() + random.u64(..3_600_000);
        let hit = hit(CampaignId(campaign), random.u64(..), at_ms, random);
        let country = hit.country.map(|code| code.map(char::from).iter().collect());
        used.insert((campaign, hit.client.name().to_owned(), country.unwrap_or_default()));
        hit
    };
    (0..PEOPLE).map(|_| open()).collect()
}

/// Gives each person of a cell the same hash as in all others.
fn same_hashes(row: &mut CounterRow, hits: &[Hit]) {
    let is_of = |hit: &&Hit| {
        let mut value = String::new();
        let of = Dimension::from_name(row.dimension);
        hit.context.campaign.0 == row.campaign
            && of.is_some_and(|of| of.value_of(hit, 1, &mut value) && value == row.value)
    };
    let people = |row_people: &[u64]| -> Vec<u64> {
        if row_people.is_empty() {
            return Vec::new();
        }
        hits.iter().filter(is_of).filter_map(|hit| hit.mark.as_ref().map(Mark::expose)).collect()
    };
    (row.people, row.people_human) = (people(&row.people), people(&row.people_human));
}

/// What the engine makes of both sketches of each pair: the people in both, were hashes the same.
fn intersections(stack: &Stack, campaigns: std::ops::Range<u64>) -> Result<BTreeMap<Pair, i64>> {
    let cells = |dimension: Dimension| {
        format!(
            "SELECT campaign, value, uniqCombined64ArrayMergeState(14)(uniq_raw) AS s \
             FROM counters WHERE campaign >= {} AND campaign < {} AND kind = 'open' \
             AND dimension = '{}' GROUP BY campaign, value",
            campaigns.start,
            campaigns.end,
            dimension.name()
        )
    };
    let text = stack.clickhouse.query(&format!(
        "SELECT campaign, client, country, \
         toInt64(uniqCombined64ArrayMerge(14)(of_client)) \
         + toInt64(uniqCombined64ArrayMerge(14)(of_country)) \
         - toInt64(uniqCombined64ArrayMerge(14)(of_either)) FROM (\
         SELECT l.campaign AS campaign, l.value AS client, r.value AS country, \
         l.s AS of_client, r.s AS of_country, arrayJoin([l.s, r.s]) AS of_either \
         FROM ({}) AS l JOIN ({}) AS r ON l.campaign = r.campaign) \
         GROUP BY campaign, client, country",
        cells(Dimension::Client),
        cells(Dimension::Country)
    ))?;
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [campaign, client, country, both] = fields[..] else {
            anyhow::bail!("four columns, not {line:?}");
        };
        let campaign = campaign.parse().context("a campaign is a number")?;
        all.insert((campaign, client.to_owned(), country.to_owned()), both.parse()?);
    }
    Ok(all)
}
