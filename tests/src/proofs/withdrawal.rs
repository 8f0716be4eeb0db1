//! Proof `withdrawal`: people's tracking is ended, one after the other, while their mail and that of
//! others is read at four edges. Within a second no edge counts them any more, and all that others
//! read meanwhile is counted. Then Redis and all edges are killed: they still know.

mod edges;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};

use super::Run;
use crate::figure::{Figures, Spread};
use crate::letters::{self, Letter};
use crate::one_machine::OneMachine;
use edges::Edge;

/// The campaign whose mail names people.
const CAMPAIGN: &str = "spring-individual";

/// How long anything may take, which ends a proof that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often others follow a link at each edge.
const EVERY: Duration = Duration::from_millis(10);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let folder = tempfile::Builder::new().prefix("hushmark-").tempdir()?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    let machine = OneMachine::start(&run.tools, &data)?;
    let out = folder.path().join("mail");
    let out_name = out.to_str().context("the folder's name is no text")?;
    machine.ask(&["stamp", CAMPAIGN, "--out", out_name])?;
    let people = letters::read(&out, &machine.base_url()?)?;
    let edges = edges::four(&run.tools, &machine, folder.path())?;

    let rounds = run.size(50, 3);
    let (withdrawn, others) = people.split_at(rounds);
    let followed = Followed::default();
    let rounds: Result<Vec<Round>> = thread::scope(|scope| {
        for edge in &edges {
            scope.spawn(|| followed.keep_following(edge, others));
        }
        let rounds = withdrawn.iter().map(|who| round(&machine, &edges, folder.path(), who));
        let rounds = rounds.collect();
        followed.over.store(true, Ordering::Relaxed);
        rounds
    });
    tell(&mut figures, run, &rounds?)?;
    let followed = followed.answered()?;
    let counted = wait_counted(&machine, "click", 0, followed)?;
    figures.exactly("hits of others meanwhile, counted", counted, followed, "hits");

    killed(&mut figures, &machine, &edges, (withdrawn, others), followed)?;
    Ok(figures)
}

/// What others read while somebody's tracking ends.
#[derive(Default)]
struct Followed {
    over: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Followed {
    fn keep_following(&self, edge: &Edge, others: &[Letter]) {
        let links = others.iter().filter_map(|letter| letter.links.first()).cycle();
        for link in links {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let answered = edge.get(link).is_ok_and(|answer| answer.status == 302);
            let counter = if answered { &self.answered } else { &self.failed };
            counter.fetch_add(1, Ordering::Relaxed);
            sleep(EVERY);
        }
    }

    fn answered(&self) -> Result<u64> {
        let failed = self.failed.load(Ordering::Relaxed);
        ensure!(failed == 0, "{failed} links of others were not answered with a redirect");
        Ok(self.answered.load(Ordering::Relaxed))
    }
}

/// How long one withdrawal took, from the command's start.
struct Round {
    /// Until the last of the edges had ignored a hit.
    ignored: Duration,
    /// Until the command ended.
    command: Duration,
}

/// Ends one person's tracking while every edge is asked for their pixel.
fn round(machine: &OneMachine, edges: &[Edge], folder: &Path, who: &Letter) -> Result<Round> {
    let pixel = who.pixel.as_deref().context("a message has no pixel")?;
    let file = folder.join("who");
    fs::write(&file, format!("{}\n", who.to))?;
    let file = file.to_str().context("the folder's name is no text")?;
    let counted_before = AtomicUsize::new(0);
    thread::scope(|scope| {
        let probes: Vec<_> = edges
            .iter()
            .map(|edge| scope.spawn(|| first_ignored(edge, pixel, &counted_before)))
            .collect();
        let until = Instant::now() + PATIENCE;
        while counted_before.load(Ordering::Relaxed) < edges.len() && Instant::now() < until {
            sleep(Duration::from_millis(1));
        }
        let began = Instant::now();
        let command = ["withdraw", "--tenant", "acme", "--people", file];
        let asked = machine.ask(&command).map(|_| began.elapsed());
        let ignored: Result<Vec<Instant>> = probes
            .into_iter()
            .map(|probe| probe.join().map_err(|_| anyhow!("a probe panicked"))?)
            .collect();
        let last = ignored?.into_iter().max().context("there is no edge")?;
        Ok(Round { ignored: last.saturating_duration_since(began), command: asked? })
    })
}

/// Opens a message again and again until the edge says that it ignored it.
fn first_ignored(edge: &Edge, pixel: &str, counted_before: &AtomicUsize) -> Result<Instant> {
    let until = Instant::now() + PATIENCE;
    let ignored = edge.voids()?;
    edge.open(pixel)?;
    ensure!(edge.voids()? == ignored, "a hit was ignored before anybody asked for it");
    counted_before.fetch_add(1, Ordering::Relaxed);
    while Instant::now() < until {
        edge.open(pixel)?;
        if edge.voids()? > ignored {
            return Ok(Instant::now());
        }
        sleep(Duration::from_millis(2));
    }
    Err(anyhow!("an edge went on counting"))
}

fn tell(figures: &mut Figures, run: &Run, rounds: &[Round]) -> Result<()> {
    let spread = |of: fn(&Round) -> Duration| {
        Spread::of(rounds.iter().map(|round| of(round).as_secs_f64()).collect())
    };
    let (ignored, command) = (spread(|round| round.ignored)?, spread(|round| round.command)?);
    figures.tell("withdrawals of a person", rounds.len(), "times");
    let until = "command's start to an ignored hit at each of four edges, median";
    run.limit(figures, until, ignored.median, 1.0, "s");
    figures.measure("the same, longest", ignored.longest, "s");
    figures.measure("command's start to its end, median", command.median, "s");
    Ok(())
}

/// Redis and every edge are killed. Whoever was withdrawn is still ignored, and nobody else is.
fn killed(
    figures: &mut Figures,
    machine: &OneMachine,
    edges: &[Edge],
    (withdrawn, others): (&[Letter], &[Letter]),
    followed: u64,
) -> Result<()> {
    // Rows have whole seconds.
    sleep(Duration::from_millis(1_100));
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    edges::kill(machine, "redis")?;
    for edge in edges {
        edge.restart()?;
    }
    let ignored: u64 = edges.iter().map(Edge::voids).sum::<Result<u64>>()?;
    let mut opened = 0;
    for (who, edge) in withdrawn.iter().flat_map(|who| edges.iter().map(move |edge| (who, edge))) {
        edge.open(who.pixel.as_deref().context("a message has no pixel")?)?;
        opened += 1;
    }
    let ignored = edges.iter().map(Edge::voids).sum::<Result<u64>>()? - ignored;
    figures.exactly(
        "opens of theirs after Redis and edges were killed, ignored",
        ignored,
        opened,
        "hits",
    );
    let mut more = 0;
    for (who, edge) in others.iter().zip(edges) {
        edge.get(who.links.first().context("a message has no link")?)?;
        more += 1;
    }
    wait_counted(machine, "click", 0, followed + more)?;
    let counted = count(machine, "open", since)?;
    figures.exactly("opens of theirs since then, stored", counted, 0, "rows");
    Ok(())
}

/// Waits until so many rows are stored, and returns how many there are in the end.
fn wait_counted(machine: &OneMachine, kind: &str, since: u64, wanted: u64) -> Result<u64> {
    let until = Instant::now() + PATIENCE;
    loop {
        let counted = count(machine, kind, since)?;
        if counted >= wanted || Instant::now() > until {
            return Ok(counted);
        }
        sleep(Duration::from_millis(200));
    }
}

fn count(machine: &OneMachine, kind: &str, since: u64) -> Result<u64> {
    let sql = format!(
        "SELECT count() FROM hits WHERE tenant != 0 AND kind = '{kind}' AND at >= toDateTime({since}, 'UTC')"
    );
    machine.query(&sql)?.text().trim().parse().context("ClickHouse counts in words")
}
