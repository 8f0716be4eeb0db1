//! `hushmark-bench-edge edge`: what a hit costs the edge, beside a bare hyper server and everyone
//! else. One JSON object a figure and last the verdict, as `cargo xtask prove` reads it.
//!
//! The short form leaves out the peers and judges no time: it shows that everything that the long
//! one measures is there, that nothing is refused and that what was sent is stored.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use hushmark_benches::load::CONNECTIONS;
use hushmark_benches::ours::Ours;
use hushmark_benches::peers::{self, Peer};
use hushmark_benches::rounds::{self, Series, median};
use hushmark_benches::{half_load, pinned};
use hushmark_policy::Kind;
use hushmark_tests::command;
use hushmark_tests::figure::{Figures, progress};
use hushmark_tests::proofs::Run;

/// CPU a pixel hit at most, as a multiple of a bare hyper server's.
const PIXEL: f64 = 1.45;
/// CPU a redirect at most, as a multiple of a pixel's.
const REDIRECT: f64 = 1.15;
/// p99 at half load above a bare hyper server's at most, in milliseconds.
const ABOVE_BARE_MS: f64 = 2.0;

fn main() -> Result<ExitCode> {
    command::run(|_, run| prove(run))
}

fn prove(run: &Run) -> Result<Figures> {
    let Run { tools, short, .. } = run;
    let (count, duration) = run.size((5, 4), (1, 1));
    let duration = Duration::from_secs(duration);
    pinned::stay_on_the_load_core()?;
    let folder = tempfile::tempdir()?;
    let always = Ours::start(tools, "always", run.seed())?;
    // The same seed draws the same keys, so that one load serves both.
    let everysec = Ours::start(tools, "everysec", run.seed())?;
    let pixels = always.load(folder.path(), Kind::Open, duration)?;
    let redirects = always.load(folder.path(), Kind::Click, duration)?;
    let bare = peers::bare_hyper(tools, folder.path())?;
    let others = if *short { Vec::new() } else { peers::others(folder.path())? };

    let mut contenders = vec![
        always.contender("edge", &pixels)?,
        always.contender("edge, redirect", &redirects)?,
        everysec.contender("edge, everysec", &pixels)?,
    ];
    contenders.extend(others.iter().map(|peer| peer.contender(&pixels)));
    let all = rounds::in_turn(&bare.contender(&pixels), &contenders, count)?;
    let [_, pixel, redirect, ..] = &all[..] else { anyhow::bail!("the edge took no turn") };

    let mut figures = Figures::default();
    judge(&mut figures, pixel, redirect, *short);
    rounds::tell(&mut figures, &all, "× bare hyper");
    let half = pixel.median(|sample| sample.seen.per_second) as u64 / 2;
    let paced = at_half_load(&mut figures, &always, &bare, half.max(1_000), *short)?;
    let by_wrk = |series: &Series| series.samples.iter().map(|s| s.seen.requests).sum::<u64>();
    let answered = by_wrk(pixel) + by_wrk(redirect) + paced.answered;
    let cut_off = (2 * count * CONNECTIONS) as u64 + paced.lost;
    progress("all measured: storing what was sent");
    always.account(&mut figures, answered, cut_off)?;
    Ok(figures)
}

fn judge(figures: &mut Figures, pixel: &Series, redirect: &Series, short: bool) {
    const TIMES: &str = "× bare hyper";
    let (hit, link) = (pixel.ratio(), redirect.ratio_to(pixel));
    if short {
        figures.measure("CPU a pixel hit", hit, TIMES);
        figures.measure("CPU a redirect", link, "× a pixel");
    } else {
        figures.at_most("CPU a pixel hit", hit, PIXEL, TIMES);
        figures.at_most("CPU a redirect", link, REDIRECT, "× a pixel");
    }
}

/// Hits of the paced runs against the edge.
#[derive(Default)]
struct Paced {
    answered: u64,
    lost: u64,
}

/// Edge and bare server in turn, each asked half of what the edge can do.
fn at_half_load(
    figures: &mut Figures,
    edge: &Ours,
    bare: &Peer,
    rate: u64,
    short: bool,
) -> Result<Paced> {
    let (rounds, duration) = if short { (1, 1) } else { (5, 6) };
    let duration = Duration::from_secs(duration);
    let mut paced = Paced::default();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let first = round * rate * 100;
        let outcome = half_load::run(edge.address()?, edge.minter(), rate, duration, first)?;
        paced.answered += outcome.answered.count();
        paced.lost += outcome.sent.count() - outcome.answered.count();
        ours.push(outcome.latencies.at(0.99));
        let outcome = half_load::run(bare.address(), edge.minter(), rate, duration, first)?;
        theirs.push(outcome.latencies.at(0.99));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    figures.tell("half load", rate, "hits a second");
    figures.measure("edge: p99 at half load", ours, "ms");
    figures.measure("bare hyper: p99 at half load", theirs, "ms");
    let above = ours - theirs;
    if short {
        figures.measure("p99 at half load above bare hyper", above, "ms");
    } else {
        figures.at_most("p99 at half load above bare hyper", above, ABOVE_BARE_MS, "ms");
    }
    Ok(paced)
}
