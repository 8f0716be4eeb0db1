//! `hushmark-writer` with its failpoints compiled in, under a name of its own, so that nobody ships
//! it by mistake.

use std::io::IsTerminal as _;

use hushmark_writer::config::Config;
use hushmark_writer::service::Service;

use anyhow::Result;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = Config::parse();
    let admin = TcpListener::bind(config.admin).await?;
    // It is never asked to drain: the proofs kill it.
    let (_drain, draining) = watch::channel(false);
    Service::new(config)?.run(admin, draining).await?;
    Ok(())
}
