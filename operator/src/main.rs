//! `hushmark-operator`: parse, connect, run, drain. With `probe` it is the short-lived program by
//! which pods of the operator's own image show how the network holds the stack back.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use hushmark_operator::config::{CommandLine, Config, LogFormat, Task};
use hushmark_operator::metrics::Metrics;
use hushmark_operator::{client, probe, run};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let CommandLine { serve: config, task } = CommandLine::parse();
    if let Some(Task::Probe(asked)) = task {
        return probe_once(&asked);
    }
    // Without any argument it says itself which ones are missing.
    let config = config.unwrap_or_else(Config::parse);
    let filter = EnvFilter::try_from_env("HUSHMARK_LOG").unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.with_ansi(false).init(),
    }
    // Two threads: the Lease is renewed on one while the other compares ten thousand objects.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.context("cannot start the runtime").and_then(|it| it.block_on(serve(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Nothing beside it, so one thread is enough.
fn probe_once(asked: &probe::Probe) -> ExitCode {
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).init();
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(probe::run(asked)),
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut term = signal(SignalKind::terminate()).context("cannot watch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch SIGINT")?;
    let asked = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        asked.cancel();
    });
    let listen = async |address, option| {
        TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; stop what uses it, or give another {option}")
        })
    };
    let listener = listen(config.admin, "--admin").await?;
    let asks = listen(config.asks, "--asks").await?;
    tracing::info!(
        region = config.region,
        namespace = config.namespace,
        admin = %listener.local_addr()?,
        "started"
    );
    let metrics = Metrics::new();
    let clients = client::clients(&metrics).await?;
    run::run(config, clients, metrics, (listener, asks), shutdown).await?;
    tracing::info!("stopped");
    Ok(())
}
