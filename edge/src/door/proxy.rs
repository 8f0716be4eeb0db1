//! The PROXY protocol's header, version 2, by which a load balancer that does not read HTTP says
//! whose connection it passes on ("The PROXY protocol", HAProxy Technologies, section 2.2).

use std::net::IpAddr;

use ppp::v2::{Addresses, Command, Header};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What every header begins with, before its version.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The part whose length is known: signature, version, family and the length of the rest.
const FIXED: usize = 16;

/// Bytes of addresses and extensions at most. The specification asks receivers for 536 in all;
/// cloud load balancers send less than 200.
const REST_MAX: usize = 1_024;

/// Reads one header and not a byte more. `Some(None)` is a header that names nobody: the proxy
/// speaks for itself, or passes on what is no TCP connection. `None` is anything but a header.
pub(super) async fn source(stream: &mut (impl AsyncRead + Unpin)) -> Option<Option<IpAddr>> {
    let mut bytes = [0; FIXED + REST_MAX];
    stream.read_exact(&mut bytes[..FIXED]).await.ok()?;
    if !bytes.starts_with(SIGNATURE) {
        return None;
    }
    let rest = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if rest > REST_MAX {
        return None;
    }
    stream.read_exact(&mut bytes[FIXED..FIXED + rest]).await.ok()?;
    let header = Header::try_from(&bytes[..FIXED + rest]).ok()?;
    Some(match (header.command, header.addresses) {
        (Command::Proxy, Addresses::IPv4(ip)) => Some(ip.source_address.into()),
        (Command::Proxy, Addresses::IPv6(ip)) => Some(ip.source_address.into()),
        (Command::Local, _) | (_, Addresses::Unspecified | Addresses::Unix(_)) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Version 2, a command, a family and a protocol, addresses and extensions.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    /// What is read of `bytes`, and how much is left of them.
    fn read(bytes: &[u8]) -> (Option<Option<IpAddr>>, usize) {
        let mut rest = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let told = runtime.block_on(source(&mut rest));
        (told, rest.len())
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x80, 0, 0x01, 0xbb];

    #[test]
    fn the_source_is_read_and_what_follows_is_left() {
        let mut bytes = header(1, 0x11, &V4);
        bytes.extend(b"GET /");
        assert_eq!(read(&bytes), (Some(Some("192.0.2.7".parse().unwrap())), 5));
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[15] = 9;
        assert_eq!(read(&header(1, 0x21, &v6)), (Some(Some("2001:db8::9".parse().unwrap())), 0));
    }

    #[test]
    fn extensions_are_passed_over() {
        let rest = [&V4[..], &[0x04, 0, 2, 1, 2]].concat();
        assert_eq!(read(&header(1, 0x11, &rest)).0, Some(Some("192.0.2.7".parse().unwrap())));
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_nobody() {
        assert_eq!(read(&header(0, 0x00, &[])).0, Some(None));
        assert_eq!(read(&header(0, 0x11, &V4)).0, Some(None));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert_eq!(read(b"GET /o/x HTTP/1.1\r\n\r\n").0, None);
        assert_eq!(read(b"PROXY TCP4 192.0.2.7 198.51.100.1 32768 443\r\n").0, None);
        assert_eq!(read(&header(1, 0x11, &V4[..8])).0, None, "addresses cut short");
        assert_eq!(read(&header(1, 0x11, &V4)[..20]).0, None, "the stream ends");
        assert_eq!(read(&header(1, 0x11, &[0; 2_000])).0, None, "longer than allowed");
        assert_eq!(read(&header(7, 0x11, &V4)).0, None, "an unknown command");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(command: u8, family: u8, rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&header(command & 0xf, family, &rest));
            let _ = read(&rest);
        }
    }
}
