//! The counters that hits become, and the keyed hashes that sketches are fed with.
//!
//! A cell is one value of one dimension; no stored row joins two dimensions. What a sketch is fed
//! with differs from cell to cell even for the same person, so that two sketches cannot be
//! intersected. `WIRE.md`, "Counters and sketches".

use std::fmt::Write as _;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use hushmark_policy::{CampaignId, Day, Kind, Mark};
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hit::Hit;
use crate::ring::DayKey;

/// The one-dimension tables that a campaign has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// All hits of a kind; its one value is empty.
    Total,
    /// How exactly hits were counted.
    Mode,
    /// The version of the verdicts' rules.
    Rules,
    /// Who made the request.
    Verdict,
    /// The link's position in the template.
    Link,
    /// The device.
    Device,
    /// The mail client or browser.
    Client,
    /// The operating system.
    System,
    /// ISO 3166-1 alpha-2.
    Country,
    /// The UTC hour of arrival, as `2026-11-21T09`.
    Hour,
}

impl Dimension {
    /// Every dimension, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Total,
        Self::Mode,
        Self::Rules,
        Self::Verdict,
        Self::Link,
        Self::Device,
        Self::Client,
        Self::System,
        Self::Country,
        Self::Hour,
    ];

    /// The name as the tables spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Mode => "mode",
            Self::Rules => "rules",
            Self::Verdict => "verdict",
            Self::Link => "link",
            Self::Device => "device",
            Self::Client => "client",
            Self::System => "system",
            Self::Country => "country",
            Self::Hour => "hour",
        }
    }

    /// The dimension of a name in the tables; ledger rows have none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.name() == name)
    }

    /// Whether its cells count distinct people: those that a report shows. `mode` and `rules` say
    /// how the counting was done and are never a group of people.
    #[must_use]
    pub const fn has_sketch(self) -> bool {
        !matches!(self, Self::Mode | Self::Rules)
    }

    /// Writes the hit's value in this dimension, or returns `false` where it has none. `rules` is
    /// the version that the hit's batch was judged by.
    pub fn value_of(self, hit: &Hit, rules: u16, into: &mut String) -> bool {
        into.clear();
        match self {
            Self::Total => {}
            Self::Mode => into.push_str(hit.context.mode.name()),
            Self::Rules => write!(into, "{rules}").expect("a string takes any text"),
            Self::Verdict => into.push_str(hit.verdict.name()),
            Self::Link if hit.link == 0 => return false,
            Self::Link => write!(into, "{}", hit.link).expect("a string takes any text"),
            Self::Device => into.push_str(hit.device.name()),
            Self::Client => into.push_str(hit.client.name()),
            Self::System => into.push_str(hit.system.name()),
            Self::Country => match hit.country {
                Some(code) => into.extend(code.map(char::from)),
                None => return false,
            },
            Self::Hour => {
                let hour = hit.at_ms / 3_600_000 % 24;
                write!(into, "{}T{hour:02}", Day::of_unix_ms(hit.at_ms))
                    .expect("a string takes any text");
            }
        }
        true
    }
}

/// A campaign's salt on its tokens' last day. Stored nowhere: it dies with the day's salt key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CampaignSalt([u8; 32]);

impl CampaignSalt {
    /// HKDF-SHA256(salt key of the last day, "hushmark salt 1" ‖ campaign).
    #[must_use]
    pub fn derive(salt_key: &DayKey, campaign: CampaignId) -> Self {
        let mut info = *b"hushmark salt 1........";
        info[15..].copy_from_slice(&campaign.0.to_be_bytes());
        let mut salt = [0; 32];
        Hkdf::<Sha256>::new(None, salt_key.expose())
            .expand(&info, &mut salt)
            .expect("32 bytes are within HKDF's limit");
        Self(salt)
    }

    /// The key of one person in this campaign: the first 128 bits of HMAC-SHA256(salt, mark).
    #[must_use]
    pub fn person(&self, mark: &Mark) -> PersonKey {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes any key");
        mac.update(&mark.expose().to_be_bytes());
        let mut code = mac.finalize().into_bytes();
        let mut key = [0; 16];
        key.copy_from_slice(&code[..16]);
        code.as_mut_slice().zeroize();
        PersonKey(key)
    }
}

/// What one person's hashes in all cells of a campaign are made with.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PersonKey([u8; 16]);

impl PersonKey {
    /// What the sketch of one cell is fed with: SipHash-2-4 (Aumasson and Bernstein, 2012), a
    /// pseudorandom function, over kind ‖ dimension ‖ 0 ‖ value.
    #[must_use]
    pub fn in_cell(&self, kind: Kind, dimension: Dimension, value: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(kind as u8);
        hasher.write(dimension.name().as_bytes());
        hasher.write_u8(0);
        hasher.write(value.as_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sketches of different months are merged: these numbers must never change.
    #[test]
    fn hashes_are_fixed_and_differ_in_every_cell() {
        let salt = CampaignSalt::derive(&DayKey::new([7; 32]), CampaignId(1));
        let person = salt.person(&Mark::new(42));
        let total = person.in_cell(Kind::Open, Dimension::Total, "");
        assert_eq!(format!("{total:016x}"), "103801de16b82546");
        let others = [
            person.in_cell(Kind::Click, Dimension::Total, ""),
            person.in_cell(Kind::Open, Dimension::Client, ""),
            person.in_cell(Kind::Open, Dimension::Total, "x"),
            salt.person(&Mark::new(43)).in_cell(Kind::Open, Dimension::Total, ""),
            CampaignSalt::derive(&DayKey::new([7; 32]), CampaignId(2))
                .person(&Mark::new(42))
                .in_cell(Kind::Open, Dimension::Total, ""),
        ];
        assert!(others.iter().all(|other| *other != total));
    }
}
