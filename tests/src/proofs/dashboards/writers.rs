//! What goes wrong around writers, and in the engine.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use hushmark_event::redis_keys::{BATCH_FIELD, lane_stream};
use hushmark_event::{BatchBuilder, DayKey, Lane, LaneSealer};
use hushmark_policy::Day;
use rustix::process::Signal;

use super::edges::nothing;
use super::stage::{Stage, today};
use super::{Cause, Fault};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        how: "keys of a day ten days ago",
        alerts: &["HushmarkDayNotClosed"],
        cause: Cause::Once(|stage| {
            old_keys(stage).iter().try_for_each(|path| Ok(fs::write(path, [7; 32])?))
        }),
        mend: |stage| old_keys(stage).iter().try_for_each(|path| Ok(fs::remove_file(path)?)),
        quick: false,
    },
    Fault {
        how: "counters of a year ago, which a policy keeps for a month",
        alerts: &["HushmarkRowsOverdue"],
        cause: Cause::Once(|stage| {
            let policy = "INSERT INTO policies (tenant, campaign, counters_days, at) \
                          VALUES (7, 7, 30, now64(3))";
            let counter = "INSERT INTO counters_in (tenant, campaign, kind, dimension, value, \
                           month, raw, human) VALUES \
                           (7, 7, 'open', 'device', 'phone', today() - 365, 1, 1)";
            stage.stack.clickhouse.query(policy)?;
            stage.stack.clickhouse.query(counter)?;
            count_anew(stage)
        }),
        mend: |stage| {
            stage.stack.clickhouse.query("TRUNCATE TABLE policies")?;
            count_anew(stage)
        },
        quick: false,
    },
    Fault {
        how: "a batch of a day that is closed",
        alerts: &["HushmarkSealedHitsLost"],
        cause: Cause::Once(late_batch),
        mend: nothing,
        quick: true,
    },
    Fault {
        how: "no merges",
        alerts: &["HushmarkManyParts"],
        cause: Cause::Once(|stage| stage.stack.clickhouse.query("SYSTEM STOP MERGES").map(drop)),
        mend: |stage| stage.stack.clickhouse.query("SYSTEM START MERGES").map(drop),
        quick: false,
    },
    Fault {
        how: "an engine that is stopped for seven seconds at a time",
        alerts: &["HushmarkInsertSlow"],
        cause: Cause::Again(|stage| {
            let engine = &stage.stack.clickhouse.process;
            engine.signal(Signal::STOP)?;
            sleep(Duration::from_secs(7));
            engine.signal(Signal::CONT)?;
            sleep(Duration::from_millis(1_500));
            Ok(())
        }),
        mend: nothing,
        quick: false,
    },
    Fault {
        how: "an engine that is stopped",
        alerts: &["HushmarkWriterLags", "HushmarkPublicationLate"],
        cause: Cause::Once(|stage| stage.stack.clickhouse.process.signal(Signal::STOP)),
        mend: |stage| stage.stack.clickhouse.process.signal(Signal::CONT),
        quick: false,
    },
    Fault {
        how: "both writers killed",
        alerts: &["HushmarkNoWriter"],
        cause: Cause::Once(|stage| {
            stage.stack.writers.iter().try_for_each(|writer| writer.process.kill9())
        }),
        mend: |stage| {
            stage.stack.writers.iter().try_for_each(|writer| writer.process.start())?;
            stage.wait_ready()
        },
        quick: true,
    },
];

/// Has overdue rows counted at once: a writer does so when it begins.
fn count_anew(stage: &Stage) -> Result<()> {
    stage.stack.writers.iter().try_for_each(|writer| {
        writer.process.kill9()?;
        writer.process.start()
    })?;
    stage.wait_ready()
}

/// A day whose keys nobody needs any more.
fn old_keys(stage: &Stage) -> [PathBuf; 2] {
    let day = Day(today().0 - 10).to_string();
    [stage.stack.keys.batch_folder().join(&day), stage.stack.keys.salt_folder().join(&day)]
}

/// What an edge that was away for three weeks would bring.
fn late_batch(stage: &Stage) -> Result<()> {
    let (lane, day) = (Lane { incarnation: 7, core: 0 }, Day(today().0 - 20));
    let mut builder = BatchBuilder::new(1);
    builder.push_void(1, day.start_ms());
    let (mut packed, mut blob) = (Vec::new(), Vec::new());
    let records = builder.take(&mut packed);
    LaneSealer::new(&DayKey::new([7; 32]), day, lane).seal(1, records, &packed, &mut blob);
    let mut redis = stage.stack.redis.connect()?;
    let mut add = redis::cmd("XADD");
    add.arg(lane_stream(lane)).arg("1-0").arg(BATCH_FIELD).arg(blob);
    Ok(add.exec(&mut redis)?)
}
