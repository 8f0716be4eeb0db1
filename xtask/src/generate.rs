//! `cargo xtask generate`: renders again every file that a test holds against its golden.

use anyhow::{Context, Result, bail};

use crate::setup::{self, Need};
use crate::tree::Tree;

/// Runs the tests that render, with leave to write: `INSTA_UPDATE` for snapshots, and
/// `HUSHMARK_GENERATE` for files that are used as they are, such as `crds/generated/*.yaml`.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let engine = setup::run(tree, Need::Tests)?;
    let mut cargo = tree.cargo(Some(&engine));
    cargo.args(["test", "--workspace", "--lib", "--bins", "--quiet"]);
    cargo.args(["--exclude", "hushmark-tests", "--exclude", "hushmark-benches"]);
    let status = cargo
        .env("INSTA_UPDATE", "always")
        .env("HUSHMARK_GENERATE", "1")
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("a test failed for another reason than its golden: see above");
    }
    Ok(())
}
