//! A report for programs: JSON, and CSV that a spreadsheet does not run.

use crate::model::{Cell, KindReport, Report};
use crate::text::{Moment, number};

/// The report as JSON. A number that is withheld is `null`; `withheld` says what that means.
#[must_use]
pub fn json(report: &Report) -> String {
    let mut value = serde_json::to_value(report).expect("a report is plain data");
    value["withheld"] =
        format!("null would tell of fewer than {} people", report.minimum_group).into();
    format!("{value:#}")
}

/// The report as CSV (RFC 4180): one row a cell, with the report's own truth in every row.
///
/// # Errors
/// None in practice: it writes to memory, and the `csv` crate's error is passed on all the same.
pub fn csv(report: &Report) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "schema",
        "campaign",
        "epoch",
        "minimum_group",
        "kind",
        "mode",
        "uniques",
        "rules",
        "sent",
        "dimension",
        "value",
        "raw",
        "human",
        "uniq_raw",
        "uniq_human",
    ])?;
    for kind in &report.kinds {
        record(&mut writer, report, kind, "total", "", &kind.total)?;
        for (dimension, rows) in &kind.tables {
            for (value, cell) in rows {
                record(&mut writer, report, kind, dimension.name(), value, cell)?;
            }
        }
    }
    finish(writer)
}

/// What was written to memory.
pub(crate) fn finish(writer: csv::Writer<Vec<u8>>) -> Result<String, csv::Error> {
    let bytes = writer.into_inner().map_err(|e| e.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn record(
    writer: &mut csv::Writer<Vec<u8>>,
    report: &Report,
    kind: &KindReport,
    dimension: &str,
    value: &str,
    cell: &Cell,
) -> Result<(), csv::Error> {
    let uniq = |u: Option<u64>| {
        if kind.uniques == crate::Uniques::None { String::new() } else { number(u) }
    };
    let rules: Vec<String> = kind.rules.iter().map(u16::to_string).collect();
    let uniques = serde_json::to_value(kind.uniques).ok();
    writer.write_record([
        report.schema.to_string(),
        inert(&report.campaign),
        Moment(report.epoch).to_string(),
        report.minimum_group.to_string(),
        kind.kind.name().to_owned(),
        kind.mode.name().to_owned(),
        uniques.and_then(|u| u.as_str().map(str::to_owned)).unwrap_or_default(),
        rules.join(" "),
        kind.sent.to_string(),
        dimension.to_owned(),
        inert(value),
        number(cell.raw),
        number(cell.human),
        uniq(cell.uniq_raw),
        uniq(cell.uniq_human),
    ])
}

/// Text that no spreadsheet takes for a formula (CVE-2018-8092): what begins like one is quoted.
pub(crate) fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}
