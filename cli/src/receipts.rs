//! `hushmark receipt verify` and `hushmark audit verify`: offline, with files and a public key.
//!
//! Each reads as: read → judge (pure, by [`hushmark_event::audit::verify`]) → say. No data folder
//! is looked at, and nothing is asked of anybody.

pub(crate) mod say;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use hushmark_event::audit::ReceiptFile;
use hushmark_event::audit::verify::{
    HeadFault, Published, Series, VerifiedReceipt, log_file, receipt,
};
use serde::Serialize;
use serde_json::json;

use crate::args::{Audit, Evidence, Receipt, VerifyLog, VerifyReceipts};
use crate::report::print;
use say::Head;

/// Bytes of a receipt's file: an entry at its longest, each of them escaped, and the head.
const RECEIPT_MAX: u64 = 64 * 1024;

/// Bytes of a log's line: an entry at its longest, or the head.
const LINE_MAX: u64 = 16 * 1024;

/// A file's name and its bytes.
type Named = (String, Vec<u8>);

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Fault {
    /// The file, where it is about one.
    file: Option<String>,
    /// The entry of the log, where it is about one.
    entry: Option<u64>,
    /// What is wrong, and what to do next.
    error: String,
}

pub(crate) fn verify_receipts(Receipt::Verify(options): &Receipt) -> Result<ExitCode> {
    let VerifyReceipts { files, evidence: Evidence { key, head, json } } = options;
    let key = public_key(key)?;
    let files: Vec<Named> =
        files.iter().map(|path| read(path, RECEIPT_MAX)).collect::<Result<_>>()?;
    let (receipts, faults, head) = judge_receipts(&files, &key, head.as_ref());
    if *json {
        let said: Vec<_> = receipts.iter().map(|(file, it)| say::receipt_json(file, it)).collect();
        let verified = faults.is_empty();
        tell(&json!({ "verified": verified, "receipts": said, "head": head, "faults": faults }))?;
    } else if head != Head::Contradicts {
        for (file, receipt) in &receipts {
            print(&say::receipt(file, receipt))?;
        }
        if faults.is_empty() {
            print(&say::together(different(&receipts), head))?;
        }
    }
    Ok(end(&faults, *json))
}

pub(crate) fn verify_log(Audit::Verify(options): &Audit) -> Result<ExitCode> {
    let VerifyLog { file, evidence: Evidence { key, head, json } } = options;
    let key = public_key(key)?;
    let file = read_log(file)?;
    let (log, faults, head) = judge_log(&file, &key, head.as_ref());
    if *json {
        let said = log.as_ref().map(|log| say::log_json(&file.0, log));
        let verified = faults.is_empty();
        tell(&json!({ "verified": verified, "log": said, "head": head, "faults": faults }))?;
    } else if let Some(log) = &log {
        print(&say::log(&file.0, log, head))?;
    }
    Ok(end(&faults, *json))
}

/// Each receipt that verifies, with the file that it is from, and whatever is wrong.
fn judge_receipts<'a>(
    files: &'a [Named],
    key: &VerifyingKey,
    published: Option<&Published>,
) -> (Vec<(&'a str, VerifiedReceipt)>, Vec<Fault>, Head) {
    let (mut receipts, mut faults) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        match receipt(bytes, key) {
            Ok(verified) => receipts.push((name.as_str(), verified)),
            Err(wrong) => faults.push(Fault {
                file: Some(name.clone()),
                entry: wrong.entry(),
                error: wrong.to_string(),
            }),
        }
    }
    let alone: Vec<VerifiedReceipt> = receipts.iter().map(|(_, it)| it.clone()).collect();
    let head = match Series::of(&alone) {
        Ok(series) => {
            let compared = published.map(|head| series.compare(head, key));
            let head = compare(compared, None, &mut faults);
            if let (Some(published), Head::NotCompared) = (published, head) {
                let error = say::not_compared(published.pin.n);
                faults.push(Fault { file: None, entry: None, error });
            }
            head
        }
        Err(wrong) => {
            let entry = Some(wrong.entry());
            faults.push(Fault { file: None, entry, error: wrong.to_string() });
            published.map_or(Head::NotGiven, |_| Head::NotCompared)
        }
    };
    (receipts, faults, head)
}

/// The log if it verifies, and whatever is wrong.
fn judge_log(
    (name, bytes): &Named,
    key: &VerifyingKey,
    published: Option<&Published>,
) -> (Option<log_file::VerifiedLog>, Vec<Fault>, Head) {
    match log_file::verify(bytes, key) {
        Ok(log) => {
            let mut faults = Vec::new();
            let compared = published.map(|head| log.compare(head, key).map(|()| true));
            let head = compare(compared, Some(name), &mut faults);
            (faults.is_empty().then_some(log), faults, head)
        }
        Err(wrong) => {
            let (file, entry) = (Some(name.clone()), wrong.entry());
            let fault = Fault { file, entry, error: wrong.to_string() };
            (None, vec![fault], published.map_or(Head::NotGiven, |_| Head::NotCompared))
        }
    }
}

fn compare(
    compared: Option<Result<bool, HeadFault>>,
    file: Option<&String>,
    faults: &mut Vec<Fault>,
) -> Head {
    match compared {
        None => Head::NotGiven,
        Some(Ok(true)) => Head::Agrees,
        Some(Ok(false)) => Head::NotCompared,
        Some(Err(wrong)) => {
            let entry = Some(wrong.entry());
            faults.push(Fault { file: file.cloned(), entry, error: wrong.to_string() });
            Head::Contradicts
        }
    }
}

/// How many of them are not the same one again: what a series takes has one receipt a place.
fn different(receipts: &[(&str, VerifiedReceipt)]) -> usize {
    receipts.iter().map(|(_, it)| it.pin.n).collect::<BTreeSet<_>>().len()
}

/// A file that is small, or another one than was meant.
fn read(path: &Path, most: u64) -> Result<Named> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let mut read = || File::open(path)?.take(most + 1).read_to_end(&mut bytes);
    let length = read().with_context(|| {
        format!(
            "cannot read {name}: receipts and refusal.pub are files of the data folder, or of whoever \
             handed them out"
        )
    })?;
    if length as u64 > most {
        bail!(
            "{name} has more than {most} bytes, as no receipt and no public key has: is it the \
             right file?"
        );
    }
    Ok((name, bytes))
}

/// A log grows for years; a line of it does not.
fn read_log(path: &Path) -> Result<Named> {
    let name = path.display().to_string();
    let cannot = || format!("cannot read {name}");
    let mut file = BufReader::new(File::open(path).with_context(cannot)?);
    let mut bytes = Vec::new();
    for n in 1.. {
        let line = file.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes);
        let length = line.with_context(cannot)?;
        if length == 0 {
            break;
        }
        let is_other = n == 1 && bytes[0] != b'{';
        if is_other || length as u64 == LINE_MAX {
            bail!(
                "{name} is no audit log, or was changed: line {n} is neither an entry nor a head; \
                 give the log's file as it was handed out"
            );
        }
    }
    // In a data folder the head is a file beside the log, so that the log is appended to and no more.
    let beside = path.with_file_name("head.json");
    if path.file_name().is_some_and(|name| name == "log.jsonl") && beside.is_file() {
        bytes.extend(read(&beside, RECEIPT_MAX)?.1);
    }
    if serde_json::from_slice::<ReceiptFile>(&bytes).is_ok() {
        bail!("{name} is a receipt and no log: `hushmark receipt verify` takes it");
    }
    Ok((name, bytes))
}

fn public_key(path: &Path) -> Result<VerifyingKey> {
    let (name, bytes) = read(path, RECEIPT_MAX)?;
    let Some(key) = parse_key(&bytes) else {
        bail!(
            "{name} holds no Ed25519 public key: give refusal.pub of the data folder or of the \
             Secret NAME-refusal-pub of the release NAME, as its 32 bytes, 64 hex digits or base64"
        );
    };
    Ok(key)
}

/// A key as it lies in a data folder, or as a Secret or a letter writes it.
fn parse_key(bytes: &[u8]) -> Option<VerifyingKey> {
    let text = || std::str::from_utf8(bytes).ok().map(str::trim);
    let raw = <[u8; 32]>::try_from(bytes).ok();
    let hex = || hex::decode(text()?).ok()?.try_into().ok();
    let base64 = || STANDARD.decode(text()?).ok()?.try_into().ok();
    VerifyingKey::from_bytes(&raw.or_else(hex).or_else(base64)?).ok()
}

fn tell(said: &serde_json::Value) -> Result<()> {
    print(&(serde_json::to_string_pretty(said).context("cannot write JSON")? + "\n"))
}

/// Says what is wrong to people, and by the exit status to programs.
fn end(faults: &[Fault], json: bool) -> ExitCode {
    for Fault { file, error, .. } in faults.iter().filter(|_| !json) {
        match file {
            Some(file) => eprintln!("error: {file}: {error}"),
            None => eprintln!("error: {error}"),
        }
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests;
