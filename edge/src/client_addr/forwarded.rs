//! The grammar of one entry of `Forwarded` (RFC 7239) and of `X-Forwarded-For`.
//!
//! Entries are read from the right, because only the right end is vouched for. A quoted string may
//! hold commas, so that the comma between two entries has to be found with quotes in mind, and
//! backwards: a quote that a client left open somewhere on the left must not swallow what a trusted
//! proxy added behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest address in a header: `[` 45 characters `]` `:` and five digits.
const NODE_CAP: usize = 53;

/// The place of the last comma that is outside quotes, or `Some(None)` where the list is one entry;
/// `None` where quotes do not add up, so that no proxy can have written it.
#[expect(clippy::option_option, reason = "no comma is an answer, malformed is none")]
pub(super) fn last_comma(list: &[u8]) -> Option<Option<usize>> {
    let mut quoted = false;
    for at in (0..list.len()).rev() {
        match list[at] {
            b'"' => {
                let before = list[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
                match (quoted, before % 2) {
                    // Outside quotes there are no backslashes; an opening quote follows a `=`.
                    (false, 0) => quoted = true,
                    (true, 0) if before == 0 => quoted = false,
                    (true, 1) => {}
                    _ => return None,
                }
            }
            b',' if !quoted => return Some(Some(at)),
            _ => {}
        }
    }
    (!quoted).then_some(None)
}

/// The address that an entry's `for` names, or `None` where it names none that can be read.
pub(super) fn for_of(entry: &[u8]) -> Option<IpAddr> {
    let mut rest = entry;
    let mut named = None;
    loop {
        let equals = rest.iter().position(|&byte| byte == b'=')?;
        let name = rest[..equals].trim_ascii();
        let (value, after) = value(&rest[equals + 1..])?;
        if name.eq_ignore_ascii_case(b"for") {
            if named.is_some() {
                return None;
            }
            named = Some(node(value)?);
        }
        match after.trim_ascii().split_first() {
            None => return named,
            Some((b';', [])) => return named,
            Some((b';', more)) => rest = more,
            Some(_) => return None,
        }
    }
}

/// A token or a quoted string, without its quotes, and what comes behind it. Escapes are stepped
/// over and left as they are: no address holds one.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some((b'"', quoted)) = text.split_first() else {
        let end = text.iter().position(|&byte| byte == b';').unwrap_or(text.len());
        let token = text[..end].trim_ascii();
        return (!token.contains(&b'"')).then_some((token, &text[end..]));
    };
    let mut escaped = false;
    for (at, &byte) in quoted.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&quoted[..at], &quoted[at + 1..])),
            _ => {}
        }
    }
    None
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
/// `unknown` and hidden names (`_secret`) are none.
pub(super) fn node(text: &[u8]) -> Option<IpAddr> {
    if text.len() > NODE_CAP {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let port = port.strip_prefix(':').map_or(port.is_empty(), is_port);
        return port.then(|| address.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?;
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse::<Ipv4Addr>().ok().map(IpAddr::V4))?
}

/// A port number, or a hidden one (`_p`).
fn is_port(text: &str) -> bool {
    let hidden = text.strip_prefix('_').is_some_and(|name| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    });
    hidden || ((1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()))
}
