//! What the audit log and its receipts are, to the byte, and that nothing else ever verifies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "audit/fixture.rs"]
mod fixture;
#[path = "audit/logs.rs"]
mod logs;
#[path = "audit/receipts.rs"]
mod receipts;

use std::path::Path;

use ed25519_dalek::SigningKey;
use fixture::{TENANT, Written, asked, erased, key};
use hushmark_event::audit::entry::TakenDown;
use hushmark_event::audit::verify::{ReceiptFault, receipt};
use hushmark_event::audit::{
    Action, Asked, AuditLog, Outcome, Principal, Read, Reason, Says, SignedHead, Target, Write,
};
use hushmark_event::chain::LogError;
use hushmark_event::refusal::{self, RefusalLog, Refuses, Takedown};
use hushmark_policy::CampaignId;

#[test]
fn the_bytes() {
    let written = Written::new();
    insta::assert_snapshot!(written.entries[0], @r#"{"n":1,"at_ms":1795000000000,"before":"0000000000000000000000000000000000000000000000000000000000000000","says":{"asked":{"by":{"kubernetes":"jane@acme.example"},"action":{"erase":{"person":{"tenant":"6aa3107ec1c75032","tombstone":"5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e"}}},"outcome":{"allowed":{"position":12}}}}}"#);
    insta::assert_snapshot!(written.entries[3], @r#"{"n":4,"at_ms":1795000360000,"before":"5611b42f0b416e98195f97ad43574da70b120f8c0877332772b3d6528b5ac88f","says":{"asked":{"by":{"kubernetes":"jane@acme.example"},"action":{"read":{"what":"record_of_processing","of":{"campaign":{"tenant":"6aa3107ec1c75032","id":"24c0a25c7fa2437f"}}}},"outcome":{"allowed":{"position":null}}}}}"#);
    insta::assert_snapshot!(written.entries[4], @r#"{"n":5,"at_ms":1795000480000,"before":"23b2c7aabee744d38697a61c7f69ad8bf670be26098bfcc6eb6e7cc4f6b87702","says":{"asked":{"by":{"kubernetes":"jane@acme.example"},"action":{"enforce_plan":{"tenant":"6aa3107ec1c75032","plan":"0707070707070707070707070707070707070707070707070707070707070707"}},"outcome":{"refused":"legal_hold"}}}}"#);
    insta::assert_snapshot!(written.receipts[0].trim_end(), @r#"{"entry":"{\"n\":2,\"at_ms\":1795000120000,\"before\":\"e032962bda769cf1f0e293de68efb647a621f9d56ebc8887321c91d9c206b65e\",\"says\":{\"receipt\":{\"erased\":{\"person\":{\"tenant\":\"6aa3107ec1c75032\",\"tombstone\":\"5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e\"}},\"request\":1,\"position\":12,\"ledger\":12,\"asked_ms\":1795000000000,\"ended_ms\":1795000083000,\"reached\":[{\"store\":\"clickhouse\",\"name\":\"hits\",\"rows\":42,\"bytes\":1302,\"parts\":3},{\"store\":\"clickhouse\",\"name\":\"contacts\",\"rows\":1,\"bytes\":31,\"parts\":1},{\"store\":\"lists\",\"name\":\"spring\",\"rows\":0,\"bytes\":0,\"parts\":0}],\"unreached\":[{\"store\":\"lane_logs\",\"name\":\"days not yet closed\",\"until\":\"2026-11-25\"},{\"store\":\"backups\",\"name\":\"nightly\",\"until\":\"2026-12-18\"},{\"store\":\"etcd\",\"name\":\"history of Secrets\",\"until\":null}],\"previous\":null}}}","head":{"length":2,"hash":"a52c66b457363d2b0b395950bc6622f2fa39133cd2b5b7c8dff6a192db72fd5e","signature":"f696993553f9fdc395014ac981d575bd9758c48ee32018ea655dd57de13c9592e6c6d04db0ab24f0e89e14271a2acd6f7a835e41c84f15cf035eeba703ff8804"}}"#);
    insta::assert_snapshot!(written.file.lines().last().unwrap(), @r#"{"length":11,"hash":"d5256c06f5ff3dcc41eb21fef0613a2432f8b625844d3864afce3a6ad332816c","signature":"84fc2189704717e54c48f1b3b6df62c70ecd747d035523aa9d8e588d21a6b2f9ddb9a7258165fd6fa0013e2ce475b9dd15e2a52ed48eef7368be88d57e244005"}"#);
}

/// The files that `docs/receipts.md` explains; `UPDATE=1` writes them anew.
#[test]
fn the_examples_of_the_documentation_are_what_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/receipts");
    let Written { receipts, file, .. } = Written::new();
    let public = hex::encode(key().verifying_key().to_bytes()) + "\n";
    for (name, text) in [
        ("refusal.pub", &public),
        ("receipt-2.json", &receipts[0]),
        ("receipt-7.json", &receipts[1]),
        ("receipt-9.json", &receipts[2]),
        ("audit.jsonl", &file),
    ] {
        let path = folder.join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(&there, text, "docs/receipts/{name}: UPDATE=1 cargo test writes it anew");
    }
    let page = std::fs::read_to_string(folder.with_extension("md")).unwrap();
    for text in [&receipts[0], &receipts[2], &file] {
        let hash = text.rsplit_once("\"hash\":\"").unwrap().1.split('"').next().unwrap();
        assert!(page.contains(hash), "docs/receipts.md shows commands on other files: {hash}");
    }
}

#[test]
fn every_kind_of_entry_reads_back() {
    let mut log = AuditLog::default();
    for line in &Written::new().entries {
        let entry = log.append(line.as_bytes()).unwrap();
        assert_eq!(&entry.to_text(), line);
    }
    let (tenant, of) = (TENANT, Target::Tenant(TENANT));
    let (by, position) = (Principal::Recipient, Some(3));
    let says = Says::Asked(Asked {
        by,
        action: Action::Object(Target::Campaign { tenant, id: CampaignId(2) }),
        outcome: Outcome::Allowed { position },
    });
    let text = log.prepare(says.clone(), 5).unwrap();
    let end = r#""says":{"asked":{"by":"recipient","action":{"object":{"campaign":{"tenant":"6aa3107ec1c75032","id":"0000000000000002"}}},"outcome":{"allowed":{"position":3}}}}}"#;
    assert!(text.ends_with(end), "{text}");
    assert_eq!(log.append(text.as_bytes()).unwrap().says, says);
    for action in [
        Action::Takedown(TakenDown::Url),
        Action::Takedown(TakenDown::Tenant(tenant)),
        Action::Takedown(TakenDown::Campaign { tenant, id: CampaignId(u64::MAX) }),
        Action::Withdraw(of.clone()),
        Action::Object(of.clone()),
        Action::Read { what: Read::Export, of: of.clone() },
        Action::Write { what: Write::Consents, of },
    ] {
        let says = asked(action, Outcome::Refused(Reason::Unknown));
        let text = log.prepare(says.clone(), u64::MAX).unwrap();
        assert_eq!(log.append(text.as_bytes()).unwrap().says, says);
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
