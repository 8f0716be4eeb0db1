//! The body of a request: there is none but where somebody objects, and then it says nothing. A
//! browser may send a form's fields, so a short one is read to its end and forgotten.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Request;
use hyper::body::{Body, Incoming};

use super::What;
use crate::reply::Reply;

/// The longest form, in bytes. The page's own has no fields.
const LONGEST: usize = 1024;

/// Refuses a body where none belongs.
pub(super) fn none(body: &Incoming) -> Result<(), Reply> {
    if body.is_end_stream() { Ok(()) } else { Err(Reply::BodyRefused) }
}

/// Refuses a body that says of itself that it is too long.
pub(super) fn short(body: &Incoming) -> Result<(), Reply> {
    if body.size_hint().lower() <= LONGEST as u64 { Ok(()) } else { Err(Reply::BodyRefused) }
}

/// A request whose form is coming in.
pub(super) struct Form {
    pub(super) peer: IpAddr,
    pub(super) request: Request<Incoming>,
    left: usize,
}

impl Form {
    pub(super) const fn new(peer: IpAddr, request: Request<Incoming>) -> Self {
        Self { peer, request, left: LONGEST }
    }

    /// Reads to the end, or until it is too long or cut off. The connection bounds the time.
    pub(super) fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<What, Reply>> {
        loop {
            let frame = ready!(Pin::new(self.request.body_mut()).poll_frame(cx));
            let length = match frame {
                None => return Poll::Ready(Ok(What::Object)),
                Some(Ok(frame)) => frame.data_ref().map_or(0, bytes::Bytes::len),
                Some(Err(_)) => return Poll::Ready(Err(Reply::BodyRefused)),
            };
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Err(Reply::BodyRefused)),
            }
        }
    }
}
