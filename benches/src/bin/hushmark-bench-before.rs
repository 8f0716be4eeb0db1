//! `hushmark-bench-before edge-before`: what a hit costs the edge, beside an older build of it. The
//! older one is `before/hushmark-edge` in the folder of the programs: whoever measures puts it there.
//!
//! The two take turns, and the median of the rounds' ratios is told: a machine that is slow for a
//! minute is slow for both. The short form lets them take one short turn and judges nothing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use hushmark_benches::ours::Ours;
use hushmark_benches::rounds::{self, Series, median};
use hushmark_benches::{peers, pinned};
use hushmark_policy::Kind;
use hushmark_tests::command;
use hushmark_tests::figure::Figures;
use hushmark_tests::proofs::Run;

/// CPU a hit at most, as a multiple of what the older one takes.
const TIMES_BEFORE: f64 = 1.03;

fn main() -> Result<ExitCode> {
    command::run(|_, run| prove(run))
}

fn prove(run: &Run) -> Result<Figures> {
    let Run { tools, .. } = run;
    let older = tools.clone().with_edge("before/hushmark-edge");
    let (rounds, seconds) = run.size((12, 4), (1, 1));
    pinned::stay_on_the_load_core()?;
    let folder = tempfile::tempdir()?;
    let start = |tools, fsync| Ours::start(tools, fsync, run.seed());
    let (now, before) = (start(tools, "everysec")?, start(&older, "everysec")?);
    let (now_always, before_always) = (start(tools, "always")?, start(&older, "always")?);
    // The same seed draws the same keys, so that one load serves all.
    let pixels = now.load(folder.path(), Kind::Open, Duration::from_secs(seconds))?;
    let bare = peers::bare_hyper(tools, folder.path())?;
    let contenders = [
        now.contender("edge, everysec", &pixels)?,
        before.contender("edge before, everysec", &pixels)?,
        now_always.contender("edge", &pixels)?,
        before_always.contender("edge before", &pixels)?,
    ];
    let all = rounds::in_turn(&bare.contender(&pixels), &contenders, rounds as usize)?;
    let [_, now, before, now_always, before_always] = &all[..] else {
        anyhow::bail!("an edge took no turn")
    };
    let pairs = |one: &Series, other: &Series| -> Vec<f64> {
        one.ratios().into_iter().zip(other.ratios()).map(|(one, other)| one / other).collect()
    };
    let both = [pairs(now, before), pairs(now_always, before_always)].concat();
    let mut figures = Figures::default();
    let (name, unit) = ("CPU a pixel hit, median of all rounds", "× before");
    if run.short {
        figures.measure(name, median(both), unit);
    } else {
        figures.at_most(name, median(both), TIMES_BEFORE, unit);
    }
    figures.measure("with a Redis that syncs once a second", median(pairs(now, before)), unit);
    let always = median(pairs(now_always, before_always));
    figures.measure("with a Redis that syncs always", always, unit);
    rounds::tell(&mut figures, &all, "× bare hyper");
    Ok(figures)
}
