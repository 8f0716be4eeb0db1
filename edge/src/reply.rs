//! Every answer that the edge gives. All of them are made of static bytes but for the `Location`.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue,
    LOCATION, REFERRER_POLICY,
};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body_util::Full;
use hushmark_policy::Mode;
use hyper::body::Body as _;

/// A transparent GIF of one pixel, 43 bytes.
pub const GIF: &[u8; 43] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x21\xf9\x04\
\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

const NOT_FOUND: &[u8] = b"Not found\n";
const NOT_ALLOWED: &[u8] = b"Only GET and HEAD are answered here\n";
const NO_BODY: &[u8] = b"A request with a body is not answered here\n";
const TOO_LONG: &[u8] = b"The address is too long\n";
const BUSY: &[u8] = b"Try again\n";

/// `no-store`, so that a second open is not hidden; `private` for caches that know only HTTP/1.0's
/// ways to keep things.
const NEVER_STORED: HeaderValue = HeaderValue::from_static("no-store, private, max-age=0");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NONE: HeaderValue = HeaderValue::from_static("none");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const IMAGE_GIF: HeaderValue = HeaderValue::from_static("image/gif");
const TEXT_PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const TEXT_HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const GET_HEAD: HeaderValue = HeaderValue::from_static("GET, HEAD");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// The page loads nothing from anywhere and cannot be framed.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'",
);
const CONTENT_SECURITY_POLICY: HeaderName = http::header::CONTENT_SECURITY_POLICY;

/// What a request is answered with.
pub(crate) enum Reply {
    /// The pixel: the same bytes whether or not the token was any good.
    Pixel,
    /// To the sealed destination.
    Redirect(HeaderValue),
    /// What is recorded in this mode.
    Page(Mode),
    /// A link that leads nowhere: unknown, forged or taken down, all alike.
    NotFound,
    /// Another method than GET or HEAD.
    MethodNotAllowed,
    /// A body where none belongs; the connection is closed unread.
    BodyRefused,
    /// A request target above the limit; the connection is closed.
    TargetTooLong,
    /// The batch is full: see [`crate::commit::Commit::has_room`].
    Busy,
}

impl Reply {
    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        match self {
            Self::Pixel => {
                let headers = [
                    (CONTENT_TYPE, IMAGE_GIF),
                    (CACHE_CONTROL, NEVER_STORED),
                    (ACCEPT_RANGES, NONE),
                ];
                response(StatusCode::OK, headers, GIF)
            }
            Self::Redirect(location) => {
                let headers = [
                    (LOCATION, location),
                    (CACHE_CONTROL, NO_STORE),
                    (REFERRER_POLICY, NO_REFERRER),
                ];
                response(StatusCode::FOUND, headers, b"")
            }
            Self::Page(mode) => {
                let headers = [
                    (CONTENT_TYPE, TEXT_HTML),
                    (CACHE_CONTROL, NO_STORE),
                    (REFERRER_POLICY, NO_REFERRER),
                    (CONTENT_SECURITY_POLICY, PAGE_POLICY),
                ];
                response(StatusCode::OK, headers, page(mode).as_bytes())
            }
            Self::NotFound => plain(StatusCode::NOT_FOUND, [], NOT_FOUND),
            Self::MethodNotAllowed => {
                plain(StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, GET_HEAD)], NOT_ALLOWED)
            }
            Self::BodyRefused => {
                plain(StatusCode::PAYLOAD_TOO_LARGE, [(CONNECTION, CLOSE)], NO_BODY)
            }
            Self::TargetTooLong => plain(StatusCode::URI_TOO_LONG, [(CONNECTION, CLOSE)], TOO_LONG),
            Self::Busy => plain(StatusCode::SERVICE_UNAVAILABLE, [(CONNECTION, CLOSE)], BUSY),
        }
    }
}

/// An answer without its body, whose length it still tells (RFC 9110, 9.3.2).
pub(crate) fn head_of(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let length = response.body().size_hint().exact().unwrap_or_default();
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response.map(|_| Full::default())
}

fn plain<const N: usize>(
    status: StatusCode,
    more: [(HeaderName, HeaderValue); N],
    body: &'static [u8],
) -> Response<Full<Bytes>> {
    let mut response =
        response(status, [(CONTENT_TYPE, TEXT_PLAIN), (CACHE_CONTROL, NO_STORE)], body);
    response.headers_mut().extend(more);
    response
}

fn response<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, HeaderValue); N],
    body: &'static [u8],
) -> Response<Full<Bytes>> {
    // hyper adds date and content-length while it writes.
    let mut map = HeaderMap::with_capacity(N);
    for (name, value) in headers {
        map.append(name, value);
    }
    let mut response = Response::new(Full::new(Bytes::from_static(body)));
    *response.status_mut() = status;
    *response.headers_mut() = map;
    response
}

macro_rules! page {
    ($what:literal) => {
        concat!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
            "<meta name=\"viewport\" content=\"width=device-width\">",
            "<title>What this mail records</title>",
            "<style>body{font:1rem/1.5 sans-serif;max-width:38em;margin:3em auto;padding:0 1em}",
            "</style></head><body><h1>What this mail records</h1>",
            $what,
            "<p>Your address and your program's name are looked at in memory to tell people from ",
            "machines and are stored nowhere.</p></body></html>\n"
        )
    };
}

/// The page that says in plain words what a mode records.
const fn page(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => page!("<p>Nothing. This mail is not tracked.</p>"),
        Mode::Overall => page!(
            "<p>That somebody opened it or followed a link, counted for all recipients together. \
             Everyone got the same links: nobody can tell who it was.</p>"
        ),
        Mode::Anonymous => page!(
            "<p>That a mail was opened or a link was followed. Each mail carries a random number, \
             so that one reader is not counted twice; who got which number is written down \
             nowhere, and what the number could be matched with is destroyed.</p>"
        ),
        Mode::Individual => page!(
            "<p>That you opened this mail, and which links you followed, under a number that \
             stands for you with the sender.</p>"
        ),
    }
}
