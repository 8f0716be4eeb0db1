//! `cargo xtask test`: every check, cheapest first, stopping at the first that fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::metadata::Metadata;
use crate::setup::{self, Need};
use crate::tree::Tree;
use crate::{image, rooms, suites, tidy, tree};

#[derive(Args)]
pub(crate) struct Options {
    /// Leave out the release build, the end-to-end tests, docs and licences
    #[arg(long)]
    quick: bool,
    /// Leave out the real node, which takes root and a kernel that can hold one
    #[arg(long)]
    no_node: bool,
}

/// Our own programs.
pub(crate) const SERVERS: &[&str] =
    &["hushmark-edge", "hushmark-writer", "hushmark-embedded", "hushmark"];
/// What end-to-end tests and the short forms of the proofs start beside them.
const BESIDE: &[&str] = &["bare-hyper", "hushmark-operator"];

/// Programs of the profile `control`, which Cargo.toml explains.
const CONTROL: &[&str] = &["hushmark", "hushmark-operator"];

/// The packages of each profile's programs. All are named whichever of them is built: cargo unites
/// the features of what it is asked for, and would compile what they share anew for each choice.
const PACKAGES: [(&str, &[&str]); 2] = [
    (
        "release",
        &[
            "hushmark-edge",
            "hushmark-writer",
            "hushmark-embedded",
            "hushmark-tests",
            "hushmark-benches",
        ],
    ),
    ("control", &["hushmark-cli", "hushmark-operator"]),
];

/// The licence checker, from source: it compiles in under three minutes on two cores, once, into
/// the cache. Without its default features it has no network client.
const CARGO_DENY: &str = "0.20.2";

/// What has been run, with its time.
struct Steps {
    began: Instant,
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn step<T>(
        &mut self,
        name: &'static str,
        remedy: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        println!("\n== {name}");
        let began = Instant::now();
        let done = work().with_context(|| format!("{name} failed: {remedy}"))?;
        println!("   {name}: {:.1} s", began.elapsed().as_secs_f64());
        self.done.push((name, began.elapsed()));
        Ok(done)
    }
}

pub(crate) fn run(tree: &Tree, options: &Options) -> Result<bool> {
    let mut steps = Steps { began: Instant::now(), done: Vec::new() };
    let outcome = every_step(tree, options, &mut steps);
    println!();
    for (name, took) in &steps.done {
        println!("   {name:<22} {:>7.1} s", took.as_secs_f64());
    }
    let total = steps.began.elapsed().as_secs_f64();
    match &outcome {
        Ok(()) => println!("== all {} steps held in {total:.1} s", steps.done.len()),
        Err(_) => println!("== {} steps held, the next failed, {total:.1} s", steps.done.len()),
    }
    outcome.map(|()| true)
}

fn every_step(tree: &Tree, options: &Options, steps: &mut Steps) -> Result<()> {
    let need = match options {
        Options { quick: true, .. } => Need::Stack,
        Options { no_node: true, .. } => Need::Tests,
        Options { .. } => Need::Node,
    };
    let ready = steps.step("set-up", "see above for what is missing", || setup::run(tree, need))?;
    let cargo = || tree.cargo(Some(&ready));

    steps.step("formatting", "run `cargo fmt --all`", || {
        succeed(cargo().args(["fmt", "--all", "--check"]))
    })?;
    steps.step("rooms and tidiness", "mend each line above", || {
        let metadata = Metadata::read(&tree.root)?;
        let mut breaches = rooms::breaches(&metadata, |room| rooms::linked(&tree.root, room))?;
        breaches.extend(tidy::breaches(&tree.root)?);
        report(&breaches)
    })?;
    steps.step("clippy", "mend each warning above", || {
        succeed(
            cargo()
                .args(["clippy", "--workspace", "--all-targets", "--quiet"])
                .args(["--", "-D", "warnings"]),
        )
    })?;
    if options.quick {
        return steps.step("tests", "the first failure above says which", || {
            succeed(cargo().args(["test", "--workspace", "--exclude", "hushmark-tests"]))
        });
    }
    steps.step("release build", "mend the error above", || {
        build_binaries(tree, &[SERVERS, BESIDE].concat())?;
        build_failpoints(tree)
    })?;
    steps.step("images", "see above for which image and what about it", || {
        image::check(tree, &ready.engine)
    })?;
    steps.step("tests", "each failure is above", || {
        suites::run(tree, &ready)?;
        succeed(cargo().args(["test", "--workspace", "--doc", "--quiet"]))
    })?;
    if options.no_node {
        println!("\n== real node: LEFT OUT, as --no-node asks: no pod of ours has run");
    } else {
        steps.step("real node", "its pods' logs are above", || {
            image::beside_on_a_node(tree, &ready)?;
            // Of the whole workspace, as above: one package alone would be built with other features.
            let node = ["test", "--workspace", "--test", "node"];
            succeed(cargo().args(node).args(["--", "--ignored", "--nocapture"]))
        })?;
    }
    steps.step("docs", "mend each warning above", || {
        succeed(
            cargo()
                .args(["doc", "--workspace", "--no-deps", "--quiet"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })?;
    steps.step("licences and sources", "see deny.toml for what is allowed and why", || {
        let deny = cargo_deny(tree)?;
        // It reads the manifest of every crate in Cargo.lock, and what only other platforms compile
        // no build has fetched.
        succeed(cargo().args(["fetch", "--locked", "--quiet"]))?;
        succeed(Command::new(deny).current_dir(&tree.root).args([
            "--offline",
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "bans",
            "sources",
        ]))
    })
}

/// Builds programs, wherever they are in the workspace, into the folder of the release binaries:
/// one cargo call for all of a profile, so that they share what they have in common, and both calls
/// at once, because the end of each keeps a single core busy.
pub(crate) fn build_binaries(tree: &Tree, binaries: &[&str]) -> Result<()> {
    let metadata = Metadata::read(&tree.root)?;
    let (control, data): (Vec<&str>, Vec<&str>) =
        binaries.iter().copied().partition(|binary| CONTROL.contains(binary));
    let mut calls = Vec::new();
    for ((profile, packages), binaries) in PACKAGES.into_iter().zip([&data, &control]) {
        if !binaries.is_empty() {
            calls.push(of_profile(tree, &metadata, profile, packages, binaries)?);
        }
    }
    let started: Vec<_> = calls.iter_mut().map(|call| (call.spawn(), words(call))).collect();
    // Every one is waited for, also after another has failed.
    let ended: Vec<Result<()>> = started
        .into_iter()
        .map(|(child, call)| {
            let status = child.and_then(|mut child| child.wait());
            let status = status.with_context(|| format!("cannot run `{call}`"))?;
            if status.success() { Ok(()) } else { bail!("`{call}` ended with {status}") }
        })
        .collect();
    ended.into_iter().collect::<Result<()>>()?;
    for binary in control {
        let built = tree.target.join("control").join(binary);
        let placed = tree.binaries().join(binary);
        // Put there in one step: an older one may be running.
        let coming = tree.binaries().join(format!(".{binary}.new"));
        fs::create_dir_all(tree.binaries())?;
        fs::copy(&built, &coming)
            .and_then(|_| fs::rename(&coming, &placed))
            .with_context(|| format!("cannot place {}", placed.display()))?;
    }
    Ok(())
}

fn of_profile(
    tree: &Tree,
    metadata: &Metadata,
    profile: &str,
    packages: &[&str],
    binaries: &[&str],
) -> Result<Command> {
    let mut cargo = tree.cargo(None);
    cargo.args(["build", "--profile", profile]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    for binary in binaries {
        let owner = metadata.members().find(|package| package.binaries().any(|b| b == *binary));
        let owner = owner.with_context(|| format!("no room of the workspace has {binary}"))?;
        if !packages.contains(&owner.name.as_str()) {
            bail!("{binary} of {} is in no profile: name its package in PACKAGES", owner.name);
        }
        cargo.args(["--bin", binary]);
    }
    Ok(cargo)
}

/// The writer with its failpoints, which `exactly-once` stops and kills at chosen moments. In a
/// cargo call of its own: a feature that is asked for anywhere in a build is there for the shipped
/// writer as well.
pub(crate) fn build_failpoints(tree: &Tree) -> Result<()> {
    let mut cargo = tree.cargo(None);
    cargo.args(["build", "--release", "--package", "hushmark-tests"]);
    cargo.args(["--features", "failpoints", "--bin", "hushmark-writer-failpoints"]);
    succeed(&mut cargo)
}

fn cargo_deny(tree: &Tree) -> Result<PathBuf> {
    let folder = tree.cache.join(format!("cargo-deny-{CARGO_DENY}"));
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        println!("   building cargo-deny {CARGO_DENY}, once (about three minutes)");
        let mut cargo = Command::new(tree::cargo_program());
        cargo.args(["install", "cargo-deny", "--locked", "--no-default-features", "--quiet"]);
        cargo.args(["--version", CARGO_DENY, "--root"]).arg(&folder);
        // Its own build folder, which cargo deletes again: a gigabyte that nothing else uses.
        succeed(cargo.env_remove("CARGO_TARGET_DIR").current_dir(parent_of(&folder)?))?;
    }
    Ok(program)
}

fn parent_of(folder: &Path) -> Result<&Path> {
    folder.parent().with_context(|| format!("{} has no parent folder", folder.display()))
}

fn report(breaches: &[String]) -> Result<()> {
    for breach in breaches {
        eprintln!("{breach}");
    }
    match breaches.len() {
        0 => Ok(()),
        count => bail!("{count} found"),
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("`{}` ended with {status}", words(command));
    }
    Ok(())
}

/// A command as a person would type it, without its environment.
fn words(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let shown: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    shown.join(" ")
}
