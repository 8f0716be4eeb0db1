//! One request from address to response.
#![forbid(unsafe_code)]

use crate::access::Access;
use crate::body::{Body, append_text};
use crate::engine::{Engine, Piece, Work};
use crate::failure::{Failure, code};
use crate::ffi::{Answer, Counters};
use crate::request::Ask;
use crate::sql::{self, Shape};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");
const FORMAT: HeaderName = HeaderName::from_static("x-clickhouse-format");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");
const EXCEPTION_CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");

/// Pieces of an insert between the socket and the engine: up to 512 KiB each, so 2 MiB an insert.
const PIECES: usize = 4;

/// Answers a request, whatever it is.
pub async fn answer(
    engine: &Arc<Engine>,
    access: &Access,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if access.is_a_web_page(request.headers()) {
        return plain(StatusCode::FORBIDDEN, "a web page may not use this server\n");
    }
    let bare = request.uri().query().is_none_or(str::is_empty);
    match (request.method(), path.as_str()) {
        (&Method::GET | &Method::HEAD, "/ping" | "/replicas_status") => {
            plain(StatusCode::OK, "Ok.\n")
        }
        (&Method::GET | &Method::HEAD, "/") if bare => plain(StatusCode::OK, "Ok.\n"),
        (&Method::GET | &Method::POST, "/") => statement(engine, access, request).await,
        (_, "/" | "/ping" | "/replicas_status") => {
            plain(StatusCode::METHOD_NOT_ALLOWED, "GET or POST\n")
        }
        _ => plain(StatusCode::NOT_FOUND, "There is no such address; / takes queries\n"),
    }
}

/// Answers on a plain port beside the one by TLS: for a probe that has no certificate to show.
pub(crate) fn ping_alone(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/ping") => plain(StatusCode::OK, "Ok.\n"),
        _ => plain(StatusCode::FORBIDDEN, "queries are taken by TLS alone, at another port\n"),
    }
}

async fn statement(
    engine: &Arc<Engine>,
    access: &Access,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    static UNNAMED: AtomicU64 = AtomicU64::new(1);
    let (parts, incoming) = request.into_parts();
    let outcome = match access.admit(&parts.headers).and_then(|()| Ask::read(&parts)) {
        Err(failure) => {
            Body::new(incoming, false).discard().await;
            Err((None, failure))
        }
        Ok(ask) => {
            let id = ask.query_id.clone().unwrap_or_else(|| {
                format!("{}-{}", std::process::id(), UNNAMED.fetch_add(1, Ordering::Relaxed))
            });
            let mut body = Body::new(incoming, ask.compressed);
            match perform(engine, ask, &id, &mut body).await {
                Ok(done) => Ok((id, done)),
                Err(failure) => {
                    body.discard().await;
                    Err((Some(id), failure))
                }
            }
        }
    };
    match outcome {
        Ok((id, done)) => success(&id, done),
        Err((id, failure)) => {
            // The code alone: a message can quote the statement, and that its values.
            tracing::debug!(code = failure.code, "statement refused");
            refusal(id.as_deref(), &failure, engine.version())
        }
    }
}

struct Done {
    answer: Answer,
    format: Option<String>,
}

async fn perform(
    engine: &Arc<Engine>,
    mut ask: Ask,
    id: &str,
    body: &mut Body,
) -> Result<Done, Failure> {
    let id = engine.claim(id)?;
    let mut text = std::mem::take(&mut ask.query).into_bytes();
    if let Some(boundary) = ask.form.take() {
        let mut form = Vec::new();
        body.rest(&mut form).await?;
        ask.take_form(&boundary, &form)?;
        append_text(&mut text, std::mem::take(&mut ask.query).as_bytes())?;
    }
    let rows = read_to_rows(&mut text, body).await?;
    if text.trim_ascii().is_empty() {
        return Err(Failure::new(code::SYNTAX_ERROR, "Empty query. (SYNTAX_ERROR)"));
    }
    let place = engine.place(id).await?;
    let (work, format, feed) = match rows {
        None => {
            let format =
                sql::output_format(&text).map(str::to_owned).or_else(|| ask.format.clone());
            (Work::Text(text), Some(format.unwrap_or_else(|| "TabSeparated".into())), None)
        }
        Some(Rows { head, format, first }) => {
            let (feed, pieces) = mpsc::channel(PIECES);
            (Work::Rows { head, format, pieces }, None, Some((feed, first)))
        }
    };
    let runner = Arc::clone(engine);
    let running = tokio::task::spawn_blocking(move || runner.run(&ask, work, place));
    let (fed, ran) = tokio::join!(
        async {
            match feed {
                None => Ok(()),
                Some((feed, first)) => forward(body, feed, first).await,
            }
        },
        running
    );
    // A body that failed explains more than the cancelled insert behind it.
    fed?;
    let answer = ran.map_err(|error| {
        Failure::new(code::UNKNOWN_EXCEPTION, format_args!("the statement's thread ended: {error}"))
    })??;
    Ok(Done { answer, format })
}

struct Rows {
    head: Vec<u8>,
    format: String,
    first: Bytes,
}

/// Reads until it is clear whether rows follow. A statement in the address ends there: the body
/// is its rows, or else continues it on a new line, as in ClickHouse.
async fn read_to_rows(text: &mut Vec<u8>, body: &mut Body) -> Result<Option<Rows>, Failure> {
    let in_address = !text.is_empty();
    let mut complete = in_address;
    loop {
        match sql::shape(text, complete) {
            Shape::Plain => {
                if in_address {
                    text.push(b'\n');
                }
                body.rest(text).await?;
                return Ok(None);
            }
            Shape::Rows { head, format, data } => {
                let mut first = text[data..].to_vec();
                if in_address && !first.is_empty() {
                    first.push(b'\n');
                }
                let rows =
                    Rows { head: head.to_vec(), format: format.to_owned(), first: first.into() };
                return Ok(Some(rows));
            }
            Shape::NeedsMore => match body.next().await? {
                Some(piece) => append_text(text, &piece)?,
                None => complete = true,
            },
        }
    }
}

/// Hands the rows to the engine as they come. Ends early, without an error of its own, where the
/// engine no longer takes them.
async fn forward(body: &mut Body, feed: mpsc::Sender<Piece>, first: Bytes) -> Result<(), Failure> {
    if !first.is_empty() && feed.send(Piece::Rows(first)).await.is_err() {
        return Ok(());
    }
    while let Some(piece) = body.next().await? {
        if feed.send(Piece::Rows(piece)).await.is_err() {
            return Ok(());
        }
    }
    // The engine's refusal, where there is one, is the statement's own result.
    feed.send(Piece::End).await.unwrap_or_default();
    Ok(())
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn success(id: &str, done: Done) -> Response<Full<Bytes>> {
    let summary = summary(&done.answer.counters());
    let mut response = Response::new(Full::new(Bytes::from_owner(done.answer)));
    let headers = response.headers_mut();
    put(headers, QUERY_ID, id);
    put(headers, SUMMARY, &summary);
    let format = done.format.as_deref();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    if let Some(format) = format {
        put(headers, FORMAT, format);
    }
    response
}

fn refusal(id: Option<&str>, failure: &Failure, version: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(failure.body(version))));
    *response.status_mut() = failure.status();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/plain; charset=UTF-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(EXCEPTION_CODE, HeaderValue::from(failure.code));
    if failure.code == code::REQUIRED_PASSWORD {
        let scheme = HeaderValue::from_static("Basic realm=\"ClickHouse server HTTP API\"");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    if let Some(id) = id {
        put(headers, QUERY_ID, id);
    }
    response
}

/// Leaves out what no header can carry (an id with a line end in it).
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// ClickHouse's `X-ClickHouse-Summary`: numbers as strings.
fn summary(counters: &Counters) -> String {
    let Counters { read_rows, read_bytes, written_rows, written_bytes, result_rows, .. } = counters;
    let elapsed_ns = (counters.elapsed_seconds * 1e9) as u64;
    serde_json::json!({
        "read_rows": read_rows.to_string(),
        "read_bytes": read_bytes.to_string(),
        "written_rows": written_rows.to_string(),
        "written_bytes": written_bytes.to_string(),
        "result_rows": result_rows.to_string(),
        "elapsed_ns": elapsed_ns.to_string(),
    })
    .to_string()
}

fn content_type(format: Option<&str>) -> &'static str {
    match format.unwrap_or_default() {
        "JSON" | "JSONCompact" | "JSONStrings" => "application/json; charset=UTF-8",
        "JSONEachRow" | "NDJSON" | "JSONLines" => "application/x-ndjson; charset=UTF-8",
        "CSV" | "CSVWithNames" => "text/csv; charset=UTF-8",
        "TSV" | "TabSeparated" | "TSVWithNames" | "TabSeparatedWithNames" => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "RowBinary" | "RowBinaryWithNames" | "RowBinaryWithNamesAndTypes" | "Native" => {
            "application/octet-stream"
        }
        _ => "text/plain; charset=UTF-8",
    }
}
