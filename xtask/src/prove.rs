//! `cargo xtask prove`: runs a named proof, shows what it measured, and keeps the result.
//!
//! A proof is a program of the rooms `tests` or `benches`. It is started as
//! `PROGRAM NAME --bin-dir DIR --engine-lib FILE [--cluster-dir DIR] [--images-dir DIR]
//! --json [--short] [--seed N]`
//! and prints one JSON object a line: a figure each, and last the verdict. Its stderr is for people.
//! `catalogue` lists the proofs, `figure` reads and shows what they print, `record` keeps it.

mod catalogue;
mod figure;
mod record;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::metadata::Metadata;
use crate::setup::{self, Need, Ready};
use crate::tree::Tree;
use crate::{check, image};
use catalogue::Proof;
use figure::{Figure, Line, Verdict};

#[derive(Args)]
pub(crate) struct Options {
    /// The proof to run; `--list` shows them
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// List the proofs and what each has to show
    #[arg(long)]
    list: bool,
    /// Print one JSON object a figure and last the verdict, instead of a table
    #[arg(long)]
    json: bool,
    /// The short form that runs in the tests; its result is not kept
    #[arg(long)]
    short: bool,
    /// Seed of what is random in the proof, to see a run again
    #[arg(long)]
    seed: Option<u64>,
}

/// What one run of a proof came to.
struct Outcome {
    figures: Vec<Figure>,
    verdict: Verdict,
    seconds: f64,
    /// The part of the cores that others used just before it began.
    busy_before: f64,
}

/// Returns whether the proof holds.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<bool> {
    if options.list {
        list(options.json);
        return Ok(true);
    }
    let name = options.name.as_deref().unwrap_or_default();
    let proof = catalogue::find(name)?;
    if !exists(&Metadata::read(&tree.root)?, proof) {
        bail!("{}: no room has its program, {}", proof.name, proof.program);
    }
    let ready = setup::run(tree, proof.needs)?;
    check::build_binaries(tree, &[proof.starts, &[proof.program]].concat())?;
    if proof.failpoints {
        check::build_failpoints(tree)?;
    }
    if proof.needs == Need::Node {
        image::build_for_a_node(tree, &ready)?;
    }
    let outcome = run_one(tree, proof, &ready, options)?;
    if !options.json {
        figure::show(&outcome.figures, &outcome.verdict);
    }
    if !options.short {
        let file = record::keep(tree, proof.name, options.seed, &outcome)?;
        eprintln!("kept in {}", file.display());
    }
    Ok(outcome.verdict.holds)
}

fn list(json: bool) {
    for proof in catalogue::PROOFS {
        if json {
            println!("{}", serde_json::json!({"proof": proof.name, "claim": proof.claim}));
        } else {
            println!("{:<14} {}", proof.name, proof.claim);
        }
    }
}

fn exists(metadata: &Metadata, proof: &Proof) -> bool {
    metadata.members().any(|package| package.binaries().any(|name| name == proof.program))
}

fn run_one(tree: &Tree, proof: &Proof, ready: &Ready, options: &Options) -> Result<Outcome> {
    let mut command = Command::new(tree.binaries().join(proof.program));
    command.current_dir(&tree.root).arg(proof.name).arg("--json");
    command.arg("--bin-dir").arg(tree.binaries()).arg("--engine-lib").arg(&ready.engine);
    if let Ok(folder) = ready.cluster() {
        command.arg("--cluster-dir").arg(folder);
    }
    if proof.needs == Need::Node {
        command.arg("--images-dir").arg(tree.images());
    }
    if options.short {
        command.arg("--short");
    }
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let busy_before = record::busy()?;
    if busy_before > 0.1 {
        let percent = 100.0 * busy_before;
        eprintln!("others use {percent:.0} % of this machine: times and ratios will be off");
    }
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", proof.program))?;
    let stdout = child.stdout.take().context("the proof's output is not piped")?;
    let (mut figures, mut verdict) = (Vec::new(), None);
    for line in BufReader::new(stdout).lines() {
        let line = line.context("reading what the proof prints")?;
        if options.json {
            println!("{line}");
        }
        match figure::read(&line).with_context(|| format!("{} printed: {line}", proof.program))? {
            Line::Figure(figure) => figures.push(figure),
            Line::Verdict(last) => verdict = Some(last),
        }
    }
    let status = child.wait()?;
    let Some(verdict) = verdict else {
        bail!("{} ended with {status} and without a verdict: it does not hold", proof.name);
    };
    Ok(Outcome { figures, verdict, seconds: began.elapsed().as_secs_f64(), busy_before })
}
