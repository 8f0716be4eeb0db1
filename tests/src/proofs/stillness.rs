//! Proof `stillness`: an operator whose resources do not change writes nothing but its Lease: at
//! rest, after a restart, and when another replica takes over as in a rollout. The API server's
//! audit log counts.

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::Run;
use crate::cluster::{Call, Cluster, Deployed, Mark, Release};
use crate::figure::Figures;

/// How long everything may take to be as the manifests want it.
const PATIENCE: Duration = Duration::from_secs(180);

/// So long nothing may be written before the rest begins.
const QUIET: Duration = Duration::from_secs(5);

/// How long an operator may take to end.
const DRAIN: Duration = Duration::from_secs(40);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let cluster = Cluster::start(&run.tools)?;
    Release::install_crds(&cluster)?;
    let release = Release::install(&cluster, "eu", "eu-central")?;
    cluster.apply(&release.region())?;
    cluster.apply(&release.tenant("acme", run.size(200, 5)))?;

    // As a rollout would: the same program from another file, in a pod of another name.
    let program = run.tools.program("hushmark-operator")?;
    let rebuilt = cluster.folder().join("hushmark-operator-rebuilt");
    fs::copy(&program, &rebuilt)?;
    let first = release.operator(&cluster, &program, "operator-first")?;
    let next = release.operator(&cluster, &rebuilt, "operator-next")?;

    start(&cluster, &first)?;
    settle(&cluster, &first)?;
    let pods = pods(&cluster, &release.namespace)?;
    figures.tell("conditions", json!(release.conditions(&cluster)?), "");
    figures.at_least("pods of the region", pods.len() as u64, 1, "pods");

    let mark = cluster.mark()?;
    sleep(Duration::from_secs(run.size(600, 10)));
    still(&mut figures, &cluster, &mark, &first.user, "at rest")?;

    let mark = cluster.mark()?;
    first.process.terminate(DRAIN)?;
    start(&cluster, &first)?;
    sleep(Duration::from_secs(run.size(120, 10)));
    still(&mut figures, &cluster, &mark, &first.user, "after a restart")?;

    let mark = cluster.mark()?;
    start(&cluster, &next)?;
    first.process.terminate(DRAIN)?;
    sleep(Duration::from_secs(run.size(120, 30)));
    still(&mut figures, &cluster, &mark, &first.user, "after another replica took over")?;

    let now = self::pods(&cluster, &release.namespace)?;
    let replaced = pods.iter().filter(|(name, uid)| now.get(*name) != Some(uid)).count();
    figures.exactly("pods that were replaced", replaced as u64, 0, "pods");
    Ok(figures)
}

fn start(cluster: &Cluster, operator: &Deployed) -> Result<()> {
    operator.process.start()?;
    cluster.wait("the operator is ready", || {
        if !operator.process.is_running() {
            bail!("the operator ended:\n{}", operator.process.last_words());
        }
        Ok(operator.is_ready())
    })
}

/// Waits until the operator has written nothing but Leases for a while.
fn settle(cluster: &Cluster, operator: &Deployed) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let mark = cluster.mark()?;
        sleep(QUIET);
        if written(cluster, &mark, &operator.user)?.is_empty() {
            return Ok(());
        }
    }
    bail!("it was still writing after {PATIENCE:?}:\n{}", operator.process.last_words())
}

fn still(
    figures: &mut Figures,
    cluster: &Cluster,
    mark: &Mark,
    user: &str,
    when: &str,
) -> Result<()> {
    let written = written(cluster, mark, user)?;
    figures.exactly(&format!("writes {when}"), written.len() as u64, 0, "writes");
    if !written.is_empty() {
        figures.tell(format!("what was written {when}"), summary(&written), "");
    }
    Ok(())
}

fn written(cluster: &Cluster, mark: &Mark, user: &str) -> Result<Vec<Call>> {
    let writes = cluster.writes_since(mark, user)?;
    Ok(writes.into_iter().filter(|call| !call.is_lease()).collect())
}

/// How often each kind of object was asked to change, and how that was answered.
fn summary(calls: &[Call]) -> Value {
    let mut counts = BTreeMap::<String, u64>::new();
    for Call { verb, resource, code, .. } in calls {
        *counts.entry(format!("{verb} {resource} {code}")).or_default() += 1;
    }
    json!(counts)
}

/// Every pod of a namespace and its uid.
fn pods(cluster: &Cluster, namespace: &str) -> Result<BTreeMap<String, String>> {
    let list = cluster.get(&["pods", "-n", namespace])?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let pair = |pod: &Value| (word(&pod["metadata"]["name"]), word(&pod["metadata"]["uid"]));
    Ok(items.iter().map(pair).collect())
}
