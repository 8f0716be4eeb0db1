//! `hushmark-bench-peers peers`: what other servers cost a request, as multiples of a bare hyper
//! server. One JSON object a figure and last the verdict, as `cargo xtask prove` reads it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use hushmark_benches::load::Load;
use hushmark_benches::{peers, pinned, requests, rounds};
use hushmark_tests::figure::Figures;
use hushmark_tests::tools::Tools;

#[derive(Parser)]
struct Arguments {
    /// The proof's name in the output
    name: String,
    /// The folder of our programs
    #[arg(long)]
    bin_dir: PathBuf,
    /// Taken as every proof takes it, and not used: no peer has the engine
    #[arg(long)]
    engine_lib: PathBuf,
    /// One JSON object a line is all that is ever printed; taken so that callers may say so
    #[arg(long)]
    json: bool,
    /// One round of a second each, to see that everything starts
    #[arg(long)]
    short: bool,
    /// Nothing here is random; taken as every proof takes it
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<()> {
    let Arguments { name, bin_dir, engine_lib, json: _, short, seed: _ } = Arguments::parse();
    let tools = Tools::new(bin_dir, engine_lib);
    pinned::stay_on_the_load_core()?;
    let folder = tempfile::tempdir()?;
    let (count, seconds) = if short { (1, 1) } else { (5, 4) };
    let paths = requests::lookalikes(10_000);
    let paths = paths.iter().map(String::as_str);
    let load = Load::new(folder.path(), "pixels", paths, Duration::from_secs(seconds))?;
    let bare = peers::bare_hyper(&tools, folder.path())?;
    let others = peers::others(folder.path())?;
    let contenders: Vec<_> = others.iter().map(|peer| peer.contender(&load)).collect();
    let all = rounds::in_turn(&bare.contender(&load), &contenders, count)?;
    let mut figures = Figures::default();
    rounds::tell(&mut figures, &all, "× bare hyper");
    figures.write(&mut std::io::stdout().lock(), &name, short)
}
