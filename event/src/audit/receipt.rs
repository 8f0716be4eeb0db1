//! What an erasure did, as an entry of the log and as a file that verifies alone.

use hushmark_policy::Day;
use serde::{Deserialize, Serialize};

use super::entry::Target;
use super::text::{Name, day};
use super::{Pin, SignedHead};

/// What was erased, what of it was reached, and what was not. Who asked stands in the entry that
/// it names, not here: a receipt is handed out.
///
/// At most [`crate::chain::ENTRY_MAX`] bytes as an entry: count a table once over all its shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Whose data.
    pub erased: Target,
    /// The entry of this log in which it was asked for.
    pub request: u64,
    /// The refusal log's entry that refuses what still comes.
    pub position: u64,
    /// The refusal log's length that every target's ledger showed before anything was removed:
    /// whatever was stored later had been filtered by it.
    pub ledger: u64,
    /// When it was asked for, in milliseconds since 1970.
    pub asked_ms: u64,
    /// When everything below was reached and looked for, in milliseconds since 1970.
    pub ended_ms: u64,
    /// What was removed, and looked for afterwards.
    pub reached: Vec<Reached>,
    /// What still holds some of it.
    pub unreached: Vec<Unreached>,
    /// The receipt before this one, so that a missing one is noticed; none before the first.
    pub previous: Option<Pin>,
}

/// What was removed from one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// The kind of store.
    pub store: Store,
    /// The table, list or folder in it.
    pub name: Name,
    /// Rows or records that were removed; 0 where it was searched and held none.
    pub rows: u64,
    /// Bytes that they took; 0 where the store does not tell.
    pub bytes: u64,
    /// Parts or files that were rewritten or removed.
    pub parts: u64,
}

/// A place that still holds some of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreached {
    /// The kind of store.
    pub store: Store,
    /// The stream, folder or copy in it.
    pub name: Name,
    /// The day by whose end it holds nothing any more; none where Hushmark cannot know.
    #[serde(with = "day")]
    pub until: Option<Day>,
}

/// Where data rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// ClickHouse tables: active, inactive and detached parts.
    Clickhouse,
    /// Redis: lanes, the send queue, published totals.
    Redis,
    /// Batches that could not be stored, sealed.
    Dead,
    /// Edges' lane logs, sealed.
    LaneLogs,
    /// Sealed recipient lists.
    Lists,
    /// Keys.
    Keys,
    /// Backups of any of these.
    Backups,
    /// What Kubernetes' store keeps of manifests and Secrets, and their history until it is
    /// compacted.
    Etcd,
    /// Messages that were sent.
    Mail,
}

/// A receipt as it is handed out: all that is needed to verify it with the public key alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFile {
    /// The entry, exactly as it is in the log.
    pub entry: String,
    /// The head that was signed when the log ended with it.
    pub head: SignedHead,
}

impl ReceiptFile {
    /// The file's text, and the only one: without spaces, with one line end.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("text and numbers always serialise") + "\n"
    }
}
