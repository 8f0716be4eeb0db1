//! Results, dated, with what they were measured on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use super::figure::{Figure, Verdict};
use super::{Outcome, Tree};
use crate::tree;

/// One file of `benches/results`.
#[derive(Serialize)]
struct Record<'a> {
    proof: &'a str,
    date: String,
    commit: String,
    /// Whether the tree held more than that commit.
    changed_since: bool,
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    rustc: String,
    seed: Option<u64>,
    seconds: f64,
    figures: &'a [Figure],
    verdict: &'a Verdict,
}

/// Writes `benches/results/YYYY-MM-DD-NAME.json`; a second run of the day replaces the first.
pub(super) fn keep(
    tree: &Tree,
    name: &str,
    seed: Option<u64>,
    outcome: &Outcome,
) -> Result<PathBuf> {
    let word = |program: &str, arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(program);
        Ok(tree::output(command.args(arguments).current_dir(&tree.root))?.trim().to_owned())
    };
    let date = word("date", &["-u", "+%F"])?;
    let record = Record {
        proof: name,
        date: date.clone(),
        commit: word("git", &["rev-parse", "--short=12", "HEAD"])?,
        changed_since: !word("git", &["status", "--porcelain", "-uno"])?.is_empty(),
        cpu: after_colon("/proc/cpuinfo", "model name")?,
        cores: std::thread::available_parallelism()?.get(),
        memory_gib: memory_gib()?,
        kernel: word("uname", &["-sr"])?,
        rustc: word("rustc", &["--version"])?,
        seed,
        seconds: (outcome.seconds * 10.0).round() / 10.0,
        figures: &outcome.figures,
        verdict: &outcome.verdict,
    };
    let folder = tree.root.join("benches/results");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let file = folder.join(format!("{date}-{name}.json"));
    let text = serde_json::to_string_pretty(&record)? + "\n";
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn after_colon(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
    Ok(value.unwrap_or("unknown").to_owned())
}

fn memory_gib() -> Result<u64> {
    let kib = after_colon("/proc/meminfo", "MemTotal")?;
    let kib: u64 = kib.trim_end_matches("kB").trim().parse().unwrap_or_default();
    Ok((kib + (1 << 19)) >> 20)
}
