//! `hushmark-bench-fresh edge-fresh`: what a hit costs that comes by HTTP/1.1 over a TLS 1.3
//! connection of its own, beside nginx with the same certificate. One JSON object a figure and last
//! the verdict, as `cargo xtask prove` reads it.
//!
//! The short form judges no time: it shows that every session that can be resumed is, and that what
//! was sent is stored.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use hushmark_benches::fresh::{Fresh, Pair};
use hushmark_benches::ours::Ours;
use hushmark_benches::{peers, pinned, rounds};
use hushmark_policy::Kind;
use hushmark_tests::command;
use hushmark_tests::figure::{Figures, progress};
use hushmark_tests::proofs::Run;

/// CPU a hit at most, as a multiple of nginx's.
const AT_MOST: f64 = 1.1;

fn main() -> Result<ExitCode> {
    command::run(|_, run| prove(run))
}

fn prove(run: &Run) -> Result<Figures> {
    let Run { tools, short, .. } = run;
    let (count, seconds) = run.size((5, 4), (1, 1));
    pinned::stay_on_the_load_core()?;
    let folder = tempfile::tempdir()?;
    let pair = Pair::make(folder.path())?;
    let files = [&pair.certificate, &pair.key].map(|path| path.display().to_string());
    let door = ["--tls-certificate", &files[0], "--tls-key", &files[1]].map(String::from);
    let edge = Ours::start_with(tools, "always", run.seed(), door.into())?;
    let paths = edge.paths(Kind::Open)?;

    let mut figures = Figures::default();
    let mut answered = 0;
    for (name, peer, resumes) in
        [("edge, new", "nginx, new", false), ("edge, resumed", "nginx, resumed", true)]
    {
        let nginx = peers::nginx_by_tls(peer, &pair, folder.path())?;
        let load = Fresh::new(&paths, &pair, resumes, Duration::from_secs(seconds));
        let ours = edge.contender(name, &load)?;
        let all = rounds::in_turn(&nginx.contender(&load), &[ours], count)?;
        let ratio = all[1].ratio();
        let what = format!("{name}: CPU a hit on a connection of its own");
        if *short {
            figures.measure(what, ratio, TIMES);
        } else {
            figures.at_most(&what, ratio, AT_MOST, TIMES);
        }
        rounds::tell(&mut figures, &all, TIMES);
        answered += all[1].samples.iter().map(|sample| sample.seen.requests).sum::<u64>();
    }
    progress("all measured: storing what was sent");
    edge.account(&mut figures, answered, 0)?;
    Ok(figures)
}

const TIMES: &str = "× nginx";
