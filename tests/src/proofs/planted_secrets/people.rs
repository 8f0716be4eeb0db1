//! Who is planted: people who can be recognized by their address, their IP addresses and their
//! program, each of a kind that occurs nowhere else, and all the texts that name them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use fastrand::Rng;

/// One recipient.
pub(super) struct Person {
    /// What makes the address recognizable. It is their first name, too.
    pub(super) word: String,
    pub(super) address: String,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
    /// What makes the user agent recognizable, another word.
    badge: String,
    pub(super) user_agent: String,
}

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Address,
    Ip,
    UserAgent,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Address, Self::Ip, Self::UserAgent];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Address => "addresses",
            Self::Ip => "IP addresses",
            Self::UserAgent => "user agents",
        }
    }
}

/// One text of a person's, as somebody might write it down.
pub(super) struct Secret {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    /// The bytes that were drawn for this person. What lies beside them is anybody's, and nothing
    /// that is looked for may begin or end in it.
    pub(super) own: Range<usize>,
}

/// One text of a person's, as somebody might hash it.
pub(super) struct Hashable {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    /// Whether a program of this stack would hash it just so. Only then it is looked for in hashes
    /// of 64 bits, of which a machine's worth of patterns and bytes is near what chance can do.
    pub(super) likely: bool,
}

/// Letters of a word. No vowels, so that no dictionary has it.
pub(super) const LETTERS: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";

/// How many: 76 bits of chance.
const WORD: usize = 16;

/// The first group of everybody's IPv6 address, and its colon.
const PREFIX: usize = "2a0c:".len();

/// Digits of a 128-bit number that this group alone decides.
const PREFIX_DIGITS: usize = 6;

/// Programs that the edge tells apart; each person's has a word of its own in it.
const AGENTS: [(&str, &str); 4] = [
    ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0", ""),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15",
        " Mobile/15E148",
    ),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36", " Chrome/131.0.0.0"),
    ("curl/8.11.0", ""),
];

/// Draws people. Nobody else on this machine has such a word, and no version number such an address.
pub(super) fn draw(count: usize, random: &mut Rng) -> Vec<Person> {
    (0..count).map(|n| person(n, random)).collect()
}

/// IPv4 addresses as people have them: three digits everywhere, so that the text is 15 bytes long,
/// and ten digits as a number.
pub(super) fn draw_v4(random: &mut Rng) -> Ipv4Addr {
    let mut octet = || random.u8(100..250);
    Ipv4Addr::new(octet().max(128), octet(), octet(), octet())
}

fn person(n: usize, random: &mut Rng) -> Person {
    let mut draw = || -> String {
        (0..WORD).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect()
    };
    let (word, badge) = (draw(), draw());
    let v4 = draw_v4(random);
    let v6 = Ipv6Addr::from_bits((0x2a0c << 112) | (random.u128(..) >> 16));
    let (head, tail) = AGENTS[n % AGENTS.len()];
    Person {
        address: format!("{word}@recipients.example"),
        user_agent: format!("{head} {badge}/7.3{tail}"),
        word,
        v4,
        v6,
        badge,
    }
}

impl Person {
    /// Everything of this person that is looked for as it is written. Spellings that hold one of
    /// these are found with it: the word is in every spelling of the address, and the dotted IPv4
    /// address in the one that is mapped into IPv6. The numbers of an IPv4 address are not here:
    /// chance writes 32 bits as well, which `numbers` deals with.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let Self { word, v4, v6, badge, .. } = self;
        let text = |kind, text: String, from: usize| {
            let own = from..text.len();
            Secret { kind, bytes: text.into_bytes(), own }
        };
        let octets = v6.octets();
        vec![
            text(Kind::Address, word.clone(), 0),
            text(Kind::Ip, v4.to_string(), 0),
            text(Kind::Ip, v6.to_string(), PREFIX),
            text(Kind::Ip, all_groups(*v6), PREFIX),
            text(Kind::Ip, v6.to_bits().to_string(), PREFIX_DIGITS),
            Secret { kind: Kind::Ip, bytes: octets.to_vec(), own: 2..16 },
            Secret { kind: Kind::Ip, bytes: reversed(&octets), own: 0..14 },
            text(Kind::UserAgent, badge.clone(), 0),
        ]
    }

    /// Everything of this person that somebody might hash: each spelling has another hash.
    pub(super) fn hashables(&self) -> Vec<Hashable> {
        let Self { word, address, v4, v6, user_agent, .. } = self;
        let mapped = v4.to_ipv6_mapped();
        let likely = |kind, bytes: &[u8]| Hashable { kind, bytes: bytes.to_vec(), likely: true };
        let other = |kind, bytes: &[u8]| Hashable { kind, bytes: bytes.to_vec(), likely: false };
        vec![
            likely(Kind::Address, address.as_bytes()),
            other(Kind::Address, word.as_bytes()),
            other(Kind::Address, address.to_uppercase().as_bytes()),
            other(Kind::Address, format!("mailto:{address}").as_bytes()),
            other(Kind::Address, format!("<{address}>").as_bytes()),
            other(Kind::Address, format!("{address}\n").as_bytes()),
            likely(Kind::Ip, v4.to_string().as_bytes()),
            likely(Kind::Ip, &v4.octets()),
            likely(Kind::Ip, &reversed(&v4.octets())),
            other(Kind::Ip, v4.to_bits().to_string().as_bytes()),
            other(Kind::Ip, mapped.to_string().as_bytes()),
            other(Kind::Ip, &mapped.octets()),
            likely(Kind::Ip, v6.to_string().as_bytes()),
            likely(Kind::Ip, &v6.octets()),
            other(Kind::Ip, &reversed(&v6.octets())),
            other(Kind::Ip, all_groups(*v6).as_bytes()),
            likely(Kind::UserAgent, user_agent.as_bytes()),
        ]
    }
}

/// No zeros left out.
fn all_groups(v6: Ipv6Addr) -> String {
    v6.segments().map(|group| format!("{group:04x}")).join(":")
}

/// As a little-endian machine writes a number down.
fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}
