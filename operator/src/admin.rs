//! The admin port: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;

use crate::listen;
use crate::metrics::Metrics;

/// Probes and scrapers, with room to spare.
const CONNECTIONS: usize = 32;

/// What the admin port tells.
pub struct Status {
    /// The API server was reached and every permission is there. One that stands by is ready, too:
    /// it is what takes over.
    pub ready: AtomicBool,
    /// Every figure.
    pub metrics: Metrics,
}

fn answer(status: &Status, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (code, body): (_, Bytes) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n".into()),
        "/readyz" if status.ready.load(Ordering::Relaxed) => (StatusCode::OK, "ready\n".into()),
        "/readyz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the API server was not reached yet, or permissions are missing: see the log\n".into(),
        ),
        "/metrics" => (StatusCode::OK, status.metrics.text().into()),
        _ => (StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics\n".into()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; version=0.0.4"),
    );
    response
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, status: Arc<Status>) {
    let handler = move |request: Request<Incoming>| {
        let response = answer(&status, &request);
        async move { response }
    };
    listen::serve(listener, CONNECTIONS, handler).await;
}
