//! Free text without what looks like a person or a secret, and the last look for what is known to
//! be one. Pure.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result};
use regex::{Captures, Regex};
use zeroize::Zeroizing;

/// A pattern and what stands in its place. In this order: a URL may hold all of the others.
static RULES: LazyLock<[(Regex, &str); 8]> = LazyLock::new(|| {
    let rule = |pattern: &str| Regex::new(pattern).expect("a constant pattern");
    [
        (rule(r#"([A-Za-z][A-Za-z0-9+.-]*)://[^\s"'<>|]+"#), "$1://[url]"),
        (rule(r#"[^\s"'<>()=,;:]+@[^\s"'<>()=,;:]+"#), "[address]"),
        (rule(r"\b\d{1,3}(\.\d{1,3}){3}(/\d{1,2})?\b"), "[ip]"),
        (rule(r"(?i)\b[0-9a-f]{0,4}(:[0-9a-f]{0,4}){3,7}\b"), "[ip]"),
        (rule(r"(?i)\b[0-9a-f]{1,4}(:[0-9a-f]{1,4})*::([0-9a-f]{1,4}\b)?"), "[ip]"),
        (rule(r#"[^\s"'<>]+\.(csv|html|eml|mmdb)\b"#), "[file]"),
        (rule(r"[A-Za-z0-9_-]{60,}"), "[long]"),
        // With a digit in it: long words of prose and types have none.
        (rule(r"[A-Za-z0-9_+=]*[0-9][A-Za-z0-9_+=]*"), "[long]"),
    ]
});

/// Runs of letters and digits from here on may be a key, a mark or a part of a token.
const LONG: usize = 20;

/// A text without addresses, URLs and long runs.
pub(super) fn scrub(text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    for (pattern, instead) in &RULES[..RULES.len() - 1] {
        if pattern.is_match(&text) {
            text = Cow::Owned(pattern.replace_all(&text, *instead).into_owned());
        }
    }
    let (runs, instead) = &RULES[RULES.len() - 1];
    let cut = runs.replace_all(&text, |found: &Captures<'_>| {
        let run = &found[0];
        if run.len() >= LONG { (*instead).to_owned() } else { run.to_owned() }
    });
    cut.into_owned()
}

/// Values shorter than this stand in ordinary words as well.
const SHORTEST: usize = 12;

/// Of longer values the beginning is looked for: a Helm release is a Secret of 100 KB.
const LONGEST: usize = 512;

/// Looks for values that are known to be secret.
pub(super) struct Sweep {
    known: Option<AhoCorasick>,
}

impl Sweep {
    /// Of these values, and of what base64 and hex make of them.
    pub(super) fn new(values: Vec<Zeroizing<Vec<u8>>>) -> Result<Self> {
        use base64::Engine as _;
        let engines = [
            base64::engine::general_purpose::STANDARD_NO_PAD,
            base64::engine::general_purpose::URL_SAFE_NO_PAD,
        ];
        let mut forms: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for mut value in values {
            // A Secret made from a file often ends with its line, which what is read does not.
            let end = value.trim_ascii_end().len();
            value.truncate(end.min(LONGEST));
            if value.len() < SHORTEST {
                continue;
            }
            forms.extend(
                engines.iter().map(|form| Zeroizing::new(form.encode(&*value).into_bytes())),
            );
            forms.push(Zeroizing::new(hex::encode(&*value).into_bytes()));
            forms.push(value);
        }
        if forms.is_empty() {
            return Ok(Self { known: None });
        }
        let known = AhoCorasick::new(forms.iter().map(|form| form.as_slice()));
        Ok(Self { known: Some(known.context("cannot look for the values of Secrets")?) })
    }

    /// Cuts out what is found, and returns how often that was.
    pub(super) fn clean(&self, bytes: &mut Vec<u8>) -> usize {
        let Some(known) = &self.known else { return 0 };
        let found = known.find_iter(bytes.as_slice()).count();
        if found > 0 {
            let mut clean = Vec::with_capacity(bytes.len());
            known.replace_all_with_bytes(bytes, &mut clean, |_, _, clean| {
                clean.extend_from_slice(b"[secret]");
                true
            });
            *bytes = clean;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_tells_of_no_person_and_of_no_token() {
        for (text, wanted) in [
            ("mail to Ann <ann.lee@example.org> failed", "mail to Ann <[address]> failed"),
            ("peer 203.0.113.9:443 closed", "peer [ip]:443 closed"),
            ("from 2001:db8::17 at 08:01:22", "from [ip] at 08:01:22"),
            ("from 2a02::5 and fe80::", "from [ip] and [ip]"),
            ("GET https://t.example/c/abc?x=1 took 3 ms", "GET https://[url] took 3 ms"),
            ("url redis://user:pass@10.0.0.1:6379/0", "url redis://[url]"),
            ("read lists/staff.csv", "read [file]"),
            ("key 8f14e45fceea167a5a36dedd4bea2543 is unknown", "key [long] is unknown"),
            (
                "pod eu-operator-6d5f8c7b9-x2x4z is ready, PodInitializingSandboxThings",
                "pod eu-operator-6d5f8c7b9-x2x4z is ready, PodInitializingSandboxThings",
            ),
            (
                "campaign acme/spring: writer 1 of 2 ready",
                "campaign acme/spring: writer 1 of 2 ready",
            ),
        ] {
            assert_eq!(scrub(text), wanted);
        }
        let token = "Ab9-".repeat(20);
        assert_eq!(scrub(&format!("GET /o/{token}.gif")), "GET /o/[long].gif");
    }

    #[test]
    fn a_known_secret_is_cut_out_in_every_form_that_it_may_have() {
        let secret = b"a secret that nobody may see";
        let sweep = Sweep::new(vec![Zeroizing::new(secret.to_vec())]).unwrap();
        let hex = hex::encode(secret);
        let base64 = "YSBzZWNyZXQgdGhhdCBub2JvZHkgbWF5IHNlZQ==";
        let text = format!("x a secret that nobody may see y {hex} z {base64}");
        let mut bytes = text.into_bytes();
        assert_eq!(sweep.clean(&mut bytes), 3);
        assert_eq!(bytes, b"x [secret] y [secret] z [secret]==");
        assert_eq!(Sweep::new(Vec::new()).unwrap().clean(&mut bytes), 0);
    }
}
