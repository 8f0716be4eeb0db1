//! Proof `cold-start`: on a real node with the images present, a Region that is applied is `Ready`
//! within a minute: Redis, ClickHouse, two edges and two writers in pods. The operator is ready
//! and leads within two seconds of its own start, by its own log.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Run;
use crate::cluster::{Cluster, Installed, Release, Shape};
use crate::figure::Figures;

/// What is applied: the quickstart's Region.
const REGION: &str = include_str!("../../../examples/kubernetes/eu.yaml");

const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let cluster = Cluster::start_as(&run.tools, &Shape::real())?;
    figures.measure("from nothing to a Ready node", cluster.started_in.as_secs_f64(), "s");
    Release::install_crds(&cluster)?;
    let (mut longest, mut operator): (f64, f64) = (0.0, 0.0);
    let rounds = run.size(5, 1);
    for round in 1..=rounds {
        // Never seen before: no Secret, no volume, no object is there.
        let release = Installed::install(&cluster, &format!("eu{round}"), &[])?;
        operator = operator.max(ready_after(&cluster, &release)?.as_secs_f64());
        let began = Instant::now();
        cluster.apply(&region(&release.name))?;
        release.wait_ready(&cluster)?;
        let took = began.elapsed().as_secs_f64();
        figures.measure(format!("Region {round}, applied to Ready"), took, "s");
        longest = longest.max(took);
        cluster.kubectl(&["delete", "region", &release.name, "--cascade=foreground"])?;
        release.uninstall(&cluster)?;
        cluster.kubectl(&["delete", "namespace", &release.namespace, "--timeout=180s"])?;
    }
    run.limit(&mut figures, "Region applied to Ready, longest", longest, 60.0, "s");
    run.limit(&mut figures, "the operator's start to leading, longest", operator, 2.0, "s");
    Ok(figures)
}

/// The quickstart's Region under another name, with a host of its own.
fn region(name: &str) -> String {
    REGION.replace("name: eu\n", &format!("name: {name}\n")).replace("t.eu.", &format!("t.{name}."))
}

/// From the operator's first line to the one that says that it leads: every permission was found,
/// it is ready, and it holds the Lease.
fn ready_after(cluster: &Cluster, release: &Installed) -> Result<Duration> {
    let deployment = format!("deployment/{}", release.named("operator"));
    let log = cluster.kubectl(&["logs", &deployment, "-n", &release.namespace])?;
    let said = |what: &str| -> Result<Duration> {
        let line = log.lines().find(|line| line.contains(&format!("\"message\":\"{what}\"")));
        let line = line.with_context(|| format!("the operator's log has no {what:?}:\n{log}"))?;
        let line: serde_json::Value = serde_json::from_str(line)?;
        time_of_day(line["timestamp"].as_str().unwrap_or_default())
    };
    let (started, ready) = (said("started")?, said("leads")?);
    // Midnight may lie between both.
    Ok(ready.checked_sub(started).unwrap_or_else(|| ready + DAY - started))
}

/// `2026-11-22T08:05:28.123456Z` as the time since midnight.
fn time_of_day(timestamp: &str) -> Result<Duration> {
    let time = timestamp.split('T').nth(1).unwrap_or_default().trim_end_matches('Z');
    let parts: Vec<f64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts[..] else {
        anyhow::bail!("{timestamp:?} is no time");
    };
    Ok(Duration::from_secs_f64(hours * 3_600.0 + minutes * 60.0 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_a_time_of_day_and_the_regions_name_and_host_are_replaced() {
        let time = time_of_day("2026-11-22T01:02:03.5Z").unwrap();
        assert_eq!(time, Duration::from_millis(3_723_500));
        let region = region("eu7");
        assert!(region.contains("  name: eu7\n") && region.contains("https://t.eu7.example.com"));
    }
}
