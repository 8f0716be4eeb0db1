//! From the command line to a working process: permissions, the Lease, then every part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Status};
use crate::client::Clients;
use crate::config::Config;
use crate::leader::{Candidate, Held};
use crate::metrics::Metrics;
use crate::{Context, Error, access, asks, counts, plans, refusals, region, tenancy};

/// How long the parts may take to end what they are at.
const DRAIN: Duration = Duration::from_secs(20);

/// Works until `shutdown`, or until it must not any more. The first listener is for probes and
/// scrapers, the second one for people.
///
/// # Errors
/// [`Error::Permissions`] names what is missing at the start; [`Error::LeaseLost`] when another
/// process works; [`Error::Api`] when the API server cannot be reached at the start.
pub async fn run(
    config: Config,
    clients: Clients,
    metrics: Metrics,
    (listener, people): (TcpListener, TcpListener),
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let status = Arc::new(Status { ready: AtomicBool::new(false), metrics: metrics.clone() });
    let mut beside = JoinSet::new();
    beside.spawn(admin::serve(listener, Arc::clone(&status)));
    let Clients { free, fenced, fence } = clients;
    let missing = access::missing(&free, &config).await?;
    if !missing.is_empty() {
        metrics.permissions_missing(missing.len());
        for permission in &missing {
            tracing::error!(permission, "a permission is missing");
        }
        return Err(Error::Permissions(missing));
    }
    let candidate = Candidate::new(free, fence, &config);
    let ctx = Arc::new(Context::new(fenced, config, metrics));
    beside.spawn(asks::serve(people, Arc::clone(&ctx)));
    beside.spawn(readiness(Arc::clone(&ctx), Arc::clone(&status)));
    let stop_access = shutdown.clone();
    let watched = Arc::clone(&ctx);
    beside.spawn(async move { drop(access::run(watched, stop_access).await) });
    let held = tokio::select! {
        held = candidate.acquire() => held,
        () = shutdown.cancelled() => return Ok(()),
    };
    ctx.metrics.leader(true);
    let ended = lead(&ctx, held, shutdown).await;
    ctx.metrics.leader(false);
    ended
}

/// Ready while every permission is there.
async fn readiness(ctx: Arc<Context>, status: Arc<Status>) {
    let mut missing = ctx.missing.clone();
    loop {
        let ready = missing.borrow_and_update().is_empty();
        status.ready.store(ready, Ordering::Relaxed);
        if missing.changed().await.is_err() {
            return;
        }
    }
}

async fn lead(
    ctx: &Arc<Context>,
    mut held: Held,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    // A token of its own: a part that ends by itself ends the others, too.
    let stop = CancellationToken::new();
    let mut parts = JoinSet::new();
    parts.spawn(region::run(Arc::clone(ctx), held.uid(), stop.clone()));
    parts.spawn(tenancy::run(Arc::clone(ctx), stop.clone()));
    parts.spawn(refusals::run(Arc::clone(ctx), stop.clone()));
    parts.spawn(counts::run(Arc::clone(ctx), stop.clone()));
    parts.spawn(plans::run(Arc::clone(ctx), stop.clone()));
    let ended = tokio::select! {
        // Nothing may be written any more: the process ends at once.
        lost = held.keep() => return Err(lost),
        ended = parts.join_next() => ended,
        () = shutdown.cancelled() => None,
    };
    tracing::info!("stopping");
    stop.cancel();
    let drained = async { while parts.join_next().await.is_some() {} };
    tokio::select! {
        lost = held.keep() => return Err(lost),
        _ = tokio::time::timeout(DRAIN, drained) => {}
    }
    held.release().await;
    match ended {
        None | Some(Ok(Ok(()))) => Ok(()),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(panicked)) => Err(Error::Blocked(format!("a part of the operator: {panicked}"))),
    }
}
