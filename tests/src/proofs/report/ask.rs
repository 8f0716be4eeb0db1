//! Asks for reports as a person does: the real program, from process start to exit.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::morning::{NAMESPACE, REGION};
use crate::stack::Stack;
use crate::tools::Tools;

/// `hushmark` over a data folder that points at a stack.
pub(super) struct Asker {
    program: PathBuf,
    data: PathBuf,
}

impl Asker {
    /// Writes the folder that `hushmark up` would have left.
    pub(super) fn new(tools: &Tools, stack: &Stack) -> Result<Self> {
        let data = stack.folder().join("data");
        std::fs::create_dir_all(&data)?;
        let state = json!({
            "region": REGION,
            "manifests": data,
            "base_url": "http://127.0.0.1",
            "namespaces": [NAMESPACE],
            "clickhouse": format!("http://{}", stack.clickhouse.address),
            "edge": "",
            "edge_admin": "",
            "writer_admin": "",
            "epoch_seconds": 10,
            "children": [],
        });
        std::fs::write(data.join("state.json"), state.to_string())?;
        Ok(Self { program: tools.program("hushmark")?, data })
    }

    fn run(&self, campaign: &str, more: &[&str]) -> Result<(Output, Duration)> {
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(&self.data).args(["report", campaign]).args(more);
        let began = Instant::now();
        let output = command.output().context("cannot start hushmark")?;
        let took = began.elapsed();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("`hushmark report {campaign}` failed: {error}");
        }
        Ok((output, took))
    }

    /// How long the whole report takes as a person reads it.
    pub(super) fn time(&self, campaign: &str) -> Result<Duration> {
        let (output, took) = self.run(campaign, &[])?;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.lines().count() < 20 {
            bail!("the report of {campaign} is no full report: {text}");
        }
        Ok(took)
    }

    /// The report as JSON.
    pub(super) fn json(&self, campaign: &str) -> Result<Value> {
        let (output, _) = self.run(campaign, &["--json"])?;
        serde_json::from_slice(&output.stdout).context("the report is not JSON")
    }
}
