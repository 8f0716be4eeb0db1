//! The people, and what of them must be nowhere: address, IP addresses and user agent, each of a kind
//! that occurs nowhere else.

use std::net::{Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

/// One recipient.
pub(super) struct Person {
    /// What makes the address recognizable: 16 letters and digits, others than the user agent's.
    pub(super) word: String,
    pub(super) address: String,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
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

/// One text of a person's, as somebody might write it down or hash it.
pub(super) struct Secret {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    /// Whether it is so long that it is found by chance nowhere. An IPv4 address as four bytes is not.
    pub(super) distinct: bool,
    /// Whether it is looked for as it is, and not only hashed: a domain alone is everybody's.
    pub(super) hashed_only: bool,
}

const LETTERS: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";

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

fn person(n: usize, random: &mut Rng) -> Person {
    let mut draw = || -> String {
        (0..16).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect()
    };
    let (word, badge) = (draw(), draw());
    let mut octet = || random.u8(100..250);
    // Three digits each: the text is long enough to be found within base64, and the number has ten.
    let v4 = Ipv4Addr::new(octet().max(128), octet(), octet(), octet());
    let v6 = Ipv6Addr::from_bits((0x2a0c << 112) | (random.u128(..) >> 16));
    let (head, tail) = AGENTS[n % AGENTS.len()];
    Person {
        address: format!("{word}@recipients.example"),
        user_agent: format!("{head} {badge}/7.3{tail}"),
        word,
        v4,
        v6,
    }
}

impl Person {
    /// Everything of this person that is looked for.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let Self { word, address, v4, v6, user_agent } = self;
        let upper = address.to_uppercase();
        let plain = |kind, text: &str| secret(kind, text.as_bytes(), true, false);
        // As a hash's input each spelling is another; as text the word alone finds all of them.
        let hashed = |kind, text: String| secret(kind, text.as_bytes(), true, true);
        let whole_v6 = v6.segments().map(|group| format!("{group:04x}")).join(":");
        let mapped = v4.to_ipv6_mapped();
        vec![
            plain(Kind::Address, word),
            plain(Kind::Address, address),
            hashed(Kind::Address, upper),
            hashed(Kind::Address, format!("mailto:{address}")),
            hashed(Kind::Address, format!("<{address}>")),
            hashed(Kind::Address, format!("{address}\n")),
            plain(Kind::Ip, &v4.to_string()),
            plain(Kind::Ip, &v4.to_bits().to_string()),
            plain(Kind::Ip, &v6.to_string()),
            plain(Kind::Ip, &whole_v6),
            plain(Kind::Ip, &v6.to_bits().to_string()),
            secret(Kind::Ip, &v6.octets(), true, false),
            secret(Kind::Ip, &reversed(&v6.octets()), true, false),
            secret(Kind::Ip, &mapped.octets(), true, false),
            hashed(Kind::Ip, mapped.to_string()),
            secret(Kind::Ip, &v4.octets(), false, false),
            secret(Kind::Ip, &reversed(&v4.octets()), false, false),
            plain(Kind::UserAgent, user_agent),
        ]
    }
}

fn secret(kind: Kind, bytes: &[u8], distinct: bool, hashed_only: bool) -> Secret {
    Secret { kind, bytes: bytes.to_vec(), distinct, hashed_only }
}

/// As a little-endian machine writes a number down.
fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}
