//! `hushmark`: the whole of Hushmark on one machine, and a hand on it.
//!
//! `up` starts everything from a folder of manifests and stays in front; the other commands talk
//! to what it started, through the data folder. Exit status: 0 done, 1 failed, 2 wrong usage.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program for people")]

mod args;
mod campaigns;
mod contacts;
mod counters;
mod data;
mod demo;
mod files;
mod http;
mod keys;
mod report;
mod sealing;
mod stamp;
mod takedown;
mod up;

use std::process::ExitCode;

use args::{Args, Command};
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Up(options) => up::run(&args.data, options).await,
        Command::Stamp(options) => stamp::run(&args.data, &options).await,
        Command::Report(options) => report::run(&args.data, &options).await,
        Command::Counters(options) => counters::run(&args.data, &options).await,
        Command::Demo(options) => demo::run(&args.data, &options).await,
        Command::Takedown(options) => takedown::run(&args.data, &options).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "hushmark", &mut script);
            report::print(&String::from_utf8_lossy(&script))
        }
    }
}

/// An error and its causes; a cause that the text before it tells already is left out.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        match (text.is_empty(), text.contains(&cause)) {
            (true, _) => cause,
            (_, true) => text,
            _ => format!("{text}: {cause}"),
        }
    })
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", told(error));
    ExitCode::FAILURE
}
