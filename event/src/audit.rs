//! The audit log: who asked for what, when, and whether it was allowed. `WIRE.md`, "Audit log".
//!
//! It is chained and signed as the refusal log is, under labels of its own, and edges do not get
//! it. Nothing in it is about a recipient but keyed hashes. What an erasure did is an entry of it,
//! a receipt, which also verifies alone: `docs/receipts.md` says how.
//!
//! In reading order: [`entry`] and [`receipt`] are what is written, [`text`] the small texts in
//! them; [`AuditLog`] is the log in the hands of the one who appends, [`journal`] the same with its
//! entries; [`due`] makes receipts of what was erased; [`verify`] is for those who hold files and a
//! public key, and nothing else.

pub mod due;
pub mod entry;
pub mod journal;
pub mod receipt;
pub mod text;
pub mod verify;

use ed25519_dalek::{SigningKey, VerifyingKey};

pub use due::{Due, Ended, Gone, Pending, Place};
pub use entry::{Action, Asked, Entry, Outcome, Principal, Read, Reason, Says, Target, Write};
pub use journal::{AuditJournal, PreparedAudit};
pub use receipt::{Reached, Receipt, ReceiptFile, Store, Unreached};
pub use text::Name;

use crate::chain::{self, Chain, Hash32, Log, LogError};

/// The audit log, as opposed to the refusal log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {}

impl Log for Audit {
    const ENTRY_LABEL: &'static [u8] = b"hushmark audit log 1\n";
    const HEAD_LABEL: &'static str = "hushmark audit log head 1";
    type Entry = Entry;

    fn place(entry: &Entry) -> u64 {
        entry.n
    }
}

/// The audit log's head.
pub type SignedHead = chain::SignedHead<Audit>;

/// A place in the log and the chain's hash there. It pins down every entry up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The entry's number.
    pub n: u64,
    /// The chain's hash after it.
    pub hash: Hash32,
}

/// The log's end, and what the next entry has to fit. It holds no entries: whoever appends keeps
/// their bytes.
#[derive(Clone, Default)]
pub struct AuditLog {
    chain: Chain<Audit>,
    last_receipt: Option<Pin>,
}

impl AuditLog {
    /// Number of entries taken so far.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.chain.length()
    }

    /// The chain's hash at this length.
    #[must_use]
    pub const fn hash(&self) -> Hash32 {
        self.chain.hash()
    }

    /// The last receipt so far, which the next one has to name.
    #[must_use]
    pub const fn last_receipt(&self) -> Option<Pin> {
        self.last_receipt
    }

    /// Makes and checks the entry that follows. The caller makes it durable, then appends it.
    ///
    /// # Errors
    /// [`LogError`] when it would be too long, or says what cannot be.
    pub fn prepare(&self, says: Says, at_ms: u64) -> Result<String, LogError> {
        let entry = Entry { n: self.length() + 1, at_ms, before: self.hash(), says };
        let text = entry.to_text();
        self.clone().append(text.as_bytes())?;
        Ok(text)
    }

    /// Takes the next entry's bytes.
    ///
    /// # Errors
    /// [`LogError`] when it is not the next one or cannot be read; nothing is changed then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Entry, LogError> {
        let entry = self.chain.read(bytes)?;
        if entry.before != self.hash() {
            return Err(LogError::OtherHistory(entry.n));
        }
        let is_receipt = match &entry.says {
            Says::Asked(_) => false,
            Says::Receipt(receipt) if receipt.previous != self.last_receipt => {
                return Err(LogError::OtherHistory(entry.n));
            }
            // It answers an entry that stands before it.
            Says::Receipt(receipt) if !(1..entry.n).contains(&receipt.request) => {
                return Err(LogError::Impossible(entry.n));
            }
            Says::Receipt(_) => true,
        };
        self.chain.take(bytes);
        if is_receipt {
            self.last_receipt = Some(Pin { n: entry.n, hash: self.hash() });
        }
        Ok(entry)
    }

    /// Signs the head at this length.
    #[must_use]
    pub fn sign_head(&self, key: &SigningKey) -> SignedHead {
        self.chain.sign_head(key)
    }

    /// Checks a head that claims this copy's length.
    ///
    /// # Errors
    /// [`LogError::BadHead`] when it is signed by another key or names another hash or length.
    pub fn verify_head(&self, head: &SignedHead, key: &VerifyingKey) -> Result<(), LogError> {
        self.chain.verify_head(head, key)
    }
}
