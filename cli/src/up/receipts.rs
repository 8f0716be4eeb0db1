//! Receipts: what the writer says that it erased becomes an entry of the audit log and a file that
//! verifies alone. A tenant's key goes here, last of all.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clickhouse::Row;
use hushmark_event::audit::{Name, Reached, Receipt, Says, Store, Target, Unreached};
use hushmark_event::ring::HOLD_DAYS;
use hushmark_policy::Day;
use serde::Deserialize;

use super::audit::{Auditor, Pending};
use crate::data::DataFolder;
use crate::keys;

/// Edges obey within a second, and clocks differ by less.
const OBEYED_WITHIN_MS: u64 = 60_000;

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
        let mut reached: Vec<Reached> = rows.iter().map(reached).collect();
        if let Target::Tenant(tenant) = pending.target {
            let keys = u64::from(keys::destroy_tenant_key(folder, tenant)?);
            let name = Name::of("the tenant's key");
            let bytes = keys * 32;
            reached.push(Reached { store: Store::Keys, name, rows: keys, bytes, parts: keys });
        }
        let receipt = Receipt {
            request: pending.request,
            position,
            ledger: end.position,
            asked_ms: pending.asked_ms,
            ended_ms: u64::try_from(end.at_ms).unwrap_or(0),
            reached,
            unreached: unreached(&pending),
            previous: auditor.last_receipt(),
            erased: pending.target,
        };
        auditor.append(Says::Receipt(receipt), now_ms)?;
    }
    Ok(())
}

/// ClickHouse does not tell how many bytes of a part single rows take.
fn reached(row: &ErasedRow) -> Reached {
    let (store, name) = match row.name.strip_prefix("redis: ") {
        Some(name) => (Store::Redis, name),
        None => (Store::Clickhouse, row.name.as_str()),
    };
    Reached { store, name: Name::of(name), rows: row.rows, bytes: 0, parts: row.parts }
}

/// Where something of it may still lie.
fn unreached(pending: &Pending) -> Vec<Unreached> {
    let sealed_last = Day::of_unix_ms(pending.asked_ms + OBEYED_WITHIN_MS);
    // It is closed as this day begins.
    let closed = Some(sealed_last.plus(1 + HOLD_DAYS));
    let of = |store, name: &str, until| Unreached { store, name: Name::of(name), until };
    let mut all = vec![
        of(Store::Redis, "hits under way, sealed; each is refused when it is opened", closed),
        of(Store::LaneLogs, "hits under way, sealed; each is refused when it is opened", closed),
        of(Store::Dead, "hits that could not be stored, sealed", closed),
    ];
    match pending.target {
        Target::Tenant(_) => all.extend([
            of(Store::Backups, "of ClickHouse: addresses and attributes are shredded", None),
            of(
                Store::Keys,
                "copies of the tenant's key; with one, such a backup can be read",
                None,
            ),
        ]),
        Target::Campaign { .. } | Target::Person { .. } => all.push(of(
            Store::Backups,
            "of ClickHouse: erased again before one that is restored serves",
            None,
        )),
    }
    all.push(of(Store::Mail, "messages that were sent or stamped, and lists outside", None));
    all
}
