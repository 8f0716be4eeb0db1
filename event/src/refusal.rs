//! The refusal log: one append-only, hash-chained list a region with a signed head. `WIRE.md`,
//! "Refusal log".
//!
//! Its length is the version of everything that may no longer be counted. Edges and writers keep
//! a copy each; one who holds more than Redis shows puts it back, and nobody ever goes back.

mod change;
mod journal;

use std::collections::HashSet;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hushmark_policy::{
    CampaignId, Cap, Caps, Generation, MailType, Mode, Place, Scope, TenantId, Tracking,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use change::{Allowed, Mail};
pub use journal::{Journal, Prepared};

/// What every entry's hash begins with, so that no other hash can be taken for one.
const CHAIN_LABEL: &[u8] = b"hushmark log 1\n";

/// The longest entry, in bytes. Longer ones are refused before they are parsed.
pub const ENTRY_MAX: usize = 8 * 1024;

/// One entry as it is written: JSON in one line, its fields in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its place in the log, from 1.
    pub n: u64,
    /// When it was appended, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it refuses.
    pub refuses: Refuses,
}

/// What an entry refuses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Refuses {
    /// Hits above a mode or finer than a place.
    Cap {
        /// Whom it covers.
        scope: CapScope,
        /// The highest generation it covers.
        up_to: u32,
        /// The mode it allows for opens.
        opens: Mode,
        /// The mode it allows for clicks.
        clicks: Mode,
        /// The place it allows.
        place: Place,
    },
    /// Answers themselves: the link is a plain 404 from now on.
    Takedown(Takedown),
}

/// [`Scope`] as an entry writes it: ids are 16 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CapScope {
    /// Every message of the region.
    All,
    /// A tenant's mail of one type.
    Tenant {
        /// The tenant's id.
        id: String,
        /// The mail type.
        mail: MailType,
    },
    /// One campaign.
    Campaign {
        /// The campaign's id.
        id: String,
    },
}

/// What is taken down.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Takedown {
    /// Every link of a tenant, by its id in 16 hex digits.
    Tenant(String),
    /// Every link of a campaign, by its id in 16 hex digits.
    Campaign(String),
    /// Every link to one destination, byte for byte.
    Url(String),
    /// Every token sealed under a key that leaked.
    Kid(u16),
}

/// The log's head: its length, the hash of its last entry, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// Number of entries.
    pub length: u64,
    /// The chain's hash, 64 hex digits.
    pub hash: String,
    /// Ed25519 over the text that `WIRE.md` gives, 128 hex digits.
    pub signature: String,
}

/// Why an entry or a head was not taken. The copy stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The entry is not the next one.
    #[error("refusal log entry {found} does not follow entry {length}")]
    OutOfOrder {
        /// Entries held.
        length: u64,
        /// The number that came.
        found: u64,
    },
    /// The bytes are no entry.
    #[error("refusal log entry after {length} cannot be read: {source}")]
    Unreadable {
        /// Entries held.
        length: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An id in an entry is not 16 hex digits, or an entry is too long.
    #[error("refusal log entry {0} names something impossible")]
    Impossible(u64),
    /// The head is of another log, or nobody who may signed it.
    #[error("refusal log head at length {0} does not verify: another region's log, or tampered")]
    BadHead(u64),
}

/// A verified copy of the log, ready to be asked about tokens and hits.
#[derive(Clone, Default)]
pub struct RefusalLog {
    length: u64,
    hash: [u8; 32],
    caps: Caps,
    takedowns: HashSet<Takedown>,
    withdrawals: u64,
}

impl RefusalLog {
    /// Number of entries taken so far.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The chain's hash at this length, in hex.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(self.hash)
    }

    /// The caps so far.
    #[must_use]
    pub const fn caps(&self) -> &Caps {
        &self.caps
    }

    /// How many caps hold for good. It grows with each: a policy that was resolved before may be
    /// another one now.
    #[must_use]
    pub const fn withdrawals(&self) -> u64 {
        self.withdrawals
    }

    /// Takes the next entry's bytes.
    ///
    /// # Errors
    /// [`LogError`] when it is not the next one or cannot be read; nothing is changed then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Entry, LogError> {
        if bytes.len() > ENTRY_MAX {
            return Err(LogError::Impossible(self.length + 1));
        }
        let entry: Entry = serde_json::from_slice(bytes)
            .map_err(|source| LogError::Unreadable { length: self.length, source })?;
        if entry.n != self.length + 1 {
            return Err(LogError::OutOfOrder { length: self.length, found: entry.n });
        }
        match &entry.refuses {
            Refuses::Cap { scope, up_to, opens, clicks, place } => {
                let scope = scope.parse().ok_or(LogError::Impossible(entry.n))?;
                let up_to = Generation(*up_to);
                let tracking = Tracking { opens: *opens, clicks: *clicks };
                self.caps.add(Cap { scope, up_to, tracking, place: *place });
                self.withdrawals += u64::from(entry.refuses.is_for_good());
            }
            Refuses::Takedown(what) => {
                if !what.is_possible() {
                    return Err(LogError::Impossible(entry.n));
                }
                self.takedowns.insert(what.clone());
            }
        }
        self.hash = chain(&self.hash, bytes);
        self.length = entry.n;
        Ok(entry)
    }

    /// Whether a link is taken down: by its tenant, campaign, key or destination.
    #[must_use]
    pub fn is_taken_down(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        kid: u16,
        destination: Option<&str>,
    ) -> bool {
        // The common case must not format anything.
        !self.takedowns.is_empty()
            && (self.takedowns.contains(&Takedown::Kid(kid))
                || self.takedowns.contains(&Takedown::Tenant(tenant.to_string()))
                || self.takedowns.contains(&Takedown::Campaign(campaign.to_string()))
                || destination
                    .is_some_and(|url| self.takedowns.contains(&Takedown::Url(url.to_owned()))))
    }

    /// Signs the head at this length.
    #[must_use]
    pub fn sign_head(&self, key: &SigningKey) -> SignedHead {
        let hash = self.hash();
        let signature = key.sign(head_text(self.length, &hash).as_bytes());
        SignedHead { length: self.length, hash, signature: hex::encode(signature.to_bytes()) }
    }

    /// Checks a head that claims this copy's length.
    ///
    /// # Errors
    /// [`LogError::BadHead`] when it is signed by another key or names another hash; heads of other
    /// lengths prove nothing about this copy and are refused likewise.
    pub fn verify_head(&self, head: &SignedHead, key: &VerifyingKey) -> Result<(), LogError> {
        head.verify(key)?;
        if head.length == self.length && head.hash == self.hash() {
            Ok(())
        } else {
            Err(LogError::BadHead(head.length))
        }
    }
}

impl SignedHead {
    /// Checks the signature alone, for one who does not hold the entries yet.
    ///
    /// # Errors
    /// [`LogError::BadHead`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), LogError> {
        let bad = || LogError::BadHead(self.length);
        let bytes: [u8; 64] =
            hex::decode(&self.signature).ok().and_then(|b| b.try_into().ok()).ok_or_else(bad)?;
        let text = head_text(self.length, &self.hash);
        key.verify_strict(text.as_bytes(), &Signature::from_bytes(&bytes)).map_err(|_| bad())
    }
}

impl Entry {
    /// The bytes that are chained, stored and sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers always serialise")
    }
}

impl Refuses {
    /// Whether every id in it is one.
    pub(crate) fn is_possible(&self) -> bool {
        match self {
            Self::Cap { scope, .. } => scope.parse().is_some(),
            Self::Takedown(what) => what.is_possible(),
        }
    }
}

impl CapScope {
    fn parse(&self) -> Option<Scope> {
        Some(match self {
            Self::All => Scope::All,
            Self::Tenant { id, mail } => Scope::Tenant(TenantId(parse_id(id)?), *mail),
            Self::Campaign { id } => Scope::Campaign(CampaignId(parse_id(id)?)),
        })
    }
}

impl From<Scope> for CapScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::All => Self::All,
            Scope::Tenant(id, mail) => Self::Tenant { id: id.to_string(), mail },
            Scope::Campaign(id) => Self::Campaign { id: id.to_string() },
        }
    }
}

impl Takedown {
    fn is_possible(&self) -> bool {
        match self {
            Self::Tenant(id) | Self::Campaign(id) => parse_id(id).is_some(),
            Self::Url(url) => !url.is_empty(),
            Self::Kid(_) => true,
        }
    }
}

/// Sixteen lower-case hex digits: one id has one text.
fn parse_id(text: &str) -> Option<u64> {
    let id = u64::from_str_radix(text, 16).ok()?;
    (format!("{id:016x}") == text).then_some(id)
}

fn chain(previous: &[u8; 32], entry: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(CHAIN_LABEL)
        .chain_update(previous)
        .chain_update(entry)
        .finalize()
        .into()
}

fn head_text(length: u64, hash: &str) -> String {
    format!("hushmark refusal log head 1\n{length}\n{hash}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(n: u64) -> Vec<u8> {
        let scope = Scope::Tenant(TenantId(n), MailType::Campaign).into();
        let refuses = Refuses::Cap {
            scope,
            up_to: 1,
            opens: Mode::Off,
            clicks: Mode::Off,
            place: Place::None,
        };
        Entry { n, at_ms: 5, refuses }.to_bytes()
    }

    #[test]
    fn entries_chain_and_the_head_proves_them() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let mut log = RefusalLog::default();
        log.append(&cap(1)).unwrap();
        log.append(&cap(2)).unwrap();
        let head = log.sign_head(&key);
        log.verify_head(&head, &key.verifying_key()).unwrap();
        insta::assert_snapshot!(String::from_utf8(cap(1)).unwrap(), @r#"{"n":1,"at_ms":5,"refuses":{"cap":{"scope":{"tenant":{"id":"0000000000000001","mail":"campaign"}},"up_to":1,"opens":"off","clicks":"off","place":"none"}}}"#);
        insta::assert_snapshot!(log.hash(), @"3326687ef619afe9db84cd6c943849d77a6ec1cf8e5ce56956653a22a98552fd");

        let stranger = SigningKey::from_bytes(&[2; 32]);
        assert!(log.verify_head(&head, &stranger.verifying_key()).is_err());
        let mut other = RefusalLog::default();
        other.append(&cap(1)).unwrap();
        assert!(other.append(&cap(3)).is_err(), "a gap is refused");
        let changed = String::from_utf8(cap(2)).unwrap().replace("\"at_ms\":5", "\"at_ms\":6");
        other.append(changed.as_bytes()).unwrap();
        assert!(other.verify_head(&head, &key.verifying_key()).is_err(), "a changed entry shows");
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let mut log = RefusalLog::default();
        for bytes in [&b"{}"[..], b"", b"{\"n\":1,\"at_ms\":0,\"refuses\":{\"pardon\":1}}"] {
            assert!(log.append(bytes).is_err());
        }
        let bad = r#"{"n":1,"at_ms":0,"refuses":{"takedown":{"tenant":"XYZ"}}}"#;
        assert!(log.append(bad.as_bytes()).is_err());
        assert_eq!((log.length(), log.hash()), (0, "0".repeat(64)));
    }

    #[test]
    fn takedown_finds_links_by_any_of_its_names() {
        let mut log = RefusalLog::default();
        let down = Takedown::Url("https://example.org/x".into());
        let entry = Entry { n: 1, at_ms: 0, refuses: Refuses::Takedown(down) };
        log.append(&entry.to_bytes()).unwrap();
        let asked = |url| log.is_taken_down(TenantId(1), CampaignId(2), 3, url);
        assert!(asked(Some("https://example.org/x")));
        assert!(!asked(Some("https://example.org/y")) && !asked(None));
    }
}
