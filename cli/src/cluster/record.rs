//! `record-of-processing`: the entry of a campaign in its controller's register of processing
//! activities (GDPR, Article 30(1)), from what its resources say.
//!
//! Path: resources of the cluster, or manifests → [`entry`] (pure: what goes under each letter of
//! the article, and what is not said anywhere) → [`words`], or JSON.

mod entry;
mod words;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::tz::TimeZone;

use super::args;
use super::paint::Paint;
use super::world::World;
use crate::report::print;

pub(crate) async fn run(options: &args::RecordOfProcessing) -> Result<ExitCode> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
    let world = World::look(options.filename.as_deref(), &options.connection).await?;
    let entry = entry::of(world.campaign_meant(&options.campaign)?, &world, today)?;
    if options.json {
        let text = serde_json::to_string_pretty(&entry).context("cannot write JSON")?;
        print(&(text + "\n"))?;
    } else {
        print(&words::say(&entry, Paint::of_stdout()))?;
    }
    Ok(if entry.lacks.is_empty() { ExitCode::SUCCESS } else { super::NOT_WELL.into() })
}

#[cfg(test)]
mod tests;
