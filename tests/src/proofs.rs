//! The proofs. Each breaks what it can and measures what is left.

mod admission;
mod chance;
mod charts;
mod cold_start;
mod dashboards;
mod differencing;
mod erasure;
mod exactly_once;
mod footprint;
mod hops;
mod hostility;
pub mod kill_switch;
mod outages;
mod permissions;
mod pipeline;
mod planted_secrets;
mod refusals;
mod report;
mod restore;
mod retention;
mod rollout;
mod soak;
mod stillness;
mod ten_thousand;
mod tokens;
mod unlinking;
mod withdrawal;

use anyhow::{Result, bail};

use crate::figure::Figures;
use crate::tools::Tools;

/// How a proof is run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is put to the test.
    pub tools: Tools,
    /// The short form, which a test can afford.
    pub short: bool,
    /// Seed of all that is random.
    pub seed: Option<u64>,
}

impl Run {
    /// A number for the full size and one for the short form.
    #[must_use]
    pub fn size<T>(&self, full: T, short: T) -> T {
        if self.short { short } else { full }
    }

    /// A figure with a limit at full size; the short form tells it alone, because debug builds and
    /// busy machines measure nothing.
    pub fn limit(
        &self,
        into: &mut Figures,
        figure: &str,
        value: f64,
        limit: f64,
        unit: &'static str,
    ) {
        if self.short {
            into.measure(figure, value, unit);
        } else {
            into.at_most(figure, value, limit, unit);
        }
    }

    /// The seed, or the one that is used where none was given.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }
}

/// The names of all proofs.
pub const NAMES: &[&str] = &[
    "admission",
    "charts",
    "cold-start",
    "dashboards",
    "differencing",
    "erasure",
    "exactly-once",
    "footprint",
    "hops",
    "hostility",
    "kill-switch",
    "outages",
    "permissions",
    "pipeline",
    "planted-secrets",
    "refusals",
    "report",
    "retention",
    "restore",
    "rollout",
    "soak",
    "stillness",
    "ten-thousand",
    "tokens",
    "unlinking",
    "withdrawal",
];

/// Runs a proof by its name.
///
/// # Errors
/// When there is no such proof, or it could not be carried out; that it does not hold is no error.
pub fn run(name: &str, run: &Run) -> Result<Figures> {
    match name {
        "admission" => admission::prove(run),
        "charts" => charts::prove(run),
        "cold-start" => cold_start::prove(run),
        "dashboards" => dashboards::prove(run),
        "differencing" => differencing::prove(run),
        "erasure" => erasure::prove(run),
        "exactly-once" => exactly_once::prove(run),
        "footprint" => footprint::prove(run),
        "hops" => hops::prove(run),
        "hostility" => hostility::prove(run),
        "kill-switch" => kill_switch::prove(run),
        "outages" => outages::prove(run),
        "permissions" => permissions::prove(run),
        "pipeline" => pipeline::prove(run),
        "planted-secrets" => planted_secrets::prove(run),
        "refusals" => refusals::prove(run),
        "report" => report::prove(run),
        "retention" => retention::prove(run),
        "restore" => restore::prove(run),
        "rollout" => rollout::prove(run),
        "soak" => soak::prove(run),
        "stillness" => stillness::prove(run),
        "ten-thousand" => ten_thousand::prove(run),
        "tokens" => tokens::prove(run),
        "unlinking" => unlinking::prove(run),
        "withdrawal" => withdrawal::prove(run),
        _ => bail!("no proof is called {name:?}; there are: {}", NAMES.join(", ")),
    }
}
