//! A whole audit log as a file: its entries, one a line, and the signed head as the last line.

use ed25519_dalek::VerifyingKey;

use super::{Anchor, HeadFault, Published, is_of_refusal_log};
use crate::audit::{Audit, AuditLog, Entry, SignedHead};
use crate::chain::{Hash32, LogError, link};

/// A log that verified.
#[derive(Clone, Debug)]
pub struct VerifiedLog {
    /// Its entries, in order.
    pub entries: Vec<Entry>,
    /// Its head.
    pub head: SignedHead,
    /// The chain's hash after each entry, from the empty log on.
    hashes: Vec<Hash32>,
}

/// Why a log file does not verify.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// It ends before the head does.
    #[error("the file is cut after entry {0}: its head is missing; fetch it again")]
    Cut(u64),
    /// The last line is neither entry nor head.
    #[error(
        "the last line, after entry {after}, is no head as it was written: {what}; give the file \
         as it was handed out"
    )]
    NotAHead {
        /// Whole lines before it.
        after: u64,
        /// What is wrong with it.
        what: String,
    },
    /// It is the refusal log, or its head.
    #[error("the head at length {0} is the refusal log's; give the audit log's file")]
    OtherLog(u64),
    /// A line cannot be read.
    #[error(
        "where entry {0} should be, nothing of an entry can be read: it was changed or cut; fetch \
         the log again from whoever handed it out"
    )]
    Unreadable(u64),
    /// An entry is not where it belongs.
    #[error(
        "where entry {n} should be, there is entry {found}: the order was changed; fetch the log \
         again from whoever handed it out"
    )]
    Misplaced {
        /// The place.
        n: u64,
        /// What is there.
        found: u64,
    },
    /// An entry is not there.
    #[error("entry {0} is missing; fetch the log again from whoever handed it out")]
    Missing(u64),
    /// An entry is there that was not signed.
    #[error("entry {0} stands after the end that the head names, and nobody signed for it")]
    Beyond(u64),
    /// An entry is another one than was signed.
    #[error("entry {0} was changed; fetch the log again from whoever handed it out")]
    Changed(u64),
    /// All entries fit, and the signature does not.
    #[error(
        "the signature at length {0} is not this key's: the log is another region's, or the \
         signature was changed; take the public key of the region that the log is from"
    )]
    Signature(u64),
    /// Neither signature nor hash fits.
    #[error(
        "the head at length {0} was changed: neither its signature nor its hash fits; fetch the \
         log again from whoever handed it out"
    )]
    HeadChanged(u64),
    /// It is what was signed, and cannot be understood.
    #[error("the log is what was signed, but: {0}; take a newer hushmark to verify it")]
    Entry(LogError),
}

impl LogFault {
    /// The entry that it is about.
    #[must_use]
    pub const fn entry(&self) -> Option<u64> {
        match self {
            Self::Unreadable(n)
            | Self::Misplaced { n, .. }
            | Self::Missing(n)
            | Self::Beyond(n)
            | Self::Changed(n) => Some(*n),
            Self::Cut(_)
            | Self::NotAHead { .. }
            | Self::OtherLog(_)
            | Self::Signature(_)
            | Self::HeadChanged(_)
            | Self::Entry(_) => None,
        }
    }
}

/// The file of a log: what a copy on a disk holds, and the head after it.
#[must_use]
pub fn to_text<'a>(entries: impl IntoIterator<Item = &'a str>, head: &SignedHead) -> String {
    let lines = entries.into_iter().flat_map(|entry| [entry, "\n"]);
    lines.collect::<String>() + &head_line(head) + "\n"
}

fn head_line(head: &SignedHead) -> String {
    serde_json::to_string(head).expect("text and numbers always serialise")
}

/// Verifies a log file.
///
/// # Errors
/// [`LogFault`], which says what is wrong, at which entry, and what to do next.
pub fn verify(file: &[u8], key: &VerifyingKey) -> Result<VerifiedLog, LogFault> {
    let (lines, head) = split(file)?;
    let mut log = AuditLog::default();
    let mut hashes = vec![log.hash()];
    let replayed = lines.iter().try_fold(Vec::new(), |mut entries, line| {
        entries.push(log.append(line)?);
        hashes.push(log.hash());
        Ok(entries)
    });
    match replayed.and_then(|entries| log.verify_head(&head, key).map(|()| entries)) {
        Ok(entries) => Ok(VerifiedLog { entries, head, hashes }),
        Err(error) => Err(diagnose(&lines, &head, key).unwrap_or(LogFault::Entry(error))),
    }
}

impl VerifiedLog {
    /// Holds a published head against the log, which has to reach it.
    ///
    /// # Errors
    /// [`HeadFault`].
    pub fn compare(&self, head: &Published, key: &VerifyingKey) -> Result<(), HeadFault> {
        head.is_signed_if_it_says_so(key)?;
        let there = usize::try_from(head.pin.n).ok().and_then(|n| self.hashes.get(n));
        let longer = HeadFault::Longer { published: head.pin.n, found: self.head.length };
        head.against(*there.ok_or(longer)?)
    }
}

/// The entries' lines without their ends, and the head.
fn split(file: &[u8]) -> Result<(Vec<&[u8]>, SignedHead), LogFault> {
    let mut lines: Vec<&[u8]> = file.split(|byte| *byte == b'\n').collect();
    // What follows the last line end was cut, or is nothing.
    if lines.pop().is_none_or(|rest| !rest.is_empty()) {
        return Err(LogFault::Cut(lines.len() as u64));
    }
    let Some(last) = lines.pop() else { return Err(LogFault::Cut(0)) };
    let after = lines.len() as u64;
    match serde_json::from_slice::<SignedHead>(last) {
        Ok(head) if head_line(&head).as_bytes() == last => Ok((lines, head)),
        Ok(_) => Err(LogFault::NotAHead { after, what: "it was written anew".into() }),
        Err(_) if serde_json::from_slice::<Anchor>(last).is_ok() => Err(LogFault::Cut(after + 1)),
        Err(error) => Err(LogFault::NotAHead { after, what: error.to_string() }),
    }
}

/// What is wrong with a log that did not verify. Nothing that is said here makes anything valid.
fn diagnose(lines: &[&[u8]], head: &SignedHead, key: &VerifyingKey) -> Option<LogFault> {
    if is_of_refusal_log(head, key) {
        return Some(LogFault::OtherLog(head.length));
    }
    let is_signed = head.verify(key).is_ok();
    let anchors = match numbered(lines, head) {
        Ok(anchors) => anchors,
        Err(fault) => return Some(fault),
    };
    let count = lines.len() as u64;
    if is_signed && count < head.length {
        return Some(LogFault::Missing(count + 1));
    }
    if is_signed && count > head.length {
        return Some(LogFault::Beyond(head.length + 1));
    }
    // What each entry says is before it, from its own hash; and what the next one says.
    let hashes = lines.iter().zip(&anchors).map(|(line, it)| link::<Audit>(&it.before, line));
    let is: Vec<Hash32> = [Hash32::default()].into_iter().chain(hashes).collect();
    let said = anchors.iter().map(|anchor| Some(anchor.before)).chain([Hash32::parse(&head.hash)]);
    let broken: Vec<bool> = is.iter().zip(said).map(|(is, said)| Some(*is) != said).collect();
    let within = if is_signed { broken.len() } else { lines.len() };
    match broken.iter().take(within).position(|broken| *broken) {
        // A changed entry breaks the link behind it; if what it says of the one before was
        // changed, the link before it as well.
        Some(at) if at < lines.len() && broken[at + 1] => Some(LogFault::Changed(at as u64 + 1)),
        Some(at) => Some(LogFault::Changed((at as u64).max(1))),
        None if is_signed => None,
        None if broken[lines.len()] || count != head.length => {
            Some(LogFault::HeadChanged(head.length))
        }
        None => Some(LogFault::Signature(head.length)),
    }
}

/// Every line's anchor, if each has the number of its place.
fn numbered(lines: &[&[u8]], head: &SignedHead) -> Result<Vec<Anchor>, LogFault> {
    let read = |line: &&[u8]| serde_json::from_slice::<Anchor>(line).ok();
    let anchors: Vec<Option<Anchor>> = lines.iter().map(read).collect();
    let is_there = |n| anchors.iter().flatten().any(|anchor| anchor.n == n);
    for (n, anchor) in (1..).zip(&anchors) {
        match anchor {
            None => return Err(LogFault::Unreadable(n)),
            Some(anchor) if anchor.n == n => {}
            Some(Anchor { n: found, .. }) if is_there(n) => {
                return Err(LogFault::Misplaced { n, found: *found });
            }
            // As many as there should be: it is there, under another number.
            Some(_) if lines.len() as u64 == head.length => return Err(LogFault::Changed(n)),
            Some(_) => return Err(LogFault::Missing(n)),
        }
    }
    Ok(anchors.into_iter().flatten().collect())
}
