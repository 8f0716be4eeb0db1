//! `hushmark-writer`: parse, build, run, drain.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use hushmark_writer::config::Config;
use hushmark_writer::service::Service;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("HUSHMARK_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = Config::parse();
    // Two threads: a large cut is built on one while the other renews the lease.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.context("cannot start the runtime").and_then(|it| it.block_on(run(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let address = config.admin;
    let service = Service::new(config)?;
    let admin = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; stop what uses it, or give another --admin")
    })?;
    let (drain, draining) = watch::channel(false);
    let mut term = signal(SignalKind::terminate()).context("cannot watch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch SIGINT")?;
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("draining");
        drain.send_replace(true);
        // The channel stays open: a drain that was asked for stays asked for.
        std::future::pending::<()>().await;
    });
    tracing::info!(admin = %admin.local_addr()?, "started");
    service.run(admin, draining).await?;
    tracing::info!("stopped");
    Ok(())
}
