//! The audit log of this machine's stack: who asked for what, and what came of it. `up` alone
//! appends; `docs/receipts.md` says how it verifies.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use hushmark_event::audit::{
    Action, Asked, AuditLog, Entry, Outcome, Pin, ReceiptFile, Says, Target,
};

use super::lines::Lines;
use crate::data::DataFolder;
use crate::{files, keys};

/// The entries, one a line.
const LOG: &str = "audit/log.jsonl";

/// The signed head of all of them.
const HEAD: &str = "audit/head.json";

/// Receipts as they are handed out.
pub(crate) const RECEIPTS: &str = "receipts";

/// An erasure that was asked for and has no receipt yet.
#[derive(Clone)]
pub(super) struct Pending {
    /// Whose data.
    pub(super) target: Target,
    /// The entry of the audit log in which it was asked for.
    pub(super) request: u64,
    /// When that was.
    pub(super) asked_ms: u64,
}

/// Appends to the log on disk, and signs its head.
pub(super) struct Auditor {
    folder: DataFolder,
    file: Lines,
    log: AuditLog,
    /// By the refusal log's entry.
    pending: BTreeMap<u64, Pending>,
}

impl Auditor {
    /// Reads the log, and writes anew what a death kept from being written after an entry: its
    /// receipt, and the head.
    pub(super) fn open(folder: &DataFolder) -> Result<Self> {
        let (file, lines) = Lines::open(folder.path(LOG))?;
        let (log, pending) = (AuditLog::default(), BTreeMap::new());
        let mut auditor = Self { folder: folder.clone(), file, log, pending };
        for line in lines {
            let entry = auditor
                .log
                .append(&line)
                .with_context(|| format!("{} is damaged: restore it", auditor.file.path()))?;
            auditor.learn(&entry)?;
        }
        auditor.sign()?;
        Ok(auditor)
    }

    /// Appends all of it, synced once and under one head.
    pub(super) fn append(
        &mut self,
        all: impl IntoIterator<Item = Says>,
        now_ms: u64,
    ) -> Result<()> {
        let next = "what was prepared is the next entry";
        let (mut log, mut lines) = (self.log.clone(), Vec::new());
        for says in all {
            let text = log.prepare(says, now_ms).context("cannot write to the audit log")?;
            log.append(text.as_bytes()).context(next)?;
            lines.push(text.into_bytes());
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.file.append(&lines)?;
        for line in &lines {
            let entry = self.log.append(line).context(next)?;
            self.learn(&entry)?;
        }
        self.sign()
    }

    /// Erasures that have no receipt yet, by the refusal log's entry.
    pub(super) const fn pending(&self) -> &BTreeMap<u64, Pending> {
        &self.pending
    }

    /// The last receipt so far.
    pub(super) const fn last_receipt(&self) -> Option<Pin> {
        self.log.last_receipt()
    }

    /// Keeps what an entry says about erasures, once it is the log's last.
    fn learn(&mut self, entry: &Entry) -> Result<()> {
        match &entry.says {
            Says::Asked(Asked {
                action: Action::Erase(target),
                outcome: Outcome::Allowed { position: Some(position) },
                ..
            }) => {
                let (request, asked_ms) = (entry.n, entry.at_ms);
                let pending = Pending { target: target.clone(), request, asked_ms };
                self.pending.entry(*position).or_insert(pending);
                Ok(())
            }
            Says::Asked(_) => Ok(()),
            Says::Receipt(receipt) => {
                self.pending.remove(&receipt.position);
                self.write_receipt(entry)
            }
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
