//! Where a request came from, believed only from those whom the Region trusts.
//!
//! The address on the socket cannot be forged; what a header says can. So a header is read only
//! while the one who wrote it is a trusted proxy: from the right, each trusted proxy vouches for
//! the entry it added, and the first address that is not trusted is the client. Everything left of
//! it was written by the client and is not even looked at.
//!
//! One header is configured, never both: a proxy adds to one and passes the other on as the client
//! sent it.
//!
//! IPv4 addresses written as IPv6 (`::ffff:192.0.2.1`) are the IPv4 address everywhere, on the
//! socket, in headers and in the configured networks: otherwise one spelling of a trusted or of a
//! private address would pass where the other does not (CVE-2026-2455).

mod forwarded;
mod ranges;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

pub use ranges::{Ranges, RangesError};

/// As many proxies are followed. A chain of more is a mistake or an attack; its client is unknown.
pub const HOPS_CAP: usize = 16;

/// A client's address. It has neither `Debug` nor `Display`, so that none gets into a log; it is
/// used to look up a country and Apple's ranges, and then forgotten.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientAddr(IpAddr);

impl ClientAddr {
    /// The address of a socket's other end.
    #[must_use]
    pub fn of_peer(peer: IpAddr) -> Self {
        Self(peer.to_canonical())
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.0
    }
}

/// The header in which the Region's proxies say whom they speak for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ForwardHeader {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client;proto=https, for="[2001:db8::1]"` (RFC 7239).
    Forwarded,
}

/// The proxies that a Region trusts, and the header that they write.
pub struct TrustedProxies {
    proxies: Ranges,
    header: ForwardHeader,
}

impl TrustedProxies {
    /// `proxies` are the networks from which the header is believed; none by default.
    #[must_use]
    pub fn new(proxies: Ranges, header: ForwardHeader) -> Self {
        Self { proxies, header }
    }

    /// Whether what `peer` says about a connection is believed.
    #[must_use]
    pub fn trust(&self, peer: IpAddr) -> bool {
        self.proxies.contains(&ClientAddr::of_peer(peer))
    }

    /// The client of a request, or `None` where a trusted proxy says that it does not know it, says
    /// what cannot be read, or the chain is too long.
    ///
    /// Allocates nothing and reads at most [`HOPS_CAP`] entries.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<ClientAddr> {
        let mut client = ClientAddr::of_peer(peer);
        if self.proxies.is_empty() || !self.proxies.contains(&client) {
            return Some(client);
        }
        let mut entries = 0;
        // A header sent in several lines is one list (RFC 9110, 5.3), its last line the rightmost.
        for line in headers.get_all(self.name()).iter().rev() {
            let mut rest = Some(line.as_bytes());
            while let Some(list) = rest {
                let (left, entry) = self.last_entry(list)?;
                rest = left;
                entries += 1;
                if entries > HOPS_CAP {
                    return None;
                }
                client = ClientAddr(self.address(entry)?.to_canonical());
                if !self.proxies.contains(&client) {
                    return Some(client);
                }
            }
        }
        Some(client)
    }

    fn name(&self) -> HeaderName {
        match self.header {
            ForwardHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ForwardHeader::Forwarded => http::header::FORWARDED,
        }
    }

    /// What is left of the last entry of a list, where there is more, and the entry.
    fn last_entry<'a>(&self, list: &'a [u8]) -> Option<(Option<&'a [u8]>, &'a [u8])> {
        let comma = match self.header {
            ForwardHeader::XForwardedFor => list.iter().rposition(|&byte| byte == b','),
            ForwardHeader::Forwarded => forwarded::last_comma(list)?,
        };
        Some(match comma {
            Some(at) => (Some(&list[..at]), list[at + 1..].trim_ascii()),
            None => (None, list.trim_ascii()),
        })
    }

    fn address(&self, entry: &[u8]) -> Option<IpAddr> {
        match self.header {
            ForwardHeader::XForwardedFor => forwarded::node(entry),
            ForwardHeader::Forwarded => forwarded::for_of(entry),
        }
    }
}

#[cfg(test)]
mod tests;
