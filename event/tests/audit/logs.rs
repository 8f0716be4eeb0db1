//! Log files: whatever is done to one is found, at the entry to which it was done.

use hushmark_event::audit::verify::log_file::{LogFault, verify};
use hushmark_event::audit::verify::{HeadFault, Published};
use hushmark_event::refusal::RefusalLog;
use proptest::prelude::*;

use crate::fixture::{Written, key};

fn fault(file: impl AsRef<[u8]>) -> LogFault {
    verify(file.as_ref(), &key().verifying_key()).unwrap_err()
}

/// The file's lines: eleven entries and the head.
fn lines() -> Vec<String> {
    Written::new().file.split_inclusive('\n').map(str::to_owned).collect()
}

#[test]
fn a_log_verifies_with_the_public_key_alone() {
    let public = key().verifying_key();
    let log = verify(Written::new().file.as_bytes(), &public).unwrap();
    assert_eq!((log.entries.len(), log.head.length), (11, 11));
    let empty = hushmark_event::audit::AuditLog::default().sign_head(&key());
    let empty = hushmark_event::audit::verify::log_file::to_text([], &empty);
    assert!(verify(empty.as_bytes(), &public).unwrap().entries.is_empty());
}

#[test]
fn a_line_that_was_dropped_moved_or_repeated_is_named() {
    let lines = lines();
    let entries = lines.len() - 1;
    for at in 0..entries {
        let n = at as u64 + 1;
        let mut dropped = lines.clone();
        dropped.remove(at);
        let found = fault(dropped.concat());
        assert!(matches!(found, LogFault::Missing(m) if m == n), "{n}: {found}");

        let mut twice = lines.clone();
        twice.insert(at, lines[at].clone());
        let found = fault(twice.concat());
        let misplaced = |found: &LogFault, next: u64, was: u64| matches!(found, LogFault::Misplaced { n, found } if (*n, *found) == (next, was));
        let at_the_end = n == 11 && matches!(found, LogFault::Missing(12));
        assert!(misplaced(&found, n + 1, n) || at_the_end, "{n}: {found}");
        for other in at + 1..entries {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            let found = fault(swapped.concat());
            assert!(misplaced(&found, n, other as u64 + 1), "{n}: {found}");
        }
    }
}

#[test]
fn a_cut_is_found_wherever_it_is() {
    let file = Written::new().file;
    for at in 0..file.len() {
        let whole = file[..at].matches('\n').count() as u64;
        let found = fault(&file[..at]);
        assert!(matches!(found, LogFault::Cut(after) if after == whole), "{at}: {found}");
    }
    let mut lines = lines();
    let head = lines.pop().unwrap();
    for keep in 0..lines.len() {
        let found = fault(lines[..keep].concat() + &head);
        assert!(matches!(found, LogFault::Missing(n) if n == keep as u64 + 1), "{found}");
    }
}

#[test]
fn every_changed_byte_is_refused_and_its_entry_named() {
    let file = Written::new().file.into_bytes();
    let mut n = 1;
    for (at, byte) in file.iter().enumerate() {
        let mut changed = file.clone();
        // One bit, and another printable character: each line stays one.
        changed[at] ^= 1;
        let found = fault(&changed);
        match *byte {
            // Two lines became one.
            b'\n' => {
                assert!(found.entry() == Some(n) || n >= 11, "byte {at}: {found}");
                n += 1;
            }
            _ if n <= 11 => assert_eq!(found.entry(), Some(n), "byte {at}: {found}"),
            _ => assert!(found.entry().is_none(), "byte {at}: {found}"),
        }
    }
}

#[test]
fn an_entry_that_was_made_to_fit_moves_the_fault_to_the_next() {
    let mut lines = lines();
    let was = hash_after(&lines[4], &lines[4]);
    let forged = lines[4].replacen("legal_hold", "not_permitted", 1);
    assert_ne!(lines[4], forged);
    let is = hash_after(&lines[4], &forged);
    lines[4] = forged;
    lines[5] = lines[5].replacen(&was, &is, 1);
    let found = fault(lines.concat());
    assert!(matches!(found, LogFault::Changed(6)), "{found}");
}

/// The chain's hash after an entry that stands where another one stands.
fn hash_after(stood: &str, entry: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let before = stood.split("\"before\":\"").nth(1).unwrap();
    let mut hash = Sha256::new_with_prefix(b"hushmark audit log 1\n");
    hash.update(hex::decode(&before[..64]).unwrap());
    hash.update(entry.trim_end());
    hex::encode(hash.finalize())
}

#[test]
fn a_head_that_does_not_belong_to_the_entries_is_named() {
    let written = Written::new();
    let lines = lines();
    let entries = lines[..11].concat();
    let head_of = |n: usize| {
        let mut log = hushmark_event::audit::AuditLog::default();
        for entry in &written.entries[..n] {
            log.append(entry.as_bytes()).unwrap();
        }
        serde_json::to_string(&log.sign_head(&key())).unwrap() + "\n"
    };
    let older = fault(entries.clone() + &head_of(9));
    assert!(matches!(older, LogFault::Beyond(10)), "{older}");
    let refusals = serde_json::to_string(&RefusalLog::default().sign_head(&key())).unwrap();
    let other = fault(entries.clone() + &refusals + "\n");
    assert!(matches!(other, LogFault::OtherLog(0)), "{other}");
    let head = &lines[11];
    let other_length = fault(entries.clone() + &head.replacen("11", "12", 1));
    assert!(matches!(other_length, LogFault::HeadChanged(12)), "{other_length}");
    let spaced = fault(entries.clone() + &head.replacen(':', ": ", 1));
    assert!(matches!(spaced, LogFault::NotAHead { after: 11, .. }), "{spaced}");
    let stranger = ed25519_dalek::SigningKey::from_bytes(&[2; 32]).verifying_key();
    let found = verify(written.file.as_bytes(), &stranger).unwrap_err();
    assert!(matches!(found, LogFault::Signature(11)), "{found}");
}

#[test]
fn a_published_head_has_to_be_in_the_log() {
    let public = key().verifying_key();
    let written = Written::new();
    let log = verify(written.file.as_bytes(), &public).unwrap();
    let compare = |text: &str| log.compare(&text.parse::<Published>().unwrap(), &public);
    let head = written.file.lines().last().unwrap();
    assert_eq!(compare(head), Ok(()));
    assert_eq!(compare(&format!("0:{}", "0".repeat(64))), Ok(()));
    let rewritten = compare(&format!("5:{}", "0".repeat(64))).unwrap_err();
    assert!(matches!(rewritten, HeadFault::Contradicts { length: 5, .. }), "{rewritten}");
    let longer = compare(&format!("12:{}", "0".repeat(64)));
    assert_eq!(longer, Err(HeadFault::Longer { published: 12, found: 11 }));
}

proptest! {
    #[test]
    fn no_byte_is_free(at in any::<prop::sample::Index>(), byte: u8, how in 0..3u8) {
        let file = Written::new().file.into_bytes();
        let (at, mut changed) = (at.index(file.len()), file.clone());
        match how {
            0 => changed[at] = byte,
            1 => changed.insert(at, byte),
            _ => drop(changed.remove(at)),
        }
        prop_assume!(changed != file);
        prop_assert!(verify(&changed, &key().verifying_key()).is_err());
    }
}
