//! `hushmark-bench-peers peers`: what other servers cost a request, as multiples of a bare hyper
//! server. One JSON object a figure and last the verdict, as `cargo xtask prove` reads it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use hushmark_benches::load::Load;
use hushmark_benches::{peers, pinned, requests, rounds};
use hushmark_tests::command;
use hushmark_tests::figure::Figures;
use hushmark_tests::proofs::Run;

fn main() -> Result<ExitCode> {
    command::run(|_, run| measure(run))
}

fn measure(run: &Run) -> Result<Figures> {
    pinned::stay_on_the_load_core()?;
    let folder = tempfile::tempdir()?;
    let (count, seconds) = run.size((5, 4), (1, 1));
    let paths = requests::lookalikes(10_000);
    let paths = paths.iter().map(String::as_str);
    let load = Load::new(folder.path(), "pixels", paths, Duration::from_secs(seconds))?;
    let bare = peers::bare_hyper(&run.tools, folder.path())?;
    let others = peers::others(folder.path())?;
    let contenders: Vec<_> = others.iter().map(|peer| peer.contender(&load)).collect();
    let all = rounds::in_turn(&bare.contender(&load), &contenders, count)?;
    let mut figures = Figures::default();
    rounds::tell(&mut figures, &all, "× bare hyper");
    Ok(figures)
}
