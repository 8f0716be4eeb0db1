//! `explain`: what a Campaign's or a Tenant's mail may tell, who decided that, what is stored of
//! it and what is shown.

mod kept;
mod recipient;
mod voices;
mod words;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::args::{self, Kind};
use super::paint::Paint;
use super::world::World;
use crate::report::print;

pub(super) use kept::how as policy_is;
pub(crate) use recipient::{OnRecord, Recipient};
pub(super) use voices::is_paused;
pub(crate) use voices::{Explained, of_campaign, of_tenant};
pub(super) use words::stored;

pub(crate) async fn run(options: &args::Explain) -> Result<ExitCode> {
    let world = World::look(options.filename.as_deref(), &options.connection).await?;
    let explained = match options.kind {
        Kind::Campaign => of_campaign(world.campaign_meant(&options.name)?, &world)?,
        Kind::Tenant => of_tenant(world.tenant_meant(&options.name)?, &world)?,
    };
    say(&explained, options.json)?;
    // Nobody has looked at manifests, so that nobody can find them not well.
    let is_well = explained.ready || world.here.is_none();
    Ok(if is_well { ExitCode::SUCCESS } else { super::NOT_WELL.into() })
}

/// Prints it.
pub(crate) fn say(explained: &Explained, json: bool) -> Result<()> {
    if json {
        let text = serde_json::to_string_pretty(explained).context("cannot write JSON")?;
        print(&(text + "\n"))
    } else {
        print(&words::say(explained, Paint::of_stdout()))
    }
}

#[cfg(test)]
mod tests;
