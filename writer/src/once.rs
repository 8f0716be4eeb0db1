//! The ways to ClickHouse; above all, a connection that is opened exactly once.
//!
//! Between a look-up in the ledger and the send that relies on it there must be no second
//! connection: a server that was restarted in between would take the send although its token log
//! may have lost a record. A pool that reopens silently would do just that, so this connector
//! gives its stream away once and then refuses.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hushmark_hop::Files;
use hyper::Uri;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The pool races a new connection against the one that is just coming back after an answer; a
/// refusal that waits lets the old one win whenever it still lives.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// Time to connect, TLS included.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A connection of a pool is closed before ClickHouse would close it, which is after three seconds.
const IDLE_TIME: Duration = Duration::from_secs(2);

/// A socket, or TLS on a socket.
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

type Opening = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

/// Opens one connection, ever.
#[derive(Clone)]
struct Once {
    way: Way,
    opened: Arc<AtomicBool>,
}

/// How ClickHouse is reached; by TLS, with files that are read each time.
#[derive(Clone)]
struct Way {
    tls: Option<Files>,
}

impl Way {
    async fn open(self, to: Uri) -> io::Result<Stream> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer to connect");
        tokio::time::timeout(CONNECT_TIME, self.try_open(to)).await.map_err(late)?
    }

    async fn try_open(self, to: Uri) -> io::Result<Stream> {
        let host = to.host().ok_or_else(|| io::Error::other("the url names no host"))?;
        let default = if self.tls.is_some() { 443 } else { 80 };
        let address = format!("{host}:{}", to.port_u16().unwrap_or(default));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        let Some(files) = self.tls else { return Ok(MaybeHttpsStream::Http(stream)) };
        let name = hushmark_hop::server_name(host).map_err(io::Error::other)?;
        let connector = TlsConnector::from(files.client().map_err(io::Error::other)?);
        Ok(connector.connect(name, TokioIo::new(stream)).await?.into())
    }
}

impl tower_service::Service<Uri> for Way {
    type Response = Stream;
    type Error = io::Error;
    type Future = Opening;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().open(to))
    }
}

impl tower_service::Service<Uri> for Once {
    type Response = Stream;
    type Error = io::Error;
    type Future = Opening;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Self { way, opened } = self.clone();
        Box::pin(async move {
            if opened.swap(true, Ordering::SeqCst) && !crate::failpoints::off("one-connection") {
                tokio::time::sleep(REFUSAL_WAIT).await;
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the one connection is gone, and its sender has to ask the ledger again",
                ));
            }
            way.open(to).await
        })
    }
}

/// A `clickhouse` client over one connection that is never reopened.
pub(crate) fn client(tls: Option<Files>) -> clickhouse::Client {
    let connector = Once { way: Way { tls }, opened: Arc::new(AtomicBool::new(false)) };
    let pool = HyperClient::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .pool_max_idle_per_host(1)
        .build(connector);
    clickhouse::Client::with_http_client(pool)
}

/// A `clickhouse` client over an ordinary pool of connections by TLS.
pub(crate) fn pool(files: Files) -> clickhouse::Client {
    let pool = HyperClient::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_timer(hyper_util::rt::TokioTimer::new())
        .build(Way { tls: Some(files) });
    clickhouse::Client::with_http_client(pool)
}
