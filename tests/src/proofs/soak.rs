//! Proof `soak`: a long morning at 60 % of what the machine can take, over forty lanes and in all
//! modes. Nothing piles up, nothing grows, nothing is lost.

mod watch;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Run;
use crate::figure::{Figures, progress};
use crate::load::{Job, Load, Outcome};
use crate::plan::Plan;
use crate::stack::{Shape, Stack};
use crate::verify::{Account, wait_until_drained};
use watch::Watch;

/// Ten edges of four runtimes are forty lanes.
const EDGES: usize = 10;
const LANES_EACH: usize = 4;

/// The share of the measured capacity.
const SHARE: f64 = 0.6;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let window_seconds = run.size(10, 1);
    let shape = Shape { edges: EDGES, threads: LANES_EACH, window_seconds, ..Shape::default() };
    let stack = Stack::start(&run.tools, &shape, run.seed())?;
    let plan = Plan::Newsletters { seed: run.seed(), campaigns: 60 };

    let measured = run.size(Duration::from_secs(30), Duration::from_secs(3));
    let mut outcome = load(&stack, plan, 0, None, |load| {
        std::thread::sleep(measured);
        load
    })?;
    let capacity = outcome.answered.count() as f64 / outcome.took.as_secs_f64();
    wait_until_drained(&stack, Duration::from_secs(300))?;
    let rate = (capacity * SHARE) as u64;
    figures.measure("capacity, everything on this machine", capacity, "hits/s");
    figures.tell("rate", rate, "hits/s");

    let mut watch = Watch::new(&stack, window_seconds);
    let lasts = run.size(Duration::from_secs(30 * 60), Duration::from_secs(20));
    let first = outcome.sent.iter().last().map_or(0, |n| n + 1);
    let mut watched = Ok(());
    let soaked = load(&stack, plan, first, Some(rate), |load| {
        watched = watch_for(&mut watch, &load, lasts);
        load
    })?;
    watched?;
    let reached = soaked.answered.count() as f64 / soaked.took.as_secs_f64();
    figures.measure("lasted", soaked.took.as_secs_f64() / 60.0, "min");
    figures.measure("hits answered a second", reached, "hits/s");
    figures.measure("p99 of an answer", soaked.latencies.at(0.99), "ms");
    merge(&mut outcome, &soaked);
    wait_until_drained(&stack, Duration::from_secs(120))?;
    watch.tell(run, &mut figures);
    Account::of(&stack, plan, &outcome)?.tell("", &mut figures);
    Ok(figures)
}

/// Runs a load for as long as `during` takes.
fn load(
    stack: &Stack,
    plan: Plan,
    first: u64,
    rate: Option<u64>,
    during: impl FnOnce(Load) -> Load,
) -> Result<Outcome> {
    let load = Load::start(Job {
        targets: stack.targets(),
        connections: 200,
        plan,
        minter: stack.minter(),
        first,
        count: u64::MAX,
        rate,
        patience: Duration::from_secs(30),
        latency_every: 100,
    });
    during(load).stop()
}

fn watch_for(watch: &mut Watch<'_>, load: &Load, lasts: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut told = 0;
    while begun.elapsed() < lasts {
        std::thread::sleep(Duration::from_secs(1));
        watch.look()?;
        let minutes = begun.elapsed().as_secs() / 60;
        if minutes > told {
            told = minutes;
            progress(&format!("{minutes} min: {}; {}", load.progress().answered(), watch.now()));
        }
    }
    Ok(())
}

fn merge(all: &mut Outcome, more: &Outcome) {
    all.sent.extend(&more.sent);
    all.answered.extend(&more.answered);
    all.silent += more.silent;
    all.wrong_count += more.wrong_count;
}
