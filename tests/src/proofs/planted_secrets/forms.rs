//! In which bytes a secret may be written down, and the search for all of them at once.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::people::{Kind, Person, Secret};

/// How a secret was written down. What is compressed is unpacked before it is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Raw,
    /// Two bytes a letter, either way round.
    Utf16,
    Hex,
    Base64,
    /// Every byte as `%xx`, or only those that a URL cannot hold.
    Url,
    /// Without a key, itself raw, in hex, in base64 or as a number.
    Hashed,
}

impl Form {
    pub(super) const ALL: [Self; 6] =
        [Self::Raw, Self::Utf16, Self::Hex, Self::Base64, Self::Url, Self::Hashed];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Utf16 => "UTF-16",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Url => "URL-encoded",
            Self::Hashed => "hashed",
        }
    }
}

/// What was found: what, how written, and whether it may be chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Find {
    pub(super) kind: Kind,
    pub(super) form: Form,
    pub(super) distinct: bool,
}

/// Bytes of a pattern that are looked at; 12 of base64 are 72 bits, 16 of hex are 64.
const ENOUGH: usize = 16;

/// Fewer prove nothing: two base64 letters at the end depend on what follows.
const LEAST: usize = 8;

/// Looks for everything of some people.
pub(super) struct Finder {
    /// Where letters' case tells nothing, and where it does.
    folded: Side,
    exact: Side,
}

#[derive(Default)]
struct Patterns {
    bytes: Vec<Vec<u8>>,
    finds: Vec<Find>,
}

struct Side {
    search: AhoCorasick,
    finds: Vec<Find>,
}

impl Finder {
    /// `hashes` tells of each secret what it hashes to, without a key.
    pub(super) fn new(
        people: &[Person],
        hashes: impl Fn(&[u8]) -> Result<Vec<Vec<u8>>>,
    ) -> Result<Self> {
        let (mut folded, mut exact) = (Patterns::default(), Patterns::default());
        for secret in people.iter().flat_map(Person::secrets) {
            if !secret.hashed_only {
                as_it_is(&secret, &mut folded, &mut exact);
            }
            // What four bytes hash to is as long as any other hash.
            let find = Find { kind: secret.kind, form: Form::Hashed, distinct: true };
            for hash in hashes(&secret.bytes)? {
                hashed(&hash, find, &mut folded, &mut exact);
            }
        }
        Ok(Self { folded: folded.build(true)?, exact: exact.build(false)? })
    }

    /// Looks for people who never were, in those forms alone that chance finds.
    pub(super) fn by_chance(people: &[Person]) -> Result<Self> {
        let (mut folded, mut exact) = (Patterns::default(), Patterns::default());
        for secret in people.iter().flat_map(Person::secrets).filter(|secret| !secret.distinct) {
            as_it_is(&secret, &mut folded, &mut exact);
        }
        Ok(Self { folded: folded.build(true)?, exact: exact.build(false)? })
    }

    /// How often what was found in bytes.
    pub(super) fn search(&self, bytes: &[u8]) -> BTreeMap<Find, u64> {
        let mut found = BTreeMap::new();
        for side in [&self.folded, &self.exact] {
            for hit in side.search.find_overlapping_iter(bytes) {
                *found.entry(side.finds[hit.pattern().as_usize()]).or_default() += 1;
            }
        }
        found
    }

    pub(super) fn patterns(&self) -> usize {
        self.folded.finds.len() + self.exact.finds.len()
    }
}

impl Patterns {
    fn add(&mut self, mut bytes: Vec<u8>, find: Find) {
        bytes.truncate(ENOUGH);
        if bytes.len() >= LEAST || !find.distinct {
            self.bytes.push(bytes);
            self.finds.push(find);
        }
    }

    fn build(self, fold: bool) -> Result<Side> {
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard).ascii_case_insensitive(fold);
        let search = builder.build(&self.bytes).context("the patterns are too many")?;
        Ok(Side { search, finds: self.finds })
    }
}

fn as_it_is(secret: &Secret, folded: &mut Patterns, exact: &mut Patterns) {
    let Secret { kind, bytes, distinct, .. } = secret;
    let find = |form| Find { kind: *kind, form, distinct: *distinct };
    let text = bytes.is_ascii();
    if text {
        folded.add(distinctive(*kind, bytes), find(Form::Raw));
        let letters = distinctive(*kind, bytes);
        folded.add(letters.iter().flat_map(|byte| [*byte, 0]).collect(), find(Form::Utf16));
        folded.add(letters.iter().flat_map(|byte| [0, *byte]).collect(), find(Form::Utf16));
        let escaped = url_encoded(&letters);
        if escaped != letters {
            folded.add(escaped, find(Form::Url));
        }
    } else {
        exact.add(bytes.clone(), find(Form::Raw));
    }
    folded.add(hex::encode(distinctive(*kind, bytes)).into_bytes(), find(Form::Hex));
    folded.add(every_byte(&distinctive(*kind, bytes)), find(Form::Url));
    if *distinct {
        base64(bytes, find(Form::Base64), exact);
        let upper = bytes.to_ascii_uppercase();
        if text && upper != *bytes {
            base64(&upper, find(Form::Base64), exact);
        }
    }
}

/// The part of a secret that nobody else has: many have the same program, and the same domain.
fn distinctive(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    bytes[own(kind, bytes)..].to_vec()
}

/// Where that part begins: a user agent's is the word before `/7.3`.
fn own(kind: Kind, bytes: &[u8]) -> usize {
    let mark = bytes.windows(4).position(|it| it == b"/7.3");
    match (kind, mark) {
        (Kind::UserAgent, Some(at)) => at - ENOUGH,
        _ => 0,
    }
}

fn hashed(hash: &[u8], find: Find, folded: &mut Patterns, exact: &mut Patterns) {
    let backwards: Vec<u8> = hash.iter().rev().copied().collect();
    // A number lies in memory either way round; a digest has one.
    let ways = if hash.len() == 8 { &[hash, &backwards][..] } else { &[hash] };
    for bytes in ways.iter().copied() {
        exact.add(bytes.to_vec(), find);
        folded.add(hex::encode(bytes).into_bytes(), find);
        match bytes.try_into().map(u64::from_be_bytes) {
            Ok(number) => {
                exact.add(number.to_string().into_bytes(), find);
                exact.add(number.cast_signed().to_string().into_bytes(), find);
            }
            Err(_) => base64(bytes, find, exact),
        }
    }
}

/// The letters of base64 that are the same whatever stands before and after: with one, two and no
/// bytes before, in both alphabets. Padding comes after them.
fn base64(bytes: &[u8], find: Find, exact: &mut Patterns) {
    for before in 0..3 {
        let whole = [&[0; 2][..before], bytes].concat();
        let begin = own(find.kind, &whole);
        // Letters that hold a bit of what stands before are left out, and so is the last one.
        let skip = if find.form == Form::Hashed { before * 8 } else { begin.max(before) * 8 };
        let first = skip.div_ceil(6);
        let part = |text: &str| text.as_bytes()[first..whole.len() * 8 / 6].to_vec();
        let (standard, url) = (STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole));
        exact.add(part(&standard), find);
        if standard != url {
            exact.add(part(&url), find);
        }
    }
}

fn every_byte(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("%{byte:02x}").into_bytes()).collect()
}

/// As a URL's query holds it.
fn url_encoded(bytes: &[u8]) -> Vec<u8> {
    percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::people;
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    fn finder(people: &[Person]) -> Finder {
        // A stand-in for a hash, as long as the shortest.
        Finder::new(people, |bytes| {
            Ok(vec![
                bytes
                    .iter()
                    .fold(0x9e37_79b9_7f4a_7c15_u64, |sum, byte| {
                        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
                    })
                    .to_be_bytes()
                    .to_vec(),
            ])
        })
        .unwrap()
    }

    #[test]
    fn a_secret_is_found_in_every_form_and_between_anything() {
        let mut random = fastrand::Rng::with_seed(3);
        let all = people::draw(8, &mut random);
        let finder = finder(&all);
        for person in &all {
            for text in [&person.address, &person.user_agent, &person.v4.to_string()] {
                let kind = match text {
                    it if *it == person.address => Kind::Address,
                    it if *it == person.user_agent => Kind::UserAgent,
                    _ => Kind::Ip,
                };
                let found = |bytes: &[u8], form| {
                    finder.search(bytes).keys().any(|it| (it.kind, it.form) == (kind, form))
                };
                for before in ["", "x", "xy", "xyz"] {
                    let whole = format!("{before}{text}{before}");
                    assert!(found(whole.as_bytes(), Form::Raw));
                    assert!(found(whole.to_uppercase().as_bytes(), Form::Raw));
                    assert!(found(hex::encode(&whole).as_bytes(), Form::Hex));
                    assert!(found(hex::encode_upper(&whole).as_bytes(), Form::Hex));
                    assert!(found(STANDARD.encode(&whole).as_bytes(), Form::Base64), "{whole}");
                    assert!(found(URL_SAFE.encode(&whole).as_bytes(), Form::Base64));
                    assert!(found(&every_byte(whole.as_bytes()), Form::Url));
                    let wide: Vec<u8> = whole.bytes().flat_map(|byte| [byte, 0]).collect();
                    assert!(found(&wide, Form::Utf16));
                }
            }
            assert!(!finder.search(&person.v6.octets()).is_empty());
            assert!(!finder.search(person.v6.to_string().as_bytes()).is_empty());
        }
    }

    #[test]
    fn what_is_nobodys_is_not_found() {
        let mut random = fastrand::Rng::with_seed(3);
        let all = people::draw(8, &mut random);
        let others = people::draw(8, &mut random);
        let finder = finder(&all);
        for other in others {
            let text = format!("{} {} {} {}", other.address, other.user_agent, other.v4, other.v6);
            assert_eq!(finder.search(text.as_bytes()), BTreeMap::new(), "{text}");
        }
    }
}
