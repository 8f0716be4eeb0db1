//! One request over one connection, for admin ports and the engine: slow, and hard to get wrong. And
//! [`Kept`], for one who asks often.

mod kept;

pub use kept::Kept;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// An answer: status, head as text, and body.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and headers.
    pub head: String,
    /// The body, decoded.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Gets a path.
///
/// # Errors
/// When the server cannot be reached or its answer cannot be read.
pub fn get(address: SocketAddr, path: &str, patience: Duration) -> Result<Answer> {
    let line = format!("GET {path} HTTP/1.1\r\n");
    exchange(connect(address, patience)?, address, &line, b"")
}

/// Posts a body to a path.
///
/// # Errors
/// As [`get`].
pub fn post(address: SocketAddr, path: &str, body: &[u8], patience: Duration) -> Result<Answer> {
    exchange(connect(address, patience)?, address, &post_line(path, body), body)
}

/// Posts a statement to ClickHouse, with a password.
///
/// # Errors
/// As [`get`].
pub fn post_with_password(
    address: SocketAddr,
    password: &str,
    sql: &[u8],
    patience: Duration,
) -> Result<Answer> {
    let line = format!("{}X-ClickHouse-Key: {password}\r\n", post_line("/", sql));
    exchange(connect(address, patience)?, address, &line, sql)
}

/// Posts a body to a path by TLS, to one whose certificate bears the host's name.
///
/// # Errors
/// As [`get`], and when one end does not trust the other.
pub fn post_by_tls(
    address: SocketAddr,
    (config, host): (Arc<ClientConfig>, &str),
    path: &str,
    body: &[u8],
    patience: Duration,
) -> Result<Answer> {
    let stream = connect(address, patience)?;
    let session = ClientConnection::new(config, hushmark_hop::server_name(host)?)?;
    exchange(StreamOwned::new(session, stream), address, &post_line(path, body), body)
}

fn post_line(path: &str, body: &[u8]) -> String {
    format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len())
}

fn connect(address: SocketAddr, patience: Duration) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

fn exchange(
    mut stream: impl Read + Write,
    address: SocketAddr,
    line: &str,
    body: &[u8],
) -> Result<Answer> {
    let head = format!("{line}Host: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut bytes = Vec::new();
    // By TLS, a server may close without saying so; whether what came is whole is seen below.
    if let Err(error) = stream.read_to_end(&mut bytes)
        && error.kind() != std::io::ErrorKind::UnexpectedEof
    {
        return Err(anyhow::Error::from(error).context(format!("{address} stopped answering")));
    }
    parse(&bytes).with_context(|| format!("{address} answered something that is not HTTP"))
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = response.parse(bytes)? else {
        bail!("the answer ends within its headers");
    };
    let status = response.code.context("the answer has no status")?;
    let named = |name: &str| response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
    let chunked = named("transfer-encoding").is_some_and(|h| h.value == b"chunked");
    let length = named("content-length")
        .and_then(|h| std::str::from_utf8(h.value).ok())
        .and_then(|text| text.parse::<usize>().ok());
    let rest = &bytes[end..];
    let body = if chunked {
        dechunk(rest)?
    } else if length.is_some_and(|length| length != rest.len()) {
        bail!("the answer ends within its body");
    } else {
        rest.to_vec()
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    Ok(Answer { status, head, body })
}

fn dechunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(rest.len());
    loop {
        let httparse::Status::Complete((begin, length)) =
            httparse::parse_chunk_size(rest).ok().context("a chunk has no size")?
        else {
            bail!("the answer ends within a chunk's size");
        };
        if length == 0 {
            return Ok(body);
        }
        let end = begin + length as usize;
        body.extend_from_slice(rest.get(begin..end).context("the answer ends within a chunk")?);
        rest = rest.get(end + 2..).context("the answer ends after a chunk")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_read_and_cut_ones_are_errors() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nOk\n";
        assert_eq!(parse(plain).unwrap().text(), "Ok\n");
        let chunks =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(parse(chunks).unwrap().text(), "abc");
        for cut in [&plain[..plain.len() - 1], &chunks[..chunks.len() - 8]] {
            assert!(parse(cut).is_err());
        }
    }
}
