//! The audit log of this machine's stack: who asked for what, and what came of it. `up` alone
//! appends; `docs/receipts.md` says how it verifies.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use hushmark_event::audit::{AuditLog, Due, Entry, Pending, Pin, ReceiptFile, Says, SignedHead};

use super::lines::Lines;
use crate::data::DataFolder;
use crate::{files, keys};

/// The entries, one a line.
pub(crate) const LOG: &str = "audit/log.jsonl";

/// The signed head of all of them.
const HEAD: &str = "audit/head.json";

/// Receipts as they are handed out.
pub(crate) const RECEIPTS: &str = "receipts";

/// Appends to the log on disk, and signs its head.
pub(super) struct Auditor {
    folder: DataFolder,
    file: Lines,
    log: AuditLog,
    due: Due,
}

impl Auditor {
    /// Reads the log, and writes anew what a death kept from being written after an entry: its
    /// receipt, and the head. A log that is older than what was signed of it is not signed again:
    /// its next entries would have the numbers of others that somebody holds.
    pub(super) fn open(folder: &DataFolder) -> Result<Self> {
        let (file, lines) = Lines::open(folder.path(LOG))?;
        let (log, due) = (AuditLog::default(), Due::default());
        let mut auditor = Self { folder: folder.clone(), file, log, due };
        let signed = auditor.signed()?;
        auditor.hold_against(signed.as_ref())?;
        for line in lines {
            let entry = auditor
                .log
                .append(&line)
                .with_context(|| format!("{} is damaged: restore it", auditor.file.path()))?;
            auditor.hold_against(signed.as_ref())?;
            auditor.learn(&entry)?;
        }
        let (length, last) = (auditor.log.length(), auditor.last_handed_out()?);
        ensure!(
            length == 0 || signed.is_some(),
            "{} has {length} entries, and {} is gone, which says how many there have to be: restore \
             it, or the newest copy of both",
            auditor.file.path(),
            auditor.folder.path(HEAD).display()
        );
        let newest = signed.map_or(0, |head| head.length).max(last);
        ensure!(
            length >= newest,
            "{} has {length} entries, and entry {newest} was signed: it was cut, or is an older \
             copy; restore the newest one",
            auditor.file.path()
        );
        auditor.sign()?;
        Ok(auditor)
    }

    /// The head that was signed last; none where nothing was signed yet.
    fn signed(&self) -> Result<Option<SignedHead>> {
        let path = self.folder.path(HEAD);
        let Some(text) = files::read_if_there(&path)? else { return Ok(None) };
        let read = serde_json::from_slice(&text);
        read.map(Some).with_context(|| format!("{} is damaged: restore it", path.display()))
    }

    /// Fails where what was signed at this length is not what is here.
    fn hold_against(&self, signed: Option<&SignedHead>) -> Result<()> {
        let Some(head) = signed.filter(|head| head.length == self.log.length()) else {
            return Ok(());
        };
        let key = keys::signing_key(&self.folder)?.verifying_key();
        self.log.verify_head(head, &key).with_context(|| {
            format!("{} is not the log that was signed: restore it", self.file.path())
        })
    }

    /// The entry of the last receipt that was handed out; 0 is none.
    fn last_handed_out(&self) -> Result<u64> {
        let folder = self.folder.path(RECEIPTS);
        let mut last = 0;
        for entry in fs::read_dir(&folder).context("cannot read the folder of receipts")? {
            let name = entry.context("cannot read the folder of receipts")?.file_name();
            let number = name.to_str().and_then(|name| {
                name.strip_prefix("receipt-")?.strip_suffix(".json")?.parse::<u64>().ok()
            });
            last = last.max(number.unwrap_or(0));
        }
        Ok(last)
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
        let head = self.log.sign_head(&keys::signing_key(&self.folder)?);
        let text = ReceiptFile { entry: entry.to_text(), head }.to_text();
        match files::read_if_there(&path)? {
            Some(there) => {
                ensure!(
                    there == text.as_bytes(),
                    "{} is not the receipt of entry {} in {}: one of them is another history's, or \
                     was changed; restore it",
                    path.display(),
                    entry.n,
                    self.file.path()
                );
                Ok(())
            }
            None => files::replace(&path, text.as_bytes()),
        }
    }

    fn sign(&self) -> Result<()> {
        let head = self.log.sign_head(&keys::signing_key(&self.folder)?);
        let mut text = serde_json::to_vec(&head).context("cannot write the audit log's head")?;
        text.push(b'\n');
        files::replace(&self.folder.path(HEAD), &text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hushmark_event::audit::{Action, Asked, Outcome, Principal};
    use hushmark_policy::Day;

    use super::*;

    fn open(folder: &DataFolder) -> Result<Auditor, String> {
        Auditor::open(folder).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_log_that_is_older_than_what_was_signed_of_it_is_not_signed_again() {
        let data = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(data.path());
        for name in ["audit", "refusals", RECEIPTS] {
            files::private_folder(&folder.path(name)).unwrap();
        }
        keys::make(&folder, Day(20_000), 0).unwrap();
        let (by, outcome) = (Principal::Recipient, Outcome::Allowed { position: None });
        let asked = Says::Asked(Asked { by, action: Action::RotateKeys, outcome });
        let mut auditor = open(&folder).unwrap();
        let (log, head) = (folder.path(LOG), folder.path(HEAD));
        let mut signed_before = Vec::new();
        for now_ms in 1..=3 {
            signed_before = fs::read(&head).unwrap();
            auditor.append([asked.clone()], now_ms).unwrap();
        }
        let whole = fs::read_to_string(&log).unwrap();
        let two: String = whole.lines().take(2).map(|line| format!("{line}\n")).collect();

        fs::write(&log, &two).unwrap();
        assert!(open(&folder).err().unwrap().contains("has 2 entries, and entry 3 was signed"));
        let signed = fs::read(&head).unwrap();
        fs::remove_file(&head).unwrap();
        assert!(open(&folder).err().unwrap().contains("is gone, which says how many"));
        fs::write(&head, signed_before).unwrap();
        let receipt = folder.path(RECEIPTS).join("receipt-3.json");
        fs::write(&receipt, "{}").unwrap();
        assert!(open(&folder).err().unwrap().contains("has 2 entries, and entry 3 was signed"));

        // Another history of the same length.
        for gone in [&receipt, &log, &head] {
            fs::remove_file(gone).unwrap();
        }
        let mut auditor = open(&folder).unwrap();
        for now_ms in 4..=6 {
            auditor.append([asked.clone()], now_ms).unwrap();
        }
        fs::write(&head, signed).unwrap();
        assert!(open(&folder).err().unwrap().contains("is not the log that was signed"));

        fs::write(&log, whole).unwrap();
        open(&folder).unwrap();
    }
}
