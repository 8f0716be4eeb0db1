//! One connection that is kept: a request, its answer, and how long that took.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The longest answer of the edge: headers and a small page.
const ANSWER_MAX: usize = 16 * 1024;

/// A connection to an edge, with at most one request under way.
pub struct Kept {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl Kept {
    /// Connects; an answer is waited for as long as `patience`.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: SocketAddr, patience: Duration) -> Result<Self> {
        let stream = super::connect(address, patience)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address, buffer: vec![0; ANSWER_MAX] })
    }

    /// Sends a whole request and reads the whole answer to it. The time ends when its last byte is
    /// here, before anything is made of it.
    ///
    /// # Errors
    /// When the connection ends before the answer does, or what comes is no answer.
    pub fn ask(&mut self, request: &[u8]) -> Result<(&[u8], Duration)> {
        let address = self.address;
        let gone = || format!("{address} stopped answering");
        let began = Instant::now();
        self.stream.write_all(request).with_context(gone)?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).with_context(gone)?;
            let took = began.elapsed();
            filled += read;
            if let Some(length) = length(&self.buffer[..filled])?
                && filled >= length
            {
                if filled > length {
                    bail!("{address} answered more than it was asked");
                }
                return Ok((&self.buffer[..filled], took));
            }
            if read == 0 || filled == ANSWER_MAX {
                bail!("{address} ended within an answer");
            }
        }
    }
}

/// How long an answer is in all, once its head is there.
fn length(bytes: &[u8]) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let body = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .context("an answer does not say how long it is")?;
    Ok(Some(head + std::str::from_utf8(body.value)?.parse::<usize>()?))
}
