//! `explain`: what a Campaign's or a Tenant's mail may tell, who decided that, what is stored of
//! it and what is shown.

mod voices;
mod words;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use hushmark_crds::{Campaign, Tenant};
use kube::ResourceExt as _;

use super::args::{self, Kind};
use super::connect::Connected;
use super::paint::Paint;
use super::world::{World, named_or_none};
use crate::report::print;

pub(super) use voices::is_paused;

pub(crate) async fn run(options: &args::Explain) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let world = World::fetch(&at).await?;
    let explained = match options.kind {
        Kind::Campaign => voices::of_campaign(campaign(&at, &world, &options.name)?, &world)?,
        Kind::Tenant => voices::of_tenant(tenant(&at, &world, &options.name)?, &world)?,
    };
    if options.json {
        let text = serde_json::to_string_pretty(&explained).context("cannot write JSON")?;
        print(&(text + "\n"))?;
    } else {
        print(&words::say(&explained, Paint::of_stdout()))?;
    }
    Ok(if explained.ready { ExitCode::SUCCESS } else { super::NOT_WELL.into() })
}

fn campaign<'a>(at: &Connected, world: &'a World, typed: &str) -> Result<&'a Campaign> {
    let (namespace, name) = at.named(typed);
    if let Some(found) = world.campaigns.get(&(namespace.to_owned(), name.to_owned())) {
        return Ok(found);
    }
    let here = world.campaigns.keys().filter(|(there, _)| there == namespace);
    let here: Vec<String> = here.map(|(_, name)| name.clone()).take(20).collect();
    bail!("there is no campaign {namespace}/{name}; in that namespace: {}", named_or_none(&here))
}

/// A tenant by its namespace, or by namespace and name.
fn tenant<'a>(at: &Connected, world: &'a World, typed: &str) -> Result<&'a Tenant> {
    let found = match typed.split_once('/') {
        Some((namespace, name)) => world.tenants.get(&(namespace.to_owned(), name.to_owned())),
        // A namespace has one, so that its name says which; and where the context names the
        // namespace, the tenant's own name does.
        None => world
            .tenant_of(typed)
            .or_else(|| world.tenants.get(&(at.namespace.clone(), typed.to_owned()))),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let there: Vec<String> = world
        .tenants
        .values()
        .map(|tenant| format!("{}/{}", tenant.namespace().unwrap_or_default(), tenant.name_any()))
        .take(20)
        .collect();
    bail!("there is no tenant {typed}; there: {}", named_or_none(&there))
}
