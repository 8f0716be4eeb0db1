//! A connection of HTTP/2, which a client chose in its TLS handshake.
//!
//! Its requests are answered as any other. It is never parked: a mail program that speaks HTTP/2
//! closes soon, and the idle time bounds those that do not.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{ConnState, Core, Fate, HEAD_MAX};
use crate::door::Stream;
use crate::handler::Handler;

/// Requests of one connection that are answered at once.
const STREAMS: u32 = 64;

/// What a client may send of a body before anybody reads it: bodies are refused unread.
const WINDOW: u32 = 16 * 1024;

/// Runs each request's task on the connection's own core, and resets a request whose client does
/// not read its answer in time: it may have promised to read nothing at all.
#[derive(Clone, Copy)]
struct ThisCore {
    patience: Duration,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for ThisCore {
    fn execute(&self, future: F) {
        let patience = self.patience;
        tokio::task::spawn_local(async move { drop(timeout(patience, future).await) });
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(state: &Rc<ConnState>, core: &Core, stream: Stream, peer: IpAddr) {
    state.many_at_once();
    let mut http = http2::Builder::new(ThisCore { patience: core.patience });
    http.max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_MAX as u32)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(HEAD_MAX);
    let handler = Handler { desk: Rc::clone(&core.desk), conn: Rc::clone(state), peer };
    let mut conn = pin!(http.serve_connection(TokioIo::new(stream), handler));
    let mut told = false;
    poll_fn(|cx| {
        match state.fate.get() {
            Fate::Abort => return Poll::Ready(()),
            Fate::Finish if !told => {
                told = true;
                conn.as_mut().graceful_shutdown();
            }
            Fate::Finish | Fate::Live | Fate::Park => {}
        }
        // What went wrong on a client's connection is the client's to know.
        conn.as_mut().poll(cx).map(drop)
    })
    .await;
}
