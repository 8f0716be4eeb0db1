//! How long answers take when the server has time for them: a paced client, the same for everyone.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use hushmark_tests::load::{Job, Load, Outcome};
use hushmark_tests::plan::{Minter, Plan};

use crate::load::CONNECTIONS;

/// One run of the paced client.
///
/// # Errors
/// When the client fails.
pub fn run(
    address: SocketAddr,
    minter: Minter,
    rate: u64,
    duration: Duration,
    first: u64,
) -> Result<Outcome> {
    let job = Job {
        targets: vec![address],
        connections: CONNECTIONS,
        plan: Plan::Newsletters { seed: 1, campaigns: 30 },
        minter,
        first,
        count: (rate as f64 * duration.as_secs_f64()) as u64,
        rate: Some(rate),
        patience: Duration::from_secs(10),
        latency_every: 1,
    };
    Load::start(job).join()
}
