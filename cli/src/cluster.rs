//! The commands that talk to a cluster, as `kubectl hushmark` and as `hushmark`.
//!
//! Each reads as: fetch (the only part with a client) → judge (pure) → say (pure: text or JSON).
//! What is said is made of what the API server knows; hits, contacts and keys are out of reach.
//!
//! In reading order: [`args`] and [`connect`]; [`world`] is what is fetched; [`status`],
//! [`mod@explain`], [`record`] and [`mod@plan`] look; [`ask`], [`mod@erase`] and [`rotate`] change
//! something, by the [`operator`] that works; [`audit`] says who asked for what; [`bundle`]
//! collects; [`complete`] answers kubectl's question of how a word goes on.

pub(crate) mod args;
pub(crate) mod ask;
mod audit;
mod bundle;
pub(crate) mod complete;
mod connect;
mod erase;
pub(crate) mod explain;
mod operator;
pub(crate) mod paint;
mod plan;
mod policies;
mod port;
mod record;
mod rotate;
mod status;
pub(crate) mod world;

use std::process::ExitCode;

use anyhow::Result;
use args::{Cluster, Keys, PluginCommand};

/// Something is not as it should be, or failed.
const NOT_WELL: u8 = 1;

/// `plan` found changes.
const CHANGES: u8 = 3;

pub(crate) async fn run(command: Cluster) -> Result<ExitCode> {
    match command {
        Cluster::Status(options) => status::run(&options).await,
        Cluster::RecordOfProcessing(options) => record::run(&options).await,
        Cluster::Keys(Keys::Rotate(options)) => rotate::run(&options).await,
        Cluster::SupportBundle(options) => bundle::run(&options).await,
    }
}

/// What a campaign's or a tenant's mail may tell.
pub(crate) async fn explain(options: &args::Explain) -> Result<ExitCode> {
    explain::run(options).await
}

/// What applying manifests would change.
pub(crate) async fn plan(options: &args::PlanManifests) -> Result<ExitCode> {
    plan::run(options).await
}

pub(crate) async fn run_plugin(command: PluginCommand) -> Result<ExitCode> {
    match command {
        PluginCommand::Cluster(command) => run(command).await,
        PluginCommand::Explain(options) => explain(&options).await,
        PluginCommand::Plan(options) => plan_of(options).await,
        PluginCommand::Enforce(options) => policies::enforce(&options).await,
        PluginCommand::Withdraw(options) => ask::withdraw(&options).await,
        PluginCommand::Takedown(options) => ask::takedown(&options).await,
        PluginCommand::Erase(options) => erase::run(&options).await,
        PluginCommand::Audit(options) => audit::run(&options).await,
        PluginCommand::Completions { shell } => crate::completions::<args::Plugin>(shell),
    }
}

/// What applying manifests would change, or what a policy would remove.
async fn plan_of(options: args::Plan) -> Result<ExitCode> {
    match options {
        args::Plan { policy: Some(policy), operator, json, connection, .. } => {
            policies::plan(&args::PlanPolicy { policy, operator, json, connection }).await
        }
        args::Plan { filename: Some(filename), json, connection, .. } => {
            plan(&args::PlanManifests { filename, json, connection }).await
        }
        args::Plan { .. } => anyhow::bail!("give a policy, or manifests with -f"),
    }
}
