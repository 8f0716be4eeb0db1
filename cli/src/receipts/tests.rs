//! What people read, and what ends with which status.

use ed25519_dalek::SigningKey;
use hushmark_event::audit::{
    Action, Asked, AuditLog, Name, Outcome, Principal, Reached, Receipt, ReceiptFile, Says, Store,
    Target, Unreached,
};
use hushmark_event::chain::Hash32;
use hushmark_policy::{Day, TenantId};

use super::*;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// A log with three receipts: its file, and theirs.
fn written() -> (Named, Vec<Named>) {
    let (mut log, mut entries, mut receipts) = (AuditLog::default(), Vec::new(), Vec::new());
    let person = Target::Person { tenant: TenantId(7), tombstone: Hash32([0x5e; 32]) };
    let by = Principal::Local(Name::of("jane"));
    let outcome = Outcome::Allowed { position: Some(12) };
    let asked = Says::Asked(Asked { by, action: Action::Erase(person.clone()), outcome });
    let receipt = |previous| Receipt {
        erased: person.clone(),
        request: 1,
        position: 12,
        ledger: 12,
        asked_ms: 1_795_000_000_000,
        ended_ms: 1_795_000_083_000,
        reached: vec![Reached {
            store: Store::Clickhouse,
            name: Name::of("hits"),
            rows: 42,
            bytes: 1302,
            parts: 3,
        }],
        unreached: vec![
            Unreached {
                store: Store::Backups,
                name: Name::of("nightly"),
                until: Day::parse("2026-12-18"),
            },
            Unreached { store: Store::Etcd, name: Name::of("Secrets"), until: None },
        ],
        previous,
    };
    for n in 1..=4 {
        let receipt = || Says::Receipt(receipt(log.last_receipt()));
        let says = if n == 1 { asked.clone() } else { receipt() };
        let entry = log.prepare(says, 1_795_000_090_000).unwrap();
        log.append(entry.as_bytes()).unwrap();
        if n > 1 {
            let file = ReceiptFile { entry: entry.clone(), head: log.sign_head(&key()) };
            receipts.push((format!("receipt-{n}.json"), file.to_text().into_bytes()));
        }
        entries.push(entry);
    }
    let lines = entries.iter().map(String::as_str);
    let file = log_file::to_text(lines, &log.sign_head(&key())).into_bytes();
    (("audit.jsonl".into(), file), receipts)
}

#[test]
fn a_receipt_is_told_in_the_readers_words() {
    let files = written().1;
    let (receipts, faults, head) = judge_receipts(&files[..1], &key().verifying_key(), None);
    assert_eq!((faults.len(), head), (0, Head::NotGiven));
    let (file, verified) = &receipts[0];
    insta::assert_snapshot!(say::receipt(file, verified), @r"
    receipt-2.json: verified
      receipt      entry 2 of the audit log, hash d19941affa9150826f0f6a6804d8596a30a91611f1e3361de06d1167626bafd3
      erased       the person with the tombstone 5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e of tenant 0000000000000007
      asked for    2026-11-18 11:06:40 UTC, by entry 1
      ended        2026-11-18 11:08:03 UTC
      from then on refused by entry 12 of the refusal log
      ledger       every target at position 12
      reached      ClickHouse, hits: 42 rows, 1302 bytes, 3 parts
      NOT reached  backups, nightly: until 2026-12-18
      NOT reached  etcd, Secrets: until when is not known
      before it    no receipt
    ");
}

#[test]
fn what_is_wrong_names_the_file_and_the_entry() {
    let public = key().verifying_key();
    let mut files = written().1;
    let (_, faults, _) = judge_receipts(&[files[0].clone(), files[2].clone()], &public, None);
    assert_eq!((faults[0].file.as_deref(), faults[0].entry), (None, Some(3)));

    files[1].1.truncate(100);
    let (receipts, faults, _) = judge_receipts(&files, &public, None);
    assert_eq!(receipts.len(), 2, "the others are told all the same");
    assert_eq!(faults[0].file.as_deref(), Some("receipt-3.json"));
    assert!(faults[0].error.starts_with("the file is cut"), "{}", faults[0].error);
}

#[test]
fn a_published_head_agrees_contradicts_or_is_said_not_to_be_compared() {
    let public = key().verifying_key();
    let (log, receipts) = written();
    let head = |n: u64, hash: &str| format!("{n}:{hash}").parse::<Published>().unwrap();
    let (verified, ..) = judge_log(&log, &public, None);
    let hash = verified.unwrap().head.hash;
    let zeros = "0".repeat(64);
    for (published, of_log, of_receipts) in [
        (head(4, &hash), Head::Agrees, Head::Agrees),
        (head(4, &zeros), Head::Contradicts, Head::Contradicts),
        (head(9, &zeros), Head::Contradicts, Head::NotCompared),
    ] {
        let (_, faults, head) = judge_log(&log, &public, Some(&published));
        assert_eq!((head, faults.is_empty()), (of_log, of_log == Head::Agrees));
        let (_, faults, head) = judge_receipts(&receipts, &public, Some(&published));
        assert_eq!((head, faults.is_empty()), (of_receipts, of_receipts == Head::Agrees));
    }
}

#[test]
fn a_key_is_read_however_it_was_handed_over() {
    let public = key().verifying_key();
    let raw = public.to_bytes().to_vec();
    let hex = hex::encode(&raw) + "\n";
    let base64 = STANDARD.encode(&raw);
    for written in [raw, hex.into_bytes(), base64.into_bytes()] {
        assert_eq!(parse_key(&written), Some(public));
    }
    for no_key in [&b""[..], b"refusal.pub", &[0; 31]] {
        assert_eq!(parse_key(no_key), None);
    }
}

#[test]
fn a_receipt_that_is_given_twice_is_one() {
    let files = written().1;
    let twice = [files[0].clone(), files[1].clone(), files[0].clone()];
    let (receipts, faults, _) = judge_receipts(&twice, &key().verifying_key(), None);
    assert_eq!((receipts.len(), faults.len(), different(&receipts)), (3, 0, 2));
}

#[test]
fn what_is_no_log_and_no_receipt_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let said = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        let log = read_log(&file).map(|it| it.1).map_err(|error| error.to_string());
        (log, read(&file, RECEIPT_MAX).map_err(|error| error.to_string()))
    };
    let (log, receipts) = written();
    let (read, _) = said(&log.1);
    assert_eq!(read, Ok(log.1), "a log is read whole");
    let (_, read) = said(&receipts[0].1);
    assert_eq!(read.unwrap().1, receipts[0].1);
    let endless_line = vec![b'{'; 100_000];
    for junk in [&endless_line[..], b"\x7fELF\n{}\n", b"\n"] {
        assert!(said(junk).0.unwrap_err().contains("is no audit log"));
    }
    assert!(said(&endless_line).1.unwrap_err().contains("is it the right file?"));
    let endless = Path::new("/dev/zero");
    assert!(read_log(endless).is_err() && super::read(endless, RECEIPT_MAX).is_err());
}
