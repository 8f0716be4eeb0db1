//! `hushmark-embedded`: a process that is a ClickHouse server, as far as Hushmark needs one.

use anyhow::{Context as _, bail};
use clap::Parser;
use hushmark_embedded::access::Access;
use hushmark_embedded::engine::{Engine, Options};
use hushmark_embedded::server::{self, Doors};
use hushmark_hop::{Files, PasswordFile};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tracing_subscriber::EnvFilter;

/// Serves ClickHouse's HTTP interface from the in-process engine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The engine library, libchdb.so.
    #[arg(long, value_name = "PATH")]
    lib: PathBuf,
    /// The folder that holds the data; made where it is missing.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen; port 0 takes a free one. What is sent here is not encrypted, so only
    /// addresses of this machine itself are taken unless --allow-remote or --tls is given. With
    /// --tls, /ping alone is answered here.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// A file with the password of the user `default`. Without one, whoever reaches the port, which
    /// is every user of this machine, can read and delete all. Read at the start.
    #[arg(long, env = "HUSHMARK_EMBEDDED_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Take an address that other machines reach.
    #[arg(long)]
    allow_remote: bool,
    /// A folder with ca.crt, tls.crt and tls.key: queries are taken by TLS alone, from clients whose
    /// certificate the authorities in ca.crt signed. Read at the start.
    #[arg(long, env = "HUSHMARK_EMBEDDED_TLS", value_name = "DIR")]
    tls: Option<PathBuf>,
    /// Where to listen for TLS.
    #[arg(long, env = "HUSHMARK_EMBEDDED_TLS_LISTEN", value_name = "ADDRESS:PORT")]
    #[arg(default_value = "127.0.0.1:8443", requires = "tls")]
    tls_listen: SocketAddr,
    /// Write the address that was bound here, once queries are answered.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Memory, in MiB, above which statements are refused.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    memory_mib: u64,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("HUSHMARK_LOG").unwrap_or_else(|_| "info".into());
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    log.with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("cannot start the runtime").and_then(|it| it.block_on(run(arguments))) {
        Ok(true) => ExitCode::SUCCESS,
        // The engine's exit handlers would crash under the statements that still run. The data
        // outlives this: it is what kill -9 does.
        Ok(false) => {
            tracing::error!("the engine could not be closed in time, ending hard");
            std::process::abort()
        }
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let Arguments { lib, data, listen, password_file, allow_remote, .. } = arguments;
    let Arguments { tls, tls_listen, ready_file, memory_mib, .. } = arguments;
    if !listen.ip().is_loopback() && !allow_remote && tls.is_none() {
        bail!(
            "{listen} is reachable from other machines, and what is sent there is not encrypted; \
               listen on 127.0.0.1, or give --tls or --allow-remote"
        );
    }
    let access = access(password_file.as_deref(), listen.ip().is_loopback() && tls.is_none())?;
    if let Some(file) = &ready_file {
        remove(file)?;
    }
    // The engine reads standard input where an insert brings no rows.
    let nothing = std::fs::File::open("/dev/null").context("cannot open /dev/null")?;
    rustix::stdio::dup2_stdin(nothing).context("cannot replace standard input")?;
    let plain = bind(listen, "--listen").await?;
    let tls = match tls {
        None => None,
        Some(folder) => {
            let acceptor = TlsAcceptor::from(Files::in_folder(&folder).server()?);
            Some((bind(tls_listen, "--tls-listen").await?, acceptor))
        }
    };
    let doors = Doors { plain, tls };
    let queries = doors.tls.as_ref().map_or(&doors.plain, |(listener, _)| listener);
    let address = queries.local_addr().context("cannot read the bound address")?;
    let options = Options { library: lib, data, memory_bytes: memory_mib << 20 };
    let engine = tokio::task::spawn_blocking(move || Engine::start(&options)).await??;
    // After the engine, which installs handlers of its own.
    let mut term = signal(SignalKind::terminate()).context("cannot watch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch SIGINT")?;
    tracing::info!(%address, engine = engine.version(), "listening");
    if let Some(file) = &ready_file {
        announce(file, address)?;
    }
    let shutdown = async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    };
    let closed = server::run(doors, Arc::new(engine), access, shutdown).await;
    if let Some(file) = &ready_file {
        remove(file)?;
    }
    tracing::info!("stopped");
    Ok(closed)
}

fn access(password_file: Option<&Path>, this_machine_alone: bool) -> anyhow::Result<Access> {
    let password = password_file.map(PasswordFile::new).transpose()?;
    let password = password.map(|file| file.read()).transpose()?;
    match &password {
        None => {
            tracing::warn!("no --password-file: whoever reaches the port can read and delete all")
        }
        Some(password) if password.is_empty() => {
            let file = password_file.unwrap_or(Path::new("")).display();
            bail!("the password file {file} is empty: write a password in it, or leave it out")
        }
        Some(_) => {}
    }
    Ok(Access::new(password, this_machine_alone))
}

async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; stop what uses it, or give another {option}")
    })
}

/// Whole or not at all, so that a reader never sees half an address.
fn announce(file: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let unfinished = file.with_extension("unfinished");
    std::fs::write(&unfinished, format!("{address}\n"))
        .and_then(|()| std::fs::rename(&unfinished, file))
        .with_context(|| format!("cannot write the ready file {}", file.display()))
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the old {}", file.display()))
        }
        _ => Ok(()),
    }
}
