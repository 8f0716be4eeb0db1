//! Waits until nothing is under way any more: no lane log, no stream entry, no cut.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_event::Lane;
use hushmark_event::redis_keys::{LANE_PREFIX, WRITER_CUT};
use hushmark_event::tables::Target;

use crate::stack::{Server, Stack, wait_ready};

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
        for (path, length) in files(edge, "log")? {
            if length > LOG_HEADER {
                return Ok(Some(format!("{length} bytes in {}", path.display())));
            }
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

/// An empty lane log holds this much: its header.
const LOG_HEADER: u64 = 16;

/// The files of an edge with an ending, and their lengths. One that goes away meanwhile was of a
/// dead lane that is stored now.
fn files(edge: &Server, ending: &str) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&edge.folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == ending)
            && let Ok(about) = std::fs::metadata(&path)
        {
            files.push((path, about.len()));
        }
    }
    Ok(files)
}

/// Records that neither Redis nor the lane log would take, of living and dead lanes: the files
/// that outlive a kill, not the metric.
///
/// # Errors
/// When a file cannot be read.
pub fn drops(stack: &Stack) -> Result<u64> {
    let mut sum = 0;
    for edge in &stack.edges {
        for (path, _) in files(edge, "drops")? {
            let bytes = std::fs::read(&path)?;
            let count = bytes.strip_prefix(b"hmdrop 1").and_then(<[u8]>::first_chunk);
            sum += u64::from_be_bytes(*count.context("a drop file begins with its header")?);
        }
    }
    Ok(sum)
}
