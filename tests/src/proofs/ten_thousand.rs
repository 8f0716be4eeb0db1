//! Proof `ten-thousand`: 10,000 campaigns of 200 tenants are there before the operator is. From a
//! cold start all are Ready within a minute, each written at most twice; then it rests.

use std::collections::BTreeMap;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use super::Run;
use crate::cluster::{Cluster, Deployed, Mark, Release};
use crate::figure::{Figures, progress};

/// How long it may take at all before the proof gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many kubectl fill the cluster at once: each keeps itself to 50 requests a second.
const FILLERS: usize = 4;

/// So long nothing may be written before the rest begins.
const QUIET: Duration = Duration::from_secs(5);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let cluster = Cluster::start(&run.tools)?;
    Release::install_crds(&cluster)?;
    let release = Release::install(&cluster, "eu", "eu-central")?;
    cluster.apply(&release.region())?;
    let (tenants, each) = run.size((200, 50), (10, 20));
    let began = Instant::now();
    fill(&cluster, &release, tenants, each)?;
    figures.measure("filling the cluster", began.elapsed().as_secs_f64(), "s");

    let program = run.tools.program("hushmark-operator")?;
    let operator = release.operator(&cluster, &program, "operator-0")?;
    let mark = cluster.mark()?;
    let began = Instant::now();
    operator.process.start()?;
    let wanted = tenants * each;
    wait_written(&cluster, &operator, &mark, wanted)?;
    let took = began.elapsed();
    let ready = ready(&cluster)?;
    figures.exactly("campaigns that are Ready", ready as u64, wanted as u64, "campaigns");
    run.limit(&mut figures, "from a cold start to all Ready", took.as_secs_f64(), 60.0, "s");

    settle(&cluster, &operator)?;
    let writes = writes(&cluster, &operator, &mark)?;
    let most = writes.values().copied().max().unwrap_or(0);
    let total: u64 = writes.values().sum();
    figures.must("most writes of one campaign", json!(most), "at most 2", most <= 2);
    figures.measure("writes a campaign", total as f64 / wanted as f64, "writes");

    let rest = Duration::from_secs(run.size(60, 10));
    let mark = cluster.mark()?;
    let before = operator.process.usage()?;
    sleep(rest);
    let after = operator.process.usage()?;
    let written = self::writes(&cluster, &operator, &mark)?.len() as u64;
    figures.exactly("writes at rest", written, 0, "writes");
    let share = after.cpu_us_since(&before) / (rest.as_secs_f64() * 1e6) * 100.0;
    run.limit(&mut figures, "CPU at rest", share, 1.0, "% of a core");
    let resident = after.resident as f64 / f64::from(1 << 20);
    run.limit(&mut figures, "resident memory", resident, 100.0, "MiB");
    Ok(figures)
}

fn fill(cluster: &Cluster, release: &Release, tenants: usize, each: usize) -> Result<()> {
    thread::scope(|scope| {
        let fillers: Vec<_> = (0..FILLERS)
            .map(|filler| {
                scope.spawn(move || -> Result<()> {
                    for number in (filler..tenants).step_by(FILLERS) {
                        cluster.apply(&release.tenant(&format!("tenant-{number}"), each))?;
                        if number % 20 == 0 {
                            progress(&format!("{number} of {tenants} tenants are there"));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        fillers.into_iter().try_for_each(|filler| {
            filler.join().map_err(|_| anyhow!("a thread that filled the cluster panicked"))?
        })
    })
}

/// Waits until so many campaigns have a status.
fn wait_written(cluster: &Cluster, operator: &Deployed, mark: &Mark, wanted: usize) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let found = writes(cluster, operator, mark)?.len();
        if found >= wanted {
            return Ok(());
        }
        if !operator.process.is_running() {
            bail!("the operator ended:\n{}", operator.process.last_words());
        }
        sleep(Duration::from_millis(500));
    }
    bail!("not all campaigns were written:\n{}", operator.process.last_words())
}

/// Waits until campaigns have not been written for a while.
fn settle(cluster: &Cluster, operator: &Deployed) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let mark = cluster.mark()?;
        sleep(QUIET);
        if writes(cluster, operator, &mark)?.is_empty() {
            return Ok(());
        }
    }
    bail!("it was still writing after {PATIENCE:?}:\n{}", operator.process.last_words())
}

/// How often the operator wrote each campaign.
fn writes(
    cluster: &Cluster,
    operator: &Deployed,
    mark: &Mark,
) -> Result<BTreeMap<(String, String), u64>> {
    let mut counts = BTreeMap::new();
    for call in cluster.writes_since(mark, &operator.user)? {
        if call.resource == "campaigns/status" {
            *counts.entry((call.namespace, call.name)).or_default() += 1;
        }
    }
    Ok(counts)
}

fn ready(cluster: &Cluster) -> Result<usize> {
    let path = "{.items[*].status.conditions[?(@.type==\"Ready\")].status}";
    let output = format!("jsonpath={path}");
    let text = cluster
        .kubectl(&["get", "campaigns", "--all-namespaces", "-o", &output])
        .context("cannot count the campaigns that are Ready")?;
    Ok(text.split_whitespace().filter(|status| *status == "True").count())
}
