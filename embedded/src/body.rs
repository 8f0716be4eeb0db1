//! A request's body, piece by piece, within its bounds.
#![forbid(unsafe_code)]

use crate::blocks;
use crate::failure::{Failure, code};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of one body as sent. An insert is streamed, so this bounds time and disk, not memory.
pub const MAX_BODY: u64 = 512 << 20;
/// Bytes of a statement's text, which is held whole: 16 times ClickHouse's own max_query_size.
pub const MAX_TEXT: usize = 4 << 20;
/// A client that sends nothing for so long is gone, and its insert is cancelled.
const IDLE: Duration = Duration::from_secs(30);
/// For the rest of a refused body; half a gigabyte takes less on one machine.
const DISCARD: Duration = Duration::from_secs(5);

/// Reads a body.
pub struct Body {
    incoming: Incoming,
    decoder: Option<blocks::Decoder>,
    left: u64,
}

impl Body {
    /// `compressed` bodies are in ClickHouse's blocks.
    pub fn new(incoming: Incoming, compressed: bool) -> Self {
        Self { incoming, decoder: compressed.then(blocks::Decoder::default), left: MAX_BODY }
    }

    /// The next plain bytes; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let Some(sent) = self.frame().await? else {
                if let Some(decoder) = &self.decoder {
                    decoder.finish()?;
                }
                return Ok(None);
            };
            self.left = self.left.checked_sub(sent.len() as u64).ok_or_else(|| {
                Failure::new(
                    code::QUERY_IS_TOO_LARGE,
                    format_args!("the body is over {} MiB; send it in parts", MAX_BODY >> 20),
                )
            })?;
            let plain = match &mut self.decoder {
                None => sent,
                Some(decoder) => decoder.push(&sent)?.into(),
            };
            if !plain.is_empty() {
                return Ok(Some(plain));
            }
        }
    }

    /// The whole body after what was read already, as text of bounded size.
    pub async fn rest(&mut self, text: &mut Vec<u8>) -> Result<(), Failure> {
        while let Some(piece) = self.next().await? {
            append_text(text, &piece)?;
        }
        Ok(())
    }

    /// Reads on and throws away for a few seconds, so that a client that is still sending gets to
    /// read its answer and can go on using the connection.
    pub async fn discard(&mut self) {
        let all = async {
            while let Ok(Some(sent)) = self.frame().await {
                let Some(left) = self.left.checked_sub(sent.len() as u64) else { return };
                self.left = left;
            }
        };
        if timeout(DISCARD, all).await.is_err() {
            tracing::debug!("a refused body is still being sent");
        }
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = timeout(IDLE, self.incoming.frame()).await.map_err(|_| {
                Failure::new(
                    code::SOCKET_TIMEOUT,
                    format_args!("no byte of the body came for {} s", IDLE.as_secs()),
                )
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(Failure::new(
                        code::INCORRECT_DATA,
                        format_args!("the body ended early: {error}"),
                    ));
                }
                Some(Ok(frame)) => {
                    // Trailers say nothing that is used here.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// Adds to a statement's text within its bound.
pub fn append_text(text: &mut Vec<u8>, piece: &[u8]) -> Result<(), Failure> {
    if text.len() + piece.len() > MAX_TEXT {
        return Err(Failure::new(
            code::QUERY_IS_TOO_LARGE,
            format_args!("the statement is over {} MiB", MAX_TEXT >> 20),
        ));
    }
    text.extend_from_slice(piece);
    Ok(())
}
