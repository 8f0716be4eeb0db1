//! A lane's own connection to Redis.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hushmark_event::redis_keys::BATCH_FIELD;
use hushmark_hop::{HopError, PasswordError, PasswordFile};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::RedisUrl;
use crate::resp::{self, Value};

/// Where Redis is, who asks, and the file with the password that it asks for.
#[derive(Clone)]
pub(crate) struct RedisAt {
    pub(crate) url: RedisUrl,
    /// For a URL by TLS, and for no other.
    pub(crate) tls: Option<hushmark_hop::Files>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<PasswordFile>,
}

/// Why a command has no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The connection is gone, or never came about.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The files that TLS needs cannot be used.
    #[error(transparent)]
    Tls(#[from] HopError),
    /// The password cannot be read any more.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// It answered what no Redis answers.
    #[error(transparent)]
    NotResp(#[from] resp::NotResp),
    /// Redis refused the command.
    #[error("redis answered: {0}")]
    Refused(String),
    /// Redis answered with something else than the command's reply.
    #[error("redis gave an unexpected answer to {0}")]
    Unexpected(&'static str),
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is in the stream.
    Done,
    /// The stream's top is this number or above: the append arrived before, or somebody else
    /// writes there.
    NotAbove,
}

enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(crate) struct Link {
    socket: Socket,
    out: Vec<u8>,
    input: Vec<u8>,
    /// Bytes of `input` that belong to replies already taken.
    taken: usize,
}

impl Link {
    /// Connects and authenticates. The caller bounds the time.
    pub(crate) async fn connect(at: &RedisAt) -> Result<Self, LinkError> {
        let socket = match &at.url {
            RedisUrl::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
            RedisUrl::Tcp(host, port) => Socket::Tcp(tcp(host, *port).await?),
            RedisUrl::Tls(host, port) => {
                let stream = tls(at, host, tcp(host, *port).await?).await?;
                Socket::Tls(Box::new(stream))
            }
        };
        let (out, input) = (Vec::with_capacity(8 << 10), Vec::with_capacity(512));
        let mut link = Self { socket, out, input, taken: 0 };
        if let Some(file) = &at.password {
            let password = file.read()?;
            match &at.user {
                Some(user) => {
                    link.ask(&[b"AUTH", user.as_bytes(), password.as_bytes()]).await?;
                }
                None => {
                    link.ask(&[b"AUTH", password.as_bytes()]).await?;
                }
            }
        }
        Ok(link)
    }

    /// Sends one command and waits for its reply; an error reply is an error.
    pub(crate) async fn ask(&mut self, parts: &[&[u8]]) -> Result<Value, LinkError> {
        resp::command(&mut self.out, parts);
        self.flush().await?;
        match self.reply().await? {
            Value::Error(text) => Err(LinkError::Refused(text)),
            value => Ok(value),
        }
    }

    /// Sends one XADD with an id of its own and says how it went.
    pub(crate) async fn try_append(&mut self, parts: &[&[u8]]) -> Result<Appended, LinkError> {
        resp::command(&mut self.out, parts);
        self.flush().await?;
        self.appended().await
    }

    /// Puts an append into the buffer. [`Self::flush`] sends it, [`Self::appended`] reads how it
    /// went; several may be sent before the first reply is read.
    pub(crate) fn append(&mut self, stream: &str, number: u64, blob: &[u8]) {
        let mut digits = [0; 20];
        let digits = resp::decimal(number, &mut digits);
        let mut id = [0; 22];
        id[..digits.len()].copy_from_slice(digits);
        id[digits.len()..digits.len() + 2].copy_from_slice(b"-0");
        let id = &id[..digits.len() + 2];
        let parts = [b"XADD", stream.as_bytes(), id, BATCH_FIELD.as_bytes(), blob];
        resp::command(&mut self.out, &parts);
    }

    pub(crate) async fn appended(&mut self) -> Result<Appended, LinkError> {
        match self.reply().await? {
            Value::Bytes(_) => Ok(Appended::Done),
            Value::Error(text) if text.contains("equal or smaller than the target stream top") => {
                Ok(Appended::NotAbove)
            }
            Value::Error(text) => Err(LinkError::Refused(text)),
            _ => Err(LinkError::Unexpected("XADD")),
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<(), LinkError> {
        let mut sent = self.socket.write_all(&self.out).await;
        // A session may have taken bytes that its socket has not; a socket keeps none back.
        if let (Ok(()), Socket::Tls(stream)) = (&sent, &mut self.socket) {
            sent = stream.flush().await;
        }
        self.out.clear();
        Ok(sent?)
    }

    async fn reply(&mut self) -> Result<Value, LinkError> {
        loop {
            if let Some((value, length)) = resp::parse(&self.input[self.taken..])? {
                self.taken += length;
                if self.taken == self.input.len() {
                    self.input.clear();
                    self.taken = 0;
                }
                return Ok(value);
            }
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(LinkError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The files are read each time, so that a renewed certificate is the next one shown.
async fn tls(
    at: &RedisAt,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, LinkError> {
    let files = at.tls.as_ref().ok_or(HopError::Incomplete("rediss:// needs --redis-ca"))?;
    let connector = TlsConnector::from(files.client()?);
    Ok(connector.connect(hushmark_hop::server_name(host)?, stream).await?)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
