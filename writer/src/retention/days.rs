//! A row's time becomes its day. The time is part of the table's order and cannot be changed in
//! place, so that a copy with the day alone is stored, and then the original is deleted.
//!
//! A copy says in `last` that it is one, until its original is gone: however often this is cut
//! short and begun again, each row is there once in the end. Between the two steps a row is there
//! twice, which readers of rows notice: they find more rows than hits, and take the sketches.

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::mutate;
use super::sql::{DAY_ONLY, DRAFT, Reach, WHOLE};
use crate::store::StoreError;

/// What makes of a copy one block, and so one part, which appears whole or not at all.
const ONE_BLOCK: &str = "async_insert = 0, insert_deduplicate = 0, max_insert_threads = 1, \
                         max_threads = 1, min_insert_block_size_rows = 4000000, \
                         min_insert_block_size_bytes = 4294967296";

/// A campaign's rows of one partition.
#[derive(Clone, Debug, Row, Deserialize)]
struct Share {
    campaign: u64,
    month: String,
    originals: u64,
    drafts: u64,
}

/// Makes the time of all rows that are `due` their day.
pub(super) async fn coarsen(client: &Client, reach: &Reach, due: &str) -> Result<(), StoreError> {
    for share in shares(client, reach, due).await? {
        let of = format!("campaign = {} AND month = '{}'", share.campaign, share.month);
        // As many or more copies: their originals are deleted, or are what is deleted below.
        if share.drafts > share.originals {
            settle(client, reach, &of).await?;
        } else if share.drafts > 0 && share.drafts < share.originals {
            let drafts = format!("{} AND {of} AND last = {DRAFT}", reach.scope());
            mutate(client, &format!("hits DELETE WHERE {drafts}")).await?;
        }
        if share.drafts != share.originals {
            copy(client, &format!("{due} AND {of}")).await?;
        }
    }
    let shares = shares(client, reach, due).await?;
    if let Some(share) = shares.iter().find(|share| share.drafts != share.originals) {
        return Err(StoreError::Refused(format!(
            "{} of {} rows of {} were copied: rows came in meanwhile that are older than any hit \
             should be; say it again",
            share.drafts, share.originals, share.month
        )));
    }
    mutate(client, &format!("hits DELETE WHERE {due}")).await?;
    settle(client, reach, "1").await
}

async fn shares(client: &Client, reach: &Reach, due: &str) -> Result<Vec<Share>, StoreError> {
    let query = format!(
        "SELECT campaign, toString(month) AS month, countIf(last = {WHOLE} AND {due}) AS originals, \
         countIf(last = {DRAFT}) AS drafts FROM hits WHERE {} GROUP BY campaign, month \
         HAVING originals > 0 OR drafts > 0 ORDER BY campaign, month",
        reach.scope()
    );
    Ok(client.query_raw(&query).fetch_all().await?)
}

/// Stores the copies of a share.
async fn copy(client: &Client, which: &str) -> Result<(), StoreError> {
    let insert = format!(
        "INSERT INTO hits (tenant, campaign, contact, at, kind, link, verdict, rules, device, \
         client, system, country, month, lane, last, position) \
         SELECT tenant, campaign, contact, toDateTime(toStartOfDay(at), 'UTC'), kind, link, verdict, \
         rules, device, client, system, country, month, lane, {DRAFT}, position \
         FROM hits WHERE {which} SETTINGS {ONE_BLOCK}"
    );
    Ok(client.query_raw(&insert).execute().await?)
}

/// The originals are gone: copies are rows like others.
async fn settle(client: &Client, reach: &Reach, of: &str) -> Result<(), StoreError> {
    let drafts = format!("{} AND {of} AND last = {DRAFT}", reach.scope());
    mutate(client, &format!("hits UPDATE last = {DAY_ONLY} WHERE {drafts}")).await
}
