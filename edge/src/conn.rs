//! One connection, from its first byte to its end.
//!
//! hyper serves it while there is something to do. A connection that says nothing for a second is
//! parked: hyper's buffers are dropped and the socket alone is kept, so that ten thousand idle
//! mail clients cost little more than their sockets. hyper's own header timer would be set and
//! dropped once a request; here a sweep over all connections, four times a second, does the same
//! for every limit on time.

mod h2;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::door::{Door, Stream};
use crate::handler::{Desk, Handler};
use crate::stats::CoreStats;

/// Bytes of a request's head at most, and of hyper's buffers.
pub(crate) const HEAD_MAX: usize = 8 * 1024;

/// How often connections are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// Ticks after which a silent connection is parked.
const PARK_AFTER: u32 = 4;

/// Where a core has more connections than this, each is parked as soon as it was answered: hyper
/// keeps some 10 KiB for each, and ten thousand of them may ask within one second.
const MANY: usize = 1_000;

/// So many of a crowd are served at once; the others wait for a moment with nothing but their
/// request. A whole request is answered within its batch, so places come free at once; where
/// somebody keeps them by not reading answers, nobody waits longer than this.
const PLACES: usize = 1_000;
const PLACE_PATIENCE: Duration = Duration::from_millis(100);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing: the next request has not begun.
    Idle,
    /// The head of a request is coming in.
    Head,
    /// The request waits for its batch, which is bounded by the lane.
    Asked,
    /// The answer is being written.
    Answering,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Live,
    Park,
    /// Answer what was asked, then close.
    Finish,
    Abort,
}

/// What the sweep sees of a connection.
pub(crate) struct ConnState {
    phase: Cell<Phase>,
    /// Requests that wait for their batch: one at most in HTTP/1.
    waiting: Cell<u32>,
    /// Whether it speaks HTTP/2, whose answers are not written in turn.
    http2: Cell<bool>,
    since: Cell<u32>,
    parked: Cell<bool>,
    fate: Cell<Fate>,
    waker: RefCell<Option<Waker>>,
    tick: Rc<Cell<u32>>,
    /// Its place in the list.
    at: Cell<usize>,
}

impl ConnState {
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.tick.get());
    }

    /// The form of a request is still coming in. In HTTP/1 it has as long as the request's head; in
    /// HTTP/2 each request has a time of its own.
    pub(crate) fn reads_form(&self) {
        if !self.http2.get() && self.phase.get() != Phase::Head {
            self.enter(Phase::Head);
        }
    }

    pub(crate) fn asked(&self) {
        self.waiting.set(self.waiting.get() + 1);
        self.phase.set(Phase::Asked);
    }

    /// A request got its answer, or its client gave it up.
    pub(crate) fn answering(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
        if self.waiting.get() == 0 {
            self.enter(if self.http2.get() { Phase::Idle } else { Phase::Answering });
        }
    }

    /// From now on requests come side by side; the first has as long as a request's head.
    fn many_at_once(&self) {
        self.http2.set(true);
        self.enter(Phase::Head);
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2.get()
    }

    fn received(&self) {
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// Whether that was the end of an answer.
    fn flushed(&self) -> bool {
        let answered = self.phase.get() == Phase::Answering;
        if answered {
            self.enter(Phase::Idle);
        }
        answered
    }

    fn end(&self, fate: Fate) {
        self.fate.set(fate);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// How long what may take.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
}

/// All connections of a core.
pub(crate) struct Connections {
    list: RefCell<Vec<Rc<ConnState>>>,
    tick: Rc<Cell<u32>>,
    finishing: Cell<bool>,
    places: Semaphore,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            list: RefCell::default(),
            tick: Rc::default(),
            finishing: Cell::new(false),
            places: Semaphore::new(PLACES),
        }
    }

    /// A place among those that are served at once, where there is a crowd.
    async fn place(&self, begun: &[u8]) -> Option<SemaphorePermit<'_>> {
        // Half a request may never become a whole one, and must not keep a place.
        if self.count() <= MANY || !begun.ends_with(b"\r\n\r\n") {
            return None;
        }
        timeout(PLACE_PATIENCE, self.places.acquire()).await.ok()?.ok()
    }

    pub(crate) fn count(&self) -> usize {
        self.list.borrow().len()
    }

    /// Enters a connection into the list; [`serve`] takes it out.
    pub(crate) fn add(&self) -> Rc<ConnState> {
        let mut list = self.list.borrow_mut();
        let state = Rc::new(ConnState {
            phase: Cell::new(Phase::Idle),
            waiting: Cell::new(0),
            http2: Cell::new(false),
            since: Cell::new(self.tick.get()),
            parked: Cell::new(true),
            fate: Cell::new(if self.finishing.get() { Fate::Finish } else { Fate::Live }),
            waker: RefCell::default(),
            tick: Rc::clone(&self.tick),
            at: Cell::new(list.len()),
        });
        list.push(Rc::clone(&state));
        state
    }

    fn remove(&self, state: &ConnState) {
        let mut list = self.list.borrow_mut();
        let at = state.at.get();
        list.swap_remove(at);
        if let Some(moved) = list.get(at) {
            moved.at.set(at);
        }
    }

    /// Ends connections that took too long, and parks silent ones. HTTP/2 has too much of its own
    /// to be parked: where there is a crowd it is closed.
    pub(crate) fn sweep(&self, limits: Limits, stats: &CoreStats) {
        let now = self.tick.get().wrapping_add(1);
        self.tick.set(now);
        let ticks = |limit: Duration| (limit.as_millis() / TICK.as_millis()) as u32;
        let (head, idle) = (ticks(limits.head), ticks(limits.idle));
        let crowded = self.count() > MANY;
        for state in &*self.list.borrow() {
            let waited = now.wrapping_sub(state.since.get());
            let late = match state.phase.get() {
                Phase::Idle => waited > idle,
                Phase::Head | Phase::Answering => waited > head,
                Phase::Asked => false,
            };
            let silent = state.phase.get() == Phase::Idle && waited >= PARK_AFTER;
            match state.fate.get() {
                _ if late => {
                    stats.timed_out.one();
                    state.end(Fate::Abort);
                }
                Fate::Live if silent && state.http2.get() && crowded => state.end(Fate::Finish),
                Fate::Live if silent && !state.parked.get() => state.end(Fate::Park),
                // HTTP/2 waits for its client's last word, and some clients sleep.
                Fate::Finish if silent && state.http2.get() => state.end(Fate::Abort),
                Fate::Live | Fate::Park | Fate::Finish | Fate::Abort => {}
            }
        }
    }

    /// Lets every connection answer what was asked and then close.
    pub(crate) fn finish(&self) {
        self.finishing.set(true);
        for state in &*self.list.borrow() {
            if state.fate.get() != Fate::Abort {
                if state.phase.get() == Phase::Idle {
                    state.enter(Phase::Idle);
                }
                state.end(Fate::Finish);
            }
        }
    }
}

/// hyper's settings, the same for every connection.
pub(crate) fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // Answers to pipelined requests are flushed one by one: with `pipeline_flush` a client that
    // always leaves half a request behind is never flushed, and its answers pile up without bound.
    http.pipeline_flush(false)
        .writev(false)
        .max_buf_size(HEAD_MAX)
        .header_read_timeout(None)
        .keep_alive(true)
        .half_close(false);
    http
}

enum Outcome {
    Closed,
    Parked,
}

/// What all connections of a core share.
pub(crate) struct Core {
    pub(crate) connections: Connections,
    pub(crate) desk: Rc<Desk>,
    pub(crate) door: Door,
    pub(crate) http: http1::Builder,
    /// How long an answer may take to be read.
    pub(crate) patience: Duration,
}

/// Serves a connection to its end.
pub(crate) async fn serve(core: Rc<Core>, state: Rc<ConnState>, socket: TcpStream, peer: IpAddr) {
    poll_fn(|cx| {
        // A task's waker stays the same for as long as the task lives.
        *state.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    // Boxed where it is rare: a task keeps room for the largest of its parts, and there are many.
    let entered = if core.door.is_open() {
        Some((Stream::Plain(socket), peer))
    } else {
        Box::pin(enter(&core, &state, socket, peer)).await
    };
    match entered {
        Some((stream, peer)) if stream.is_http2() => {
            Box::pin(h2::serve(&state, &core, stream, peer)).await;
        }
        Some((stream, peer)) => serve_http1(&core, &state, stream, peer).await,
        None => {}
    }
    core.connections.remove(&state);
    core.desk.stats.connections.set(core.connections.count() as u64);
}

/// Lets a connection in, within the time that a request's head may take.
async fn enter(
    core: &Core,
    state: &ConnState,
    socket: TcpStream,
    peer: IpAddr,
) -> Option<(Stream, IpAddr)> {
    state.enter(Phase::Head);
    let desk = &core.desk;
    let mut entering = pin!(core.door.enter(socket, peer, desk.proxies(), &desk.stats));
    let entered = poll_fn(|cx| match state.fate.get() {
        Fate::Abort | Fate::Finish => Poll::Ready(None),
        Fate::Live | Fate::Park => entering.as_mut().poll(cx),
    })
    .await;
    state.enter(Phase::Idle);
    entered
}

async fn serve_http1(core: &Core, state: &Rc<ConnState>, stream: Stream, peer: IpAddr) {
    let Core { connections, desk, http, .. } = core;
    let mut next = Some((stream, Bytes::new()));
    while let Some((mut stream, mut begun)) = next.take() {
        state.parked.set(true);
        if begun.is_empty() {
            begun = first_bytes(&mut stream, state).await;
            if begun.is_empty() {
                break;
            }
        }
        let _place = connections.place(&begun).await;
        state.parked.set(false);
        state.enter(Phase::Head);
        let handler = Handler { desk: Rc::clone(desk), conn: Rc::clone(state), peer };
        let io = Io { stream, begun, state: Rc::clone(state) };
        let mut conn = Box::new(http.serve_connection(io, handler));
        let mut told = false;
        let outcome = poll_fn(|cx| {
            match state.fate.get() {
                Fate::Abort => return Poll::Ready(Outcome::Closed),
                Fate::Park => {
                    state.fate.set(Fate::Live);
                    if state.phase.get() == Phase::Idle {
                        return Poll::Ready(Outcome::Parked);
                    }
                }
                Fate::Finish if !told => {
                    told = true;
                    Pin::new(&mut *conn).graceful_shutdown();
                }
                Fate::Finish | Fate::Live => {}
            }
            // What went wrong on a client's connection is the client's to know.
            if Pin::new(&mut *conn).poll(cx).is_ready() {
                return Poll::Ready(Outcome::Closed);
            }
            let idle = state.phase.get() == Phase::Idle && state.fate.get() == Fate::Live;
            if idle && connections.count() > MANY {
                return Poll::Ready(Outcome::Parked);
            }
            Poll::Pending
        })
        .await;
        if let Outcome::Parked = outcome {
            let parts = conn.into_parts();
            // Even empty, it would keep hyper's whole buffer alive.
            let begun = Some(parts.read_buf).filter(|bytes| !bytes.is_empty());
            next = Some((parts.io.stream, begun.unwrap_or_default()));
        }
    }
}

/// Waits, parked, for a request to begin; none when the connection is to be closed. Reads instead
/// of asking whether there is something to read: the runtime says yes of every new socket.
async fn first_bytes(stream: &mut Stream, state: &ConnState) -> Bytes {
    poll_fn(|cx| match state.fate.get() {
        Fate::Abort | Fate::Finish => Poll::Ready(Bytes::new()),
        Fate::Live | Fate::Park => {
            state.fate.set(Fate::Live);
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                // An error is an end like any other.
                let read = Pin::new(&mut *stream).poll_read(cx, &mut buf);
                read.map(|_| Bytes::copy_from_slice(buf.filled()))
            })
        }
    })
    .await
}

thread_local! {
    /// Where reads land before hyper's buffer gets them. hyper's own buffer may be uninitialised,
    /// which safe code cannot lend to the socket; a copy of some hundred bytes costs nothing.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; HEAD_MAX].into_boxed_slice());
}

/// The stream as hyper sees it, reporting to the sweep.
struct Io {
    stream: Stream,
    /// What was read of a request before the connection was parked.
    begun: Bytes,
    state: Rc<ConnState>,
}

impl hyper::rt::Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state.phase.get() == Phase::Asked {
            // hyper only looks whether the client hung up, twice a request. It is answered anyway:
            // its record is in the batch. `poll_flush` asks to be woken for what comes next.
            return Poll::Pending;
        }
        if !this.begun.is_empty() {
            let n = this.begun.len().min(into.remaining());
            into.put_slice(&this.begun[..n]);
            this.begun.advance(n);
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let room = scratch.len().min(into.remaining());
            let mut buf = ReadBuf::new(&mut scratch[..room]);
            let read = Pin::new(&mut this.stream).poll_read(cx, &mut buf);
            if !buf.filled().is_empty() {
                this.state.received();
                into.put_slice(buf.filled());
            }
            read
        })
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes once its own buffer is empty; TLS has one behind it.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.state.flushed() && self.stream.poll_read_ready(cx) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
