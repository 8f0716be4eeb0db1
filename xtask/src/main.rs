//! Set-up, checks, proofs and generation: everything that is done to this tree, as one command.
//!
//! `tree` knows where things are, `setup` makes sure that the programs and the engine are there,
//! `check` runs every test, `prove` runs the named proofs and keeps what they measured, `up` starts
//! the quickstart, `cluster` builds and starts a Kubernetes control plane, `image` writes what a
//! cluster pulls, and `generate` renders again what is rendered. Nothing here talks to a network
//! itself: packages and modules come through the machine's own clients.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "xtask speaks to a person")]

mod check;
mod cluster;
mod generate;
mod image;
mod metadata;
mod prove;
mod rooms;
mod setup;
mod suites;
mod tidy;
mod tree;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, tests, proofs and generation of this tree")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, build, and run the quickstart with its demo
    Up(up::Options),
    /// Run every check: formatting, lints, tests, docs, licences
    Test(check::Options),
    /// Run a named proof at full size and keep what it measured
    Prove(prove::Options),
    /// Install the programs that the tests need and fetch the ClickHouse engine
    Setup,
    /// A Kubernetes control plane: build its programs, start one, stop it
    #[command(subcommand)]
    Cluster(cluster::Task),
    /// Write an OCI image layout of every program, with its SBOM, without docker
    Image(image::Options),
    /// Render again every file that is generated
    Generate,
}

fn main() -> ExitCode {
    let outcome = tree::Tree::find().and_then(|tree| match Arguments::parse().command {
        Task::Up(options) => up::run(&tree, &options),
        Task::Test(options) => check::run(&tree, &options),
        Task::Prove(options) => prove::run(&tree, &options),
        Task::Cluster(task) => cluster::run(&tree, &task),
        Task::Image(options) => image::run(&tree, &options),
        Task::Setup => setup::run(&tree, setup::Need::Tests).map(|_| true),
        Task::Generate => generate::run(&tree).map(|()| true),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
