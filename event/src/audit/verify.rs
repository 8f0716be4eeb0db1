//! Verifying files with the public key alone: pure, and every fault by its name.
//!
//! [`receipt`] is about one receipt file; [`Series`] is about several, and finds those that are
//! missing between them; [`log_file`] is about a whole log. Each can be held against a
//! [`Published`] head, which is how a log that was rewritten by the one who signs shows.

pub mod log_file;
mod series;

use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use serde::Deserialize;

pub use series::{Series, SeriesFault};

use super::{Audit, Pin, Receipt, ReceiptFile, Says, SignedHead};
use crate::chain::{Chain, Hash32, LogError, link};
use crate::refusal::Refusals;

/// A receipt that verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// Where it is in the log, and the chain's hash there.
    pub pin: Pin,
    /// The chain's hash before it.
    pub before: Hash32,
    /// When it was appended, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it says.
    pub receipt: Receipt,
}

/// Why a receipt file does not verify.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptFault {
    /// It ends too early.
    #[error("the file is cut: it ends before the receipt does; fetch it again")]
    Cut,
    /// It is something else.
    #[error("this is no receipt file: {0}; give the file as it was handed out")]
    NotAReceiptFile(serde_json::Error),
    /// The same words in other bytes.
    #[error(
        "the file was written anew: spaces, line ends or the order of fields are not those of a \
         receipt file; give the file as it was handed out"
    )]
    Reformatted,
    /// It is signed, but as a head of the refusal log.
    #[error("the head at length {0} is the refusal log's, and proves no receipt")]
    OtherLog(u64),
    /// Entry and head fit each other, and the signature does not.
    #[error(
        "the signature at length {0} is not this key's: the receipt is another region's, or the \
         signature was changed; take the public key of the region that the receipt is from"
    )]
    Signature(u64),
    /// Neither signature nor hash fits.
    #[error(
        "the head at length {0} was changed: neither its signature nor its hash fits; fetch the \
         receipt again from whoever handed it out"
    )]
    HeadChanged(u64),
    /// The head is signed, and the entry is not the one that it was signed for.
    #[error(
        "entry {0} was changed: its content, or the hash before it, is not what was signed; fetch \
         the receipt again from whoever handed it out"
    )]
    EntryChanged(u64),
    /// It is what was signed, and cannot be understood.
    #[error("the entry is what was signed, but: {0}; take a newer hushmark to verify it")]
    Entry(LogError),
    /// The entry is of the log, and no receipt.
    #[error("entry {0} is signed, but it is a request and no receipt; give a receipt's file")]
    NotAReceipt(u64),
}

impl ReceiptFault {
    /// The entry that it is about, where it is about one.
    #[must_use]
    pub const fn entry(&self) -> Option<u64> {
        match self {
            Self::Cut | Self::NotAReceiptFile(_) | Self::Reformatted | Self::Entry(_) => None,
            Self::OtherLog(n)
            | Self::Signature(n)
            | Self::HeadChanged(n)
            | Self::EntryChanged(n)
            | Self::NotAReceipt(n) => Some(*n),
        }
    }
}

/// What of an entry its hash needs, whatever else it says.
#[derive(Deserialize)]
struct Anchor {
    n: u64,
    before: Hash32,
}

/// Verifies one receipt file.
///
/// # Errors
/// [`ReceiptFault`], which says what is wrong and what to do next.
pub fn receipt(file: &[u8], key: &VerifyingKey) -> Result<VerifiedReceipt, ReceiptFault> {
    let ReceiptFile { entry, head } = read(file)?;
    let n = head.length;
    let anchor: Option<Anchor> = serde_json::from_str(&entry).ok();
    let hash = anchor.as_ref().map(|anchor| link::<Audit>(&anchor.before, entry.as_bytes()));
    let fits = hash.is_some_and(|hash| hash.to_string() == head.hash);
    if head.verify(key).is_err() {
        return Err(match (is_of_refusal_log(&head, key), fits) {
            (true, _) => ReceiptFault::OtherLog(n),
            (false, true) => ReceiptFault::Signature(n),
            (false, false) => ReceiptFault::HeadChanged(n),
        });
    }
    let (Some(Anchor { before, .. }), Some(hash), true) = (anchor, hash, fits) else {
        return Err(ReceiptFault::EntryChanged(n));
    };
    // No entry hashes to the head of the empty log, so that there is one before this.
    let chain: Chain<Audit> = Chain::at(n.saturating_sub(1), before);
    let entry = chain.read(entry.as_bytes()).map_err(ReceiptFault::Entry)?;
    let Says::Receipt(receipt) = entry.says else { return Err(ReceiptFault::NotAReceipt(n)) };
    Ok(VerifiedReceipt { pin: Pin { n, hash }, before, at_ms: entry.at_ms, receipt })
}

/// The file's two parts. A receipt file has one form, so that no byte of it is free.
fn read(file: &[u8]) -> Result<ReceiptFile, ReceiptFault> {
    let parsed: ReceiptFile = serde_json::from_slice(file).map_err(|error| {
        if error.is_eof() { ReceiptFault::Cut } else { ReceiptFault::NotAReceiptFile(error) }
    })?;
    let text = parsed.to_text();
    match file {
        file if file == text.as_bytes() => Ok(parsed),
        // All but the line end is there.
        file if text.as_bytes().starts_with(file) => Err(ReceiptFault::Cut),
        _ => Err(ReceiptFault::Reformatted),
    }
}

fn is_of_refusal_log(head: &SignedHead, key: &VerifyingKey) -> bool {
    head.said_of::<Refusals>().verify(key).is_ok()
}

/// A head as it was published: in the Region's status, in a newspaper, by post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The length and the hash.
    pub pin: Pin,
    signed: Option<SignedHead>,
}

/// Why a text is no head.
#[derive(Debug, thiserror::Error)]
#[error("give LENGTH:HASH with 64 lower-case hex digits, or the signed head as JSON")]
pub struct NotAHead;

impl FromStr for Published {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let text = text.trim();
        if text.starts_with('{') {
            let head: SignedHead = serde_json::from_str(text).map_err(|_| NotAHead)?;
            let hash = Hash32::parse(&head.hash).ok_or(NotAHead)?;
            return Ok(Self { pin: Pin { n: head.length, hash }, signed: Some(head) });
        }
        let (length, hash) = text.split_once(':').ok_or(NotAHead)?;
        let n = length.parse().map_err(|_| NotAHead)?;
        let hash = Hash32::parse(hash).ok_or(NotAHead)?;
        Ok(Self { pin: Pin { n, hash }, signed: None })
    }
}

/// How what was verified and a published head contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// It is JSON with a signature that is not one of this log.
    #[error(
        "the published head at length {0} is not signed by this key as a head of the audit log; \
         take the head of the same region's audit log"
    )]
    Signature(u64),
    /// Two histories.
    #[error(
        "at length {length} the published head has the hash {published}, and here it is {found}: \
         they are of two logs, or the log was rewritten; keep both, and ask the region's operator"
    )]
    Contradicts {
        /// Where.
        length: u64,
        /// The published hash.
        published: Hash32,
        /// What the file proves.
        found: Hash32,
    },
    /// The log file does not reach the head.
    #[error(
        "the published log has {published} entries, and this file {found}: entry {} and what \
         follows is missing; fetch the log again", found + 1
    )]
    Longer {
        /// Entries that were published.
        published: u64,
        /// Entries in the file.
        found: u64,
    },
}

impl HeadFault {
    /// The entry that it is about.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        match self {
            Self::Signature(n) | Self::Contradicts { length: n, .. } => *n,
            Self::Longer { found, .. } => *found + 1,
        }
    }
}

impl Published {
    /// Holds the head against the hash that is known at its length.
    fn against(&self, found: Hash32) -> Result<(), HeadFault> {
        let Pin { n: length, hash: published } = self.pin;
        if found == published {
            Ok(())
        } else {
            Err(HeadFault::Contradicts { length, published, found })
        }
    }

    fn is_signed_if_it_says_so(&self, key: &VerifyingKey) -> Result<(), HeadFault> {
        match &self.signed {
            Some(head) => head.verify(key).map_err(|_| HeadFault::Signature(head.length)),
            None => Ok(()),
        }
    }
}
