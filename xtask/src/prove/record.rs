//! Results, dated, with what they were measured on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

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
    busy_before: f64,
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
        busy_before: outcome.busy_before,
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

/// The part of all cores that is in use, over one second (proc_stat(5)), to two decimals.
pub(super) fn busy() -> Result<f64> {
    let before = ticks()?;
    std::thread::sleep(Duration::from_secs(1));
    let after = ticks()?;
    let (idle, all) = (after.0 - before.0, after.1 - before.1);
    Ok((100.0 * (1.0 - idle / all.max(1.0))).round() / 100.0)
}

/// Clock ticks of all cores since boot: idle ones, and all.
fn ticks() -> Result<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let idle = fields.get(3..5).context("/proc/stat is short")?.iter().sum();
    Ok((idle, fields.iter().take(8).sum()))
}
