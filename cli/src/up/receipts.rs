//! Receipts: what the writer says that it erased becomes an entry of the audit log and a file that
//! verifies alone. A tenant's key goes here, last of all.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clickhouse::Row;
use hushmark_event::audit::{Ended, Gone, Place, Says, Target};
use serde::Deserialize;

use super::audit::Auditor;
use crate::data::DataFolder;
use crate::keys;

/// What the writer wrote of one erasure and one table; the row without a name ends it.
#[derive(Row, Deserialize)]
struct ErasedRow {
    n: u64,
    name: String,
    rows: u64,
    parts: u64,
    position: u64,
    at_ms: i64,
}

/// Hands out a receipt of every erasure that ended and has none.
pub(super) async fn hand_out(
    folder: &DataFolder,
    auditor: &mut Auditor,
    now_ms: u64,
) -> Result<()> {
    if auditor.pending().is_empty() {
        return Ok(());
    }
    let clickhouse = folder.state()?.clickhouse()?;
    let entries: Vec<String> = auditor.pending().keys().map(ToString::to_string).collect();
    let query = format!(
        "SELECT n, toString(name) AS name, max(e.rows) AS rows, max(e.parts) AS parts, \
         max(e.position) AS position, toUnixTimestamp64Milli(max(e.at)) AS at_ms \
         FROM erased AS e WHERE n IN ({}) GROUP BY n, name ORDER BY n, name",
        entries.join(",")
    );
    let client = clickhouse.client();
    let rows: Vec<ErasedRow> =
        client.query_raw(&query).fetch_all().await.context("cannot see what is erased")?;
    let mut by_entry = BTreeMap::<u64, Vec<ErasedRow>>::new();
    for row in rows {
        by_entry.entry(row.n).or_default().push(row);
    }
    for (position, rows) in by_entry {
        let (end, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.name.is_empty());
        let (Some(end), Some(pending)) = (end.first(), auditor.pending().get(&position).cloned())
        else {
            continue;
        };
        let ended_ms = u64::try_from(end.at_ms).unwrap_or(0);
        if !pending.can_have_ended(ended_ms) {
            continue;
        }
        let keys_destroyed = match pending.target {
            Target::Tenant(tenant) => u64::from(keys::destroy_tenant_key(folder, tenant)?),
            Target::Campaign { .. } | Target::Person { .. } => 0,
        };
        let ended = Ended {
            ledger: end.position,
            ended_ms,
            gone: rows.into_iter().map(ErasedRow::gone).collect(),
        };
        let place = Place::OneMachine { keys_destroyed };
        let receipt = pending.receipt(position, &ended, &place, auditor.last_receipt());
        auditor.append([Says::Receipt(receipt)], now_ms)?;
    }
    Ok(())
}

impl ErasedRow {
    fn gone(self) -> Gone {
        Gone { name: self.name, rows: self.rows, parts: self.parts }
    }
}
