//! A new TLS 1.3 connection a request: what a mail program does that fetches one picture.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use rcgen::generate_simple_self_signed;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::load::{Asks, Seen};

/// Clients that connect, ask and leave, each again and again.
pub const CLIENTS: usize = 32;

/// How long one connection may take before the run is no measurement.
const PATIENCE: Duration = Duration::from_secs(10);

const HOST: &str = "t.example";

/// A certificate (ECDSA, P-256) that all servers show, and its key, as files.
pub struct Pair {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
    der: CertificateDer<'static>,
}

impl Pair {
    /// Makes one in a folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn make(folder: &Path) -> Result<Self> {
        let made = generate_simple_self_signed([HOST.to_owned()])?;
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        std::fs::write(&certificate, made.cert.pem()).context("cannot write the certificate")?;
        std::fs::write(&key, made.signing_key.serialize_pem()).context("cannot write the key")?;
        Ok(Self { certificate, key, der: made.cert.der().clone() })
    }
}

/// Requests, each on a connection of its own.
pub struct Fresh {
    requests: Vec<String>,
    der: CertificateDer<'static>,
    /// Whether a client that was there before resumes its session.
    resumes: bool,
    duration: Duration,
}

/// What the clients of one run share.
struct Run<'a> {
    load: &'a Fresh,
    address: SocketAddr,
    next: Cell<usize>,
    until: Instant,
    resumed: Cell<u64>,
    took: RefCell<Vec<Duration>>,
}

impl Fresh {
    /// Requests for these paths in turn, with or without resumption.
    #[must_use]
    pub fn new(paths: &[String], pair: &Pair, resumes: bool, duration: Duration) -> Self {
        let request =
            |path| format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
        let requests = paths.iter().map(request).collect();
        Self { requests, der: pair.der.clone(), resumes, duration }
    }

    /// A client's own settings: a ticket of one client is no use to another.
    fn client(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !self.resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(config)
    }
}

impl Asks for Fresh {
    fn run(&self, address: SocketAddr) -> Result<Seen> {
        let begun = Instant::now();
        let run = Run {
            load: self,
            address,
            next: Cell::new(0),
            until: begun + self.duration,
            resumed: Cell::new(0),
            took: RefCell::default(),
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let clients: Vec<TlsConnector> = (0..CLIENTS)
            .map(|_| Ok(TlsConnector::from(Arc::new(self.client()?))))
            .collect::<Result<_>>()?;
        runtime.block_on(try_join_all(clients.iter().map(|client| run.client(client))))?;
        let lasted = begun.elapsed();
        let mut took = run.took.take();
        took.sort_unstable();
        let requests = took.len() as u64;
        ensure!(requests > 0, "not one connection was answered");
        // A client's first handshake has nothing to resume.
        let resumed = if self.resumes { requests - CLIENTS as u64 } else { 0 };
        ensure!(
            run.resumed.get() == resumed,
            "{} of {requests} sessions were resumed, {resumed} should have been",
            run.resumed.get()
        );
        let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
        Ok(Seen {
            requests,
            per_second: requests as f64 / lasted.as_secs_f64(),
            p50_us: at(50).as_secs_f64() * 1e6,
            p99_us: at(99).as_secs_f64() * 1e6,
        })
    }
}

impl Run<'_> {
    async fn client(&self, connector: &TlsConnector) -> Result<()> {
        while Instant::now() < self.until {
            let n = self.next.replace(self.next.get() + 1);
            let request = &self.load.requests[n % self.load.requests.len()];
            let begun = Instant::now();
            let asked = timeout(PATIENCE, ask(connector, self.address, request)).await;
            let kind = asked.context("a connection took too long")??;
            self.took.borrow_mut().push(begun.elapsed());
            if kind == HandshakeKind::Resumed {
                self.resumed.set(self.resumed.get() + 1);
            }
        }
        Ok(())
    }
}

/// One connection from its first byte to its last.
async fn ask(
    connector: &TlsConnector,
    address: SocketAddr,
    request: &str,
) -> Result<HandshakeKind> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut stream = connector.connect(ServerName::try_from(HOST)?, socket).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    stream.read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        bail!("answered {:?}", String::from_utf8_lossy(&answer));
    }
    stream.get_ref().1.handshake_kind().context("a handshake that is done is of some kind")
}
