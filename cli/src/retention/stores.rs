//! What there is beside the rows that a policy reaches, and why it reaches nothing there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clickhouse::Client;
use hushmark_event::redis_keys::DEAD;
use hushmark_policy::{CampaignId, Day, TenantId};
use hushmark_writer::days::HOLD_DAYS;
use redis::aio::MultiplexedConnection;
use serde::Serialize;

use crate::data::DataFolder;
use crate::stamp::{last_day, plural};
use crate::up::{now_ms, refusals::connect};

/// One store, and what a policy reaches there.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Beyond {
    pub(crate) store: &'static str,
    /// What is there now; empty where that is not known.
    pub(crate) holds: String,
    /// Why nothing is reached, and how long it stays.
    pub(crate) because: String,
}

/// Every store that a policy leaves alone.
pub(crate) async fn beyond(
    folder: &DataFolder,
    client: &Client,
    tenant: TenantId,
) -> Result<Vec<Beyond>> {
    let mut redis = connect(folder).await.context("is `hushmark up` running?")?;
    let (lanes, batches) = lanes(&mut redis).await?;
    let dead: u64 = redis::cmd("HLEN")
        .arg(DEAD)
        .query_async(&mut redis)
        .await
        .context("cannot count the dead letters in Redis")?;
    let (batch, salt) = (days(&folder.path("ring/batch"))?, days(&folder.path("ring/salt"))?);
    let closes = match batch.first() {
        None => "no day is open".to_owned(),
        Some(oldest) => format!(
            "sealed under their day's key; the oldest day, {oldest}, closes on {} at the latest, \
             and then nobody can read them",
            oldest.plus(HOLD_DAYS + 1)
        ),
    };
    let contacts: u64 = client
        .query("SELECT count() FROM contacts FINAL WHERE tenant = ?")
        .bind(tenant.0)
        .fetch_one()
        .await
        .context("cannot count the contacts")?;
    let last_opens: u64 = client
        .query("SELECT uniqExact(contact) FROM last_opens WHERE tenant = ?")
        .bind(tenant.0)
        .fetch_one()
        .await
        .context("cannot count the days of last opens")?;
    let range = |days: &[Day]| match (days.first(), days.last()) {
        (Some(first), Some(last)) => {
            format!("{} from {first} to {last}", plural(days.len() as u64, "day"))
        }
        _ => "none".to_owned(),
    };
    let (lists, over) = lists(folder, client, tenant).await?;
    let lane_logs = bytes(&folder.path("edge"));
    let say =
        |store, holds: String, because: &str| Beyond { store, holds, because: because.into() };
    Ok(vec![
        say(
            "redis",
            format!(
                "{batches} {} in {}, {}",
                if batches == 1 { "batch" } else { "batches" },
                plural(lanes, "lane"),
                plural(dead, "dead letter")
            ),
            &closes,
        ),
        say("lane logs", plural(lane_logs, "byte"), &closes),
        say(
            "day keys",
            format!("batch: {}; salt: {}", range(&batch), range(&salt)),
            "each is destroyed when its day closes",
        ),
        say(
            "contacts",
            format!("{} with a sealed address", plural(contacts, "contact")),
            "people and not hits: they stay until they are erased",
        ),
        say(
            "last opens",
            format!("the day of {}", plural(last_opens, "contact")),
            "one a contact, overwritten by the next open: people and not hits",
        ),
        say("recipient lists", lists, &over),
        say(
            "logs",
            "refusals and audit".to_owned(),
            "what was refused and who asked for what stays; no hit is in it",
        ),
    ])
}

/// Who had whose mail, and of how many campaigns that is known though they are over.
async fn lists(folder: &DataFolder, client: &Client, tenant: TenantId) -> Result<(String, String)> {
    let kept = client
        .query("SELECT campaign, count() FROM deliveries FINAL WHERE tenant = ? GROUP BY campaign")
        .bind(tenant.0)
        .fetch_all::<(u64, u64)>()
        .await
        .context("cannot count the recipient lists")?;
    let gone: u64 = client
        .query("SELECT uniqExact(run) FROM completed WHERE tenant = ? AND event = ''")
        .bind(tenant.0)
        .fetch_one()
        .await
        .context("cannot count the recipient lists that went")?;
    let (today, mut over) = (Day::of_unix_ms(now_ms()), 0);
    for (campaign, _) in &kept {
        let last = last_day(folder, CampaignId(*campaign))?;
        over += u64::from(last.is_some_and(|last| last < today));
    }
    let rows: u64 = kept.iter().map(|(_, rows)| rows).sum();
    let holds = format!(
        "{} in {}; {} went, counted",
        plural(rows, "row"),
        plural(kept.len() as u64, "list"),
        plural(gone, "list")
    );
    let because = match over {
        0 => "each goes when its campaign is completed: `hushmark complete`".to_owned(),
        _ => format!(
            "each goes when its campaign is completed; the last day of tracking of {} is over: \
             `hushmark complete`",
            plural(over, "campaign")
        ),
    };
    Ok((holds, because))
}

/// How many lanes there are in Redis, and how many batches wait in them.
async fn lanes(redis: &mut MultiplexedConnection) -> Result<(u64, u64)> {
    let (mut lanes, mut batches, mut cursor) = (0, 0, 0u64);
    loop {
        let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg(&["MATCH", "ev:*", "COUNT", "1000"])
            .query_async(redis)
            .await
            .context("cannot look for lanes in Redis")?;
        for key in keys {
            let length: u64 = redis::cmd("XLEN")
                .arg(key)
                .query_async(redis)
                .await
                .context("cannot see how long a lane is")?;
            lanes += 1;
            batches += length;
        }
        if next == 0 {
            return Ok((lanes, batches));
        }
        cursor = next;
    }
}

/// The days of a ring that have a key.
fn days(ring: &Path) -> Result<Vec<Day>> {
    let entries = fs::read_dir(ring).with_context(|| format!("cannot read {}", ring.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut days: Vec<Day> = names.filter_map(|name| Day::parse(&name)).collect();
    days.sort_unstable();
    Ok(days)
}

/// Bytes of the files right in a folder; none where it cannot be read.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let size = |entry: std::io::Result<fs::DirEntry>| {
        let entry =
            entry.ok().filter(|entry| entry.path().extension().is_some_and(|end| end == "log"));
        Some(entry?.metadata().ok()?.len())
    };
    entries.filter_map(size).sum()
}
