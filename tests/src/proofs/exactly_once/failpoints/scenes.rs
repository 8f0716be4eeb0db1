//! The scenes. Writer 0 works first; 1 and 2 stand by or come on later.

use anyhow::{Context, Result, bail};
use hushmark_event::redis_keys::{BATCH_FIELD, LANE_PREFIX, WRITER_CUT};

use super::Scene;
use super::stage::{Forget, Stage};

/// Hits of one act: several batches, one cut.
const SOME: u64 = 400;

pub(super) const SCENES: &[Scene] = &[
    Scene { name: "death after the cut is written", needs: &["cut"], play: death_after_the_cut },
    Scene {
        name: "death after the first target, and the deduplication log's last record is lost",
        needs: &["ledger"],
        play: death_after_the_first_target,
    },
    Scene {
        name: "death after the first target, and the engine noted its token and lost its part",
        needs: &["proof"],
        play: death_before_the_part,
    },
    Scene {
        name: "death during a take-over, and the deduplication log's last record is lost",
        needs: &["ledger"],
        play: death_during_a_take_over,
    },
    Scene {
        name: "asleep between look-up and insert while the standby stores more",
        needs: &["cut", "token"],
        play: asleep_while_the_standby_stores_more,
    },
    Scene {
        name: "asleep between look-up and insert, and the engine restarts",
        // Either alone is enough: the token is known again, and its connection is gone.
        needs: &["cut,one-connection"],
        play: asleep_while_the_engine_restarts,
    },
    Scene {
        name: "asleep between look-up and insert, and the engine restarts without its tokens",
        needs: &["one-connection"],
        play: asleep_while_the_engine_forgets,
    },
    Scene {
        name: "Redis is emptied, and late repeats make the lane anew",
        needs: &["ledger"],
        play: redis_is_emptied,
    },
];

/// Whoever takes over finds the cut and repeats it. That the cut was there is part of the scene.
fn death_after_the_cut(stage: &mut Stage) -> Result<()> {
    stage.enter(0, Some("after-cut"))?;
    stage.send(SOME)?;
    stage.dies(0)?;
    let mut redis = stage.stack().redis.connect()?;
    let cut: Option<String> = redis::cmd("GET").arg(WRITER_CUT).query(&mut redis)?;
    stage.must_be_so(cut.is_some());
    stage.send(SOME)?;
    stage.enter(1, None)
}

/// `counters` holds the cut, `hits` does not, and the engine has forgotten the token.
fn death_after_the_first_target(stage: &mut Stage) -> Result<()> {
    stage.enter(0, Some("after-first-target"))?;
    stage.send(SOME)?;
    stage.dies(0)?;
    stage.engine_restarts(Forget::Last)?;
    stage.send(SOME)?;
    stage.enter(1, None)
}

/// The engine died after its note of the token and before the part was there: it takes the repeat
/// for one that it holds, and answers that all is well.
fn death_before_the_part(stage: &mut Stage) -> Result<()> {
    stage.enter(0, Some("after-first-target"))?;
    stage.send(SOME)?;
    stage.dies(0)?;
    stage.engine_restarts(Forget::LastPart)?;
    stage.send(SOME)?;
    stage.enter(1, None)
}

/// The second writer dies as well, while it repeats the first one's cut.
fn death_during_a_take_over(stage: &mut Stage) -> Result<()> {
    stage.enter(0, Some("after-cut"))?;
    stage.send(SOME)?;
    stage.dies(0)?;
    stage.comes(1, Some("after-first-target"))?;
    stage.dies(1)?;
    stage.engine_restarts(Forget::Last)?;
    stage.send(SOME)?;
    stage.enter(2, None)
}

/// It asked the ledger, and when it wakes its answer is no longer true. The server lives: it knows
/// the token, provided that the standby sent the very same cut.
fn asleep_while_the_standby_stores_more(stage: &mut Stage) -> Result<()> {
    asleep(stage)?;
    stage.goes_on(0)
}

fn asleep_while_the_engine_restarts(stage: &mut Stage) -> Result<()> {
    asleep(stage)?;
    stage.engine_restarts(Forget::Nothing)?;
    stage.goes_on(0)
}

/// No token is known any more. What is left is that its connection is gone, so that it has to ask.
fn asleep_while_the_engine_forgets(stage: &mut Stage) -> Result<()> {
    asleep(stage)?;
    stage.engine_restarts(Forget::All)?;
    stage.goes_on(0)
}

fn asleep(stage: &mut Stage) -> Result<()> {
    stage.enter(0, Some("between-lookup-and-insert"))?;
    stage.send(SOME)?;
    stage.stops(0)?;
    // More than the sleeper has seen: without the cut the standby stores both in one.
    stage.send(SOME)?;
    stage.enter(1, None)?;
    stage.stored()
}

/// Everything is stored, Redis loses everything, and all batches but the last come again: as from
/// a lane log whose edge never heard that they had arrived. The cut that they would make is another
/// one than before, so that no token knows it.
fn redis_is_emptied(stage: &mut Stage) -> Result<()> {
    let mut redis = stage.stack().redis.connect()?;
    stage.send(SOME)?;
    let lane: Vec<String> = redis::cmd("KEYS").arg(format!("{LANE_PREFIX}*")).query(&mut redis)?;
    let [lane] = &lane[..] else { bail!("one lane was expected, not {lane:?}") };
    let entries: redis::streams::StreamRangeReply =
        redis::cmd("XRANGE").arg(lane).arg("-").arg("+").query(&mut redis)?;
    stage.enter(0, None)?;
    stage.stored()?;
    redis::cmd("FLUSHALL").exec(&mut redis)?;
    let (_, repeated) = entries.ids.split_last().context("the lane held batches")?;
    for entry in repeated {
        let blob: Vec<u8> = entry.get(BATCH_FIELD).context("an entry holds a batch")?;
        redis::cmd("XADD").arg(lane).arg(&entry.id).arg(BATCH_FIELD).arg(blob).exec(&mut redis)?;
    }
    stage.send(SOME)
}
