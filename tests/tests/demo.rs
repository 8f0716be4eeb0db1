//! The quickstart as a person starts it: `hushmark up examples/quickstart --demo --once`.
//!
//! The demo sends a morning of real requests and compares every counter with what it sent, and
//! every report with what may be shown; it fails where one figure differs.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use hushmark_tests::ports;
use hushmark_tests::tools::Tools;

/// Runs `up` with the demo to its end.
fn quickstart(tools: &Tools, data: &Path) -> Result<Output> {
    let listen = ports::free()?.to_string();
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");
    Command::new(tools.program("hushmark")?)
        .args(["up", manifests, "--demo", "--once", "--listen", &listen, "--data"])
        .arg(data)
        .env("HUSHMARK_ENGINE_LIB", tools.engine_lib()?)
        .output()
        .context("hushmark does not start")
}

fn succeeds(output: &Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    Ok(said)
}

#[test]
fn the_demo_is_counted_to_the_hit_and_once_more_on_the_same_data() -> Result<()> {
    let tools = Tools::from_env()?;
    let data = tempfile::tempdir()?;
    for run in ["first", "second"] {
        let said = succeeds(&quickstart(&tools, data.path())?).context(run)?;
        for line in ["to the hit", "all that may be", "individual; uniques counted from rows"] {
            ensure!(said.contains(line), "{run} run does not say {line:?}:\n{said}");
        }
    }
    // Who got which mark is written nowhere.
    ensure!(!data.path().join("demo").exists(), "the demo leaves stamped messages behind");
    Ok(())
}
