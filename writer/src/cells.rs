//! From the entries of a cut to the rows of its two inserts. Pure, and the writer's hot path.
//!
//! A hit touches ten cells. They are found by number, in one table for the whole cut, and get
//! their names and their order only at the end.

use hushmark_event::cell::Dimension;
use hushmark_event::{Client, Device, Hit, Lane, Record, System, Verdict};
use hushmark_policy::{CampaignId, Day, Kind, Mode, Month, TenantId};
use rustc_hash::FxHashMap;

use crate::entry::{Content, Entry};
use crate::judge::{Drop, Judge};
use crate::rows::{CounterRow, HitRow, LastOpenRow};

/// The dimension of ledger rows.
pub const LANE: &str = "lane";

/// The dimension of counted drops; its values are [`Drop`]'s names and `sealed`.
pub const DROP: &str = "drop";

/// The dimension that counts voids.
pub const VOID: &str = "void";

/// One cell while it is filled.
struct Cell {
    campaign: u32,
    kind: Kind,
    dimension: Dimension,
    value: String,
    raw: u64,
    human: u64,
    people: Vec<u64>,
    people_human: Vec<u64>,
}

/// What one insert stores, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Hits stored.
    pub hits: u64,
    /// Voids passed over.
    pub voids: u64,
    /// Hits dropped, by [`Drop::ALL`]'s order.
    pub drops: [u64; 2],
    /// Records of batches that nobody can open any more.
    pub sealed: u64,
    /// Dead letters passed over.
    pub dead: u64,
}

/// The counters of a cut.
#[derive(Default)]
struct Cells {
    campaigns: Vec<(TenantId, CampaignId)>,
    numbers: FxHashMap<(TenantId, CampaignId), u32>,
    index: FxHashMap<u64, u32>,
    cells: Vec<Cell>,
}

impl Cells {
    fn campaign(&mut self, hit: &Hit) -> u32 {
        let names = &mut self.campaigns;
        *self.numbers.entry((hit.context.tenant, hit.context.campaign)).or_insert_with(|| {
            names.push((hit.context.tenant, hit.context.campaign));
            u32::try_from(names.len() - 1).expect("a cut holds fewer than 2^24 records")
        })
    }

    fn count(&mut self, hit: &Hit, rules: u16, judge: &mut Judge<'_>) {
        let campaign = self.campaign(hit);
        let human = hit.verdict.is_human();
        let person = judge.person(hit);
        for dimension in Dimension::ALL {
            let Some(code) = code_of(dimension, hit, rules) else { continue };
            // 24 bits of campaign, 1 of kind, 4 of dimension, 32 of value.
            let key = u64::from(campaign) << 37
                | (hit.kind as u64) << 36
                | (dimension as u64) << 32
                | u64::from(code);
            let cells = &mut self.cells;
            let index = *self.index.entry(key).or_insert_with(|| {
                let value = value_of(dimension, code);
                let kind = hit.kind;
                let (people, people_human) = (Vec::new(), Vec::new());
                let (raw, human) = (0, 0);
                cells.push(Cell {
                    campaign,
                    kind,
                    dimension,
                    value,
                    raw,
                    human,
                    people,
                    people_human,
                });
                u32::try_from(cells.len() - 1).expect("a cut holds fewer than 2^32 cells")
            });
            let cell = &mut self.cells[index as usize];
            cell.raw += 1;
            cell.human += u64::from(human);
            if let Some(person) = person.filter(|_| dimension.has_sketch()) {
                let hash = person.in_cell(hit.kind, dimension, &cell.value);
                cell.people.push(hash);
                if human {
                    cell.people_human.push(hash);
                }
            }
        }
    }

    fn into_rows(self, month: u16) -> impl Iterator<Item = CounterRow> {
        let campaigns = self.campaigns;
        self.cells.into_iter().map(move |cell| {
            let (tenant, campaign) = campaigns[cell.campaign as usize];
            CounterRow {
                tenant: tenant.0,
                campaign: campaign.0,
                kind: cell.kind as i8,
                dimension: cell.dimension.name(),
                value: cell.value,
                month,
                raw: cell.raw,
                human: cell.human,
                people: distinct(cell.people),
                people_human: distinct(cell.people_human),
                last: 0,
                position: 0,
            }
        })
    }
}

fn distinct(mut people: Vec<u64>) -> Vec<u64> {
    people.sort_unstable();
    people.dedup();
    people
}

/// A hit's value in a dimension as a number, or `None` where it has none.
fn code_of(dimension: Dimension, hit: &Hit, rules: u16) -> Option<u32> {
    Some(match dimension {
        Dimension::Total => 0,
        Dimension::Mode => hit.context.mode as u32,
        Dimension::Rules => u32::from(rules),
        Dimension::Verdict => hit.verdict as u32,
        Dimension::Link if hit.link == 0 => return None,
        Dimension::Link => u32::from(hit.link),
        Dimension::Device => hit.device as u32,
        Dimension::Client => hit.client as u32,
        Dimension::System => hit.system as u32,
        Dimension::Country => u32::from(u16::from_be_bytes(hit.country?)),
        // Hours since 1970 fill 32 bits in half a million years.
        Dimension::Hour => u32::try_from(hit.at_ms / 3_600_000).unwrap_or(u32::MAX),
    })
}

/// The text of a code. A test holds it to [`Dimension::value_of`].
fn value_of(dimension: Dimension, code: u32) -> String {
    let byte = code as u8;
    match dimension {
        Dimension::Total => String::new(),
        Dimension::Mode => Mode::from_u8(byte).map_or("", Mode::name).to_owned(),
        Dimension::Rules | Dimension::Link => code.to_string(),
        Dimension::Verdict => Verdict::from_u8(byte).map_or("", Verdict::name).to_owned(),
        Dimension::Device => Device::from_u8(byte).map_or("", Device::name).to_owned(),
        Dimension::Client => Client::from_u8(byte).map_or("", Client::name).to_owned(),
        Dimension::System => System::from_u8(byte).map_or("", System::name).to_owned(),
        Dimension::Country => (code as u16).to_be_bytes().map(char::from).into_iter().collect(),
        Dimension::Hour => {
            let day = Day::of_unix_ms(u64::from(code) * 3_600_000);
            format!("{day}T{:02}", code % 24)
        }
    }
}

/// Up to which number each lane is stored by an insert, and how many records that were.
fn lanes<'a>(entries: &[(Lane, &'a Entry)]) -> impl Iterator<Item = (Lane, u64, u64)> + use<'a> {
    let mut lanes = std::collections::BTreeMap::<Lane, (u64, u64)>::new();
    for (lane, entry) in entries {
        let (last, records) = lanes.entry(*lane).or_default();
        *last = entry.number.max(*last);
        *records += entry.records();
    }
    lanes.into_iter().map(|(lane, (last, records))| (lane, last, records))
}

/// The rows of `counters_in`: cells in the table's order, then what was not stored, then the
/// ledger. `raw` of a ledger row is the number of records that the lane's entries held.
pub fn counters(
    entries: &[(Lane, &Entry)],
    month: Month,
    judge: &mut Judge<'_>,
) -> (Vec<CounterRow>, Tally) {
    let (mut cells, mut tally) = (Cells::default(), Tally::default());
    for (_, entry) in entries {
        let batch = match &entry.content {
            Content::Batch(batch) => batch,
            Content::Dead => {
                tally.dead += 1;
                continue;
            }
            Content::Closed { records } => {
                tally.sealed += u64::from(*records);
                continue;
            }
        };
        let (rules, records) = batch.records();
        for record in records {
            let Record::Hit(mut hit) = record else {
                tally.voids += 1;
                continue;
            };
            match judge.judge(&mut hit) {
                // Nothing of it is counted, whoever it was.
                Ok(()) if !hit.context.mode.counts() => tally.voids += 1,
                Ok(()) => {
                    tally.hits += 1;
                    cells.count(&hit, rules, judge);
                }
                Err(reason) => tally.drops[reason as usize] += 1,
            }
        }
    }
    let month = month.first_day().0;
    let mut rows: Vec<CounterRow> = cells.into_rows(month).collect();
    let own = |dimension, value: String, raw, last| CounterRow {
        tenant: 0,
        campaign: 0,
        kind: 0,
        dimension,
        value,
        month,
        raw,
        human: 0,
        people: Vec::new(),
        people_human: Vec::new(),
        last,
        position: if last == 0 { 0 } else { judge.position },
    };
    let drops = Drop::ALL.into_iter().map(|reason| (reason.name(), tally.drops[reason as usize]));
    for (reason, n) in drops.chain([("sealed", tally.sealed)]).filter(|(_, n)| *n > 0) {
        rows.push(own(DROP, reason.to_owned(), n, 0));
    }
    if tally.voids > 0 {
        rows.push(own(VOID, String::new(), tally.voids, 0));
    }
    rows.extend(lanes(entries).map(|(lane, last, n)| own(LANE, lane.to_string(), n, last)));
    rows.sort_unstable_by(|a, b| {
        (a.tenant, a.campaign, a.kind, a.dimension, &a.value).cmp(&(
            b.tenant,
            b.campaign,
            b.kind,
            b.dimension,
            &b.value,
        ))
    });
    (rows, tally)
}

/// The rows of `hits_in`: one a hit of `individual`, then the ledger. Beside them those of
/// `last_opens`: one a contact with the newest day of the cut.
pub fn hits(
    entries: &[(Lane, &Entry)],
    month: Month,
    judge: &mut Judge<'_>,
) -> (Vec<HitRow>, Vec<LastOpenRow>) {
    let month = month.first_day().0;
    let (mut rows, mut last_opens) = (Vec::new(), Vec::new());
    for batch in entries.iter().filter_map(|(_, entry)| entry.batch()) {
        let (rules, records) = batch.records();
        for record in records {
            let Record::Hit(mut hit) = record else { continue };
            if judge.judge(&mut hit).is_err() || !hit.context.mode.names_contact() {
                continue;
            }
            let Some(mark) = &hit.mark else { continue };
            if hit.context.mode == Mode::LastOpenDay {
                // A machine's fetch must not keep an address alive that nobody reads.
                if hit.kind == Kind::Open && hit.verdict.is_human() {
                    let (tenant, contact) = (hit.context.tenant.0, mark.expose());
                    let day = Day::of_unix_ms(hit.at_ms).0;
                    last_opens.push(LastOpenRow { tenant, contact, day });
                }
                continue;
            }
            rows.push(HitRow {
                tenant: hit.context.tenant.0,
                campaign: hit.context.campaign.0,
                contact: mark.expose(),
                at: u32::try_from(hit.at_ms / 1_000).unwrap_or(u32::MAX),
                kind: hit.kind as i8,
                link: hit.link,
                verdict: hit.verdict as i8,
                rules,
                device: hit.device.name(),
                client: hit.client.name(),
                system: hit.system.name(),
                country: hit
                    .country
                    .map_or_else(String::new, |c| c.map(char::from).iter().collect()),
                month,
                ..HitRow::default()
            });
        }
    }
    rows.sort_by_key(|row| (row.tenant, row.campaign, row.contact, row.at));
    let position = judge.position;
    let ledger =
        lanes(entries).map(|(lane, last, _)| HitRow::ledger((lane, last), month, position));
    (ledger.chain(rows).collect(), newest(last_opens))
}

/// One row a contact, with the newest of its days, in the table's order.
fn newest(mut rows: Vec<LastOpenRow>) -> Vec<LastOpenRow> {
    rows.sort_unstable_by_key(|row| (row.tenant, row.contact, std::cmp::Reverse(row.day)));
    rows.dedup_by_key(|row| (row.tenant, row.contact));
    rows
}
