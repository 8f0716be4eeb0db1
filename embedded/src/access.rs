//! Who may ask: whoever knows the password, where there is one, and no page in a browser.
#![forbid(unsafe_code)]

use crate::failure::{Failure, code};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use std::net::IpAddr;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

/// The one user that there is.
const USER: &[u8] = b"default";

const NAME: HeaderName = HeaderName::from_static("x-clickhouse-user");
const KEY: HeaderName = HeaderName::from_static("x-clickhouse-key");

/// What a request has to show.
pub struct Access {
    password: Option<Zeroizing<String>>,
    this_machine_alone: bool,
}

impl Access {
    /// `this_machine_alone`: nobody has a reason to know the server by a name, so that a page whose
    /// name leads to this machine gives itself away.
    pub fn new(password: Option<Zeroizing<String>>, this_machine_alone: bool) -> Self {
        Self { password, this_machine_alone }
    }

    /// Whether a page in a browser asks. Browsers say so in a header, except where the page was made
    /// to look as if it came from here: its address then has a name that leads to this machine.
    pub fn is_a_web_page(&self, headers: &HeaderMap) -> bool {
        let foreign = |host: &HeaderValue| host.to_str().map_or(true, |host| !is_local(host));
        headers.contains_key(header::ORIGIN)
            || headers.contains_key("sec-fetch-site")
            || (self.this_machine_alone && headers.get_all(header::HOST).iter().any(foreign))
    }

    /// Refuses who does not know the password, in ClickHouse's words.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(password) = &self.password else { return Ok(()) };
        let Some((user, key)) = shown(headers) else {
            return Err(Failure::new(
                code::REQUIRED_PASSWORD,
                "default: Authentication failed: a password is required: send it in the header \
                 X-ClickHouse-Key or by HTTP Basic, never in the address. (REQUIRED_PASSWORD)",
            ));
        };
        let known = key.ct_eq(password.as_bytes()) & Choice::from(u8::from(*user == *USER));
        if bool::from(known) {
            return Ok(());
        }
        Err(Failure::new(
            code::AUTHENTICATION_FAILED,
            "default: Authentication failed: password is incorrect, or there is no user with such \
             name. (AUTHENTICATION_FAILED)",
        ))
    }
}

/// A user's name and the password.
type Shown = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// User and password, in the two ways of ClickHouse that keep them out of addresses.
fn shown(headers: &HeaderMap) -> Option<Shown> {
    let bytes = |value: &HeaderValue| Zeroizing::new(value.as_bytes().to_vec());
    if let Some(key) = headers.get(KEY) {
        let user = headers.get(NAME).map_or_else(|| Zeroizing::new(USER.to_vec()), bytes);
        return Some((user, bytes(key)));
    }
    let basic = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = basic.split_at_checked(6)?;
    let pair = STANDARD.decode(encoded).ok().filter(|_| scheme.eq_ignore_ascii_case(b"basic "));
    let pair = Zeroizing::new(pair?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some((pair[..colon].to_vec().into(), pair[colon + 1..].to_vec().into()))
}

/// Whether a Host is one that no page's address can have and still lead here: an address itself, or
/// the name of this machine that no other machine gives out.
fn is_local(host: &str) -> bool {
    let uri: Option<Uri> = host.parse().ok();
    uri.as_ref().and_then(Uri::host).is_some_and(|host| {
        host.eq_ignore_ascii_case("localhost")
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn refused(all: &[(&'static str, &str)]) -> Option<u32> {
        let access = Access::new(Some("secret".to_owned().into()), true);
        access.admit(&headers(all)).err().map(|failure| failure.code)
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn the_password_is_taken_in_clickhouses_header_and_by_basic() {
        assert_eq!(refused(&[("x-clickhouse-key", "secret")]), None);
        assert_eq!(
            refused(&[("x-clickhouse-user", "default"), ("x-clickhouse-key", "secret")]),
            None
        );
        assert_eq!(refused(&[("authorization", &basic("default:secret"))]), None);
    }

    #[test]
    fn nothing_else_is() {
        for nothing in [
            &[][..],
            &[("x-clickhouse-user", "default")],
            &[("authorization", "Bearer secret")],
            &[("authorization", "Basic")],
            &[("authorization", "Basic secret")],
            &[("authorization", &basic("default"))],
        ] {
            assert_eq!(refused(nothing), Some(code::REQUIRED_PASSWORD), "{nothing:?}");
        }
        for wrong in [
            &[("x-clickhouse-key", "")][..],
            &[("x-clickhouse-key", "secre")],
            &[("x-clickhouse-key", "secret2")],
            &[("x-clickhouse-key", "Secret")],
            &[("x-clickhouse-user", "root"), ("x-clickhouse-key", "secret")],
            &[("x-clickhouse-key", "wrong"), ("authorization", &basic("default:secret"))],
            &[("authorization", &basic("default:"))],
            &[("authorization", &basic("root:secret"))],
        ] {
            assert_eq!(refused(wrong), Some(code::AUTHENTICATION_FAILED), "{wrong:?}");
        }
    }

    #[test]
    fn without_a_password_everybody_is_admitted() {
        let access = Access::new(None, true);
        access.admit(&headers(&[])).unwrap();
        access.admit(&headers(&[("x-clickhouse-key", "any")])).unwrap();
    }

    #[test]
    fn a_page_whose_name_leads_here_is_a_page() {
        let (here, anywhere) = (Access::new(None, true), Access::new(None, false));
        for host in ["127.0.0.1:8123", "localhost", "LOCALHOST:1", "[::1]:8123", "127.0.0.1"] {
            assert!(!here.is_a_web_page(&headers(&[("host", host)])), "{host}");
        }
        for host in ["a.example:8123", "127.0.0.1.a.example", "localhost.a.example", "", "a b"] {
            assert!(here.is_a_web_page(&headers(&[("host", host)])), "{host}");
            assert!(!anywhere.is_a_web_page(&headers(&[("host", host)])), "{host}");
        }
        assert!(here.is_a_web_page(&headers(&[("host", "localhost"), ("host", "a.example")])));
        assert!(anywhere.is_a_web_page(&headers(&[("origin", "http://localhost")])));
    }
}
