//! The admin port: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hushmark_event::told::Trouble;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;

/// Probes and scrapers, with room to spare.
const CONNECTIONS: usize = 32;

/// Time for a request's header to arrive.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// What the admin port tells.
pub struct Status {
    /// What keeps this writer from storing hits.
    pub trouble: watch::Sender<Option<Trouble>>,
    /// Schema and stores were seen in order: working or standing by.
    pub ready: AtomicBool,
    /// Every figure.
    pub metrics: Metrics,
}

impl Status {
    /// Nothing is known yet; figures of hits will move on in steps of so many.
    #[must_use]
    pub fn new(metrics_step: u32) -> Self {
        let (trouble, ready) = (watch::Sender::default(), AtomicBool::new(false));
        Self { trouble, ready, metrics: Metrics::new(metrics_step) }
    }

    /// What keeps this writer from storing hits, or that nothing does.
    pub fn troubled(&self, trouble: Option<Trouble>) {
        self.trouble.send_if_modified(|known| {
            let differs = *known != trouble;
            *known = trouble;
            differs
        });
    }
}

fn answer(status: &Status, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (code, body): (_, Bytes) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n".into()),
        "/readyz" if status.ready.load(Ordering::Relaxed) => (StatusCode::OK, "ready\n".into()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "waiting for redis or clickhouse\n".into()),
        "/metrics" => (StatusCode::OK, status.metrics.text().into()),
        _ => (StatusCode::NOT_FOUND, "not found\n".into()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    response
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, status: Arc<Status>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some close.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let status = Arc::clone(&status);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let response = answer(&status, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection ended badly");
            }
        });
    }
}
