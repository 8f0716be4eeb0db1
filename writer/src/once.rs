//! A connection that is opened exactly once.
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

use hyper::Uri;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// The pool races a new connection against the one that is just coming back after an answer; a
/// refusal that waits lets the old one win whenever it still lives.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// Time to connect.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Opens one connection, ever.
#[derive(Clone)]
pub(crate) struct Once {
    address: Arc<str>,
    opened: Arc<AtomicBool>,
}

impl tower_service::Service<Uri> for Once {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { address, opened } = self.clone();
        Box::pin(async move {
            if opened.swap(true, Ordering::SeqCst) && !crate::failpoints::off("one-connection") {
                tokio::time::sleep(REFUSAL_WAIT).await;
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the one connection is gone, and its sender has to ask the ledger again",
                ));
            }
            let connect = TcpStream::connect(&*address);
            let stream = tokio::time::timeout(CONNECT_TIME, connect)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer to connect"))??;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// A `clickhouse` client over one connection to `address` (host and port) that is never reopened.
pub(crate) fn client(address: &str) -> clickhouse::Client {
    let connector = Once { address: address.into(), opened: Arc::new(AtomicBool::new(false)) };
    let pool = HyperClient::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .pool_max_idle_per_host(1)
        .build(connector);
    clickhouse::Client::with_http_client(pool)
}
