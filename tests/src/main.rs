//! `hushmark-prove NAME`: runs a proof, one JSON object a figure and last the verdict. Exit status
//! 1 where it does not hold.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

/// Runs a proof of Hushmark's guarantees against the built programs.
#[derive(Parser)]
struct Arguments {
    /// The proof to run
    name: String,
    /// The folder of our programs
    #[arg(long)]
    bin_dir: PathBuf,
    /// The engine library, libchdb.so
    #[arg(long)]
    engine_lib: PathBuf,
    /// The folder of a control plane's programs, for the proofs that need one
    #[arg(long)]
    cluster_dir: Option<PathBuf>,
    /// One JSON object a line is all that is ever printed; taken so that callers may say so
    #[arg(long)]
    json: bool,
    /// The short form that runs in the tests
    #[arg(long)]
    short: bool,
    /// Seed of what is random in the proof, to see a run again
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<ExitCode> {
    let Arguments { name, bin_dir, engine_lib, cluster_dir, json: _, short, seed } =
        Arguments::parse();
    let tools = Tools::new(bin_dir, engine_lib).with_cluster(cluster_dir);
    let run = Run { tools, short, seed };
    let figures = proofs::run(&name, &run)?;
    figures.write(&mut std::io::stdout().lock(), &name, short)?;
    Ok(if figures.hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
