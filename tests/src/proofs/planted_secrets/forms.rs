//! In which bytes a secret may be written down, and the search for all of them at once.
//!
//! **What is looked for is the person's own.** A pattern is made of bytes that were drawn for one
//! person, and of nothing beside them. An IPv4 address that is mapped into IPv6 begins with ten zero
//! bytes: the first sixteen hex digits of it are zeros, and an audit log begins with the hash
//! before its first entry, sixty-four of them. So a search for forty people's once found somebody
//! 1,960 times, 49 places for each of them. Two people cannot have the same pattern unless it is of
//! what they share, so [`Finder::new`] refuses one that two of them have.
//!
//! **And it is long enough.** [`Finder::by_chance`] says how many of all patterns would be found in
//! so many bytes if these were random and of the very letters that a pattern has, hex digits for
//! one in hex: a proof has to show that this is next to nothing. It is hashes of 64 bits that come
//! nearest, so that only the likeliest texts are looked for in those.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::hashes::{FUNCTIONS, Hashes, Width};
use super::people::{Kind, LETTERS, Person, Secret};

/// How a secret was written down. What is compressed is unpacked before it is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Form {
    Raw,
    /// Two bytes a letter, either way round.
    Utf16,
    Hex,
    Base64,
    /// Every byte as `%xx`, or only those that a URL cannot hold.
    Url,
    /// Without a key, by one of [`FUNCTIONS`]; itself raw, in hex, in base64 or as a number.
    Hashed(usize),
}

impl Form {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let as_it_is = [Self::Raw, Self::Utf16, Self::Hex, Self::Base64, Self::Url];
        as_it_is.into_iter().chain((0..FUNCTIONS.len()).map(Self::Hashed))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Utf16 => "UTF-16",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Url => "URL-encoded",
            Self::Hashed(at) => FUNCTIONS[at].name,
        }
    }
}

/// What was found, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Find {
    pub(super) kind: Kind,
    pub(super) form: Form,
}

/// What the bytes of a pattern are drawn from, where it has most to fear of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Alphabet {
    Bytes,
    Hex,
    Base64,
    Digits,
    /// A dotted IPv4 address: digits and dots. Another address alone can be taken for it, which
    /// `numbers` counts.
    Dotted,
    Word,
}

impl Alphabet {
    /// The chance that so many letters are those of a pattern.
    fn chance(self, length: i32) -> f64 {
        let letters: f64 = match self {
            Self::Bytes => 256.0,
            Self::Hex => 16.0,
            Self::Base64 => 64.0,
            Self::Dotted => 11.0,
            Self::Word => LETTERS.len() as f64,
            // It has to be the whole of a number, which may be any of 64 bits.
            Self::Digits => return 2.0_f64.powi(-64),
        };
        letters.powi(-length)
    }
}

/// Bytes of a digest that are looked for: 128 bits raw, 96 in hex.
const DIGEST: usize = 16;
const DIGEST_HEX: usize = 24;

/// Looks for everything of some people.
pub(super) struct Finder {
    /// Where letters' case tells nothing, and where it does.
    folded: Side,
    exact: Side,
    /// The chance that one of the patterns begins at a byte, for each alphabet.
    chances: HashMap<Alphabet, f64>,
}

struct Side {
    search: AhoCorasick,
    meant: Vec<(Find, Alphabet)>,
}

impl Finder {
    /// # Errors
    /// When two people have a pattern in common, which is of neither then.
    pub(super) fn new(people: &[Person], hashes: &Hashes) -> Result<Self> {
        let (mut folded, mut exact) = (Patterns::default(), Patterns::default());
        for (whose, person) in people.iter().enumerate() {
            (folded.whose, exact.whose) = (whose, whose);
            for secret in person.secrets() {
                as_it_is(&secret, &mut folded, &mut exact)?;
            }
            for text in person.hashables() {
                for (at, hash) in hashes.of(&text.bytes)?.iter().enumerate() {
                    let find = Find { kind: text.kind, form: Form::Hashed(at) };
                    match FUNCTIONS[at].width {
                        Width::Word if text.likely => word(hash, find, &mut folded, &mut exact)?,
                        Width::Word => {}
                        Width::Digest => digest(hash, find, &mut folded, &mut exact)?,
                    }
                }
            }
        }
        let mut chances = HashMap::new();
        for (bytes, (_, _, alphabet)) in folded.all.iter().chain(&exact.all) {
            let length = i32::try_from(bytes.len()).context("a pattern is short")?;
            *chances.entry(*alphabet).or_default() += alphabet.chance(length);
        }
        Ok(Self { folded: folded.build(true)?, exact: exact.build(false)?, chances })
    }

    /// Calls back for everything that is found in bytes.
    pub(super) fn search(&self, bytes: &[u8], mut found: impl FnMut(Find)) {
        for side in [&self.folded, &self.exact] {
            for hit in side.search.find_overlapping_iter(bytes) {
                let (find, alphabet) = side.meant[hit.pattern().as_usize()];
                if alphabet != Alphabet::Digits || is_a_number(bytes, hit.start(), hit.end()) {
                    found(find);
                }
            }
        }
    }

    pub(super) fn patterns(&self) -> usize {
        self.folded.meant.len() + self.exact.meant.len()
    }

    /// How many finds chance would make in so many random bytes of whichever alphabet has most.
    pub(super) fn by_chance(&self, bytes: u64) -> f64 {
        let dotted = |alphabet: &Alphabet| *alphabet != Alphabet::Dotted;
        let chances = self.chances.iter().filter(|(it, _)| dotted(it)).map(|(_, chance)| *chance);
        chances.fold(0.0, f64::max) * bytes as f64
    }
}

/// A number in decimal is one where it ends on both sides: within a longer one it is another.
pub(super) fn is_a_number(bytes: &[u8], start: usize, end: usize) -> bool {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    !is_digit(end) && !start.checked_sub(1).is_some_and(is_digit)
}

/// Patterns, each with whose it is, what finding it means, and what it is made of.
#[derive(Default)]
struct Patterns {
    whose: usize,
    all: HashMap<Vec<u8>, (usize, Find, Alphabet)>,
}

impl Patterns {
    fn add(&mut self, bytes: Vec<u8>, find: Find, alphabet: Alphabet) -> Result<()> {
        let (whose, ..) = *self.all.entry(bytes).or_insert((self.whose, find, alphabet));
        ensure!(whose == self.whose, "two people have a pattern in common: {find:?}");
        Ok(())
    }

    fn build(self, fold: bool) -> Result<Side> {
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard).ascii_case_insensitive(fold);
        let (bytes, meant): (Vec<_>, Vec<_>) =
            self.all.into_iter().map(|(bytes, (_, find, of))| (bytes, (find, of))).unzip();
        let search = builder.build(bytes).context("the patterns are too many")?;
        Ok(Side { search, meant })
    }
}

fn as_it_is(secret: &Secret, folded: &mut Patterns, exact: &mut Patterns) -> Result<()> {
    let Secret { kind, bytes, own } = secret;
    let find = |form| Find { kind: *kind, form };
    let text = bytes.is_ascii();
    let mine = &bytes[own.clone()];
    if text {
        let of = if mine.iter().all(u8::is_ascii_digit) {
            // Behind digits that everybody's number begins with, so it begins within a number.
            Alphabet::Bytes
        } else if mine.contains(&b'.') {
            Alphabet::Dotted
        } else if mine.contains(&b':') {
            Alphabet::Hex
        } else {
            Alphabet::Word
        };
        folded.add(mine.to_vec(), find(Form::Raw), of)?;
        folded.add(mine.iter().flat_map(|it| [*it, 0]).collect(), find(Form::Utf16), of)?;
        folded.add(mine.iter().flat_map(|it| [0, *it]).collect(), find(Form::Utf16), of)?;
        let escaped = url_encoded(mine);
        if escaped != mine {
            folded.add(escaped, find(Form::Url), Alphabet::Bytes)?;
        }
    } else {
        exact.add(mine.to_vec(), find(Form::Raw), Alphabet::Bytes)?;
    }
    folded.add(hex::encode(mine).into_bytes(), find(Form::Hex), Alphabet::Hex)?;
    folded.add(every_byte(mine), find(Form::Url), Alphabet::Bytes)?;
    for before in 0..3 {
        base64(secret, before, find(Form::Base64), exact)?;
        let upper = bytes.to_ascii_uppercase();
        if text && upper != *bytes {
            let upper = Secret { kind: *kind, bytes: upper, own: own.clone() };
            base64(&upper, before, find(Form::Base64), exact)?;
        }
    }
    Ok(())
}

/// A number of 64 bits lies in memory either way round, and has a sign or none where it is printed.
fn word(hash: &[u8], find: Find, folded: &mut Patterns, exact: &mut Patterns) -> Result<()> {
    let there = u64::from_be_bytes(hash.try_into().context("a word has eight bytes")?);
    for number in [there, there.swap_bytes()] {
        let bytes = number.to_be_bytes();
        exact.add(bytes.to_vec(), find, Alphabet::Bytes)?;
        folded.add(hex::encode(bytes).into_bytes(), find, Alphabet::Hex)?;
        for text in [number.to_string(), number.cast_signed().unsigned_abs().to_string()] {
            exact.add(text.into_bytes(), find, Alphabet::Digits)?;
        }
    }
    Ok(())
}

/// A digest is looked for as it begins.
fn digest(hash: &[u8], find: Find, folded: &mut Patterns, exact: &mut Patterns) -> Result<()> {
    let begin = hash.get(..DIGEST).context("a digest has 16 bytes")?;
    exact.add(begin.to_vec(), find, Alphabet::Bytes)?;
    let mut hex = hex::encode(begin).into_bytes();
    hex.truncate(DIGEST_HEX);
    folded.add(hex, find, Alphabet::Hex)?;
    let begin = Secret { kind: find.kind, bytes: begin.to_vec(), own: 0..DIGEST };
    base64(&begin, 0, find, exact)
}

/// The letters of base64 that are the same whatever stands before and after, in both alphabets, with
/// so many bytes before. Letters that hold a bit of anything but the secret are left out.
fn base64(secret: &Secret, before: usize, find: Find, exact: &mut Patterns) -> Result<()> {
    let whole = [&[0; 2][..before], &secret.bytes].concat();
    let first = ((before + secret.own.start) * 8).div_ceil(6);
    let last = (before + secret.own.end) * 8 / 6;
    let part = |text: &str| text.as_bytes()[first..last].to_vec();
    exact.add(part(&STANDARD_NO_PAD.encode(&whole)), find, Alphabet::Base64)?;
    exact.add(part(&URL_SAFE_NO_PAD.encode(&whole)), find, Alphabet::Base64)
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
mod tests;
