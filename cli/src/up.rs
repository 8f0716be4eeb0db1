//! `hushmark up`: a region on one machine, from manifests to a drained end.
//!
//! In order: read and check the manifests; claim the data folder; stop what a killed `up` left
//! behind; make keys; start Redis, publish the refusal log in it; start the engine, writer and
//! edge; stay in front with a line of figures; on Ctrl-C stop in the order of the data's path, so
//! that nothing answered is left behind.

mod audit;
mod child;
mod engine;
mod lines;
mod live;
mod plan;
mod receipts;
pub(crate) mod refusals;
mod tasks;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use hushmark_crds::Manifests;
use hushmark_policy::Day;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::args::{Demo, Up};
use crate::data::{DataFolder, State};
use crate::{campaigns, demo, keys, policies};

pub(crate) use audit::{LOG as AUDIT_LOG, RECEIPTS};
use child::Children;

/// How long everything together may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn run(data: &Path, options: Up) -> Result<()> {
    let manifests = read_manifests(&options.manifests)?;
    for warning in campaigns::missing(&manifests) {
        warned!("warning: {warning}");
    }
    let mut signals = Signals::watch()?;
    let (folder, _lock) = DataFolder::claim(data)?;
    child::stop_left_behind(&folder).await?;
    let listen = plan::listen_address(&manifests, options.listen)?;
    if let Err(error) = TcpListener::bind(listen) {
        bail!("the edge cannot listen on {listen}: {error}; stop what does, or give --listen");
    }
    let today = Day::of_unix_ms(now_ms());
    keys::nothing_lost(&folder)?;
    for why in keys::tenants_amiss(&folder)? {
        warned!("warning: {why}. Until then commands about the tenant's people are refused");
    }
    keys::make(&folder, today, manifests.region.longest_tracking_days)?;
    keys::rotate(&folder, manifests.region.rotate_keys_every, SystemTime::now())?;

    let engine = engine::choose(&folder, &options)?;
    let mut children = Children::new(&folder, state(&options, &manifests, listen, &engine)?);
    let started = tokio::select! {
        started = start(&folder, &mut children, &manifests, &engine) => started.map(Some),
        () = signals.any() => Ok(None),
    };
    let ran = match started {
        Ok(Some(refusals)) => {
            let work = in_front(&folder, &mut children, &manifests, refusals, &options);
            tokio::select! {
                ran = work => ran,
                () = signals.any() => Ok(()),
            }
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = &ran {
        // The whole of it comes last, where it is seen; this line says why everything stops.
        let whole = format!("{error:#}");
        warned!("it cannot go on: {}", whole.lines().next().unwrap_or_default());
    }
    said!("stopping: the edge first, then what it answered is stored");
    let stopped = children.stop_in_order().await;
    match (ran, stopped) {
        (Err(ran), Err(stopped)) => Err(ran.context(format!("{stopped:#}"))),
        (ran, stopped) => ran.and(stopped),
    }
}

/// Ctrl-C and SIGTERM, watched from the beginning: a start can be stopped as well.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn watch() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?,
        })
    }

    /// Ends with the first that comes.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

pub(crate) fn read_manifests(folder: &Path) -> Result<Manifests> {
    hushmark_crds::directory(folder).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(
            "the manifests cannot be used, so nothing was started:\n{}",
            lines.join("\n")
        )
    })
}

fn state(
    options: &Up,
    manifests: &Manifests,
    listen: SocketAddr,
    engine: &engine::Engine,
) -> Result<State> {
    let free = || -> Result<SocketAddr> {
        TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .context("no free port for an admin page")
    };
    Ok(State {
        region: manifests.region.name.clone(),
        manifests: options
            .manifests
            .canonicalize()
            .with_context(|| format!("cannot find {}", options.manifests.display()))?,
        base_url: manifests.region.base_url.to_string(),
        namespaces: manifests.tenants.iter().map(|tenant| tenant.namespace.clone()).collect(),
        campaigns: manifests.campaigns.iter().map(|campaign| campaign.id.to_string()).collect(),
        clickhouse: engine.url().to_owned(),
        clickhouse_user: engine.user().map(str::to_owned),
        clickhouse_password_file: engine.password_file().map(Path::to_owned),
        edge: format!("http://{listen}"),
        edge_admin: free()?.to_string(),
        writer_admin: free()?.to_string(),
        epoch_seconds: manifests.region.epoch.as_secs(),
        children: Vec::new(),
    })
}

/// Starts everything and waits until each answers.
async fn start(
    folder: &DataFolder,
    children: &mut Children,
    manifests: &Manifests,
    engine: &engine::Engine,
) -> Result<refusals::Appender> {
    let begun = std::time::Instant::now();
    children.start(plan::redis(folder)?).await?;
    // The engine takes longest, so it starts before anybody waits for Redis.
    if let Some(command) = engine.command(folder)? {
        children.start(command).await?;
    }
    children.wait_ready("redis", READY_WITHIN, || refusals::ping(folder)).await?;
    let mut refusals = refusals::Appender::open(folder)?;
    // First what is there: nothing is appended to a log that is older than what edges know.
    refusals.publish().await?;
    refusals.apply_manifests(manifests, now_ms())?;
    refusals.publish().await?;
    let state = children.state();
    children.start(plan::edge(folder, manifests, &state)?).await?;
    let engine_url = state.clickhouse.clone();
    children
        .wait_ready("clickhouse", READY_WITHIN, || {
            crate::http::get_owned(format!("{engine_url}/ping"))
        })
        .await?;
    children.start(plan::writer(folder, manifests, &state)?).await?;
    for (name, admin) in [("edge", &state.edge_admin), ("writer", &state.writer_admin)] {
        children
            .wait_ready(name, READY_WITHIN, || {
                crate::http::get_owned(format!("http://{admin}/readyz"))
            })
            .await?;
    }
    let clickhouse = state.clickhouse()?;
    campaigns::record(&clickhouse, manifests, now_ms()).await?;
    policies::record(&clickhouse, manifests, now_ms()).await?;
    children.save()?;
    said!("ready after {:.1} s", begun.elapsed().as_secs_f64());
    said!("  pixels and links   {} (listening on {})", state.base_url, state.edge);
    said!("  edge metrics       http://{}/metrics", state.edge_admin);
    said!("  writer metrics     http://{}/metrics", state.writer_admin);
    said!("  clickhouse         {} ({})", state.clickhouse, engine.describe());
    Ok(refusals)
}

/// Stays in front until the one thing that was asked for is done, or a child cannot be kept.
async fn in_front(
    folder: &DataFolder,
    children: &mut Children,
    manifests: &Manifests,
    refusals: refusals::Appender,
    options: &Up,
) -> Result<()> {
    let chores = tasks::Chores {
        days_ahead: manifests.region.longest_tracking_days,
        rotate_keys_every: manifests.region.rotate_keys_every,
    };
    let mut upkeep = JoinSet::new();
    upkeep.spawn(tasks::upkeep(folder.clone(), refusals, chores));
    let state = children.state();
    let work = async {
        if options.demo {
            demo::run(&folder.path(""), &Demo { quiet: false }).await?;
        }
        if !options.once {
            said!("press Ctrl-C to stop");
            live::figures(&state).await;
        }
        Ok(())
    };
    // Whatever ends first, the upkeep ends with it: it is dropped here.
    tokio::select! {
        done = work => done,
        failed = children.watch() => failed,
        ended = upkeep.join_next() => bail!("the upkeep ended, which never ends: {ended:?}"),
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
