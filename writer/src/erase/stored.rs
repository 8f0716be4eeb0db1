//! What ClickHouse is asked and told about rows that have to go: counts, mutations, and parts.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::error::Result;
use clickhouse::{Client, Row};
use serde::Serialize;

use super::what::{Search, TABLES, Table};

/// A row of `erased`.
#[derive(Row, Serialize)]
pub(super) struct ErasedRow {
    pub(super) n: u64,
    pub(super) name: &'static str,
    pub(super) rows: u64,
    pub(super) parts: u64,
    pub(super) position: u64,
    pub(super) at: i64,
}

/// A tombstone in `withdrawals`.
#[derive(Row, Serialize)]
pub(super) struct TombstoneRow {
    pub(super) tenant: u64,
    pub(super) lookup: [u8; 32],
    pub(super) source: &'static str,
    pub(super) at: i64,
}

/// How many rows there are under a key, and in how many parts.
pub(super) type Found = (String, u64, u64);

/// The tables of [`TABLES`] that there are.
pub(super) async fn tables(client: &Client) -> Result<Vec<&'static Table>> {
    let query = "SELECT name FROM system.tables WHERE database = currentDatabase()";
    let names: BTreeSet<String> = client.query_raw(query).fetch_all().await?.into_iter().collect();
    Ok(TABLES.iter().filter(|table| names.contains(table.name)).collect())
}

/// For how many seconds the server runs, and which erasures ended, by their entry in the log, and
/// when, in milliseconds since 1970. The first is asked first: what was started anew between the two
/// shows it the next time.
pub(super) async fn glance(client: &Client) -> Result<(u64, BTreeMap<u64, u64>)> {
    let uptime = client.query_raw("SELECT toUInt64(uptime())").fetch_one().await?;
    let query = "SELECT n, toUInt64(toUnixTimestamp64Milli(max(at))) FROM erased WHERE name = '' \
                 GROUP BY n";
    let ended: Vec<(u64, u64)> = client.query_raw(query).fetch_all().await?;
    Ok((uptime, ended.into_iter().collect()))
}

pub(super) async fn find(client: &Client, table: &Table, search: &Search) -> Result<Vec<Found>> {
    let (name, Search { key, rows, .. }) = (table.name, search);
    let query = format!(
        "SELECT {key} AS key, count() AS rows, uniqExact(_part) AS parts FROM {name} \
         WHERE {rows} GROUP BY key"
    );
    client.query_raw(&query).fetch_all().await
}

/// Asks for rows to go. It returns before they are gone: see [`unfinished`].
pub(super) async fn delete(client: &Client, table: &Table, rows: &str) -> Result<()> {
    let name = table.name;
    let delete = format!("ALTER TABLE {name} DELETE WHERE {rows} SETTINGS mutations_sync = 0");
    client.query_raw(&delete).execute().await
}

/// How many mutations of a table are not done, and what the engine says about the last failure.
pub(super) async fn unfinished(client: &Client, table: &Table) -> Result<(u64, String)> {
    let query = format!(
        "SELECT count(), any(latest_fail_reason) FROM system.mutations \
         WHERE database = currentDatabase() AND table = '{}' AND NOT is_done",
        table.name
    );
    client.query_raw(&query).fetch_one().await
}

/// The parts of a table that are not read any more and still lie on the disk. A server that has
/// just started learns of them late, so it is waited for.
pub(super) async fn old_parts(client: &Client, table: &Table) -> Result<BTreeSet<String>> {
    let name = table.name;
    client.query_raw(&format!("SYSTEM WAIT LOADING PARTS {name}")).execute().await?;
    let query = format!(
        "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = '{name}' \
         AND _state NOT IN ('Active', 'PreActive', 'Temporary')"
    );
    Ok(client.query_raw(&query).fetch_all().await?.into_iter().collect())
}

/// Parts that were put aside: nobody can ask what is in them.
pub(super) async fn detached(client: &Client, table: &Table) -> Result<Vec<String>> {
    let query = format!(
        "SELECT name FROM system.detached_parts WHERE database = currentDatabase() \
         AND table = '{}' ORDER BY name",
        table.name
    );
    client.query_raw(&query).fetch_all().await
}

/// The refusal log's length that every target's ledger shows.
pub(super) async fn position(client: &Client) -> Result<u64> {
    let query = "SELECT assumeNotNull(least((SELECT max(position) FROM counters WHERE tenant = 0 \
                 AND campaign = 0 AND dimension = 'lane'), \
                 (SELECT max(position) FROM hits WHERE tenant = 0 AND campaign = 0)))";
    client.query_raw(query).fetch_one().await
}

/// Campaigns of which a table or Redis may say something, as Redis names them.
pub(super) async fn campaigns(client: &Client, tenant: u64) -> Result<Vec<String>> {
    let query = format!(
        "SELECT DISTINCT leftPad(lower(hex(campaign)), 16, '0') FROM (\
         SELECT campaign FROM campaigns WHERE tenant = {tenant} \
         UNION ALL SELECT campaign FROM published_campaigns WHERE tenant = {tenant} \
         UNION ALL SELECT campaign FROM counters WHERE tenant = {tenant})"
    );
    client.query_raw(&query).fetch_all().await
}
