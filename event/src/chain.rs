//! What the refusal log and the audit log have in common: entries of one line each, chained by
//! their hashes, and a head that is signed. `WIRE.md`, "Refusal log" and "Audit log".
//!
//! Each log has labels of its own under every hash and every signature, so that no entry and no
//! head of one can pass for one of the other.

use std::fmt;
use std::marker::PhantomData;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The longest entry, in bytes. Longer ones are refused before they are parsed.
pub const ENTRY_MAX: usize = 8 * 1024;

/// One of the two logs.
pub trait Log {
    /// What every entry's hash begins with, so that no other hash can be taken for one.
    const ENTRY_LABEL: &'static [u8];
    /// The first line of what is signed.
    const HEAD_LABEL: &'static str;
    /// One entry, as JSON in one line says it.
    type Entry: DeserializeOwned;

    /// An entry's place in the log, from 1.
    fn place(entry: &Self::Entry) -> u64;
}

/// Thirty-two bytes of a hash, written as 64 lower-case hex digits: one hash has one text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash32(pub [u8; 32]);

impl Hash32 {
    /// Reads the text that [`fmt::Display`] writes, and no other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        lower_hex(text).map(Self)
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Hash32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a hash has 64 lower-case hex digits"))
    }
}

/// Why an entry or a head was not taken. The copy stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The entry is not the next one.
    #[error("entry {found} does not follow entry {length}")]
    OutOfOrder {
        /// Entries held.
        length: u64,
        /// The number that came.
        found: u64,
    },
    /// The bytes are no entry.
    #[error("the entry after {length} cannot be read: {source}")]
    Unreadable {
        /// Entries held.
        length: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An id in an entry is not 16 hex digits, or an entry is too long or has a line end in it.
    #[error("entry {0} names something impossible")]
    Impossible(u64),
    /// The entry was made for another history.
    #[error("entry {0} does not continue what stands before it")]
    OtherHistory(u64),
    /// The head is of another log, or nobody who may signed it.
    #[error("the head at length {0} does not verify: another region's log, or tampered")]
    BadHead(u64),
}

/// A log's head: its length, the hash of its last entry, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct SignedHead<L> {
    /// Number of entries.
    pub length: u64,
    /// The chain's hash, 64 hex digits.
    pub hash: String,
    /// Ed25519 over the text that `WIRE.md` gives, 128 hex digits.
    pub signature: String,
    #[serde(skip)]
    log: PhantomData<L>,
}

impl<L: Log> SignedHead<L> {
    /// Checks the signature alone, for one who does not hold the entries yet.
    ///
    /// # Errors
    /// [`LogError::BadHead`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), LogError> {
        let bad = || LogError::BadHead(self.length);
        let signature = Signature::from_bytes(&lower_hex(&self.signature).ok_or_else(bad)?);
        let text = head_text::<L>(self.length, &self.hash);
        key.verify_strict(text.as_bytes(), &signature).map_err(|_| bad())
    }

    /// The same words said of another log: they verify only if they were signed for that one.
    pub(crate) fn said_of<Other>(&self) -> SignedHead<Other> {
        SignedHead {
            length: self.length,
            hash: self.hash.clone(),
            signature: self.signature.clone(),
            log: PhantomData,
        }
    }
}

/// Where a log stands: how many entries it has, and the hash over all of them.
pub(crate) struct Chain<L> {
    length: u64,
    hash: Hash32,
    log: PhantomData<L>,
}

// Derived, these would ask the same of `L`, of which there is never a value.
impl<L> Clone for Chain<L> {
    fn clone(&self) -> Self {
        Self::at(self.length, self.hash)
    }
}

impl<L> Default for Chain<L> {
    fn default() -> Self {
        Self::at(0, Hash32::default())
    }
}

impl<L> Chain<L> {
    /// A chain of which only the end is known.
    pub(crate) const fn at(length: u64, hash: Hash32) -> Self {
        Self { length, hash, log: PhantomData }
    }

    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    pub(crate) const fn hash(&self) -> Hash32 {
        self.hash
    }
}

impl<L: Log> Chain<L> {
    /// Reads the next entry and changes nothing.
    pub(crate) fn read(&self, bytes: &[u8]) -> Result<L::Entry, LogError> {
        if bytes.len() > ENTRY_MAX || bytes.contains(&b'\n') {
            return Err(LogError::Impossible(self.length + 1));
        }
        let entry: L::Entry = serde_json::from_slice(bytes)
            .map_err(|source| LogError::Unreadable { length: self.length, source })?;
        match L::place(&entry) {
            next if next == self.length + 1 => Ok(entry),
            found => Err(LogError::OutOfOrder { length: self.length, found }),
        }
    }

    /// Takes the bytes that [`Self::read`] found to be the next entry.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.hash = link::<L>(&self.hash, bytes);
        self.length += 1;
    }

    pub(crate) fn sign_head(&self, key: &SigningKey) -> SignedHead<L> {
        let hash = self.hash.to_string();
        let signature = key.sign(head_text::<L>(self.length, &hash).as_bytes());
        let signature = hex::encode(signature.to_bytes());
        SignedHead { length: self.length, hash, signature, log: PhantomData }
    }

    /// Checks a head that claims this very length; heads of other lengths prove nothing about this
    /// copy and are refused likewise.
    pub(crate) fn verify_head(
        &self,
        head: &SignedHead<L>,
        key: &VerifyingKey,
    ) -> Result<(), LogError> {
        head.verify(key)?;
        if head.length == self.length && head.hash == self.hash.to_string() {
            Ok(())
        } else {
            Err(LogError::BadHead(head.length))
        }
    }
}

/// The chain's hash after an entry, from the hash before it.
pub(crate) fn link<L: Log>(before: &Hash32, entry: &[u8]) -> Hash32 {
    let hash = Sha256::new().chain_update(L::ENTRY_LABEL).chain_update(before.0);
    Hash32(hash.chain_update(entry).finalize().into())
}

/// Sixteen lower-case hex digits: one id has one text.
pub(crate) fn parse_id(text: &str) -> Option<u64> {
    lower_hex(text).map(u64::from_be_bytes)
}

fn head_text<L: Log>(length: u64, hash: &str) -> String {
    format!("{}\n{length}\n{hash}\n", L::HEAD_LABEL)
}

/// Bytes from the one text that they have.
fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes: [u8; N] = hex::decode(text).ok()?.try_into().ok()?;
    (hex::encode(bytes) == text).then_some(bytes)
}
