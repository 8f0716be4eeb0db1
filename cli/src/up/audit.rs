//! The audit log of this machine's stack: who asked for what, and what came of it. `up` alone
//! appends; `docs/receipts.md` says how it verifies.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use hushmark_event::audit::{AuditLog, Due, Entry, Pending, Pin, ReceiptFile, Says};

use crate::data::DataFolder;
use crate::{files, keys};

/// The entries, one a line.
const LOG: &str = "audit/log.jsonl";

/// The signed head of all of them.
const HEAD: &str = "audit/head.json";

/// Receipts as they are handed out.
pub(crate) const RECEIPTS: &str = "receipts";

/// Appends to the log on disk, and signs its head.
pub(super) struct Auditor {
    folder: DataFolder,
    path: PathBuf,
    log: AuditLog,
    due: Due,
}

impl Auditor {
    /// Reads the log, and writes anew what a death kept from being written after an entry: its
    /// receipt, and the head.
    pub(super) fn open(folder: &DataFolder) -> Result<Self> {
        let path = folder.path(LOG);
        files::mend_lines(&path)?;
        let (log, due) = (AuditLog::default(), Due::default());
        let mut auditor = Self { folder: folder.clone(), path, log, due };
        for line in files::lines(&auditor.path)? {
            let entry = auditor
                .log
                .append(&line)
                .with_context(|| format!("{} is damaged: restore it", auditor.path.display()))?;
            auditor.learn(&entry)?;
        }
        auditor.sign()?;
        Ok(auditor)
    }

    pub(super) fn append(&mut self, says: Says, now_ms: u64) -> Result<()> {
        let text = self.log.prepare(says, now_ms).context("cannot write to the audit log")?;
        files::append_line(&self.path, text.as_bytes())?;
        let entry =
            self.log.append(text.as_bytes()).context("what was prepared is the next entry")?;
        self.learn(&entry)?;
        self.sign()
    }

    /// Erasures that have no receipt yet, by the refusal log's entry.
    pub(super) const fn pending(&self) -> &BTreeMap<u64, Pending> {
        self.due.pending()
    }

    /// The last receipt so far.
    pub(super) const fn last_receipt(&self) -> Option<Pin> {
        self.log.last_receipt()
    }

    /// Keeps what an entry says about erasures, once it is the log's last.
    fn learn(&mut self, entry: &Entry) -> Result<()> {
        self.due.learn(entry);
        match &entry.says {
            Says::Asked(_) => Ok(()),
            Says::Receipt(_) => self.write_receipt(entry),
        }
    }

    fn write_receipt(&self, entry: &Entry) -> Result<()> {
        let path = self.folder.path(RECEIPTS).join(format!("receipt-{}.json", entry.n));
        if path.exists() {
            return Ok(());
        }
        let head = self.log.sign_head(&keys::signing_key(&self.folder)?);
        let file = ReceiptFile { entry: entry.to_text(), head };
        files::replace(&path, file.to_text().as_bytes())
    }

    fn sign(&self) -> Result<()> {
        let head = self.log.sign_head(&keys::signing_key(&self.folder)?);
        let mut text = serde_json::to_vec(&head).context("cannot write the audit log's head")?;
        text.push(b'\n');
        files::replace(&self.folder.path(HEAD), &text)
    }
}
