//! What the audit log and its receipts are, to the byte, and that nothing else ever verifies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "audit/fixture.rs"]
mod fixture;
#[path = "audit/logs.rs"]
mod logs;
#[path = "audit/receipts.rs"]
mod receipts;

use ed25519_dalek::SigningKey;
use fixture::{Written, erased, key};
use hushmark_event::audit::verify::{ReceiptFault, receipt};
use hushmark_event::audit::{AuditLog, Says, SignedHead};
use hushmark_event::chain::LogError;
use hushmark_event::refusal::{self, RefusalLog, Refuses, Takedown};

#[test]
fn the_bytes() {
    let written = Written::new();
    insta::assert_snapshot!(written.entries[0], @r#"{"n":1,"at_ms":1795000000000,"before":"0000000000000000000000000000000000000000000000000000000000000000","says":{"asked":{"by":{"kubernetes":"jane@acme.example"},"action":{"erase":{"person":{"tenant":"6aa3107ec1c75032","tombstone":"5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e"}}},"outcome":{"allowed":{"position":12}}}}}"#);
    insta::assert_snapshot!(written.entries[3], @r#"{"n":4,"at_ms":1795000360000,"before":"d02012b5e7287d312fac144ba7a233fd19b0169c25409f1ba0c908e5f2d82e38","says":{"asked":{"by":{"kubernetes":"jane@acme.example"},"action":{"read":{"what":"record_of_processing","of":{"campaign":{"tenant":"6aa3107ec1c75032","id":"24c0a25c7fa2437f"}}}},"outcome":{"allowed":{"position":null}}}}}"#);
    insta::assert_snapshot!(written.entries[4], @r#"{"n":5,"at_ms":1795000480000,"before":"27bbbe3e08b2d858658020841217735110dd50e4bf82c751df4720b3cb8d824a","says":{"asked":{"by":{"kubernetes":"jane@acme.example"},"action":{"enforce_plan":{"tenant":"6aa3107ec1c75032","plan":"0707070707070707070707070707070707070707070707070707070707070707"}},"outcome":{"refused":"legal_hold"}}}}"#);
    insta::assert_snapshot!(written.receipts[0].trim_end(), @r#"{"entry":"{\"n\":2,\"at_ms\":1795000120000,\"before\":\"e032962bda769cf1f0e293de68efb647a621f9d56ebc8887321c91d9c206b65e\",\"says\":{\"receipt\":{\"erased\":{\"person\":{\"tenant\":\"6aa3107ec1c75032\",\"tombstone\":\"5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e\"}},\"request\":1,\"position\":12,\"asked_ms\":1795000000000,\"ended_ms\":1795000083000,\"reached\":[{\"store\":\"clickhouse\",\"name\":\"hits\",\"rows\":42,\"bytes\":1302,\"parts\":3},{\"store\":\"clickhouse\",\"name\":\"contacts\",\"rows\":1,\"bytes\":210,\"parts\":1},{\"store\":\"lists\",\"name\":\"spring\",\"rows\":1,\"bytes\":96,\"parts\":1}],\"unreached\":[{\"store\":\"lane_logs\",\"name\":\"sealed, of days not yet closed\",\"until\":\"2026-11-25\"},{\"store\":\"backups\",\"name\":\"nightly\",\"until\":\"2026-12-18\"},{\"store\":\"etcd\",\"name\":\"compaction is not ours\",\"until\":null}],\"previous\":null}}}","head":{"length":2,"hash":"bbe98c06c654bbfdc6027a8f5798b3a6fd481428bed1a29a33e2bd6751df7d6a","signature":"000c48feb4d487834f999302f9db89e40dcda4c3601520e2202375b7a49e28e9c5ee0c1d560990e3a0447dbf8542395d3836af6f44aa011204415fb30cb8670e"}}"#);
    insta::assert_snapshot!(written.file.lines().last().unwrap(), @r#"{"length":11,"hash":"9fef7e5584335f2e0f1ad069570b3a95be8aa5160fbefb3843bb9db71bb0ba32","signature":"a929a83386b6f1e0bee18c7aef97858fb7635b821aa30d0869025a2d809cd37d290db903bf595977e8143c1e69425c0632854af95980d9fa64bb675542eb2305"}"#);
}

#[test]
fn every_kind_of_entry_reads_back() {
    let mut log = AuditLog::default();
    for line in &Written::new().entries {
        let entry = log.append(line.as_bytes()).unwrap();
        assert_eq!(&entry.to_text(), line);
    }
}

/// Who holds one key for both logs must not be able to show one as the other.
#[test]
fn neither_log_passes_for_the_other() {
    let (key, public) = (key(), key().verifying_key());
    let mut refusals = RefusalLog::default();
    let refuses = Refuses::Takedown(Takedown::Kid(3));
    let refusal = refusal::Entry { n: 1, at_ms: 0, refuses }.to_bytes();
    refusals.append(&refusal).unwrap();
    let written = Written::new();

    assert!(matches!(AuditLog::default().append(&refusal), Err(LogError::Unreadable { .. })));
    let audit = written.entries[0].as_bytes();
    assert!(matches!(RefusalLog::default().append(audit), Err(LogError::Unreadable { .. })));

    let refusals_head = serde_json::to_vec(&refusals.sign_head(&key)).unwrap();
    let as_audit: SignedHead = serde_json::from_slice(&refusals_head).unwrap();
    assert!(as_audit.verify(&public).is_err());
    let audit_head = written.file.lines().last().unwrap();
    let as_refusals: refusal::SignedHead = serde_json::from_str(audit_head).unwrap();
    assert!(as_refusals.verify(&public).is_err());
    assert!(serde_json::from_str::<SignedHead>(audit_head).unwrap().verify(&public).is_ok());
    // Nothing was appended to either, and still their heads differ.
    let empty = RefusalLog::default().sign_head(&key).signature;
    assert_ne!(empty, AuditLog::default().sign_head(&key).signature);
}

#[test]
fn what_is_no_next_entry_changes_nothing() {
    let mut log = AuditLog::default();
    let first = Written::new().entries[0].clone();
    let elsewhere = first.replacen("\"before\":\"0", "\"before\":\"1", 1);
    assert!(matches!(log.append(elsewhere.as_bytes()), Err(LogError::OtherHistory(1))));
    let in_two_lines = first.replacen(',', ",\n", 1);
    assert!(matches!(log.append(in_two_lines.as_bytes()), Err(LogError::Impossible(1))));
    assert!(matches!(log.append(b"{}"), Err(LogError::Unreadable { length: 0, .. })));
    // It would be the answer to itself, and to something that is yet to come.
    for request in [0, 1, 2] {
        let says = Says::Receipt(erased(request, 1, log.last_receipt()));
        assert!(matches!(log.prepare(says, 5), Err(LogError::Impossible(1))));
    }
    log.append(first.as_bytes()).unwrap();
    let again = log.append(first.as_bytes());
    assert!(matches!(again, Err(LogError::OutOfOrder { length: 1, found: 1 })));
    assert_eq!(log.length(), 1);
}

#[test]
fn a_receipt_that_does_not_name_the_one_before_it_is_not_appended() {
    let mut log = AuditLog::default();
    let written = Written::new();
    for entry in &written.entries {
        log.append(entry.as_bytes()).unwrap();
    }
    let before = log.last_receipt();
    assert!(log.prepare(Says::Receipt(erased(1, 1, None)), 5).is_err());
    assert!(log.prepare(Says::Receipt(erased(1, 1, before)), 5).is_ok());
}

#[test]
fn another_key_has_signed_nothing() {
    let stranger = SigningKey::from_bytes(&[2; 32]).verifying_key();
    let fault = receipt(Written::new().receipts[0].as_bytes(), &stranger).unwrap_err();
    assert!(matches!(fault, ReceiptFault::Signature(2)), "{fault}");
}
