//! One pass over a request's headers, because a look-up by name for each would cost more than the
//! verdict itself.

use http::HeaderMap;

/// What the edge needs of a request's headers, but for the client's address. Borrowed, and without
/// `Debug`: it holds the user agent.
#[derive(Clone, Copy, Default)]
pub struct RequestHead<'a> {
    /// The first `User-Agent`, empty where there is none.
    pub user_agent: &'a [u8],
    /// `Purpose`, `X-Purpose`, `X-Moz` or `Sec-Purpose` holds `prefetch` or `preview`: somebody's
    /// program looks ahead, nobody has seen it yet.
    pub prefetch: bool,
    /// `Sec-GPC: 1` (Global Privacy Control) or `DNT: 1`: this person does not want to be tracked.
    pub objects: bool,
}

impl<'a> RequestHead<'a> {
    /// Reads it from the headers of a request.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut head = Self::default();
        for (name, value) in headers {
            // hyper has made names lower case. None of the usual browser headers but the user
            // agent's has one of these lengths and first letters, so that nearly all end here.
            match name.as_str() {
                "user-agent" if head.user_agent.is_empty() => head.user_agent = value.as_bytes(),
                "purpose" | "x-purpose" | "x-moz" | "sec-purpose" => {
                    head.prefetch |= looks_ahead(value.as_bytes());
                }
                "sec-gpc" | "dnt" => head.objects |= value.as_bytes().trim_ascii() == b"1",
                _ => {}
            }
        }
        head
    }
}

/// `prefetch`, `preview`, `prefetch;prerender`, `Preview`: any of the spellings in use.
fn looks_ahead(value: &[u8]) -> bool {
    let holds = |word: &[u8]| value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    // A bound on the work: the longest value in use has 30 bytes.
    value.len() <= 256 && (holds(b"prefetch") || holds(b"preview"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let name = http::HeaderName::from_static;
        pairs.iter().map(|&(n, v)| (name(n), http::HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn prefetch_is_heard_in_each_of_its_spellings() {
        for (name, value) in [
            ("purpose", "prefetch"),
            ("x-purpose", "preview"),
            ("x-moz", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "Prefetch;anonymous-client-ip"),
        ] {
            assert!(RequestHead::of(&headers(&[(name, value)])).prefetch, "{name}: {value}");
        }
        assert!(
            !RequestHead::of(&headers(&[("purpose", "fetch"), ("sec-fetch-mode", "prefetch")]))
                .prefetch
        );
    }

    #[test]
    fn an_objection_is_the_digit_one_and_nothing_else() {
        for (name, value, objects) in [
            ("sec-gpc", "1", true),
            ("dnt", "1", true),
            ("dnt", "0", false),
            ("sec-gpc", "true", false),
            ("dnt", "11", false),
        ] {
            assert_eq!(RequestHead::of(&headers(&[(name, value)])).objects, objects, "{name}");
        }
    }

    #[test]
    fn the_user_agent_is_the_first_one_sent() {
        let mut map = headers(&[("accept", "*/*"), ("user-agent", "one")]);
        map.append("user-agent", http::HeaderValue::from_static("two"));
        assert_eq!(RequestHead::of(&map).user_agent, b"one");
        assert_eq!(RequestHead::of(&HeaderMap::new()).user_agent, b"");
    }
}
