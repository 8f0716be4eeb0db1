//! A log as a region might have it: requests of each kind, and three receipts.

use ed25519_dalek::SigningKey;
use hushmark_event::audit::entry::TakenDown;
use hushmark_event::audit::verify::log_file;
use hushmark_event::audit::{
    Action, Asked, AuditLog, Name, Outcome, Pin, Principal, Reached, Read, Reason, Receipt,
    ReceiptFile, Says, Store, Target, Unreached,
};
use hushmark_event::chain::Hash32;
use hushmark_policy::{CampaignId, Day, TenantId};

/// The moment of the first entry.
pub(crate) const BEGAN_MS: u64 = 1_795_000_000_000;

pub(crate) const TENANT: TenantId = TenantId(0x6aa3_107e_c1c7_5032);

pub(crate) fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn campaign() -> Target {
    Target::Campaign { tenant: TENANT, id: CampaignId(0x24c0_a25c_7fa2_437f) }
}

fn person() -> Target {
    Target::Person { tenant: TENANT, tombstone: Hash32([0x5e; 32]) }
}

/// A person's receipt.
pub(crate) fn erased(request: u64, rows: u64, previous: Option<Pin>) -> Receipt {
    receipt(person(), request, rows, previous)
}

fn receipt(erased: Target, request: u64, rows: u64, previous: Option<Pin>) -> Receipt {
    let reached = |store, name, rows, parts| Reached {
        store,
        name: Name::of(name),
        rows,
        bytes: rows * 31,
        parts,
    };
    let unreached = |store, name, until: Option<&str>| Unreached {
        store,
        name: Name::of(name),
        until: until.map(|day| Day::parse(day).unwrap()),
    };
    Receipt {
        erased,
        request,
        position: 11 + request,
        ledger: 11 + request,
        asked_ms: BEGAN_MS,
        ended_ms: BEGAN_MS + 83_000,
        reached: vec![
            reached(Store::Clickhouse, "hits", rows, 3),
            reached(Store::Clickhouse, "contacts", 1, 1),
            reached(Store::Lists, "spring", 0, 0),
        ],
        unreached: vec![
            unreached(Store::LaneLogs, "days not yet closed", Some("2026-11-25")),
            unreached(Store::Backups, "nightly", Some("2026-12-18")),
            unreached(Store::Etcd, "history of Secrets", None),
        ],
        previous,
    }
}

/// Everything that was written, as it lies on disks and in people's hands.
pub(crate) struct Written {
    pub(crate) entries: Vec<String>,
    pub(crate) receipts: Vec<String>,
    pub(crate) file: String,
}

impl Written {
    pub(crate) fn new() -> Self {
        let (mut log, mut entries, mut receipts) = (AuditLog::default(), Vec::new(), Vec::new());
        let mut append = |log: &mut AuditLog, says: Says| {
            let is_receipt = matches!(says, Says::Receipt(_));
            let text = log.prepare(says, BEGAN_MS + 120_000 * log.length()).unwrap();
            log.append(text.as_bytes()).unwrap();
            if is_receipt {
                let file = ReceiptFile { entry: text.clone(), head: log.sign_head(&key()) };
                receipts.push(file.to_text());
            }
            entries.push(text);
        };
        let allowed = |position| Outcome::Allowed { position };
        append(&mut log, asked(Action::Erase(person()), allowed(Some(12))));
        let first = Says::Receipt(erased(1, 42, log.last_receipt()));
        append(&mut log, first);
        append(&mut log, asked(Action::Withdraw(campaign()), allowed(Some(13))));
        let read = Action::Read { what: Read::RecordOfProcessing, of: campaign() };
        append(&mut log, asked(read, allowed(None)));
        let plan = Action::EnforcePlan { tenant: TENANT, plan: Hash32([7; 32]) };
        append(&mut log, asked(plan, Outcome::Refused(Reason::LegalHold)));
        append(&mut log, asked(Action::Erase(campaign()), allowed(Some(17))));
        let says = Says::Receipt(receipt(campaign(), 6, 80_000, log.last_receipt()));
        append(&mut log, says);
        append(&mut log, asked(Action::RotateKeys, allowed(None)));
        // A backup was restored, and the person erased from it.
        let again = Says::Receipt(erased(1, 2, log.last_receipt()));
        append(&mut log, again);
        append(&mut log, asked(Action::Takedown(TakenDown::Kid(3)), allowed(Some(18))));
        append(&mut log, asked(Action::WithdrawAll, Outcome::Refused(Reason::NotPermitted)));
        let lines = entries.iter().map(String::as_str);
        let file = log_file::to_text(lines, &log.sign_head(&key()));
        Self { entries, receipts, file }
    }
}

pub(crate) fn asked(action: Action, outcome: Outcome) -> Says {
    let by = Principal::Kubernetes(Name::of("jane@acme.example"));
    Says::Asked(Asked { by, action, outcome })
}
