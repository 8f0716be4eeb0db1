//! From an accepted socket to a stream of HTTP: who is behind it, and TLS.

mod proxy;
mod stream;
pub(crate) mod tls;

use std::net::{IpAddr, Ipv4Addr};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

pub(crate) use stream::Stream;

use crate::client_addr::TrustedProxies;
use crate::stats::CoreStats;

/// What a connection has to show before its first request.
pub(crate) struct Door {
    /// Whether each connection begins with the PROXY protocol's header.
    pub(crate) proxy_protocol: bool,
    /// The server's side of TLS, where the edge speaks it itself.
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Door {
    /// Whether a connection is HTTP from its first byte.
    pub(crate) const fn is_open(&self) -> bool {
        !self.proxy_protocol && self.tls.is_none()
    }

    /// Lets a connection in: its stream, and the address that it comes from. `None` is one that
    /// showed nothing good, which is counted; it is closed without a word.
    pub(crate) async fn enter(
        &self,
        mut socket: TcpStream,
        mut peer: IpAddr,
        proxies: &TrustedProxies,
        stats: &CoreStats,
    ) -> Option<(Stream, IpAddr)> {
        if self.proxy_protocol {
            // Anybody could write such a header; only a trusted proxy's says where a client is.
            let told = if proxies.trust(peer) { proxy::source(&mut socket).await } else { None };
            let Some(told) = told else {
                stats.proxy_refused.one();
                return None;
            };
            // Who is not named is nobody: what it says about itself is not the proxy's word.
            peer = told.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        }
        let Some(tls) = &self.tls else { return Some((Stream::Plain(socket), peer)) };
        // What went wrong in a handshake is the client's to know: rustls sends it an alert.
        match tls.accept(socket).await {
            Ok(stream) => {
                stats.handshakes.one();
                Some((Stream::Tls(Box::new(stream)), peer))
            }
            Err(_) => {
                stats.handshakes_failed.one();
                None
            }
        }
    }
}
