//! `hushmark`: the whole of Hushmark on one machine, and a hand on it.
//!
//! `up` starts everything from a folder of manifests and stays in front; the other commands talk
//! to what it started, through the data folder; [`receipts`] need files alone; those in [`cluster`]
//! talk to a cluster. Called as `kubectl-hushmark` it is a plugin of kubectl and has these alone.
//! Exit status: 0 done, 1 failed or not well, 2 wrong usage.

#![allow(clippy::print_stderr, reason = "this is the program for people")]

/// Says a line on the way. Whoever reads along may leave (`| head`), and what runs goes on: `println!`
/// would end it.
macro_rules! said {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        drop(writeln!(std::io::stdout(), $($text)*));
    }};
}

/// The same on standard error.
macro_rules! warned {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        drop(writeln!(std::io::stderr(), $($text)*));
    }};
}

mod args;
mod asks;
mod campaigns;
mod cluster;
mod consents;
mod contacts;
mod counters;
mod data;
mod deliveries;
mod demo;
mod erase;
mod explain;
mod files;
mod http;
mod keys;
mod known;
mod people;
mod policies;
mod receipts;
mod report;
mod retention;
mod sealing;
mod stamp;
mod up;
mod withdrawal;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use args::{Args, Command};
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use cluster::args::Plugin;

/// What kubectl calls a plugin, and what it asks how a word goes on.
const PLUGIN: &str = "kubectl-hushmark";
const COMPLETES: &str = "kubectl_complete-hushmark";

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let called: Vec<OsString> = std::env::args_os().collect();
    let name = called.first().and_then(|name| Path::new(name).file_name()?.to_str());
    let ended = match name {
        Some(PLUGIN) => runtime.block_on(cluster::run_plugin(Plugin::parse().command)),
        Some(COMPLETES) => {
            let words: Vec<String> =
                called.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            let said = cluster::complete::complete(&Plugin::command(), &words);
            report::print(&said).map(|()| ExitCode::SUCCESS)
        }
        _ => runtime.block_on(run(Args::parse())),
    };
    ended.unwrap_or_else(|error| fail(&error))
}

async fn run(args: Args) -> Result<ExitCode> {
    let done = match args.command {
        Command::Up(options) => up::run(&args.data, options).await,
        Command::Stamp(options) => stamp::run(&args.data, &options).await,
        Command::Delivered(options) => deliveries::delivered(&args.data, &options).await,
        Command::Segment(options) => people::segment(&args.data, &options).await,
        Command::Contact(options) => people::contact(&args.data, &options).await,
        Command::Export(options) => people::export(&args.data, &options).await,
        Command::Log(options) => people::log(&args.data, &options).await,
        Command::Report(options) => report::run(&args.data, &options).await,
        Command::Counters(options) => counters::run(&args.data, &options).await,
        Command::Demo(options) => demo::run(&args.data, &options).await,
        Command::Withdraw(options) => asks::withdraw(&args.data, &options).await,
        Command::Consent(options) => consents::consent(&args.data, &options).await,
        Command::Takedown(options) => asks::takedown(&args.data, &options).await,
        Command::Plan(options) => return plan(&args.data, options).await,
        Command::Enforce(options) => retention::enforce(&args.data, &options).await,
        Command::Complete(options) => retention::complete(&args.data, &options).await,
        Command::Erase(options) => erase::run(&args.data, &options).await,
        Command::Receipt(command) => return receipts::verify_receipts(&command),
        Command::Audit(command) => return receipts::verify_log(&command),
        Command::Explain(options) => return explain::run(&args.data, options).await,
        Command::Cluster(command) => return cluster::run(command).await,
        Command::Completions { shell } => return completions::<Args>(shell),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// What manifests would change in a cluster, or what a policy would remove on this machine.
async fn plan(data: &Path, options: args::Plan) -> Result<ExitCode> {
    match options {
        args::Plan { policy: Some(policy), kind, json, .. } => {
            retention::plan(data, &args::PlanPolicy { policy, kind, json }).await
        }
        args::Plan { filename: Some(filename), json, connection, .. } => {
            cluster::plan(&cluster::args::PlanManifests { filename, json, connection }).await
        }
        _ => anyhow::bail!("give a policy's name, or manifests with -f"),
    }
}

/// Prints a shell's completion script.
fn completions<C: CommandFactory>(shell: Shell) -> Result<ExitCode> {
    let (mut script, mut command) = (Vec::new(), C::command());
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    report::print(&String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
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
