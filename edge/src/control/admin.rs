//! The admin port: `/healthz`, `/readyz`, `/metrics`. Not for the internet.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Control, metrics};

/// Connections at once: a few probes and scrapers.
const CONNECTIONS: usize = 64;

/// How long a head may take, and a whole connection.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);

/// Serves until dropped.
pub(crate) async fn serve(control: Arc<Control>, listener: TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(8 << 10);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the admin port");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let control = Arc::clone(&control);
        let conn = http.serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                let response = answer(&control, &request);
                async move { Ok::<_, Infallible>(response) }
            }),
        );
        tokio::spawn(async move {
            // A probe that hangs up is no news.
            drop(timeout(PATIENCE, conn).await);
            drop(place);
        });
    }
}

fn answer(control: &Control, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
    }
    match request.uri().path() {
        "/healthz" if control.is_alive() => text(StatusCode::OK, "ok\n".into()),
        "/healthz" => text(StatusCode::SERVICE_UNAVAILABLE, "a core is stuck\n".into()),
        "/readyz" => match &control.unready()[..] {
            [] => text(StatusCode::OK, "ready\n".into()),
            why => text(StatusCode::SERVICE_UNAVAILABLE, (why.join("\n") + "\n").into()),
        },
        "/metrics" => text(StatusCode::OK, metrics::text(control).into()),
        _ => text(StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics\n".into()),
    }
}

fn text(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
