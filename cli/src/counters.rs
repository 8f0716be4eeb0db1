//! `hushmark counters`: for operators with the key ring at hand, on one machine only.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use hushmark_event::audit::{Action, Read, Target};
use hushmark_report::counters;

use crate::args::Counters;
use crate::data::DataFolder;
use crate::report::print;
use crate::{asks, erase, known};

pub(crate) async fn run(data: &Path, options: &Counters) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    // Whoever cannot read the ring has no business with numbers below the minimum group.
    std::fs::read_dir(folder.path("ring/salt")).context(
        "raw counters are for those who hold the key ring, and it cannot be read; reports are for \
         everyone",
    )?;
    let (name, tenant, campaign) = state.campaign(&options.campaign)?;
    let of = Target::Campaign { tenant, id: campaign };
    let action = Action::Read { what: Read::Counters, of: of.clone() };
    asks::known_campaign(&folder, &state, (&options.campaign, campaign), action).await?;
    erase::Log::read(&folder)?.is_obeyed(&state.clickhouse()?).await?;
    known::audit(&folder, Read::Counters, of).await?;
    let rows = counters::read(&state.clickhouse()?, tenant, campaign).await?;
    let mut out = String::new();
    if options.json {
        for row in &rows {
            out += &serde_json::to_string(row).context("cannot write JSON")?;
            out.push('\n');
        }
        eprintln!("{}", counters::WARNING);
        return print(&out);
    }
    writeln!(out, "{name}\n{}\n", counters::WARNING)?;
    writeln!(
        out,
        "{:<6} {:<10} {:<24} {:>9} {:>9} {:>9} {:>9}",
        "kind", "dimension", "value", "raw", "human", "uniq raw", "uniq hum."
    )?;
    for row in &rows {
        writeln!(
            out,
            "{:<6} {:<10} {:<24} {:>9} {:>9} {:>9} {:>9}",
            row.kind, row.dimension, row.value, row.raw, row.human, row.uniq_raw, row.uniq_human
        )?;
    }
    print(&out)
}
