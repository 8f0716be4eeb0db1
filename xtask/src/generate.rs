//! `cargo xtask generate`: renders again every file that a test holds against its golden.

use anyhow::{Context, Result, bail};

use crate::setup::{self, Need};
use crate::tree::Tree;

/// The rooms whose tests hold something rendered against a golden.
const RENDER: &[&str] = &[
    "hushmark-cli",
    "hushmark-crds",
    "hushmark-edge",
    "hushmark-event",
    "hushmark-operator",
    "hushmark-report",
    "hushmark-sender",
    "hushmark-token",
];

/// Runs the tests that render, with leave to write: `INSTA_UPDATE` for snapshots, and `UPDATE` for
/// files that are used as they are, such as `crds/generated/*.yaml`.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let ready = setup::run(tree, Need::Tests)?;
    let rooms: Vec<&str> = RENDER.iter().flat_map(|room| ["--package", *room]).collect();
    // The chart is rendered by helm, which the end-to-end tests have.
    for tests in [&rooms[..], &["--package", "hushmark-tests", "--test", "charts"]] {
        let status = tree
            .cargo(Some(&ready))
            .args(["test", "--quiet"])
            .args(tests)
            .env("INSTA_UPDATE", "always")
            .env("UPDATE", "1")
            .status()
            .context("cannot start cargo")?;
        if !status.success() {
            bail!("a test failed for another reason than its golden: see above");
        }
    }
    Ok(())
}
