//! The refusal log: one append-only, hash-chained list a region with a signed head. `WIRE.md`,
//! "Refusal log".
//!
//! Its length is the version of everything that may no longer be counted. Edges and writers keep
//! a copy each; one who holds more than Redis shows puts it back, and nobody ever goes back.

mod change;
mod erase;
mod journal;

use std::collections::HashSet;

use ed25519_dalek::{SigningKey, VerifyingKey};
use hushmark_policy::{
    CampaignId, Cap, Caps, Day, Generation, Kind, MailType, Mark, Mode, ObjectedMessage, Place,
    Scope, TenantId, Tracking,
};
use serde::{Deserialize, Serialize};

pub use change::{Allowed, Mail};
pub use erase::{Erased, Erasure, Erasures, Whose};
pub use journal::{Journal, Prepared};

use crate::chain::{self, Chain, Hash32, Log, parse_id};
pub use crate::chain::{ENTRY_MAX, LogError};

/// The refusal log, as opposed to the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {}

impl Log for Refusals {
    const ENTRY_LABEL: &'static [u8] = b"hushmark log 1\n";
    const HEAD_LABEL: &'static str = "hushmark refusal log head 1";
    type Entry = Entry;

    fn place(entry: &Entry) -> u64 {
        entry.n
    }
}

/// The refusal log's head.
pub type SignedHead = chain::SignedHead<Refusals>;

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
    /// Hits of one person: of every `individual` message that names the contact.
    Contact {
        /// The tenant's id.
        tenant: String,
        /// The contact's random id, in 16 hex digits. Only the tenant's contacts say who it is.
        id: String,
    },
    /// Hits of one `anonymous` message, of which nobody knows whose it is.
    Message {
        /// The campaign's id.
        campaign: String,
        /// The token's last day, as `2026-11-21`. Once it is closed nobody can match the entry.
        until: String,
        /// The mark's hash under that day's key, in 16 hex digits: [`crate::objection`].
        id: String,
    },
    /// Hits of whom or what is erased, and what is stored already: the writer removes it.
    Erase(Erased),
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

/// A verified copy of the log, ready to be asked about tokens and hits.
#[derive(Clone, Default)]
pub struct RefusalLog {
    chain: Chain<Refusals>,
    caps: Caps,
    takedowns: HashSet<Takedown>,
    erasures: Erasures,
    withdrawals: u64,
}

impl RefusalLog {
    /// Number of entries taken so far.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.chain.length()
    }

    /// The chain's hash at this length, in hex.
    #[must_use]
    pub fn hash(&self) -> String {
        self.chain.hash().to_string()
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

    /// What has to be gone from every store.
    #[must_use]
    pub const fn erasures(&self) -> &Erasures {
        &self.erasures
    }

    /// Takes the next entry's bytes.
    ///
    /// # Errors
    /// [`LogError`] when it is not the next one or cannot be read; nothing is changed then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Entry, LogError> {
        let entry = self.chain.read(bytes)?;
        let change = entry.refuses.parse().ok_or(LogError::Impossible(entry.n))?;
        self.chain.take(bytes);
        self.change(&entry, change);
        Ok(entry)
    }

    /// Reads entries that follow, and changes nothing: what it costs does not depend on how long
    /// the log is.
    ///
    /// # Errors
    /// [`LogError`] of the first that cannot follow.
    pub fn read<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Following, LogError> {
        let mut following = self.following();
        entries.into_iter().try_for_each(|bytes| following.push(bytes))?;
        Ok(following)
    }

    fn following(&self) -> Following {
        let (from, chain) = (self.chain.hash(), self.chain.clone());
        Following { from, chain, entries: Vec::new() }
    }

    /// Takes what was read on this very log.
    ///
    /// # Errors
    /// [`LogError::OtherHistory`] when it was read on another one; nothing is changed then.
    pub fn take(&mut self, following: Following) -> Result<(), LogError> {
        self.take_all(following).map(drop)
    }

    fn take_all(&mut self, following: Following) -> Result<Vec<Entry>, LogError> {
        if following.from != self.chain.hash() {
            return Err(LogError::OtherHistory(self.length() + 1));
        }
        self.chain = following.chain;
        let taken = following.entries.into_iter().map(|(entry, change)| {
            self.change(&entry, change);
            entry
        });
        Ok(taken.collect())
    }

    fn change(&mut self, entry: &Entry, change: Change) {
        match change {
            Change::Cap(cap) => {
                self.caps.add(cap);
                self.withdrawals += u64::from(entry.refuses.is_for_good());
            }
            Change::Takedown(what) => {
                self.takedowns.insert(what);
            }
            Change::Contact(tenant, contact) => self.caps.withdraw(tenant, &contact),
            Change::Erase(whose) => {
                whose.refuse(&mut self.caps);
                self.withdrawals += u64::from(!matches!(whose, Whose::Person { .. }));
                self.erasures.add(Erasure { n: entry.n, at_ms: entry.at_ms, whose });
            }
            Change::Message(message) => self.caps.withdraw_message(message),
        }
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
        self.chain.sign_head(key)
    }

    /// Checks a head that claims this copy's length.
    ///
    /// # Errors
    /// [`LogError::BadHead`] when it is signed by another key or names another hash; heads of other
    /// lengths prove nothing about this copy and are refused likewise.
    pub fn verify_head(&self, head: &SignedHead, key: &VerifyingKey) -> Result<(), LogError> {
        self.chain.verify_head(head, key)
    }
}

impl Entry {
    /// The bytes that are chained, stored and sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers always serialise")
    }
}

/// What an entry changes: [`Refuses`] with its ids read.
enum Change {
    Cap(Cap),
    Takedown(Takedown),
    Contact(TenantId, Mark),
    Message(ObjectedMessage),
    Erase(Whose),
}

/// Entries that follow a log's last one, read and not taken yet.
pub struct Following {
    /// The hash of the log that it was read on.
    from: Hash32,
    chain: Chain<Refusals>,
    entries: Vec<(Entry, Change)>,
}

impl Following {
    fn push(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let entry = self.chain.read(bytes)?;
        let change = entry.refuses.parse().ok_or(LogError::Impossible(entry.n))?;
        self.chain.take(bytes);
        self.entries.push((entry, change));
        Ok(())
    }

    /// The log's length with them.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.chain.length()
    }

    /// Signs the head that the log will have.
    #[must_use]
    pub fn sign_head(&self, key: &SigningKey) -> SignedHead {
        self.chain.sign_head(key)
    }

    /// Checks a head that claims to cover all of them.
    ///
    /// # Errors
    /// As [`RefusalLog::verify_head`].
    pub fn verify_head(&self, head: &SignedHead, key: &VerifyingKey) -> Result<(), LogError> {
        self.chain.verify_head(head, key)
    }
}

impl Refuses {
    /// What it changes, if every id in it is one.
    fn parse(&self) -> Option<Change> {
        Some(match self {
            Self::Cap { scope, up_to, opens, clicks, place } => {
                let (scope, up_to) = (scope.parse()?, Generation(*up_to));
                // Of clicks no day is kept alone.
                clicks.is_for(Kind::Click).then_some(())?;
                let tracking = Tracking { opens: *opens, clicks: *clicks };
                Change::Cap(Cap { scope, up_to, tracking, place: *place })
            }
            Self::Takedown(what) => what.is_possible().then(|| Change::Takedown(what.clone()))?,
            Self::Contact { tenant, id } => {
                Change::Contact(TenantId(parse_id(tenant)?), Mark::new(parse_id(id)?))
            }
            Self::Erase(erased) => Change::Erase(erased.parse()?),
            Self::Message { campaign, until, id } => Change::Message(message(campaign, until, id)?),
        })
    }

    /// Whether every id in it is one.
    pub(crate) fn is_possible(&self) -> bool {
        self.parse().is_some()
    }
}

fn message(campaign: &str, until: &str, id: &str) -> Option<ObjectedMessage> {
    Some(ObjectedMessage {
        campaign: CampaignId(parse_id(campaign)?),
        last_day: Day::parse(until)?,
        id: parse_id(id)?,
    })
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
    fn an_objection_to_one_message_is_an_entry() {
        let message = ObjectedMessage { campaign: CampaignId(2), last_day: Day(20_778), id: 0x55 };
        let refuses = |campaign: &str, until: &str| Refuses::Message {
            campaign: campaign.into(),
            until: until.into(),
            id: "0000000000000055".into(),
        };
        let entry =
            Entry { n: 1, at_ms: 5, refuses: refuses("0000000000000002", "2026-11-21") }.to_bytes();
        insta::assert_snapshot!(String::from_utf8(entry.clone()).unwrap(), @r#"{"n":1,"at_ms":5,"refuses":{"message":{"campaign":"0000000000000002","until":"2026-11-21","id":"0000000000000055"}}}"#);
        let mut log = RefusalLog::default();
        for (campaign, until) in [("2", "2026-11-21"), ("0000000000000002", "2026-02-30")] {
            let bad = Entry { n: 1, at_ms: 5, refuses: refuses(campaign, until) };
            assert!(log.append(&bad.to_bytes()).is_err());
        }
        log.append(&entry).unwrap();
        assert!(log.caps().objected().has_message(&message));
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
