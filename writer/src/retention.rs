//! What policies remove and make coarser of what is stored: found first, and then done.
//!
//! A step is done as mutations beside the writer's inserts: a part that is inserted meanwhile is not
//! touched, a mutated part keeps its ledger rows, and a token's note does not depend on parts. What
//! is published of it goes with it: cells of which nothing is left are deleted, and cells that lost
//! a part are withheld until they grew beyond what they showed, because the difference would tell
//! of few. Every statement can be said again: a step that was cut short is simply done again.
//!
//! In reading order: `sql` says which rows, here they are counted and removed, `days` makes a
//! row's time its day, `enforce` makes a plan of it and carries one out, [`overdue`] tells what no
//! enforcing took.

mod days;
mod enforce;
mod lists;
mod overdue;
mod sql;

use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use hushmark_event::plans::Found;
use hushmark_policy::retention::Step;
use serde::Deserialize;

pub use enforce::{EnforceError, announce, check_drift, check_step, enforce_step};
pub use lists::{List, Messages, forget, list};
pub use overdue::{Overdue, overdue, record};
pub use sql::Reach;

use crate::store::StoreError;
use sql::quoted;

/// What was found, as ClickHouse says it.
#[derive(Row, Deserialize)]
struct FoundRow {
    table: String,
    part: String,
    rows: u64,
    bytes: u64,
    partitions: Vec<String>,
    oldest: String,
}

impl From<FoundRow> for Found {
    fn from(row: FoundRow) -> Self {
        let FoundRow { table, part, rows, bytes, partitions, oldest } = row;
        Self { table, part, rows, bytes, partitions, oldest }
    }
}

/// How long mutations of others, or of one that was killed, are waited for.
const OTHERS: Duration = Duration::from_secs(600);

/// A table's mean row, in bytes on disk.
fn mean_row(table: &str) -> String {
    format!(
        "assumeNotNull((SELECT sum(bytes_on_disk) / greatest(sum(rows), 1) FROM system.parts \
         WHERE active AND database = currentDatabase() AND table = '{table}'))"
    )
}

/// Counts what a step is due for, table by table and dimension by dimension. Where nothing is due
/// there is no line.
///
/// # Errors
/// [`StoreError`].
pub async fn found(client: &Client, reach: &Reach) -> Result<Vec<Found>, StoreError> {
    let mut all = Vec::new();
    if let Some(due) = reach.hits() {
        let query = format!(
            "SELECT 'hits' AS table, '' AS part, count() AS rows, \
             toUInt64(count() * {}) AS bytes, \
             arraySort(groupUniqArray(formatDateTime(month, '%Y-%m'))) AS partitions, \
             toString(toDate(min(at))) AS oldest FROM hits WHERE {due}",
            mean_row("hits")
        );
        all.extend(ask(client, &query).await?);
    }
    if let Some(due) = reach.counters() {
        let oldest = match reach.due.step {
            Step::Hour => "substring(min(value), 1, 10)",
            _ => "toString(min(month))",
        };
        let query = format!(
            "SELECT 'counters' AS table, toString(dimension) AS part, count() AS rows, \
             toUInt64(sum(stored) * {}) AS bytes, \
             arraySort(groupUniqArray(formatDateTime(month, '%Y-%m'))) AS partitions, \
             {oldest} AS oldest FROM \
             (SELECT dimension, value, month, count() AS stored FROM counters WHERE {due} \
             GROUP BY tenant, campaign, kind, dimension, value, month) \
             GROUP BY dimension ORDER BY dimension",
            mean_row("counters")
        );
        all.extend(ask(client, &query).await?);
    }
    if let (Some(gone), Some(less)) = (reach.published_gone(), reach.published_less()) {
        let counted = |part: &str, from: String| {
            format!(
                "SELECT 'published' AS table, '{part}' AS part, count() AS rows, \
                 toUInt64(count() * {}) AS bytes, CAST([], 'Array(String)') AS partitions, \
                 '' AS oldest FROM {from}",
                mean_row("published")
            )
        };
        let gone = counted("removed", format!("published FINAL WHERE {gone}"));
        all.extend(ask(client, &gone).await?);
        all.extend(ask(client, &counted("withheld", format!("({less})"))).await?);
    }
    Ok(all.into_iter().filter(|found| found.rows > 0).collect())
}

async fn ask(client: &Client, query: &str) -> Result<Vec<Found>, StoreError> {
    let rows = client.query_raw(query).fetch_all::<FoundRow>().await?;
    Ok(rows.into_iter().map(Found::from).collect())
}

/// Does a step, and returns when no row is left that it was due for when it began.
///
/// # Errors
/// [`StoreError`]; what was done stays done, and saying it again goes on.
pub async fn carry_out(client: &Client, reach: &Reach) -> Result<(), StoreError> {
    wait_for_mutations(client).await?;
    if let Some(due) = reach.hits() {
        match reach.due.step {
            Step::Rows => mutate(client, &format!("hits DELETE WHERE {due}")).await?,
            Step::Place => mutate(client, &format!("hits UPDATE country = '' WHERE {due}")).await?,
            Step::Client => {
                let set = "device = '', client = '', system = ''";
                mutate(client, &format!("hits UPDATE {set} WHERE {due}")).await?;
            }
            Step::Hour => days::coarsen(client, reach, &due).await?,
            Step::Counters => {}
        }
    }
    if let Some(due) = reach.counters() {
        // What is shown goes first: a reader never sees what the counters do not say any more.
        withhold(client, reach).await?;
        mutate(client, &format!("counters DELETE WHERE {due}")).await?;
        withhold(client, reach).await?;
    }
    Ok(())
}

/// Takes out of `published` what the counters that stay do not say.
async fn withhold(client: &Client, reach: &Reach) -> Result<(), StoreError> {
    #[derive(Row, Deserialize)]
    struct Key {
        campaign: u64,
        kind: String,
        dimension: String,
        value: String,
    }
    let (Some(gone), Some(less)) = (reach.published_gone(), reach.published_less()) else {
        return Ok(());
    };
    let keys: Vec<Key> = client.query_raw(&less).fetch_all().await?;
    for some in keys.chunks(1_000) {
        let keys: Vec<String> = some
            .iter()
            .map(|Key { campaign, kind, dimension, value }| {
                let [kind, dimension, value] = [kind, dimension, value].map(|text| quoted(text));
                format!("({campaign},{kind},{dimension},{value})")
            })
            .collect();
        let nothing = "raw = NULL, human = NULL, uniq_raw = NULL, uniq_human = NULL";
        let which = format!(
            "{} AND (campaign, toString(kind), toString(dimension), value) IN ({})",
            reach.scope(),
            keys.join(",")
        );
        mutate(client, &format!("published UPDATE {nothing} WHERE {which}")).await?;
    }
    mutate(client, &format!("published DELETE WHERE {gone}")).await
}

/// Changes a table, and returns when every part was changed.
async fn mutate(client: &Client, change: &str) -> Result<(), StoreError> {
    let statement = format!("ALTER TABLE {change} SETTINGS mutations_sync = 1");
    Ok(client.query_raw(&statement).execute().await?)
}

/// A step that was killed may still be under way in the server.
async fn wait_for_mutations(client: &Client) -> Result<(), StoreError> {
    let query = "SELECT count() FROM system.mutations WHERE NOT is_done AND \
                 database = currentDatabase() AND table IN ('hits', 'counters', 'published')";
    let until = Instant::now() + OTHERS;
    while client.query_raw(query).fetch_one::<u64>().await? > 0 {
        if Instant::now() > until {
            return Err(StoreError::Refused(
                "an earlier change of the tables goes on for ten minutes: look at \
                 system.mutations for what keeps it"
                    .to_owned(),
            ));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
