//! What a report is.

use std::collections::BTreeMap;

use hushmark_event::cell::Dimension;
use hushmark_policy::{Kind, Mode};
use serde::Serialize;

/// Everything that may be shown of one campaign, as of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of this form; a field is never given another meaning.
    pub schema: u32,
    /// Region, namespace and name.
    pub campaign: String,
    /// When the last epoch was published, in seconds since 1970.
    pub epoch: u32,
    /// How long an epoch is, in seconds.
    pub epoch_seconds: u32,
    /// The minimum group: a number that is withheld would tell of fewer people than this.
    pub minimum_group: u32,
    /// Opens, then clicks; a kind that is not tracked says so by its mode.
    pub kinds: Vec<KindReport>,
}

/// What is shown of one kind of hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// Opens or clicks.
    pub kind: Kind,
    /// The most restrictive mode that its hits were counted in.
    pub mode: Mode,
    /// Where distinct messages are known from.
    pub uniques: Uniques,
    /// Messages stamped with this kind tracked, `overall` recipients where declared.
    pub sent: u64,
    /// Versions of the rules that told people from machines.
    pub rules: Vec<u16>,
    /// All hits.
    pub total: Cell,
    /// One table a dimension: value and cell, in the dimension's order. In guarded modes a value
    /// that is withheld is not listed, because being listed would tell that there was somebody.
    #[serde(serialize_with = "by_name")]
    pub tables: BTreeMap<Dimension, Vec<(String, Cell)>>,
}

/// Where distinct messages are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Uniques {
    /// Nobody can tell messages apart in this mode.
    None,
    /// Estimated from sketches; uniqCombined64(14) errs by about 0.6 %.
    Sketch,
    /// Counted from rows.
    Exact,
}

impl Uniques {
    /// Why the numbers are as exact as they are, for people.
    #[must_use]
    pub const fn because(self) -> &'static str {
        match self {
            Self::None => "no uniques: every recipient has the same links",
            Self::Sketch => "uniques estimated from sketches, within about 1 %",
            Self::Exact => "uniques counted from rows",
        }
    }
}

/// One value's numbers. `None` is withheld: the number itself, or what it leaves of another, is
/// about fewer people than the minimum group. Of `uniq_…` it can also be "not known in this mode".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// All hits.
    pub raw: Option<u64>,
    /// Hits that no machine made.
    pub human: Option<u64>,
    /// Distinct messages with a hit.
    pub uniq_raw: Option<u64>,
    /// Distinct messages with a human hit.
    pub uniq_human: Option<u64>,
}

fn by_name<S: serde::Serializer>(
    tables: &BTreeMap<Dimension, Vec<(String, Cell)>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        value: &'a str,
        #[serde(flatten)]
        cell: &'a Cell,
    }
    serializer.collect_map(tables.iter().map(|(dimension, rows)| {
        let rows: Vec<Row<'_>> = rows.iter().map(|(value, cell)| Row { value, cell }).collect();
        (dimension.name(), rows)
    }))
}

/// Puts a dimension's rows in the order that people expect: links by number, hours by time, all
/// else by size with ties by name.
pub(crate) fn sort(dimension: Dimension, rows: &mut [(String, Cell)]) {
    match dimension {
        Dimension::Link => rows.sort_by_key(|(value, _)| value.parse().unwrap_or(u64::MAX)),
        Dimension::Hour => rows.sort_by(|a, b| a.0.cmp(&b.0)),
        _ => rows.sort_by(|a, b| b.1.raw.cmp(&a.1.raw).then_with(|| a.0.cmp(&b.0))),
    }
}
