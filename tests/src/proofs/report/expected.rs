//! What was loaded, cell by cell, and whether a report says the same.

use std::collections::HashMap;

use anyhow::{Context, Result};
use hushmark_event::cell::Dimension;
use hushmark_policy::{Kind, Mode};
use serde_json::Value;

use super::morning::{self, Drawn};
use crate::bitmap::Bitmap;

/// What a sketch may be off: uniqCombined64(14) errs by 0.8 % in one standard deviation, and some
/// of several hundred cells err by four.
const SKETCH_ERROR: f64 = 0.04;

/// The tables that a report has to show in full where no minimum group guards them.
const SHOWN: [Dimension; 5] =
    [Dimension::Link, Dimension::Device, Dimension::Client, Dimension::Country, Dimension::Hour];

/// Campaign, kind, dimension and value.
type Name = (u64, Kind, Dimension, String);

/// Hits and people of one cell.
#[derive(Default)]
struct Seen {
    raw: u64,
    human: u64,
    people: Bitmap,
    people_human: Bitmap,
}

/// Every cell of the campaigns that will be asked for.
pub(in crate::proofs) struct Expected {
    asked: Vec<u64>,
    cells: HashMap<Name, Seen>,
}

impl Expected {
    /// Remembers the hits of some campaigns, and forgets all others.
    pub(in crate::proofs) fn of(asked: Vec<u64>) -> Self {
        Self { asked, cells: HashMap::new() }
    }

    /// The campaigns that it remembers.
    pub(super) fn asked(&self) -> &[u64] {
        &self.asked
    }

    /// Takes a hit into account.
    pub(super) fn see(&mut self, drawn: &Drawn, rules: u16) {
        if !self.asked.contains(&drawn.campaign) {
            return;
        }
        let human = drawn.hit.verdict.is_human();
        for dimension in Dimension::ALL {
            let mut value = String::new();
            if !dimension.value_of(&drawn.hit, rules, &mut value) {
                continue;
            }
            let name = (drawn.campaign, drawn.hit.kind, dimension, value);
            let seen = self.cells.entry(name).or_default();
            seen.raw += 1;
            seen.people.insert(drawn.reader);
            if human {
                seen.human += 1;
                seen.people_human.insert(drawn.reader);
            }
        }
    }

    /// Compares one campaign's report, as `hushmark report --json` prints it.
    ///
    /// # Errors
    /// When it is not such a report.
    pub(super) fn check(&self, campaign: u64, report: &Value, found: &mut Found) -> Result<()> {
        let kinds = report["kinds"].as_array().context("the report has no kinds")?;
        for kind in Kind::ALL {
            let of = kinds.iter().find(|k| k["kind"] == kind.name());
            let of = of.with_context(|| format!("the report says nothing of {}s", kind.name()))?;
            let label = format!("{} {}", morning::name(campaign), kind.name());
            found.must(of["mode"] == morning::mode(campaign).name(), || format!("{label}: mode"));
            let exact = of["uniques"] == "exact";
            let mut cell = |dimension: Dimension, value: &str, shown: &Value| {
                let name = (campaign, kind, dimension, value.to_owned());
                let label = format!("{label} {} {value}", dimension.name());
                found.compare(&label, self.cells.get(&name), shown, exact);
            };
            cell(Dimension::Total, "", &of["total"]);
            let tables = of["tables"].as_object().context("the report has no tables")?;
            for (name, rows) in tables {
                let dimension = Dimension::from_name(name).context("an unknown table")?;
                for row in rows.as_array().context("a table has no rows")? {
                    cell(dimension, row["value"].as_str().context("a row has no value")?, row);
                }
            }
            found.must(of["total"]["raw"].is_u64(), || format!("{label}: no total"));
            if morning::mode(campaign) == Mode::Individual {
                self.check_whole(campaign, kind, tables, found);
            }
        }
        Ok(())
    }

    /// Where nothing is withheld, nothing may be missing.
    fn check_whole(
        &self,
        campaign: u64,
        kind: Kind,
        tables: &serde_json::Map<String, Value>,
        found: &mut Found,
    ) {
        for (_, _, dimension, value) in self.cells.keys().filter(|(of, k, dimension, _)| {
            (*of, *k) == (campaign, kind) && SHOWN.contains(dimension)
        }) {
            let rows = tables.get(dimension.name()).and_then(Value::as_array);
            let there =
                rows.is_some_and(|rows| rows.iter().any(|row| row["value"] == value.as_str()));
            found.must(there, || {
                format!("{} {} {value}: missing", morning::name(campaign), dimension.name())
            });
        }
    }
}

/// What comparing came to.
#[derive(Default)]
pub(super) struct Found {
    /// Numbers that a report showed.
    pub(super) shown: u64,
    /// Numbers that were withheld.
    pub(super) withheld: u64,
    /// What is not as it was loaded.
    pub(super) wrong: Vec<String>,
    /// How far the worst sketch was off.
    pub(super) worst_sketch: f64,
}

impl Found {
    fn must(&mut self, holds: bool, what: impl Fn() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    fn compare(&mut self, label: &str, seen: Option<&Seen>, shown: &Value, exact: bool) {
        let nothing = Seen::default();
        let seen = seen.unwrap_or(&nothing);
        let people = (seen.people.count(), seen.people_human.count());
        for (field, loaded, estimate) in [
            ("raw", seen.raw, false),
            ("human", seen.human, false),
            ("uniq_raw", people.0, !exact),
            ("uniq_human", people.1, !exact),
        ] {
            let Some(shown) = shown[field].as_u64() else {
                self.withheld += 1;
                continue;
            };
            self.shown += 1;
            let off = (shown as f64 - loaded as f64).abs() / (loaded as f64).max(1.0);
            if estimate {
                self.worst_sketch = self.worst_sketch.max(off);
            }
            self.must(off <= if estimate { SKETCH_ERROR } else { 0.0 }, || {
                format!("{label}: {field} is shown as {shown}, loaded were {loaded}")
            });
        }
    }
}
