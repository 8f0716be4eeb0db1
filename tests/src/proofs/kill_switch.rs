//! Proof `kill-switch`: `kubectl` turns a tenant's tracking off while mail of it and of another
//! tenant is being read. The last hit that is counted was sent within a second of it; the other
//! tenant's are all counted, and nobody is refused. Then it is turned on again, for new mail of the
//! next generation, again and again.

mod readers;

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Run;
use crate::cluster::{Cluster, Deployed, Release};
use crate::figure::Figures;
use crate::stack::{Shape, Stack, wait_ready};
use readers::{Reader, Servers};

/// How long a change may take to be seen by people, on a machine that does all of this at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long mail is read before a switch, and after.
const AROUND: Duration = Duration::from_millis(1_500);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let cluster = Cluster::start(&run.tools)?;
    Release::install_crds(&cluster)?;
    let release = Release::install(&cluster, "eu", "eu-central")?;
    cluster.apply(&release.region())?;
    let program = run.tools.program("hushmark-operator")?;
    let operator = release.operator(&cluster, &program, "operator-0")?;
    operator.process.start()?;
    for tenant in ["acme", "other"] {
        cluster.apply(&release.tenant(tenant, 1))?;
        wait_ready_tenant(&cluster, &operator, tenant)?;
    }
    // Keys, and the engine; Redis is the one that the operator was told of.
    let shape = Shape { edges: 0, writers: 0, ..Shape::default() };
    let stack = Stack::prepare(&run.tools, &shape, run.seed())?;
    stack.clickhouse.process.start()?;
    wait_ready("the engine", &stack.clickhouse.process, || stack.clickhouse.is_ready())?;
    let servers = Servers::start(&run.tools, &cluster, &release, &stack)?;

    let acme = Reader::start(&stack, &servers, "acme");
    let other = Reader::start(&stack, &servers, "other");
    let rounds = run.size(50, 3);
    let mut switched = Vec::new();
    for round in 0..rounds {
        acme.generation.store(round, Ordering::Relaxed);
        sleep(AROUND);
        let began = Instant::now();
        patch(&cluster, true)?;
        switched.push((round, began, began.elapsed()));
        sleep(AROUND);
        patch(&cluster, false)?;
        wait_generation(&cluster, &operator, u64::from(round) + 1)?;
    }
    let (acme, other) = (acme.stop()?, other.stop()?);
    let refused = acme.iter().chain(&other).filter(|hit| hit.status != 302).count();
    figures.exactly("hits that were refused", refused as u64, 0, "hits");
    let counted = readers::counted(&stack, "other", other.len())?;
    let once = other.iter().filter(|hit| counted.get(&hit.link) == Some(&1)).count();
    figures.exactly("untouched hits counted once", once as u64, other.len() as u64, "hits");

    let counted = readers::counted(&stack, "acme", 0)?;
    let mut until_last: Vec<f64> = Vec::new();
    for (round, began, _) in &switched {
        // From kubectl's start, which is before the API server knew of it.
        let last = acme
            .iter()
            .filter(|hit| hit.generation == *round && counted.contains_key(&hit.link))
            .map(|hit| hit.sent)
            .max();
        let last = last.with_context(|| format!("no hit of round {round} was counted"))?;
        until_last.push(last.saturating_duration_since(*began).as_secs_f64());
    }
    until_last.sort_by(f64::total_cmp);
    let median = until_last[until_last.len() / 2];
    let most = until_last.last().copied().unwrap_or_default();
    figures.tell("switches", rounds, "times");
    run.limit(&mut figures, "kubectl's start to the last counted hit, median", median, 1.0, "s");
    figures.measure("kubectl's start to the last counted hit, longest", most, "s");
    let kubectl = switched.iter().map(|(_, _, took)| took.as_secs_f64()).sum::<f64>();
    figures.measure("of that in kubectl, mean", kubectl / switched.len() as f64, "s");
    Ok(figures)
}

fn patch(cluster: &Cluster, killed: bool) -> Result<()> {
    let patch = format!(r#"{{"spec":{{"killSwitch":{killed}}}}}"#);
    let what = ["patch", "tenant", "acme", "-n", "acme", "--type=merge", "-p", &patch];
    cluster.kubectl(&what).map(drop)
}

fn wait_generation(cluster: &Cluster, operator: &Deployed, wanted: u64) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let tenant = cluster.get(&["tenant", "acme", "-n", "acme"])?;
        if tenant["status"]["campaign"]["generation"] == wanted {
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    bail!("generation {wanted} does not come:\n{}", operator.process.last_words())
}

fn wait_ready_tenant(cluster: &Cluster, operator: &Deployed, name: &str) -> Result<()> {
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    let wait = ["wait", "tenant", name, "-n", name, "--for=condition=Ready", &timeout];
    cluster.kubectl(&wait).with_context(|| operator.process.last_words())?;
    Ok(())
}
