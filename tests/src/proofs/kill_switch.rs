//! Proof `kill-switch`: `kubectl` turns a tenant's tracking off while mail of it and of another
//! tenant is being read. The last hit that is counted was sent within a second of it; the other
//! tenant's are all counted, and nobody is refused. Then it is turned on again, for new mail of the
//! next generation, again and again.

pub mod readers;

use std::sync::atomic::Ordering;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::Run;
use crate::cluster::{Cluster, Deployed, Release};
use crate::figure::{Figures, Spread};
use crate::stack::{Shape, Stack, wait_ready};
use readers::{Hit, Reader, Servers};

/// How long a change may take to be seen by people, on a machine that does all of this at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long mail is read before a switch. The writer takes a hit a second after it came, stores at
/// most once a second, and what it has not stored when the switch is thrown it does not count: mail
/// that is read for less than that leaves nothing to see.
const BEFORE: Duration = Duration::from_secs(5);

/// How long the mail that is switched off goes on being read.
const AFTER: Duration = Duration::from_millis(1_500);

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
        sleep(BEFORE);
        let length = servers.refusals()?;
        let began = Instant::now();
        let (kubectl, obeyed) = thread::scope(|scope| {
            let kubectl = scope.spawn(|| patch(&cluster, true).map(|()| began.elapsed()));
            let obeyed = wait_obeyed(&servers, &operator, length, began);
            (kubectl.join(), obeyed)
        });
        let kubectl = kubectl.map_err(|_| anyhow!("the thread of kubectl panicked"))??;
        switched.push(Switch { round, began, kubectl, obeyed: obeyed? });
        sleep(AFTER);
        patch(&cluster, false)?;
        wait_generation(&cluster, &operator, u64::from(round) + 1)?;
    }
    let (acme, other) = (acme.stop()?, other.stop()?);
    tell(&mut figures, run, &stack, &acme, &other, &switched)
        .with_context(|| servers.last_words())?;
    Ok(figures)
}

/// What was read and counted, and how long each switch took.
fn tell(
    figures: &mut Figures,
    run: &Run,
    stack: &Stack,
    acme: &[Hit],
    other: &[Hit],
    switched: &[Switch],
) -> Result<()> {
    let refused = acme.iter().chain(other).filter(|hit| hit.status != 302).count();
    figures.exactly("hits that were refused", refused as u64, 0, "hits");
    let counted = readers::counted(stack, "other", other.len())?;
    let once = other.iter().filter(|hit| counted.get(&hit.link) == Some(&1)).count();
    figures.exactly("untouched hits counted once", once as u64, other.len() as u64, "hits");

    let counted = readers::counted(stack, "acme", 0)?;
    let mut until_last: Vec<f64> = Vec::new();
    for Switch { round, began, .. } in switched {
        // From kubectl's start, which is before the API server knew of it.
        let last = acme
            .iter()
            .filter(|hit| hit.generation == *round && counted.contains_key(&hit.link))
            .map(|hit| hit.sent)
            .max();
        let last = last.with_context(|| format!("no hit of round {round} was counted"))?;
        until_last.push(last.saturating_duration_since(*began).as_secs_f64());
    }
    let counted_until = Spread::of(until_last)?;
    let obeyed = Spread::of(switched.iter().map(|one| one.obeyed.as_secs_f64()).collect())?;
    let kubectl = Spread::of(switched.iter().map(|one| one.kubectl.as_secs_f64()).collect())?;
    figures.tell("switches", switched.len(), "times");
    run.limit(figures, "kubectl's start to the edge obeying, median", obeyed.median, 1.0, "s");
    figures.measure("kubectl's start to the edge obeying, longest", obeyed.longest, "s");
    let last = "kubectl's start to the last counted hit, median";
    run.limit(figures, last, counted_until.median, 1.0, "s");
    figures.measure("kubectl's start to the last counted hit, longest", counted_until.longest, "s");
    figures.measure("of that in kubectl, median", kubectl.median, "s");
    Ok(())
}

/// One throw of the switch.
struct Switch {
    round: u32,
    began: Instant,
    /// How long kubectl took.
    kubectl: Duration,
    /// From kubectl's start until the edge had it in its refusal log.
    obeyed: Duration,
}

/// Waits until the edge's refusal log is longer than it was: one cap for each type of mail.
fn wait_obeyed(
    servers: &Servers,
    operator: &Deployed,
    length: u64,
    began: Instant,
) -> Result<Duration> {
    while servers.refusals()? < length + 2 {
        if began.elapsed() > PATIENCE {
            bail!("the edge does not get the cap:\n{}", operator.process.last_words());
        }
        sleep(Duration::from_millis(2));
    }
    Ok(began.elapsed())
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
