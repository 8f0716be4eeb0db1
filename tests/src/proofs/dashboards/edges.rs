//! What goes wrong around edges, and in Redis.

use std::fs;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use hushmark_event::redis_keys::{BATCH_FIELD, LANE_PREFIX, REFUSALS_HEAD};
use hushmark_event::refusal::RefusalLog;
use hushmark_policy::CampaignId;
use hushmark_token::{Kid, RegionKey};
use rustix::process::Signal;

use super::stage::{APART, CONNECTIONS, Stage};
use super::{Cause, Fault};
use crate::http;
use crate::keys::Keys;
use crate::plan::{Minter, Planned};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        how: "a Redis that hangs for thirty milliseconds again and again",
        alerts: &["HushmarkCommitSlow"],
        cause: Cause::Again(hiccups),
        mend: nothing,
        quick: false,
    },
    Fault {
        how: "requests with tokens under a key that the region does not have",
        alerts: &["HushmarkUnknownKey"],
        cause: Cause::Again(forgeries),
        mend: nothing,
        quick: true,
    },
    Fault {
        how: "a key file of five bytes",
        alerts: &["HushmarkReloadFails"],
        cause: Cause::Once(|stage| Ok(fs::write(broken_key(stage), "short")?)),
        mend: |stage| Ok(fs::remove_file(broken_key(stage))?),
        quick: true,
    },
    Fault {
        how: "more connections than an edge takes",
        alerts: &["HushmarkEdgeTurnsAway"],
        cause: Cause::Again(crowd),
        mend: nothing,
        quick: true,
    },
    Fault {
        how: "a head in Redis that nobody signed",
        alerts: &["HushmarkRefusalLogUnverified"],
        cause: Cause::Once(forged_head),
        mend: |stage| stage.stack.publish_refusals(),
        quick: false,
    },
    Fault {
        how: "an edge whose Redis does not get the newest entry",
        alerts: &["HushmarkRefusalLogBehind"],
        cause: Cause::Once(|stage| stage.refuse(&mut RefusalLog::default(), false)),
        mend: |stage| stage.refuse(&mut RefusalLog::default(), true),
        quick: false,
    },
    Fault {
        how: "Redis's memory set to what it uses and a half more",
        alerts: &["HushmarkRedisFills"],
        cause: Cause::Again(little_memory),
        mend: |stage| {
            maxmemory(stage, 6 << 30)?;
            Ok(redis::cmd("DEL").arg(BALLAST).exec(&mut stage.stack.redis.connect()?)?)
        },
        quick: false,
    },
    // Before hits are dropped, which leaves gaps as well.
    Fault {
        how: "somebody else's entry in a lane, a thousand numbers ahead",
        alerts: &["HushmarkLaneConflict", "HushmarkDeadLetters", "HushmarkLaneGaps"],
        cause: Cause::Once(intruder),
        mend: restart_edges,
        quick: true,
    },
    Fault {
        how: "every Redis killed, and an edge with a lane log of 2,000 bytes",
        alerts: &[
            "HushmarkRedisDown",
            "HushmarkLaneLogInUse",
            "HushmarkLaneLogFills",
            "HushmarkHitsDropped",
            "HushmarkEdgeNotReady",
        ],
        cause: Cause::Once(|stage| {
            stage.redis_apart.kill9()?;
            stage.stack.redis.process.kill9()
        }),
        mend: |stage| {
            stage.redis_apart.start()?;
            stage.stack.redis.process.start()?;
            stage.wait_ready()
        },
        quick: true,
    },
    Fault {
        how: "every edge killed",
        alerts: &["HushmarkNoEdge"],
        cause: Cause::Once(|stage| {
            stage.stack.edges.iter().try_for_each(|edge| edge.process.kill9())
        }),
        mend: |stage| {
            stage.stack.edges.iter().try_for_each(|edge| edge.process.start())?;
            stage.wait_ready()
        },
        quick: true,
    },
];

pub(super) fn nothing(_: &Stage) -> Result<()> {
    Ok(())
}

fn broken_key(stage: &Stage) -> std::path::PathBuf {
    stage.stack.keys.region_folder().join("9.key")
}

fn forgeries(stage: &Stage) -> Result<()> {
    let mut minter = Minter::new(Kid(77), &RegionKey::new([7; 32]), Keys::last_day());
    let edge = stage.stack.edges[0].listen.context("an edge listens")?;
    for link in 1..=40 {
        let hit = Planned {
            campaign: CampaignId(7),
            mode: hushmark_policy::Mode::Overall,
            kind: hushmark_policy::Kind::Click,
            mark: 0,
            link,
        };
        http::get(edge, &format!("/c/{}", minter.token(&hit)?), Duration::from_secs(5))?;
    }
    Ok(())
}

fn crowd(stage: &Stage) -> Result<()> {
    let edge = stage.stack.edges[APART].listen.context("an edge listens")?;
    let people: Vec<_> = (0..3 * CONNECTIONS).map(|_| TcpStream::connect(edge)).collect();
    sleep(Duration::from_millis(300));
    drop(people);
    Ok(())
}

fn forged_head(stage: &Stage) -> Result<()> {
    let mut redis = stage.stack.redis.connect()?;
    let hash = RefusalLog::default().hash();
    let head = format!(r#"{{"length":0,"hash":"{hash}","signature":"{}"}}"#, "00".repeat(64));
    Ok(redis::cmd("SET").arg(REFUSALS_HEAD).arg(head).exec(&mut redis)?)
}

fn maxmemory(stage: &Stage, bytes: u64) -> Result<()> {
    let mut redis = stage.stack.redis.connect()?;
    Ok(redis::cmd("CONFIG").arg(&["SET", "maxmemory", &bytes.to_string()]).exec(&mut redis)?)
}

/// 64 MiB, beside which a connection more or less changes no hundredth.
const BALLAST: &str = "ballast";

/// 67 of 100: above what the alert asks for, below what makes edges write to their disks.
fn little_memory(stage: &Stage) -> Result<()> {
    let mut redis = stage.stack.redis.connect()?;
    redis::cmd("SETRANGE").arg(BALLAST).arg((64 << 20) - 1).arg("x").exec(&mut redis)?;
    let info: String = redis::cmd("INFO").arg("memory").query(&mut redis)?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.context("redis says not what it uses")?.trim().parse()?;
    maxmemory(stage, used * 100 / 67)
}

/// Shorter than an edge's patience, after which batches go to its own disk.
fn hiccups(stage: &Stage) -> Result<()> {
    let redis = &stage.stack.redis.process;
    for _ in 0..100 {
        redis.signal(Signal::STOP)?;
        sleep(Duration::from_millis(30));
        redis.signal(Signal::CONT)?;
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn intruder(stage: &Stage) -> Result<()> {
    let mut redis = stage.stack.redis.connect()?;
    let lanes: Vec<String> = redis::cmd("KEYS").arg(format!("{LANE_PREFIX}*")).query(&mut redis)?;
    // Every lane: it is not known in which of them the next hit will be.
    for lane in lanes {
        let top: Vec<(String, redis::Value)> =
            redis::cmd("XREVRANGE").arg(&lane).arg(&["+", "-", "COUNT", "1"]).query(&mut redis)?;
        let top = top.first().and_then(|(id, _)| id.split_once('-')?.0.parse::<u64>().ok());
        // A stream from which all was taken has no top.
        let id = format!("{}-0", top.unwrap_or(50_000) + 1_000);
        redis::cmd("XADD").arg(&lane).arg(&[&id, BATCH_FIELD, "no batch"]).exec(&mut redis)?;
    }
    Ok(())
}

/// They write to lanes that are not their own any more; a new process has a new lane.
fn restart_edges(stage: &Stage) -> Result<()> {
    for edge in &stage.stack.edges[..APART] {
        edge.process.kill9()?;
        edge.process.start()?;
    }
    stage.wait_ready()
}
