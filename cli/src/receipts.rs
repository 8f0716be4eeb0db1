//! `hushmark receipt verify` and `hushmark audit verify`: offline, with files and a public key.
//!
//! Each reads as: read → judge (pure, by [`hushmark_event::audit::verify`]) → say. No data folder
//! is looked at, and nothing is asked of anybody.

pub(crate) mod say;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use hushmark_event::audit::verify::{
    HeadFault, Published, Series, VerifiedReceipt, log_file, receipt,
};
use serde::Serialize;
use serde_json::json;

use crate::args::{Audit, Evidence, Receipt, VerifyLog, VerifyReceipts};
use crate::report::print;
use say::Head;

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
    let files: Vec<Named> = files.iter().map(|path| read(path)).collect::<Result<_>>()?;
    let (receipts, faults, head) = judge_receipts(&files, &key, head.as_ref());
    if *json {
        let said: Vec<_> = receipts.iter().map(|(file, it)| say::receipt_json(file, it)).collect();
        let verified = faults.is_empty();
        tell(&json!({ "verified": verified, "receipts": said, "head": head, "faults": faults }))?;
    } else {
        for (file, receipt) in &receipts {
            print(&say::receipt(file, receipt))?;
        }
        if faults.is_empty() {
            print(&say::together(receipts.len(), head))?;
        }
    }
    Ok(end(&faults, *json))
}

pub(crate) fn verify_log(Audit::Verify(options): &Audit) -> Result<ExitCode> {
    let VerifyLog { file, evidence: Evidence { key, head, json } } = options;
    let key = public_key(key)?;
    let file = read(file)?;
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
            compare(compared, None, &mut faults)
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

fn read(path: &Path) -> Result<Named> {
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    Ok((name, bytes))
}

fn public_key(path: &Path) -> Result<VerifyingKey> {
    let (name, bytes) = read(path)?;
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
