//! `status`: one screen that a person understands at three in the morning.

mod judge;
mod say;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;

use super::args;
use super::connect::{Connected, is_forbidden, said};
use super::paint::Paint;
use super::world::{World, list_by, one_region};
use crate::report::print;

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);

/// What every pod of a stack carries.
pub(crate) const OURS: &str = "app.kubernetes.io/name=hushmark";

pub(crate) async fn run(options: &args::Status) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    loop {
        let seen = fetch(&at, options.region.as_deref()).await?;
        let summary = judge::judge(&seen, Timestamp::now());
        if options.json {
            let text = serde_json::to_string_pretty(&summary).context("cannot write JSON")?;
            print(&(text + "\n"))?;
        } else {
            let clear = if options.watch { "\x1b[H\x1b[2J" } else { "" };
            print(&format!("{clear}{}", say::say(&summary, Paint::of_stdout())))?;
        }
        if !options.watch {
            let code = if summary.well { ExitCode::SUCCESS } else { super::NOT_WELL.into() };
            return Ok(code);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What is looked at.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) world: World,
    /// The Lease of each Region's release, and its pods.
    pub(crate) releases: Vec<Release>,
}

/// A Region's release, as far as this person may see it.
pub(crate) struct Release {
    pub(crate) region: String,
    pub(crate) lease: Option<Lease>,
    pub(crate) pods: Option<Vec<Pod>>,
}

async fn fetch(at: &Connected, only: Option<&str>) -> Result<Seen> {
    let mut world = World::fetch(at).await?;
    if let Some(name) = only {
        // Says which there are, if there is none of that name.
        one_region(&at.client, Some(name)).await?;
        world.keep(name);
    }
    let mut releases = Vec::new();
    let mut unseen = Vec::new();
    for (name, region) in &world.regions {
        let Some(owner) = region.status.as_ref().and_then(|status| status.owner.as_ref()) else {
            continue;
        };
        let leases: Api<Lease> = Api::namespaced(at.client.clone(), &owner.namespace);
        let lease = leases.get_opt(&format!("hushmark-region-{name}")).await;
        let lease = allowed(lease, "leases", &owner.namespace, &mut unseen)?.flatten();
        let pods: Api<Pod> = Api::namespaced(at.client.clone(), &owner.namespace);
        let pods = list_by(&pods, ListParams::default().labels(OURS)).await;
        let pods = allowed(pods, "pods", &owner.namespace, &mut unseen)?;
        releases.push(Release { region: name.clone(), lease, pods });
    }
    world.unseen.extend(unseen);
    Ok(Seen { world, releases })
}

/// What was read, or nothing where this person may not read it.
fn allowed<T>(
    read: Result<T, kube::Error>,
    what: &str,
    namespace: &str,
    unseen: &mut Vec<String>,
) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_forbidden(&error) => {
            unseen.push(format!("you may not see {what} of namespace {namespace}"));
            Ok(None)
        }
        Err(error) => Err(said(format!("see {what} of namespace {namespace}"), error)),
    }
}
