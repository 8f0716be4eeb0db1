//! Debian's Prometheus with the release's alerts, made impatient.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http;
use crate::ports;
use crate::process::{Process, Recipe};
use crate::stack::wait_ready;

/// A second apart, so that a rate is there soon.
const SCRAPE: &str = "1s";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What alerts ask for that would take hours or gigabytes, and what is asked for here instead.
pub(super) const REWRITTEN: [(&str, &str); 12] = [
    // 256 MiB of batches, each of which is some hundred bytes.
    ("> 256 * 1024 * 1024", "> 1024"),
    // Two minutes of lag.
    ("_lag_seconds{namespace=\"$ns\"} > 120", "_lag_seconds{namespace=\"$ns\"} > 20"),
    // Two hours without a publication.
    ("> 7500", "> 30"),
    // A thousand parts, of which an insert makes one.
    ("_parts{namespace=\"$ns\"} > 1000", "_parts{namespace=\"$ns\"} > 25"),
    // Five hundred objects in a queue that 16 hands empty.
    ("_queue_depth{namespace=\"$ns\"}) > 500", "_queue_depth{namespace=\"$ns\"}) > 20"),
    // Quantiles and shares of minutes that were well hide seconds that are not.
    // A quarter of a second takes a slow disk: of a slow Redis an edge has had enough after 40 ms.
    (
        "commit_seconds_bucket{namespace=\"$ns\"}[5m]))) > 0.25",
        "commit_seconds_bucket{namespace=\"$ns\"}[20s]))) > 0.025",
    ),
    (
        "insert_seconds_bucket{namespace=\"$ns\"}[10m]",
        "insert_seconds_bucket{namespace=\"$ns\"}[20s]",
    ),
    ("reason=\"unknown_key\"}[10m]", "reason=\"unknown_key\"}[20s]"),
    ("answered_total{namespace=\"$ns\"}[10m]", "answered_total{namespace=\"$ns\"}[20s]"),
    // What one fault counted has to be forgotten before the next one counts.
    (
        "dropped_records_total{namespace=\"$ns\"}[10m]",
        "dropped_records_total{namespace=\"$ns\"}[20s]",
    ),
    ("gaps_total{namespace=\"$ns\"}[15m]", "gaps_total{namespace=\"$ns\"}[20s]"),
    // Tries of the same thing, of which four come in half a minute.
    ("result=\"error\"}[10m]", "result=\"error\"}[60s]"),
];

/// One rule as Prometheus knows it.
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) query: String,
    pub(super) state: String,
    pub(super) error: String,
}

pub(super) struct Prometheus {
    pub(super) process: Process,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes what a cluster's discovery would have found, under the labels that it would set.
    pub(super) fn start(
        folder: &Path,
        rules: &str,
        namespace: &str,
        targets: &[(String, SocketAddr)],
    ) -> Result<Self> {
        let scraped: Vec<Value> = targets
            .iter()
            .map(|(pod, address)| {
                let labels = json!({"namespace": namespace, "pod": pod});
                json!({"targets": [address.to_string()], "labels": labels})
            })
            .collect();
        let config = json!({
            "global": {
                "scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE,
            },
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "hushmark", "static_configs": scraped}],
        });
        fs::write(folder.join("prometheus.json"), serde_json::to_vec(&config)?)?;
        fs::write(folder.join("rules.yaml"), impatient(rules, namespace)?)?;
        let address = ports::free()?;
        let path = |name: &str| folder.join(name).display().to_string();
        let recipe = Recipe {
            name: "prometheus".into(),
            program: "prometheus".into(),
            args: vec![
                format!("--config.file={}", path("prometheus.json")),
                format!("--storage.tsdb.path={}", path("tsdb")),
                format!("--web.listen-address={address}"),
            ],
            env: BTreeMap::new(),
        };
        let process = Process::new(recipe, folder);
        process.start().context("`cargo xtask setup` installs the package prometheus")?;
        wait_ready("prometheus", &process, || {
            let answer = http::get(address, "/-/ready", Duration::from_secs(2));
            answer.is_ok_and(|answer| answer.status == 200)
        })?;
        Ok(Self { process, address })
    }

    /// How many samples a query yields now.
    pub(super) fn samples(&self, query: &str) -> Result<usize> {
        let data = self.ask(&format!("/api/v1/query?query={}", escaped(query)))?;
        Ok(data["result"].as_array().map_or(0, Vec::len))
    }

    /// Every rule.
    pub(super) fn rules(&self) -> Result<Vec<Rule>> {
        let data = self.ask("/api/v1/rules")?;
        let groups = data["groups"].as_array().into_iter().flatten();
        let rules = groups.filter_map(|group| group["rules"].as_array()).flatten();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(rules
            .map(|rule| Rule {
                name: word(&rule["name"]),
                query: word(&rule["query"]),
                state: word(&rule["state"]),
                error: word(&rule["lastError"]),
            })
            .collect())
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let answer = http::get(self.address, path, PATIENCE)?;
        let said: Value = serde_json::from_slice(&answer.body)
            .with_context(|| format!("prometheus answers {path} with {}", answer.text()))?;
        ensure!(said["status"] == "success", "prometheus refuses {path}: {}", said["error"]);
        Ok(said["data"].clone())
    }
}

/// The rule file with nothing to wait for.
fn impatient(rules: &str, namespace: &str) -> Result<String> {
    let mut text = rules.to_owned();
    for (from, to) in REWRITTEN {
        let (from, to) = (from.replace("$ns", namespace), to.replace("$ns", namespace));
        ensure!(text.contains(&from), "the alerts do not say {from:?} any more");
        text = text.replace(&from, &to);
    }
    let lines = text.lines().map(|line| {
        let is_for = line.trim_start().starts_with("for: ");
        let indent = line.len() - line.trim_start().len();
        if is_for { format!("{}for: 1s", &line[..indent]) } else { line.to_owned() }
    });
    Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
}

/// The series that an expression looks at: our figures with what they are selected by.
pub(super) fn selectors(query: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in query.match_indices("hushmark_") {
        let rest = &query[at..];
        if let Some(end) = rest.find('}') {
            found.push(rest[..=end].to_owned());
        }
    }
    found
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_an_expression_are_found_with_their_labels() {
        let found = selectors("max(hushmark_edge_up{namespace=\"a\"}) == 0 or hushmark_x{b=\"c\"}");
        assert_eq!(found, ["hushmark_edge_up{namespace=\"a\"}", "hushmark_x{b=\"c\"}"]);
        assert_eq!(escaped("a{b=\"c\"} > 1"), "a%7Bb%3D%22c%22%7D%20%3E%201");
    }
}
