//! The days of contacts' last opens in ClickHouse: overwriting them, and forgetting whoever is recorded
//! no more. Storing them is the session's.

use std::collections::BTreeSet;
use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Result;
use hushmark_event::refusal::{Entry, Refuses};

/// Contacts in one statement: a pair takes at most 44 bytes of a statement's 256 KiB.
const AT_ONCE: usize = 4_000;

/// Time for the merge to be answered.
const MERGE_TIME: Duration = Duration::from_secs(300);

/// Merges all parts into one, in which a contact has the newest of its days alone. Merges in the
/// background would leave an earlier day in a part of its own for as long as they like.
pub(crate) async fn overwrite(client: &Client) -> Result<()> {
    let query = "SELECT count() FROM system.parts WHERE active AND database = currentDatabase() \
                 AND table = 'last_opens'";
    if client.query_raw(query).fetch_one::<u64>().await? <= 1 {
        return Ok(());
    }
    let merging = client.query_raw("OPTIMIZE TABLE last_opens FINAL").execute();
    // It goes on in the server after that.
    tokio::time::timeout(MERGE_TIME, merging).await.unwrap_or(Ok(()))
}

/// Removes the days of contacts whom entries of the refusal log name. Erasures remove theirs, and
/// prove it.
pub(crate) async fn forget(client: &Client, entries: impl Iterator<Item = &[u8]>) -> Result<()> {
    let all: Vec<String> = named(entries).into_iter().collect();
    for some in all.chunks(AT_ONCE) {
        let rows = format!("(tenant, contact) IN ({})", some.join(","));
        let query = format!("SELECT count() FROM last_opens WHERE {rows}");
        let found: u64 = client.query_raw(&query).fetch_one().await?;
        if found > 0 {
            tracing::info!(rows = found, "forgetting days of last opens");
            let delete = format!("ALTER TABLE last_opens DELETE WHERE {rows}");
            client.query_raw(&delete).execute().await?;
        }
    }
    Ok(())
}

/// Contacts as pairs of SQL.
fn named<'a>(entries: impl Iterator<Item = &'a [u8]>) -> BTreeSet<String> {
    let contact = |entry: &[u8]| {
        // The log was verified when it was read.
        let Ok(Entry { refuses: Refuses::Contact { tenant, id }, .. }) =
            serde_json::from_slice(entry)
        else {
            return None;
        };
        let [tenant, id] = [tenant, id].map(|id| u64::from_str_radix(&id, 16).ok());
        Some(format!("({},{})", tenant?, id?))
    };
    entries.filter_map(contact).collect()
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn contacts_are_named_and_nothing_else_is() {
        let contact = br#"{"n":1,"at_ms":0,"refuses":{"contact":{"tenant":"0000000000000001","id":"00000000000000aa"}}}"#;
        let takedown =
            br#"{"n":2,"at_ms":0,"refuses":{"takedown":{"url":"https://example.org/x"}}}"#;
        let found = named([&contact[..], &takedown[..], &contact[..]].into_iter());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["(1,170)"]);
    }
}
