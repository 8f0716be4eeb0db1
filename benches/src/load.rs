//! wrk on a core of its own, and what it saw.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::pinned::LOAD_CORE;
use crate::requests;

const SCRIPT: &str = include_str!("../wrk/requests.lua");

/// As many as the published figures were measured with.
pub const CONNECTIONS: usize = 64;

/// What is sent: the requests of a file in turn, over 64 connections, as fast as answers come.
#[derive(Clone, Debug)]
pub struct Load {
    script: PathBuf,
    requests: PathBuf,
    /// How long one measurement runs.
    pub duration: Duration,
}

/// What the load saw of a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Requests answered with success or a redirect.
    pub requests: u64,
    /// Requests answered a second.
    pub per_second: f64,
    /// The median answer, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 answers took at most this, in microseconds.
    pub p99_us: f64,
}

/// What a server is asked.
pub trait Asks {
    /// Asks once, for as long as one measurement runs.
    ///
    /// # Errors
    /// When the client fails, or a single request does: a figure over failures says nothing.
    fn run(&self, address: SocketAddr) -> Result<Seen>;
}

impl Load {
    /// A load of these paths; what wrk needs is kept in `folder` under `name`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn new<'a>(
        folder: &Path,
        name: &str,
        paths: impl Iterator<Item = &'a str>,
        duration: Duration,
    ) -> Result<Self> {
        let script = folder.join("requests.lua");
        std::fs::write(&script, SCRIPT)
            .with_context(|| format!("cannot write {}", script.display()))?;
        let requests = folder.join(format!("{name}.tsv"));
        requests::write(&requests, paths)?;
        Ok(Self { script, requests, duration })
    }
}

impl Asks for Load {
    fn run(&self, address: SocketAddr) -> Result<Seen> {
        let seconds = self.duration.as_secs().max(1);
        let output = Command::new("taskset")
            .args(["-c", &LOAD_CORE.to_string(), "wrk", "-t1", &format!("-c{CONNECTIONS}")])
            .args([&format!("-d{seconds}s"), "--timeout", "10s", "-s"])
            .arg(&self.script)
            .arg(format!("http://{address}/"))
            .arg("--")
            .arg(&self.requests)
            .output()
            .context("cannot start wrk: apt-get install wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        read(&text)
    }
}

fn read(text: &str) -> Result<Seen> {
    let line = text.lines().find_map(|line| line.strip_prefix("measured "));
    let line = line.with_context(|| format!("wrk printed no measurement: {text}"))?;
    let number = |name: &str| -> Result<u64> {
        let mut words = line.split(' ').filter_map(|word| word.split_once('='));
        let value = words.find(|(key, _)| *key == name).with_context(|| format!("no {name}"))?.1;
        value.parse().with_context(|| format!("{name} is no number: {value}"))
    };
    let (requests, errors) = (number("requests")?, number("errors")?);
    if errors > 0 || requests == 0 {
        bail!("{errors} of {requests} requests failed: {text}");
    }
    Ok(Seen {
        requests,
        per_second: requests as f64 / (number("duration")? as f64 / 1e6),
        p50_us: number("p50")? as f64,
        p99_us: number("p99")? as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_saw_is_read_from_its_last_line() {
        let text = "Running 1s test\n  junk\nmeasured requests=4000 duration=2000000 errors=0 p50=380 p99=1200\n";
        let seen = read(text).unwrap();
        assert_eq!(
            seen,
            Seen { requests: 4_000, per_second: 2_000.0, p50_us: 380.0, p99_us: 1_200.0 }
        );
    }

    #[test]
    fn a_run_with_failures_is_no_measurement() {
        let text = "measured requests=4000 duration=2000000 errors=1 p50=380 p99=1200\n";
        assert!(read(text).is_err());
        assert!(read("Running 1s test\n").is_err());
    }
}
