//! `hushmark report`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use hushmark_report::{export, text};

use crate::args::Report;
use crate::data::DataFolder;
use crate::{campaigns, erase};

pub(crate) async fn run(data: &Path, options: &Report) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (name, tenant, campaign) = state.campaign(&options.campaign)?;
    campaigns::known(&state, &options.campaign, campaign).await?;
    let log = erase::Log::read(&folder)?;
    log.tenant(tenant, name.split('/').nth(1).unwrap_or_default())?;
    log.campaign(tenant, campaign, &name)?;
    log.is_obeyed(&state.clickhouse()?).await?;
    let report = hushmark_report::campaign(&state.clickhouse()?, &name, (tenant, campaign)).await?;
    let rendered = if options.json {
        export::json(&report) + "\n"
    } else if options.csv {
        export::csv(&report).context("cannot write CSV")?
    } else {
        text::render(&report)
    };
    print(&rendered)
}

/// Prints a finished text. A reader who left early (`| head`) is no fault.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the report")
        }
        _ => Ok(()),
    }
}
