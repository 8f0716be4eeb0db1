//! Every answer that the edge gives. All of them are made of static bytes but for the `Location`.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue,
    LOCATION, REFERRER_POLICY, VARY,
};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body_util::Full;
use hushmark_policy::Tracking;
use hyper::body::Body as _;

use crate::page::{self, Language};

/// A transparent GIF of one pixel, 43 bytes.
pub const GIF: &[u8; 43] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x21\xf9\x04\
\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

const NOT_FOUND: &[u8] = b"Not found\n";
const NOT_ALLOWED: &[u8] = b"Only GET and HEAD are answered here\n";
const NOT_ALLOWED_ON_PAGE: &[u8] = b"Only GET, HEAD and POST are answered here\n";
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
const GET_HEAD_POST: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");
const ACCEPT_LANGUAGE: HeaderValue = HeaderValue::from_static("accept-language");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// The page loads nothing from anywhere, cannot be framed, and its form leads back to where it
/// came from.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; \
     form-action 'self'",
);
const CONTENT_SECURITY_POLICY: HeaderName = http::header::CONTENT_SECURITY_POLICY;

/// What a request is answered with.
pub(crate) enum Reply {
    /// The pixel: the same bytes whether or not the token was any good.
    Pixel,
    /// To the sealed destination.
    Redirect(HeaderValue),
    /// What is recorded of a message.
    Page(Language, Tracking),
    /// An objection holds.
    Objected(Language, Tracking),
    /// A link that leads nowhere: unknown, forged or taken down, all alike.
    NotFound,
    /// Another method than GET or HEAD.
    MethodNotAllowed,
    /// Another method than a page has.
    MethodNotAllowedOnPage,
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
            Self::Page(language, recorded) => html(page::of(language, recorded)),
            Self::Objected(language, recorded) => html(page::objected(language, recorded)),
            Self::NotFound => plain(StatusCode::NOT_FOUND, [], NOT_FOUND),
            Self::MethodNotAllowed => {
                plain(StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, GET_HEAD)], NOT_ALLOWED)
            }
            Self::MethodNotAllowedOnPage => {
                let allow = [(ALLOW, GET_HEAD_POST)];
                plain(StatusCode::METHOD_NOT_ALLOWED, allow, NOT_ALLOWED_ON_PAGE)
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

fn html(page: &'static str) -> Response<Full<Bytes>> {
    let headers = [
        (CONTENT_TYPE, TEXT_HTML),
        (CACHE_CONTROL, NO_STORE),
        (VARY, ACCEPT_LANGUAGE),
        (REFERRER_POLICY, NO_REFERRER),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
    ];
    response(StatusCode::OK, headers, page.as_bytes())
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
