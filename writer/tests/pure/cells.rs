//! Rows are what a naive count over `Dimension::value_of` says, hit by hit.

use std::collections::{BTreeMap, BTreeSet};

use hushmark_event::cell::{CampaignSalt, Dimension};
use hushmark_event::{DayKey, Lane, Ring};
use hushmark_policy::{CampaignId, Caps, Mode, Objected};
use hushmark_writer::behaviour::Behaviour;
use hushmark_writer::cells;
use hushmark_writer::entry::{Content, Entry};
use hushmark_writer::judge::{Judge, Rules};
use proptest::prelude::*;

use crate::{DAY, Seed, entry};

const SALT: [u8; 32] = [4; 32];

fn seed() -> impl Strategy<Value = Seed> {
    (
        0..6u64,
        1..4u8,
        0..5u64,
        0..4u16,
        0..100_000_000u64,
        0..8u8,
        0..16u8,
        prop::option::of(0..3u8),
    )
        .prop_map(|(campaign, mode, mark, link, after_ms, verdict, client, country)| Seed {
            campaign,
            mode,
            mark,
            link,
            after_ms,
            verdict,
            client,
            country,
        })
}

/// Batches in the order of arrival, which is the only one that an edge makes.
fn batches() -> impl Strategy<Value = Vec<Vec<Option<Seed>>>> {
    let batch = prop::collection::vec(prop::option::weighted(0.9, seed()), 1..20);
    let batch = batch.prop_map(|mut seeds| {
        seeds.sort_by_key(|seed| seed.as_ref().map_or(0, |seed| seed.after_ms));
        seeds
    });
    prop::collection::vec(batch, 1..6)
}

type Key = (u64, u64, i8, &'static str, String);

#[derive(Default, Debug, PartialEq)]
struct Cell {
    raw: u64,
    human: u64,
    people: BTreeSet<u64>,
    people_human: BTreeSet<u64>,
}

fn naive(batches: &[Vec<Option<Seed>>]) -> BTreeMap<Key, Cell> {
    let salt = CampaignSaltOf(DayKey::new(SALT));
    let (mut all, mut value) = (BTreeMap::<Key, Cell>::new(), String::new());
    for (number, batch) in batches.iter().enumerate() {
        for hit in batch.iter().flatten().map(|seed| seed.hit(DAY)) {
            for dimension in Dimension::ALL {
                if !dimension.value_of(&hit, number as u16, &mut value) {
                    continue;
                }
                let (tenant, campaign) = (hit.context.tenant.0, hit.context.campaign.0);
                let key = (tenant, campaign, hit.kind as i8, dimension.name(), value.clone());
                let cell = all.entry(key).or_default();
                cell.raw += 1;
                cell.human += u64::from(hit.verdict.is_human());
                if let Some(mark) = hit.mark.as_ref().filter(|_| dimension.has_sketch()) {
                    let hash = salt
                        .of(hit.context.campaign)
                        .person(mark)
                        .in_cell(hit.kind, dimension, &value);
                    cell.people.insert(hash);
                    if hit.verdict.is_human() {
                        cell.people_human.insert(hash);
                    }
                }
            }
        }
    }
    all
}

struct CampaignSaltOf(DayKey);

impl CampaignSaltOf {
    fn of(&self, campaign: CampaignId) -> CampaignSalt {
        CampaignSalt::derive(&self.0, campaign)
    }
}

/// What holds in these tests; the same keys serve as batch and salt keys.
fn rules<'a>(caps: &'a Caps, position: u64, objected: &'a Objected, keys: &'a Ring) -> Rules<'a> {
    Rules { caps, position, objected, batch: keys, salts: keys }
}

proptest! {
    #[test]
    fn rows_are_what_a_naive_count_says(
        batches in batches(),
    ) {
        let lane = Lane { incarnation: 1, core: 2 };
        let entries: Vec<Entry> = batches.iter().enumerate().map(|(number, seeds)| {
            let hits: Vec<_> = seeds.iter().map(|s| s.as_ref().map(|s| s.hit(DAY))).collect();
            entry(number as u64 + 1, DAY, number as u16, &hits)
        }).collect();
        let mut salts = Ring::default();
        salts.insert(DAY.plus(5), DayKey::new(SALT));
        let (caps, behaviour, objected) =
            (Caps::default(), Behaviour::new(0), Objected::default());
        let listed: Vec<(Lane, &Entry)> = entries.iter().map(|entry| (lane, entry)).collect();
        let mut judge = Judge::new(rules(&caps, 7, &objected, &salts), &behaviour);
        let (rows, tally) = cells::counters(&listed, DAY.month(), &mut judge);

        let mut found = BTreeMap::new();
        let (mut ledger, mut voids) = (Vec::new(), 0);
        for row in &rows {
            prop_assert_eq!(row.month, DAY.month().first_day().0);
            if row.dimension == cells::LANE {
                ledger.push((row.value.clone(), row.raw, row.last, row.position));
            } else if row.dimension == cells::VOID {
                voids += row.raw;
            } else {
                prop_assert!(row.people.is_sorted() && row.people_human.is_sorted());
                let cell = Cell {
                    raw: row.raw,
                    human: row.human,
                    people: row.people.iter().copied().collect(),
                    people_human: row.people_human.iter().copied().collect(),
                };
                let key = (row.tenant, row.campaign, row.kind, row.dimension, row.value.clone());
                prop_assert!(found.insert(key, cell).is_none(), "a cell twice");
            }
        }
        prop_assert_eq!(found, naive(&batches));
        let records: usize = batches.iter().map(Vec::len).sum();
        let last = batches.len() as u64;
        prop_assert_eq!(ledger, vec![(lane.to_string(), records as u64, last, 7)]);
        prop_assert_eq!(voids + tally.hits, records as u64);
        prop_assert_eq!(voids, tally.voids);

        let (rows, _) = cells::hits(&listed, DAY.month(), &mut judge);
        let individual = batches.iter().flatten().flatten()
            .filter(|seed| Mode::from_u8(seed.mode) == Some(Mode::Individual)).count();
        prop_assert_eq!(rows.iter().filter(|row| row.tenant != 0).count(), individual);
        prop_assert_eq!(rows.iter().filter(|row| row.last > 0).count(), 1);

        // The same entries give the same bytes, whoever sends them.
        let mut again = Judge::new(rules(&caps, 7, &objected, &salts), &behaviour);
        prop_assert!(cells::counters(&listed, DAY.month(), &mut again).0
            == cells::counters(&listed, DAY.month(), &mut judge).0);
    }
}

#[test]
fn what_is_not_stored_is_counted_in_the_same_rows() {
    let lane = Lane { incarnation: 1, core: 0 };
    let seed = Seed {
        campaign: 1,
        mode: 2,
        mark: 1,
        link: 0,
        after_ms: 0,
        verdict: 0,
        client: 0,
        country: None,
    };
    let late = entry(1, DAY, 1, &[Some(seed.hit(DAY)), None]);
    let closed = Entry { number: 2, content: Content::Closed { records: 12 } };
    let dead = Entry { number: 3, content: Content::Dead };
    let entries = [(lane, &late), (lane, &closed), (lane, &dead)];
    // The ring begins after the last day of the hit's token.
    let mut salts = Ring::default();
    salts.insert(DAY.plus(6), DayKey::new(SALT));
    let (caps, behaviour, objected) = (Caps::default(), Behaviour::new(0), Objected::default());
    let mut judge = Judge::new(rules(&caps, 0, &objected, &salts), &behaviour);
    let (rows, tally) = cells::counters(&entries, DAY.month(), &mut judge);
    let told: Vec<_> =
        rows.iter().map(|row| (row.dimension, row.value.as_str(), row.raw, row.last)).collect();
    let name = lane.to_string();
    assert_eq!(
        told,
        [
            ("drop", "closed", 1, 0),
            ("drop", "sealed", 12, 0),
            ("lane", name.as_str(), 2, 3),
            ("void", "", 1, 0),
        ]
    );
    assert_eq!((tally.hits, tally.dead), (0, 1));
    assert_eq!(cells::hits(&entries, DAY.month(), &mut judge).0.len(), 1);
}
