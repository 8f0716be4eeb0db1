//! What a link points at, and whether it can be wrapped.

use std::borrow::Cow;

use hushmark_token::DESTINATION_MAX;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters, so that a cell can only ever be a value inside
/// the author's URL: it opens no query, no fragment and no path.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Schemes that a link may have whose beginning comes from the list. `javascript:` and `data:` are
/// what this keeps out.
const SCHEMES_FROM_LIST: [&str; 6] = ["http", "https", "mailto", "tel", "sms", "cid"];

/// The host that serves pixels and redirects, for example `https://t.example.org`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingHost(String);

/// Why a text names no tracking host.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no tracking host: write scheme and host alone, like https://t.example.org")]
pub struct TrackingHostError {
    text: String,
}

impl TrackingHost {
    /// Takes `http://` or `https://`, a host, and a port where it needs one.
    ///
    /// # Errors
    /// [`TrackingHostError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, TrackingHostError> {
        let error = || TrackingHostError { text: text.to_owned() };
        let url = url::Url::parse(text).map_err(|_| error())?;
        let bare = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(error());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The URL of a pixel.
    #[must_use]
    pub fn pixel(&self, token: &str) -> String {
        format!("{}/o/{token}.gif", self.0)
    }

    /// The URL of a redirect.
    #[must_use]
    pub fn click(&self, token: &str) -> String {
        format!("{}/c/{token}", self.0)
    }

    /// The URL of a message's page.
    #[must_use]
    pub fn page(&self, token: &str) -> String {
        format!("{}/p/{token}", self.0)
    }
}

/// What a link's decoded `href` points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A web page: wrapped, and this is what the redirect gives back to the byte.
    Web(String),
    /// A web page that no redirect could give back to the byte: left as it is, with a warning.
    Unsealable(Flaw),
    /// Mail, telephone, a place in this mail, a relative path: never touched.
    Other,
}

/// Why a web link cannot be wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// A letter beyond ASCII.
    NotAscii,
    /// A space, a line break or a control character inside.
    Space,
    /// No `//` or no valid host.
    NoUrl,
    /// Longer than a token takes.
    TooLong,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAscii => "it has letters beyond ASCII: percent-encode them",
            Self::Space => "it has a space or line break inside: write %20",
            Self::NoUrl => "it is not a valid URL",
            Self::TooLong => return write!(f, "it is longer than {DESTINATION_MAX} characters"),
        })
    }
}

/// Browsers ignore these around a URL (WHATWG URL, "basic URL parser", step 1).
fn trimmed(href: &str) -> &str {
    href.trim_matches(|c: char| c <= ' ')
}

/// The scheme as a browser would read it, in lower case.
fn scheme(href: &str) -> Option<String> {
    // Browsers drop tabs and line breaks wherever they stand, so `java\tscript:` is a scheme.
    let end = trimmed(href).find(':')?;
    let scheme: String =
        trimmed(href)[..end].chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
    let mut chars = scheme.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then(|| scheme.to_ascii_lowercase())
}

/// Sorts a decoded `href`.
pub(crate) fn target(href: &str) -> Target {
    if !matches!(scheme(href).as_deref(), Some("http" | "https")) {
        return Target::Other;
    }
    let url = trimmed(href);
    if !url.is_ascii() {
        return Target::Unsealable(Flaw::NotAscii);
    }
    if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Target::Unsealable(Flaw::Space);
    }
    let has_slashes = url.split_once(':').is_some_and(|(_, rest)| rest.starts_with("//"));
    let parsed = url::Url::parse(url).ok().filter(|parsed| has_slashes && parsed.has_host());
    if parsed.is_none() {
        return Target::Unsealable(Flaw::NoUrl);
    }
    if url.len() > DESTINATION_MAX {
        return Target::Unsealable(Flaw::TooLong);
    }
    Target::Web(url.to_owned())
}

/// Whether a whole URL may come from the list.
pub(crate) fn may_come_from_list(href: &str) -> bool {
    scheme(href).is_some_and(|scheme| SCHEMES_FROM_LIST.contains(&scheme.as_str()))
}

/// A cell as a part of a URL that the author wrote.
pub(crate) fn component(cell: &str) -> Cow<'_, str> {
    utf8_percent_encode(cell, COMPONENT).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracking_host_is_a_host_and_nothing_else() {
        let host = TrackingHost::parse("https://t.example.org/").unwrap();
        assert_eq!(host.click("x"), "https://t.example.org/c/x");
        assert_eq!(host.pixel("x"), "https://t.example.org/o/x.gif");
        assert!(TrackingHost::parse("http://127.0.0.1:8080").is_ok());
        for text in [
            "t.example.org",
            "ftp://t.example.org",
            "https://t.example.org/p",
            "https://",
            "https://a@t.example.org",
            "https://t.example.org?x",
            "https://t.example.org/#x",
        ] {
            assert!(TrackingHost::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_scheme_is_read_as_a_browser_reads_it() {
        for href in [" HTTPS://a.example/ ", "\nhTtp://a.example/", "\u{1}http://a.example/"] {
            assert!(matches!(target(href), Target::Web(_)), "{href:?}");
        }
        assert_eq!(target("ht\ntps://a.example/"), Target::Unsealable(Flaw::Space));
        for href in [
            "mailto:a@a.example",
            "tel:+1",
            "sms:1",
            "cid:x",
            "data:text/html,x",
            "#x",
            "/p",
            "p.html",
            "",
            "httpsx://a.example",
            "//a.example/p",
            "javascript:x",
        ] {
            assert_eq!(target(href), Target::Other, "{href:?}");
        }
    }

    #[test]
    fn what_no_redirect_can_repeat_is_not_sealed() {
        for (href, flaw) in [
            ("https://a.example/é", Flaw::NotAscii),
            ("https://a.example/a b", Flaw::Space),
            ("https://a.example/a\tb", Flaw::Space),
            ("https:a.example", Flaw::NoUrl),
            ("https:/a.example", Flaw::NoUrl),
            ("https://", Flaw::NoUrl),
            ("https://a:x/", Flaw::NoUrl),
        ] {
            assert_eq!(target(href), Target::Unsealable(flaw), "{href:?}");
        }
    }

    #[test]
    fn the_list_cannot_bring_a_script() {
        for href in ["javascript:alert(1)", "JAVA\tSCRIPT:x", " data:text/html,x", "x", "/p", ""] {
            assert!(!may_come_from_list(href), "{href:?}");
        }
        assert!(may_come_from_list("https://a.example/") && may_come_from_list("mailto:a@b.c"));
    }
}
