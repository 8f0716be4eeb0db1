//! Parses, prepares, runs, drains.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use hushmark_edge::config::Config;
use hushmark_edge::replay::ReplayError;
use hushmark_edge::{Edge, replay};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a program that may succeed later exits with (sysexits.h, `EX_TEMPFAIL`).
const TRY_AGAIN: u8 = 75;

fn main() -> ExitCode {
    // The allocator asks for huge pages, which turn some kilobytes in many places into megabytes.
    // Before anything is allocated; where the system does not know the call, nothing is lost.
    rustix::thread::disable_transparent_huge_pages(true).ok();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = Config::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            if config.replay { replays(&config).await } else { serves(config).await }
        })
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            // Each says its cause itself.
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serves(config: Config) -> anyhow::Result<ExitCode> {
    let edge = Edge::prepare(config)?;
    tracing::info!(addr = %edge.addr(), admin = %edge.admin_addr(), "listening");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(reloads(edge.reload(), signal(SignalKind::hangup())?));
    edge.run(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

async fn reloads(reload: Arc<Notify>, mut hangup: tokio::signal::unix::Signal) {
    while hangup.recv().await.is_some() {
        reload.notify_one();
    }
}

async fn replays(config: &Config) -> anyhow::Result<ExitCode> {
    match replay(config).await {
        Ok(replayed) => {
            tracing::info!(logs = replayed.logs, batches = replayed.batches, "replayed");
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ ReplayError::Away(_)) => {
            tracing::warn!(%error, "try again later");
            Ok(TRY_AGAIN.into())
        }
        Err(error) => Err(error.into()),
    }
}
