//! The command line that the program of every proof has: `PROGRAM NAME`, one JSON object a figure
//! and last the verdict, as `cargo xtask prove` reads it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::figure::Figures;
use crate::proofs::Run;
use crate::tools::Tools;

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
    /// The folder of images, for the proofs that need a real node
    #[arg(long)]
    images_dir: Option<PathBuf>,
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

/// Runs the proof that the command line names, as the command line says.
///
/// # Errors
/// When it cannot be run to its end. One that does not hold is told by the exit status, 1.
pub fn run(prove: impl FnOnce(&str, &Run) -> Result<Figures>) -> Result<ExitCode> {
    let Arguments { name, bin_dir, engine_lib, cluster_dir, images_dir, json: _, short, seed } =
        Arguments::parse();
    let tools = Tools::new(bin_dir, engine_lib);
    let tools = tools.with_cluster(cluster_dir).with_images(images_dir);
    let run = Run { tools, short, seed };
    let figures = prove(&name, &run)?;
    figures.write(&mut std::io::stdout().lock(), &name, short)?;
    Ok(if figures.hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
