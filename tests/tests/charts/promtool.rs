//! promtool, from Debian's package `prometheus`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs it in a folder; its words are the error.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new("promtool").args(arguments).current_dir(folder).output().context(
            "promtool does not start: `cargo xtask setup` installs the package prometheus",
        )?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "promtool {arguments:?}:\n{said}{errors}");
    Ok(said)
}
