//! Waits until nothing is under way any more: no lane log, no stream entry, no cut.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_event::Lane;
use hushmark_event::redis_keys::{LANE_PREFIX, WRITER_CUT};
use hushmark_event::tables::Target;

use crate::stack::{Stack, wait_ready};

/// Waits until every batch that an edge wrote down is stored in both targets.
///
/// # Errors
/// What is still under way when the patience ends, with the logs.
pub fn wait_until_drained(stack: &Stack, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    for edge in &stack.edges {
        wait_ready(&edge.process.name(), &edge.process, || edge.is_ready())?;
    }
    loop {
        let left = match under_way(stack) {
            Ok(None) => return Ok(()),
            Ok(Some(left)) => left,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > until {
            bail!("still under way after {patience:?}: {left}\n{}", stack.logs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What is still under way, if anything.
fn under_way(stack: &Stack) -> Result<Option<String>> {
    for edge in &stack.edges {
        let bytes = edge.metric(LOG_BYTES)?.context("the edge has no lane log metric")?;
        if bytes > 0.0 {
            return Ok(Some(format!("{bytes} bytes in the lane log of {}", edge.process.name())));
        }
    }
    let mut redis = stack.redis.connect()?;
    let cut: Option<String> = redis::cmd("GET").arg(WRITER_CUT).query(&mut redis)?;
    if let Some(cut) = cut {
        return Ok(Some(format!("the cut {cut}")));
    }
    let ledgers = Target::ALL.map(|target| {
        stack.clickhouse.query(&target.ledger_query()).and_then(|text| ledger(&text))
    });
    let pattern = format!("{LANE_PREFIX}*");
    let streams: Vec<String> = redis::cmd("KEYS").arg(pattern).query(&mut redis)?;
    for stream in streams {
        let lane: Lane = stream.trim_start_matches(LANE_PREFIX).parse()?;
        let info: HashMap<String, redis::Value> =
            redis::cmd("XINFO").arg("STREAM").arg(&stream).query(&mut redis)?;
        let last = info.get("last-generated-id").context("a stream has a last id")?;
        let last: String = redis::from_redis_value(last.clone())?;
        let last: u64 = last.trim_end_matches("-0").parse()?;
        for (target, ledger) in Target::ALL.iter().zip(&ledgers) {
            let ledger = ledger.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
            let stored = ledger.get(&lane).copied().unwrap_or(0);
            if stored < last {
                let table = target.table();
                return Ok(Some(format!("{table} holds {stored} of {last} batches of {lane}")));
            }
        }
    }
    Ok(None)
}

fn ledger(text: &str) -> Result<HashMap<Lane, u64>> {
    text.lines()
        .map(|line| {
            let (lane, last) =
                line.split_once('\t').context("a ledger row is a lane and a number")?;
            Ok((lane.parse()?, last.parse()?))
        })
        .collect()
}

const LOG_BYTES: &str = "hushmark_edge_lane_log_bytes";

/// Hits that were dropped, as their edges' drop files and the working writer count them.
pub(super) fn drops(stack: &Stack) -> Result<u64> {
    let mut drops = 0.0;
    for edge in &stack.edges {
        drops += edge.metric("hushmark_edge_dropped_records_total")?.unwrap_or(0.0);
    }
    Ok(drops as u64)
}
