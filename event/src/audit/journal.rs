//! The log in the hands of an operator, which has no disk: with its entries, which it puts back when
//! Redis loses them, and with the receipts that it hands out.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;

use super::{AuditLog, Due, Entry, ReceiptFile, Says};
use crate::chain::LogError;

/// The log with its entries.
#[derive(Clone, Default)]
pub struct AuditJournal {
    log: AuditLog,
    entries: Vec<String>,
    due: Due,
    /// By the refusal log's entry: the receipt's text, and the log as it ended with it.
    receipts: BTreeMap<u64, (String, AuditLog)>,
}

/// Entries that are checked and not appended yet.
#[must_use = "what was prepared is appended by `commit`, once it is durable"]
pub struct PreparedAudit {
    log: AuditLog,
    entries: Vec<String>,
}

impl PreparedAudit {
    /// The entries' texts, in order.
    #[must_use]
    pub fn entries(&self) -> &[String] {
        &self.entries
    }

    /// The log as it will be, to sign its head.
    #[must_use]
    pub const fn log(&self) -> &AuditLog {
        &self.log
    }
}

impl AuditJournal {
    /// The log.
    #[must_use]
    pub const fn log(&self) -> &AuditLog {
        &self.log
    }

    /// Every entry's text.
    #[must_use]
    pub fn entries(&self) -> &[String] {
        &self.entries
    }

    /// Erasures that wait for their receipt.
    #[must_use]
    pub const fn due(&self) -> &Due {
        &self.due
    }

    /// The receipt of the erasure that the refusal log demands by an entry.
    #[must_use]
    pub fn receipt(&self, position: u64, key: &SigningKey) -> Option<ReceiptFile> {
        let (entry, log) = self.receipts.get(&position)?;
        Some(ReceiptFile { entry: entry.clone(), head: log.sign_head(key) })
    }

    /// Takes an entry that was written down before.
    ///
    /// # Errors
    /// [`LogError`] when it does not follow; nothing is changed then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let entry = self.log.append(bytes)?;
        // What was read as JSON is text.
        self.learn(&entry, String::from_utf8_lossy(bytes).into_owned());
        Ok(())
    }

    /// Makes and checks the entries that follow.
    ///
    /// # Errors
    /// [`LogError`] when one would be too long, or says what cannot be.
    pub fn prepare(
        &self,
        says: impl IntoIterator<Item = Says>,
        at_ms: u64,
    ) -> Result<PreparedAudit, LogError> {
        let (mut log, mut entries) = (self.log.clone(), Vec::new());
        for says in says {
            let text = log.prepare(says, at_ms)?;
            log.append(text.as_bytes())?;
            entries.push(text);
        }
        Ok(PreparedAudit { log, entries })
    }

    /// Appends what was prepared on this log, once it is durable.
    ///
    /// # Errors
    /// [`LogError`] when it was prepared on another one.
    pub fn commit(&mut self, prepared: PreparedAudit) -> Result<(), LogError> {
        prepared.entries.into_iter().try_for_each(|text| self.take(text.as_bytes()))
    }

    fn learn(&mut self, entry: &Entry, text: String) {
        self.due.learn(entry);
        if let Says::Receipt(receipt) = &entry.says {
            let first = (text.clone(), self.log.clone());
            self.receipts.entry(receipt.position).or_insert(first);
        }
        self.entries.push(text);
    }
}

#[cfg(test)]
mod tests {
    use hushmark_policy::TenantId;

    use super::*;
    use crate::audit::{Action, Asked, Ended, Name, Outcome, Place, Principal, Target, verify};

    #[test]
    fn a_receipt_verifies_alone_however_long_the_log_has_become() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let mut journal = AuditJournal::default();
        let say = |journal: &mut AuditJournal, says| {
            let prepared = journal.prepare([says], 1_795_000_000_000).unwrap();
            journal.commit(prepared).unwrap();
        };
        let by = || Principal::Kubernetes(Name::of("jane"));
        let outcome = Outcome::Allowed { position: Some(5) };
        let action = Action::Erase(Target::Tenant(TenantId(7)));
        say(&mut journal, Says::Asked(Asked { by: by(), action, outcome }));
        assert!(journal.receipt(5, &key).is_none());
        let pending = journal.due().pending()[&5].clone();
        let ended = Ended { ledger: 5, ended_ms: 1_795_000_000_001, gone: Vec::new() };
        let previous = journal.log().last_receipt();
        let receipt = pending.receipt(5, &ended, &Place::Cluster, previous);
        say(&mut journal, Says::Receipt(receipt));
        let outcome = Outcome::Allowed { position: None };
        say(&mut journal, Says::Asked(Asked { by: by(), action: Action::RotateKeys, outcome }));

        let file = journal.receipt(5, &key).unwrap();
        let verified = verify::receipt(file.to_text().as_bytes(), &key.verifying_key()).unwrap();
        assert_eq!((verified.pin.n, verified.receipt.position), (2, 5));

        let mut again = AuditJournal::default();
        for entry in journal.entries() {
            again.take(entry.as_bytes()).unwrap();
        }
        assert_eq!(again.log().hash(), journal.log().hash());
        assert_eq!(again.receipt(5, &key), Some(file));
    }
}
