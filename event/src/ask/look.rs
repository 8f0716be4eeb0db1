//! What a person's command reads of the operator: the audit log, and receipts.

use serde::{Deserialize, Serialize};

use crate::audit::SignedHead;

/// Where it is asked for entries of the audit log.
pub const AUDIT_PATH: &str = "/audit";

/// Where it is asked for a receipt.
pub const RECEIPT_PATH: &str = "/receipts";

/// Bytes of entries in one page; it ends with the entry that goes beyond.
pub const PAGE: usize = 1024 * 1024;

/// Which entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuestion {
    /// The Region whose log is meant.
    pub region: String,
    /// Those after this one.
    pub after: u64,
}

/// Entries in order, and the head of the whole log as it is now: what is missing between them is in
/// the next page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The head.
    pub head: SignedHead,
    /// Entries, exactly as they are chained.
    pub entries: Vec<String>,
}

/// Which receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptQuestion {
    /// The Region whose erasure is meant.
    pub region: String,
    /// The refusal log's entry that demands it.
    pub position: u64,
}

/// The receipt, once there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptAnswer {
    /// The receipt file's text.
    pub file: Option<String>,
}
