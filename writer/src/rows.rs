//! The rows of the two landing tables and of `last_opens`, in RowBinary order. `event/sql` is their
//! description.

use clickhouse::Row;
use hushmark_event::Lane;
use serde::Serialize;

use crate::cells::LANE;

/// One row for `counters_in`.
#[derive(Row, Serialize, Clone, PartialEq, Eq)]
pub struct CounterRow {
    /// The tenant; 0 in ledger rows.
    pub tenant: u64,
    /// The campaign; 0 in ledger rows.
    pub campaign: u64,
    /// 0 an open, 1 a click.
    pub kind: i8,
    /// The dimension's name.
    pub dimension: &'static str,
    /// The value within the dimension.
    pub value: String,
    /// The month's first day, as days since 1970.
    pub month: u16,
    /// All hits.
    pub raw: u64,
    /// Human hits.
    pub human: u64,
    /// A keyed hash a person with a hit.
    pub people: Vec<u64>,
    /// A keyed hash a person with a human hit.
    pub people_human: Vec<u64>,
    /// In ledger rows the highest number stored.
    pub last: u64,
    /// In ledger rows the refusal log's length.
    pub position: u64,
}

impl CounterRow {
    /// Up to which number a lane is stored, and by which length of the refusal log it was filtered.
    #[must_use]
    pub fn ledger((lane, last): (Lane, u64), month: u16, position: u64) -> Self {
        Self {
            tenant: 0,
            campaign: 0,
            kind: 0,
            dimension: LANE,
            value: lane.to_string(),
            month,
            raw: 0,
            human: 0,
            people: Vec::new(),
            people_human: Vec::new(),
            last,
            position,
        }
    }
}

impl HitRow {
    /// Up to which number a lane is stored, and by which length of the refusal log it was filtered.
    #[must_use]
    pub fn ledger((lane, last): (Lane, u64), month: u16, position: u64) -> Self {
        Self { lane: lane.to_string(), last, month, position, ..Self::default() }
    }
}

/// One row for `last_opens`: all that is kept of an open of `lastOpenDay`.
#[derive(Row, Serialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastOpenRow {
    /// The tenant.
    pub tenant: u64,
    /// The contact's random id.
    pub contact: u64,
    /// The day, as days since 1970.
    pub day: u16,
}

/// One row for `hits_in`.
#[derive(Row, Serialize, Clone, PartialEq, Eq, Default)]
pub struct HitRow {
    /// The tenant; 0 in ledger rows.
    pub tenant: u64,
    /// The campaign; 0 in ledger rows.
    pub campaign: u64,
    /// The contact's random id.
    pub contact: u64,
    /// Arrival, seconds since 1970.
    pub at: u32,
    /// 0 an open, 1 a click.
    pub kind: i8,
    /// The link's position in the template.
    pub link: u16,
    /// The final verdict.
    pub verdict: i8,
    /// The version of the verdicts' rules.
    pub rules: u16,
    /// The device's name.
    pub device: &'static str,
    /// The client's name.
    pub client: &'static str,
    /// The system's name.
    pub system: &'static str,
    /// ISO 3166-1 alpha-2, or empty.
    pub country: String,
    /// The month's first day, as days since 1970.
    pub month: u16,
    /// In ledger rows the lane.
    pub lane: String,
    /// In ledger rows the highest number stored.
    pub last: u64,
    /// In ledger rows the refusal log's length.
    pub position: u64,
}
