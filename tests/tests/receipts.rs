//! Receipts and audit logs are what `docs/receipts.md` says: a second verifier that was written
//! from that page alone, `tests/receipts/verify.py`, takes them, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ed25519_dalek::SigningKey;
use hushmark_event::audit::verify::{log_file, receipt};
use hushmark_event::audit::{
    Action, Asked, AuditLog, Name, Outcome, Principal, Reached, Receipt, ReceiptFile, Says, Store,
    Target, Unreached,
};
use hushmark_event::chain::Hash32;
use hushmark_policy::{Day, TenantId};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/receipts/verify.py");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/receipts");

/// Every how many bytes one is changed: each takes a Python of its own.
const STRIDE: usize = 61;

/// What an auditor is given.
struct Handed {
    folder: TempDir,
    key: PathBuf,
    receipts: Vec<PathBuf>,
    log: PathBuf,
}

impl Handed {
    fn new() -> Result<Self> {
        let signing = SigningKey::from_bytes(&[42; 32]);
        let folder = tempfile::tempdir()?;
        let write = |name: &str, content: &[u8]| -> Result<PathBuf> {
            let path = folder.path().join(name);
            fs::write(&path, content)?;
            Ok(path)
        };
        let key = write("refusal.pub", &signing.verifying_key().to_bytes())?;
        let (mut log, mut entries, mut receipts) = (AuditLog::default(), Vec::new(), Vec::new());
        for says in [request(), request()] {
            let entry = log.prepare(says, 1_795_000_000_000)?;
            log.append(entry.as_bytes())?;
            entries.push(entry);
        }
        for n in 3..=5 {
            let entry = log.prepare(Says::Receipt(erased(&log)), 1_795_000_000_000 + n)?;
            log.append(entry.as_bytes())?;
            let file = ReceiptFile { entry: entry.clone(), head: log.sign_head(&signing) };
            receipts.push(write(&format!("receipt-{n}.json"), file.to_text().as_bytes())?);
            entries.push(entry);
        }
        let lines = entries.iter().map(String::as_str);
        let text = log_file::to_text(lines, &log.sign_head(&signing));
        let log = write("audit.jsonl", text.as_bytes())?;
        Ok(Self { folder, key, receipts, log })
    }

    /// Whether the second verifier takes the files, and what it says.
    fn takes(&self, files: &[&Path]) -> Result<(bool, String)> {
        ask(&self.key, files)
    }
}

fn target() -> Target {
    Target::Person { tenant: TenantId(7), tombstone: Hash32([0x5e; 32]) }
}

fn request() -> Says {
    // A name with everything that JSON may write in more than one way.
    let by = Principal::Kubernetes(Name::of("o\"neil\\é/\u{2028}\u{7f}@acme.example"));
    let outcome = Outcome::Allowed { position: Some(12) };
    Says::Asked(Asked { by, action: Action::Erase(target()), outcome })
}

fn erased(log: &AuditLog) -> Receipt {
    let name = Name::of("täglich");
    let until = Day::parse("2026-12-18");
    Receipt {
        erased: target(),
        request: 1,
        position: 12,
        ledger: 12,
        asked_ms: 1_795_000_000_000,
        ended_ms: 1_795_000_083_000,
        reached: vec![Reached {
            store: Store::Clickhouse,
            name: Name::of("hits"),
            rows: u64::MAX,
            bytes: 0,
            parts: 3,
        }],
        unreached: vec![Unreached { store: Store::Backups, name, until }],
        previous: log.last_receipt(),
    }
}

fn ask(key: &Path, files: &[&Path]) -> Result<(bool, String)> {
    let said =
        Command::new("python3").args(["-B", SCRIPT]).arg(key).args(files).output().context(
            "python3 does not start, and the second verifier is written in it: install it",
        )?;
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    // Whatever is wrong with a file is said, and is no crash.
    ensure!(!text.contains("Traceback"), "the second verifier stumbled: {text}");
    ensure!(matches!(said.status.code(), Some(0 | 1)), "{}: {text}", said.status);
    Ok((said.status.success(), text))
}

#[test]
fn a_second_verifier_takes_what_the_first_one_takes() -> Result<()> {
    let handed = Handed::new()?;
    let mut all: Vec<&Path> = handed.receipts.iter().map(PathBuf::as_path).collect();
    all.push(&handed.log);
    let (taken, said) = handed.takes(&all)?;
    ensure!(taken, "{said}");
    Ok(())
}

#[test]
fn the_examples_of_the_page_verify_by_it() -> Result<()> {
    let file = |name: &str| Path::new(EXAMPLES).join(name);
    let names = ["receipt-2.json", "receipt-7.json", "receipt-9.json", "audit.jsonl"].map(file);
    let (taken, said) = ask(&file("refusal.pub"), &names.each_ref().map(PathBuf::as_path))?;
    ensure!(taken, "{said}");
    Ok(())
}

#[test]
fn a_second_verifier_refuses_every_change() -> Result<()> {
    let handed = Handed::new()?;
    let changed = handed.folder.path().join("changed");
    let public = SigningKey::from_bytes(&[42; 32]).verifying_key();
    for (file, is_log) in [(&handed.receipts[1], false), (&handed.log, true)] {
        let bytes = fs::read(file)?;
        for at in (0..bytes.len()).step_by(STRIDE).chain([bytes.len() - 1]) {
            let mut other = bytes.clone();
            other[at] ^= 1;
            fs::write(&changed, &other)?;
            let (taken, said) = handed.takes(&[&changed])?;
            ensure!(!taken, "byte {at}: {said}");
            let first_takes = if is_log {
                log_file::verify(&other, &public).is_ok()
            } else {
                receipt(&other, &public).is_ok()
            };
            ensure!(!first_takes, "byte {at}: the first verifier takes it");
        }
        fs::write(&changed, &bytes[..bytes.len() / 2])?;
        ensure!(!handed.takes(&[&changed])?.0, "a cut file was taken");
    }
    Ok(())
}

#[test]
fn a_second_verifier_notices_a_missing_receipt_and_another_key() -> Result<()> {
    let handed = Handed::new()?;
    let (taken, said) = handed.takes(&[&handed.receipts[0], &handed.receipts[2]])?;
    ensure!(!taken && said.contains("receipt 4 is missing"), "{said}");

    let stranger = handed.folder.path().join("stranger.pub");
    fs::write(&stranger, SigningKey::from_bytes(&[43; 32]).verifying_key().to_bytes())?;
    let (taken, said) = ask(&stranger, &[&handed.receipts[0]])?;
    ensure!(!taken && said.contains("not signed by this key"), "{said}");
    Ok(())
}
