//! The audit log of this machine's stack: who asked for what, and what came of it. `up` alone
//! appends; `docs/receipts.md` says how it verifies.

use std::path::PathBuf;

use anyhow::{Context, Result};
use hushmark_event::audit::{Asked, AuditLog, Says};

use crate::data::DataFolder;
use crate::{files, keys};

/// The entries, one a line.
const LOG: &str = "audit/log.jsonl";

/// The signed head of all of them.
const HEAD: &str = "audit/head.json";

/// Appends to the log on disk, and signs its head.
pub(super) struct Auditor {
    folder: DataFolder,
    path: PathBuf,
    log: AuditLog,
}

impl Auditor {
    /// Reads the log, and signs its head anew where a death came between the two.
    pub(super) fn open(folder: &DataFolder) -> Result<Self> {
        let path = folder.path(LOG);
        files::mend_lines(&path)?;
        let mut log = AuditLog::default();
        for line in files::lines(&path)? {
            log.append(&line)
                .with_context(|| format!("{} is damaged: restore it", path.display()))?;
        }
        let auditor = Self { folder: folder.clone(), path, log };
        auditor.sign()?;
        Ok(auditor)
    }

    pub(super) fn append(&mut self, asked: Asked, now_ms: u64) -> Result<()> {
        let says = Says::Asked(asked);
        let text = self.log.prepare(says, now_ms).context("cannot write to the audit log")?;
        files::append_line(&self.path, text.as_bytes())?;
        self.log.append(text.as_bytes()).context("what was prepared is the next entry")?;
        self.sign()
    }

    fn sign(&self) -> Result<()> {
        let head = self.log.sign_head(&keys::signing_key(&self.folder)?);
        let mut text = serde_json::to_vec(&head).context("cannot write the audit log's head")?;
        text.push(b'\n');
        files::replace(&self.folder.path(HEAD), &text)
    }
}
