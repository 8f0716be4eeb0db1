//! IPv4 addresses as numbers. Four bytes are found in any large file: 300 addresses either way round
//! once in seven million random bytes. So to find one proves nothing, and to find none is asking too
//! much. What proves something is to find **more of the people than of as many who never were**.
//!
//! Addresses of nobody are drawn as those of people are, ten for each. Where nothing was stored
//! nobody can tell one from the other, so that of all addresses that a kind of place holds, each is
//! as likely a person's as any other's: how many of them are is hypergeometric, however the bytes
//! come about, and however often the same one is found. Where numbers are stored, all people are
//! found there. A place holds as long as what was found of people is no rarer than [`RAREST`];
//! [`least`] says from how many people on it would not.
//!
//! What this cannot see is one person's number alone in a large place. Everybody comes by IPv4 and by
//! IPv6 in turn, as one type of the edge's, and sixteen bytes are looked for without any reserve.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::forms::is_a_number;
use super::people::Person;

/// How the number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Number {
    Bytes,
    Hex,
    Base64,
    Decimal,
    /// No number, but as `forms` looks for it: to tell what chance finds of those.
    Dotted,
}

impl Number {
    pub(super) const ALL: [Self; 5] =
        [Self::Bytes, Self::Hex, Self::Base64, Self::Decimal, Self::Dotted];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "four bytes",
            Self::Hex => "eight hex digits",
            Self::Base64 => "five letters of base64",
            Self::Decimal => "ten decimal digits",
            Self::Dotted => "dotted text",
        }
    }
}

/// Rarer is no chance. A proof asks some two hundred times: all of them together are wrong once in
/// five million runs.
const RAREST: f64 = 1e-9;

/// Looks for IPv4 addresses of people, and of ten times as many who never were.
pub(super) struct Numbers {
    people: u32,
    nobody: u32,
    /// Hex digits, in either case.
    folded: Side,
    exact: Side,
}

struct Side {
    search: AhoCorasick,
    /// Whose a pattern is: people come first.
    meant: Vec<(Number, u32)>,
}

/// Who was found, of each form.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(BTreeMap<Number, BTreeSet<u32>>);

/// What was found of a form in a place: how many of the people, how many of those who never were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) people: u32,
    pub(super) nobody: u32,
    /// How likely at least so many people are, where nothing was stored.
    likely: f64,
}

impl Counted {
    pub(super) fn holds(self) -> bool {
        self.likely >= RAREST
    }
}

impl Numbers {
    pub(super) fn new(people: &[Person], nobody: &[Ipv4Addr]) -> Result<Self> {
        let (mut folded, mut exact) = (Vec::new(), Vec::new());
        for (who, v4) in (0..).zip(people.iter().map(|it| it.v4).chain(nobody.iter().copied())) {
            exact.push((v4.to_string().into_bytes(), (Number::Dotted, who)));
            for number in [v4.to_bits(), v4.to_bits().swap_bytes()] {
                let bytes = number.to_be_bytes();
                exact.push((bytes.to_vec(), (Number::Bytes, who)));
                exact.push((number.to_string().into_bytes(), (Number::Decimal, who)));
                folded.push((hex::encode(bytes).into_bytes(), (Number::Hex, who)));
                for mut text in [STANDARD_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)] {
                    // The last letter holds bits of what follows.
                    text.truncate(5);
                    exact.push((text.into_bytes(), (Number::Base64, who)));
                }
            }
        }
        Ok(Self {
            people: u32::try_from(people.len()).context("too many people")?,
            nobody: u32::try_from(nobody.len()).context("too many people")?,
            folded: Side::new(folded, true)?,
            exact: Side::new(exact, false)?,
        })
    }

    /// Looks at bytes, and remembers whom they hold.
    pub(super) fn search(&self, bytes: &[u8], seen: &mut Seen) {
        for side in [&self.folded, &self.exact] {
            for hit in side.search.find_overlapping_iter(bytes) {
                let (number, who) = side.meant[hit.pattern().as_usize()];
                let whole = number != Number::Decimal;
                if whole || is_a_number(bytes, hit.start(), hit.end()) {
                    seen.0.entry(number).or_default().insert(who);
                }
            }
        }
    }

    /// What was found of a form.
    pub(super) fn count(&self, seen: &Seen, number: Number) -> Counted {
        let who = seen.0.get(&number).into_iter().flatten();
        let (people, nobody): (Vec<u32>, Vec<u32>) = who.partition(|who| **who < self.people);
        let (people, nobody) = (people.len() as u32, nobody.len() as u32);
        let likely = at_least(people, people + nobody, self.people, self.nobody);
        Counted { people, nobody, likely }
    }

    /// From how many people on a place would not hold, where so many are found of nobody.
    pub(super) fn least(&self, nobody: u32) -> Option<u32> {
        let is_found =
            |people: &u32| at_least(*people, people + nobody, self.people, self.nobody) < RAREST;
        (1..=self.people).find(is_found)
    }
}

impl Side {
    fn new(patterns: Vec<(Vec<u8>, (Number, u32))>, fold: bool) -> Result<Self> {
        let (bytes, meant): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let mut builder = AhoCorasick::builder();
        let search = builder.ascii_case_insensitive(fold).build(bytes);
        Ok(Self { search: search.context("the patterns are too many")?, meant })
    }
}

/// The chance that of `drawn` out of `people + nobody` at least so many are people's: the upper tail
/// of the hypergeometric distribution.
fn at_least(found: u32, drawn: u32, people: u32, nobody: u32) -> f64 {
    let most = drawn.min(people);
    let all = ln_choose(people + nobody, drawn);
    let exactly = |k: u32| match (drawn - k).cmp(&(nobody + 1)) {
        std::cmp::Ordering::Less => {
            (ln_choose(people, k) + ln_choose(nobody, drawn - k) - all).exp()
        }
        _ => 0.0,
    };
    (found..=most).map(exactly).sum::<f64>().min(1.0)
}

fn ln_choose(n: u32, k: u32) -> f64 {
    (0..k).map(|at| (f64::from(n - at) / f64::from(at + 1)).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::people;
    use super::*;
    use fastrand::Rng;

    #[test]
    fn the_tail_is_that_of_drawing_without_putting_back() {
        // Of 2 people and 2 others, two are drawn: 6 ways, 1 of them both people, 5 at least one.
        assert!((at_least(2, 2, 2, 2) - 1.0 / 6.0).abs() < 1e-12);
        assert!((at_least(1, 2, 2, 2) - 5.0 / 6.0).abs() < 1e-12);
        assert!((at_least(0, 2, 2, 2) - 1.0).abs() < 1e-12);
        // Everybody was found: that says nothing of people.
        assert!((at_least(3, 33, 3, 30) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_of_people_are_found_among_random_bytes_and_without_them_nothing_is() {
        let mut random = Rng::with_seed(5);
        let people = people::draw(40, &mut random);
        let nobody: Vec<_> = (0..400).map(|_| people::draw_v4(&mut random)).collect();
        let numbers = Numbers::new(&people, &nobody).unwrap();
        let mut noise = vec![0; 20 << 20];
        random.fill(&mut noise);
        let mut seen = Seen::default();
        numbers.search(&noise, &mut seen);
        let chance = numbers.count(&seen, Number::Bytes);
        assert!(chance.holds() && chance.nobody > 0, "{chance:?}");
        let wanted = numbers.least(chance.nobody).unwrap();
        assert!(wanted < 40, "{wanted}");
        for person in &people[..wanted as usize] {
            let at = random.usize(..noise.len() - 4);
            noise[at..at + 4].copy_from_slice(&person.v4.octets());
        }
        numbers.search(&noise, &mut seen);
        assert!(!numbers.count(&seen, Number::Bytes).holds());
        for number in [Number::Hex, Number::Decimal, Number::Dotted] {
            assert!(numbers.count(&seen, number).holds());
        }
    }

    #[test]
    fn each_form_of_a_number_is_found() {
        let mut random = Rng::with_seed(5);
        let people = people::draw(40, &mut random);
        let numbers = Numbers::new(&people, &[]).unwrap();
        let v4 = people[0].v4;
        let mut seen = Seen::default();
        let text = format!("{v4} {} {:X} ", v4.to_bits(), v4.to_bits());
        numbers.search(text.as_bytes(), &mut seen);
        numbers.search(&v4.octets(), &mut seen);
        numbers.search(STANDARD_NO_PAD.encode(v4.octets()).as_bytes(), &mut seen);
        for number in Number::ALL {
            assert_eq!(numbers.count(&seen, number).people, 1, "{number:?}");
        }
        let mut seen = Seen::default();
        numbers.search(format!("1{}", v4.to_bits()).as_bytes(), &mut seen);
        assert_eq!(numbers.count(&seen, Number::Decimal).people, 0);
    }
}
