//! Proof `exactly-once`: everything is killed with -9, again and again, while hits come as fast as
//! they are answered. Each hit has a cell of its own, so that one stored twice or not at all shows.

mod failpoints;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Run;
use crate::figure::{Figures, progress};
use crate::killer::{Killer, Part};
use crate::load::{Job, Load, Outcome};
use crate::plan::Plan;
use crate::stack::{Shape, Stack};
use crate::verify::{Account, wait_until_drained};

/// Enough connections that batches hold many hits, few enough that a kill loses few.
const CONNECTIONS: usize = 64;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let seeds = run.size(vec![run.seed(), run.seed() + 1], vec![run.seed()]);
    for seed in &seeds {
        under_kills(run, *seed, false, run.size(LONG, SHORT), &mut figures)?;
    }
    // What is lost when a connection breaks is the same; that nothing else is, is to be seen.
    under_kills(run, seeds[0], true, SHORT, &mut figures)?;
    failpoints::prove(run, &mut figures)?;
    Ok(figures)
}

/// How many hits come, how many of them have to be answered at least, and how often each part is
/// killed meanwhile.
type Size = (u64, u64, u32);

const LONG: Size = (1_100_000, 1_000_000, 40);
const SHORT: Size = (20_000, 15_000, 3);

fn under_kills(
    run: &Run,
    seed: u64,
    tls: bool,
    (hits, least, each): Size,
    figures: &mut Figures,
) -> Result<()> {
    let label = format!("seed {seed}{}: ", if tls { ", by mutual TLS" } else { "" });
    let window_seconds = run.size(10, 1);
    let shape = Shape { window_seconds, threads: 2, tls, ..Shape::default() };
    let stack = Stack::start(&run.tools, &shape, seed)?;
    progress(&format!("{label}the stack is ready, hits begin"));

    let plan = Plan::EachItsOwn { seed };
    let load = Load::start(Job {
        targets: stack.targets(),
        connections: CONNECTIONS,
        plan,
        minter: stack.minter(),
        first: 0,
        count: hits,
        rate: None,
        patience: Duration::from_secs(30),
        latency_every: 1,
    });
    let (outcome, killer) = killed(&stack, load, hits, (each, seed))?;
    progress(&format!("{label}no more kills, waiting for what is under way"));
    wait_until_drained(&stack, Duration::from_secs(300))?;

    for part in Part::ALL {
        let name = format!("{label}kills of the {}", part.name());
        figures.at_least(&name, killer.0[part as usize].into(), each.into(), "kills");
    }
    figures.tell(format!("{label}kills of a standby writer"), killer.1, "kills");
    figures.at_least(&format!("{label}hits answered"), outcome.answered.count(), least, "hits");
    figures.exactly(&format!("{label}silent for 30 s"), outcome.silent, 0, "hits");
    figures.exactly(&format!("{label}answered wrongly"), outcome.wrong_count, 0, "hits");
    outcome.wrong.iter().for_each(|wrong| progress(wrong));
    let account = Account::of(&stack, plan, &outcome)?;
    account.tell(&label, figures);
    if !account.holds() {
        progress(&stack.logs());
    }
    Ok(())
}

/// Hits come in step with the kills: before each a burst is let go, at full speed, and the kill
/// falls somewhere into it.
fn killed(
    stack: &Stack,
    load: Load,
    hits: u64,
    (each, seed): (u32, u64),
) -> Result<(Outcome, ([u32; 4], u32))> {
    let mut killer = Killer::new(stack, each, seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let burst = hits / u64::from(each * 4);
    load.hold_from(0);
    let ended = killer.run(|killer| {
        load.hold_from((hits as f64 * killer.done()) as u64 + burst);
        let (before, until) = (load.progress().sent(), Instant::now() + Duration::from_millis(500));
        let within = random.u64(..burst);
        while load.progress().sent() < before + within && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    let kills = (Part::ALL.map(|part| killer.kills(part)), killer.standbys());
    if let Err(error) = ended {
        load.stop()?;
        return Err(error.context(stack.logs()));
    }
    load.hold_from(u64::MAX);
    Ok((load.join()?, kills))
}
