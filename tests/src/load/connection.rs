//! One connection: a request goes out whole, its answer is read to the end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hushmark_policy::Kind;

/// The longest answer that the edge gives: headers and a small page.
const ANSWER_MAX: usize = 8 * 1024;

/// A request whose answer is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) n: u64,
    pub(super) kind: Kind,
    pub(super) since: Instant,
}

/// What reading brought.
pub(super) enum Read1 {
    /// Nothing whole yet.
    Partial,
    /// The answer that was waited for, with its status.
    Answer(u16),
    /// The connection is of no more use.
    Dead,
}

pub(super) struct Connection {
    pub(super) target: SocketAddr,
    pub(super) stream: Option<TcpStream>,
    pub(super) waiting: Option<Waiting>,
    pub(super) retry_at: Instant,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    pub(super) fn new(target: SocketAddr, now: Instant) -> Self {
        let buffer = vec![0; ANSWER_MAX];
        Self { target, stream: None, waiting: None, retry_at: now, buffer, filled: 0 }
    }

    /// Opens the connection; `false` means that nobody listens now.
    pub(super) fn open(&mut self, now: Instant) -> bool {
        self.filled = 0;
        let opened = TcpStream::connect_timeout(&self.target, Duration::from_millis(250));
        let usable = opened.and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        self.stream = usable.ok();
        if self.stream.is_none() {
            self.retry_at = now + Duration::from_millis(5);
        }
        self.stream.is_some()
    }

    /// Lets go of the connection and says which hit was under way on it.
    pub(super) fn close(&mut self, now: Instant) -> Option<Waiting> {
        self.stream = None;
        self.retry_at = now + Duration::from_millis(2);
        self.waiting.take()
    }

    /// Sends a request; a small one always fits into an idle connection's socket buffer.
    pub(super) fn send(&mut self, request: &[u8], waiting: Waiting) -> bool {
        self.filled = 0;
        self.waiting = Some(waiting);
        self.stream.as_mut().is_some_and(|stream| stream.write_all(request).is_ok())
    }

    /// Reads what has come.
    pub(super) fn read(&mut self) -> Read1 {
        let Some(stream) = self.stream.as_mut() else { return Read1::Dead };
        match stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => Read1::Dead,
            Ok(n) => {
                self.filled += n;
                answer(&self.buffer[..self.filled], self.filled == ANSWER_MAX)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Read1::Partial,
            Err(_) => Read1::Dead,
        }
    }
}

fn answer(bytes: &[u8], full: bool) -> Read1 {
    let partial = if full { Read1::Dead } else { Read1::Partial };
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return partial,
        Err(_) => return Read1::Dead,
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    match (end + length).cmp(&bytes.len()) {
        std::cmp::Ordering::Equal => Read1::Answer(response.code.unwrap_or(0)),
        std::cmp::Ordering::Greater => partial,
        // More than was asked for: whatever it is, it is no answer of ours.
        std::cmp::Ordering::Less => Read1::Dead,
    }
}
