//! The two logs as the appender holds them: what they have in common.

use ed25519_dalek::{SigningKey, VerifyingKey};
use hushmark_event::audit::{Audit, AuditJournal};
use hushmark_event::chain::{Log, LogError, SignedHead};
use hushmark_event::redis_keys::{AUDIT, AUDIT_HEAD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{Journal, Refusals};

use crate::Error;

/// A log with its entries, as it is held here and stands in Redis.
pub(in crate::refusals) trait Held: Default {
    /// Which of the two.
    type Log: Log;
    /// Its stream.
    const STREAM: &'static str;
    /// Its signed head.
    const HEAD: &'static str;
    /// Who puts it back where Redis lost it.
    const COPIES: &'static str;

    fn wrong(text: String) -> Error;
    fn length(&self) -> u64;
    fn hash(&self) -> String;
    fn take(&mut self, bytes: &[u8]) -> Result<(), LogError>;
    fn entry(&self, at: usize) -> Option<&[u8]>;
    fn sign_head(&self, key: &SigningKey) -> SignedHead<Self::Log>;
    fn verify_head(&self, head: &SignedHead<Self::Log>, key: &VerifyingKey)
    -> Result<(), LogError>;
}

impl Held for Journal {
    type Log = Refusals;
    const STREAM: &'static str = REFUSALS;
    const HEAD: &'static str = REFUSALS_HEAD;
    const COPIES: &'static str = "an edge or the writer";

    fn wrong(text: String) -> Error {
        Error::Refusals(text)
    }

    fn length(&self) -> u64 {
        self.log().length()
    }

    fn hash(&self) -> String {
        self.log().hash()
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        Self::take(self, bytes)
    }

    fn entry(&self, at: usize) -> Option<&[u8]> {
        self.entries().get(at).map(Vec::as_slice)
    }

    fn sign_head(&self, key: &SigningKey) -> SignedHead<Self::Log> {
        self.log().sign_head(key)
    }

    fn verify_head(
        &self,
        head: &SignedHead<Self::Log>,
        key: &VerifyingKey,
    ) -> Result<(), LogError> {
        self.log().verify_head(head, key)
    }
}

impl Held for AuditJournal {
    type Log = Audit;
    const STREAM: &'static str = AUDIT;
    const HEAD: &'static str = AUDIT_HEAD;
    const COPIES: &'static str = "the writer";

    fn wrong(text: String) -> Error {
        Error::Audit(text)
    }

    fn length(&self) -> u64 {
        self.log().length()
    }

    fn hash(&self) -> String {
        self.log().hash().to_string()
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        Self::take(self, bytes)
    }

    fn entry(&self, at: usize) -> Option<&[u8]> {
        self.entries().get(at).map(String::as_bytes)
    }

    fn sign_head(&self, key: &SigningKey) -> SignedHead<Self::Log> {
        self.log().sign_head(key)
    }

    fn verify_head(
        &self,
        head: &SignedHead<Self::Log>,
        key: &VerifyingKey,
    ) -> Result<(), LogError> {
        self.log().verify_head(head, key)
    }
}
