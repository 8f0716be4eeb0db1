//! `cargo xtask up`: from a fresh clone to a running stack with something to look at.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, anyhow};
use clap::Args;

use crate::check;
use crate::setup::{self, Need};
use crate::tree::Tree;

#[derive(Args)]
pub(crate) struct Options {
    /// Stop after the demo's reports instead of leaving the stack running
    #[arg(long)]
    once: bool,
}

/// Becomes `hushmark up` once everything is built, so that Ctrl-C and the exit status are its own.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<bool> {
    let ready = setup::run(tree, Need::Stack)?;
    println!("   building (a few minutes the first time)");
    check::build_binaries(tree, check::SERVERS)?;
    let mut hushmark = Command::new(tree.binaries().join("hushmark"));
    hushmark.args(["up", "examples/quickstart", "--demo"]).current_dir(&tree.root);
    if options.once {
        hushmark.arg("--once");
    }
    hushmark.env("HUSHMARK_ENGINE_LIB", ready.engine).env("HUSHMARK_BIN_DIR", tree.binaries());
    Err(anyhow!(hushmark.exec()).context("cannot start hushmark"))
}
