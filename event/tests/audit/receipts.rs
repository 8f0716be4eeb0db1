//! Receipt files: alone, together, and against a published head.

use hushmark_event::audit::verify::{
    HeadFault, Published, ReceiptFault, Series, SeriesFault, VerifiedReceipt, receipt,
};
use hushmark_event::audit::{AuditLog, ReceiptFile, Says};
use proptest::prelude::*;

use crate::fixture::{BEGAN_MS, Written, erased, key};

fn verified(text: &str) -> VerifiedReceipt {
    receipt(text.as_bytes(), &key().verifying_key()).unwrap()
}

fn fault(text: &str) -> ReceiptFault {
    receipt(text.as_bytes(), &key().verifying_key()).unwrap_err()
}

/// The file with one part of it put differently, in a file's own form.
fn changed(text: &str, change: impl Fn(&mut ReceiptFile)) -> String {
    let mut file: ReceiptFile = serde_json::from_str(text).unwrap();
    change(&mut file);
    file.to_text()
}

#[test]
fn a_receipt_verifies_with_the_public_key_alone() {
    let written = Written::new();
    let found = verified(&written.receipts[1]);
    assert_eq!((found.pin.n, found.receipt.request, found.at_ms), (7, 6, BEGAN_MS + 720_000));
    assert_eq!(found.receipt.previous, Some(verified(&written.receipts[0]).pin));
}

#[test]
fn each_fault_has_its_name() {
    let text = &Written::new().receipts[1];
    let entry = |from: &'static str, to: &'static str| {
        changed(text, move |file| file.entry = file.entry.replacen(from, to, 1))
    };
    assert!(matches!(fault(&entry("\"parts\":3", "\"parts\":2")), ReceiptFault::EntryChanged(7)));
    let before = verified(text).before.to_string();
    let other = format!("{}{}", if before.starts_with('0') { "1" } else { "0" }, &before[1..]);
    let rebased = changed(text, |file| file.entry = file.entry.replacen(&before, &other, 1));
    assert!(matches!(fault(&rebased), ReceiptFault::EntryChanged(7)));
    assert!(matches!(fault(&entry("{", "")), ReceiptFault::EntryChanged(7)));

    let signature = changed(text, |file| file.head.signature = "0".repeat(128));
    assert!(matches!(fault(&signature), ReceiptFault::Signature(7)));
    let other_head = changed(text, |file| file.head.hash = "0".repeat(64));
    assert!(matches!(fault(&other_head), ReceiptFault::HeadChanged(7)));
    let other_length = changed(text, |file| file.head.length = 8);
    assert!(matches!(fault(&other_length), ReceiptFault::Signature(8)));

    let spaced = text.replacen("\"head\":", "\"head\": ", 1);
    assert!(matches!(fault(&spaced), ReceiptFault::Reformatted));
    assert!(matches!(fault(&(text.clone() + "\n")), ReceiptFault::Reformatted));
    assert!(matches!(fault(&text.replace('\n', "\r\n")), ReceiptFault::Reformatted));
    assert!(matches!(fault(text.trim_end()), ReceiptFault::Cut));
    assert!(matches!(fault(""), ReceiptFault::Cut));
    assert!(matches!(fault("[]"), ReceiptFault::NotAReceiptFile(_)));
}

#[test]
fn a_request_is_no_receipt_and_a_refusal_is_none_either() {
    use hushmark_event::refusal::{Entry, RefusalLog, Refuses, Takedown};
    let mut log = AuditLog::default();
    let entry = Written::new().entries[0].clone();
    log.append(entry.as_bytes()).unwrap();
    let request = ReceiptFile { entry, head: log.sign_head(&key()) }.to_text();
    assert!(matches!(fault(&request), ReceiptFault::NotAReceipt(1)));

    let mut refusals = RefusalLog::default();
    let refuses = Refuses::Takedown(Takedown::Kid(3));
    let entry = Entry { n: 1, at_ms: 0, refuses }.to_bytes();
    refusals.append(&entry).unwrap();
    let head = serde_json::to_value(refusals.sign_head(&key())).unwrap();
    let head = serde_json::from_value(head).unwrap();
    let refusal = ReceiptFile { entry: String::from_utf8(entry).unwrap(), head }.to_text();
    assert!(matches!(fault(&refusal), ReceiptFault::OtherLog(1)));
}

#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let public = key().verifying_key();
    let file = Written::new().receipts[1].clone().into_bytes();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            assert!(receipt(&changed, &public).is_err(), "byte {at}, bit {bit}");
        }
        let fault = receipt(&file[..at], &public).unwrap_err();
        assert!(matches!(fault, ReceiptFault::Cut), "cut at {at}: {fault}");
    }
}

proptest! {
    #[test]
    fn no_byte_is_free(at in any::<prop::sample::Index>(), byte: u8, how in 0..3u8) {
        let file = Written::new().receipts[2].clone().into_bytes();
        let (at, mut changed) = (at.index(file.len()), file.clone());
        match how {
            0 => changed[at] = byte,
            1 => changed.insert(at, byte),
            _ => drop(changed.remove(at)),
        }
        prop_assume!(changed != file);
        prop_assert!(receipt(&changed, &key().verifying_key()).is_err());
    }

    #[test]
    fn no_bytes_make_the_verifier_panic(bytes: Vec<u8>) {
        prop_assert!(receipt(&bytes, &key().verifying_key()).is_err());
    }
}

#[test]
fn a_receipt_that_is_missing_between_two_is_named() {
    let all: Vec<_> = Written::new().receipts.iter().map(|text| verified(text)).collect();
    let of = |which: &[usize]| {
        let some: Vec<_> = which.iter().map(|at| all[*at].clone()).collect();
        Series::of(&some).map(|_| ())
    };
    for together in [&[0, 1, 2][..], &[2, 0, 1], &[1, 2], &[2], &[], &[0, 0, 1]] {
        of(together).unwrap();
    }
    for apart in [[0, 2], [2, 0]] {
        assert_eq!(of(&apart), Err(SeriesFault::Missing { missing: 7, after: 9 }));
    }
}

/// Two receipts of another log under the same key, after so many requests.
fn rewritten(requests: usize) -> [VerifiedReceipt; 2] {
    let mut log = AuditLog::default();
    let first = AuditLog::default().append(Written::new().entries[0].as_bytes()).unwrap();
    let append = |log: &mut AuditLog, says| {
        let entry = log.prepare(says, 1).unwrap();
        log.append(entry.as_bytes()).unwrap();
        ReceiptFile { entry, head: log.sign_head(&key()) }.to_text()
    };
    for _ in 0..requests {
        append(&mut log, first.says.clone());
    }
    [(); 2].map(|()| {
        let receipt = erased(1, 0, log.last_receipt());
        verified(&append(&mut log, Says::Receipt(receipt)))
    })
}

#[test]
fn receipts_of_a_log_that_was_rewritten_contradict_each_other() {
    let first = verified(&Written::new().receipts[0]);
    let of = |other: &VerifiedReceipt| Series::of(&[first.clone(), other.clone()]).unwrap_err();
    assert_eq!(of(&rewritten(1)[0]), SeriesFault::TwoHistories(1));
    let [fourth, fifth] = rewritten(3);
    assert_eq!(of(&fourth), SeriesFault::Denied { denied: 2, after: 4 });
    assert_eq!(of(&fifth), SeriesFault::Missing { missing: 4, after: 5 });
}

#[test]
fn a_published_head_is_held_against_what_receipts_prove() {
    let public = key().verifying_key();
    let written = Written::new();
    let second = verified(&written.receipts[1]);
    let series = Series::of(std::slice::from_ref(&second)).unwrap();
    let compare = |text: &str| series.compare(&text.parse::<Published>().unwrap(), &public);
    let previous = second.receipt.previous.unwrap();
    for (n, hash) in [(7, second.pin.hash), (6, second.before), (2, previous.hash)] {
        assert_eq!(compare(&format!("{n}:{hash}")), Ok(true));
        let other = previous.hash.to_string().replace(|c| c != '0', "0");
        let contradicts = compare(&format!("{n}:{other}")).unwrap_err();
        assert!(matches!(contradicts, HeadFault::Contradicts { length, .. } if length == n));
    }
    assert_eq!(compare(&format!("11:{}", second.pin.hash)), Ok(false));

    let head = written.receipts[1].split_once("\"head\":").unwrap().1.trim_end();
    let head = head.strip_suffix('}').unwrap();
    assert_eq!(compare(head), Ok(true));
    let forged = head.replacen("\"length\":7", "\"length\":6", 1);
    assert_eq!(compare(&forged), Err(HeadFault::Signature(6)));
    for nothing in ["", "7", "7:0", "x:y", "{}", "{"] {
        assert!(nothing.parse::<Published>().is_err(), "{nothing}");
    }
}
