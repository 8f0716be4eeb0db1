//! The HTTP server: accepts, bounds, hands a request to [`crate::answer`], drains.
#![forbid(unsafe_code)]

use crate::access::Access;
use crate::answer::{answer, ping_alone};
use crate::engine::Engine;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

/// Connections at once: the eight places, their queue of 64, and idle ones kept alive.
const CONNECTIONS: usize = 256;
/// One request's line and headers; an insert's statement is in its line.
const HEADER_BYTES: usize = 128 << 10;
/// For a header to arrive, and for a kept connection to stay without one (hyper has one clock for
/// both). Long, because the writer's connection must outlive a quiet campaign's minutes.
const HEADER_TIME: Duration = Duration::from_secs(300);
/// For a client to show the password, by its first request: who does not know it cannot hold the
/// places of those who do.
const STRANGER_TIME: Duration = Duration::from_secs(10);
/// For a client to show its certificate.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// What runs at SIGTERM may take so long to end.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// Where it listens.
pub struct Doors {
    /// In the open: everything, or `/ping` alone where there is TLS as well.
    pub plain: TcpListener,
    /// By TLS, with a certificate that is asked of every client.
    pub tls: Option<(TcpListener, TlsAcceptor)>,
}

/// The door that a connection came through.
enum Door {
    Open,
    PingAlone,
    Tls(TlsAcceptor),
}

impl Doors {
    async fn accept(&self) -> io::Result<(TcpStream, Door)> {
        let Some((listener, acceptor)) = &self.tls else {
            return Ok((self.plain.accept().await?.0, Door::Open));
        };
        tokio::select! {
            accepted = self.plain.accept() => Ok((accepted?.0, Door::PingAlone)),
            accepted = listener.accept() => Ok((accepted?.0, Door::Tls(acceptor.clone()))),
        }
    }
}

/// Serves until `shutdown` is ready, then lets the requests under way end and closes the engine.
/// `false`: the engine could not be closed in time.
pub async fn run(
    doors: Doors,
    engine: Arc<Engine>,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> bool {
    let (stop, stopped) = watch::channel(());
    let access = Arc::new(access);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        // Taken before accepting: the rest waits in the kernel's backlog.
        let place = tokio::select! {
            () = &mut shutdown => break,
            place = Arc::clone(&room).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = doors.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, door)) => {
                let behind = (Arc::clone(&engine), Arc::clone(&access));
                let stopped = stopped.clone();
                connections.spawn(async move {
                    let _place = place;
                    enter(stream, door, behind, stopped).await;
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some close.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(doors);
    tracing::info!(connections = connections.len(), "draining");
    drop(stop);
    let deadline = Instant::now() + DRAIN_TIME;
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout_at(deadline, all).await.is_err() {
        tracing::warn!("requests are still under way at the end of the drain");
    }
    connections.abort_all();
    engine.close(deadline).await
}

/// The engine, and who may ask it.
type Behind = (Arc<Engine>, Arc<Access>);

async fn enter(stream: TcpStream, door: Door, behind: Behind, stopped: watch::Receiver<()>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone already");
        return;
    }
    match door {
        Door::Open => serve(stream, Some(behind), stopped).await,
        Door::PingAlone => serve(stream, None, stopped).await,
        Door::Tls(acceptor) => match timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, Some(behind), stopped).await,
            // What is wrong with a certificate is for whoever runs both ends to know.
            Ok(Err(error)) => tracing::info!(%error, "a client was refused"),
            Err(_) => tracing::debug!("a client said nothing"),
        },
    }
}

/// Serves one connection; without an engine, `/ping` alone.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    behind: Option<Behind>,
    mut stopped: watch::Receiver<()>,
) {
    let is_known = Arc::new(AtomicBool::new(false));
    let knows = Arc::clone(&is_known);
    let service = service_fn(move |request: Request<Incoming>| {
        let behind = behind.clone();
        if behind.as_ref().is_some_and(|(_, access)| access.admit(request.headers()).is_ok()) {
            knows.store(true, Ordering::Relaxed);
        }
        async move {
            Ok::<_, Infallible>(match &behind {
                Some((engine, access)) => answer(engine, access, request).await,
                None => ping_alone(&request),
            })
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_header_size(HEADER_BYTES)
            // The read buffer: pieces of an insert are as large as this at most.
            .max_buf_size(512 << 10)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut draining = false;
    let mut stranger = pin!(tokio::time::sleep(STRANGER_TIME));
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = stranger.as_mut(), if !stranger.is_elapsed() => {
                if !is_known.load(Ordering::Relaxed) {
                    tracing::debug!("a client did not show who it is");
                    return;
                }
            }
            // The sender's drop is the signal.
            _ = stopped.changed(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}
