//! Telling Redis what became of erasures, for the operator that makes receipts of them and has no
//! client of ClickHouse. On one machine nobody reads it.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::{Client, Row};
use hushmark_event::audit::{Ended, Gone};
use hushmark_event::redis_keys::ERASED;
use serde::Deserialize;

use super::EraseError;
use crate::scripts::Fenced;

/// Erasures of one query: their numbers take at most 20 bytes each of a statement's 256 KiB.
const AT_ONCE: usize = 1_000;

/// What `erased` says of one erasure and one table; the row without a name ends it.
#[derive(Row, Deserialize)]
struct ErasedOf {
    n: u64,
    name: String,
    rows: u64,
    parts: u64,
    position: u64,
    at_ms: i64,
}

/// Of erasures that ended, those that Redis was not told of.
pub(super) async fn untold(
    fenced: &mut Fenced,
    ended: impl IntoIterator<Item = u64>,
) -> Result<Vec<u64>, EraseError> {
    let told: BTreeSet<String> = fenced.fields(ERASED).await?.into_iter().collect();
    Ok(ended.into_iter().filter(|n| !told.contains(&n.to_string())).collect())
}

/// Tells of erasures that ended.
pub(super) async fn tell(
    client: &Client,
    fenced: &mut Fenced,
    entries: &[u64],
) -> Result<(), EraseError> {
    for some in entries.chunks(AT_ONCE) {
        for (n, ended) in read(client, some).await? {
            let text = serde_json::to_string(&ended).expect("text and numbers always serialise");
            fenced.remember(ERASED, &n.to_string(), &text).await?;
        }
    }
    Ok(())
}

async fn read(client: &Client, entries: &[u64]) -> Result<BTreeMap<u64, Ended>, EraseError> {
    let list: Vec<String> = entries.iter().map(ToString::to_string).collect();
    let query = format!(
        "SELECT n, toString(name) AS name, max(e.rows) AS rows, max(e.parts) AS parts, \
         max(e.position) AS position, toUnixTimestamp64Milli(max(e.at)) AS at_ms \
         FROM erased AS e WHERE n IN ({}) GROUP BY n, name ORDER BY n, name",
        list.join(",")
    );
    let rows: Vec<ErasedOf> = client.query_raw(&query).fetch_all().await?;
    let (mut all, mut over) = (BTreeMap::<u64, Ended>::new(), BTreeSet::new());
    for ErasedOf { n, name, rows, parts, position, at_ms } in rows {
        let ended =
            all.entry(n).or_insert_with(|| Ended { ledger: 0, ended_ms: 0, gone: Vec::new() });
        if name.is_empty() {
            (ended.ledger, ended.ended_ms) = (position, u64::try_from(at_ms).unwrap_or(0));
            over.insert(n);
        } else {
            ended.gone.push(Gone { name, rows, parts });
        }
    }
    all.retain(|n, _| over.contains(n));
    Ok(all)
}
