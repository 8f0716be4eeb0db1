//! Proof `outages`: a store goes away and comes back while hits keep coming. All are answered, none
//! is lost but those that were counted as drops, and a reader's mail client notices nothing.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::Run;
use crate::figure::{Figures, progress};
use crate::load::{Job, Load, Outcome};
use crate::plan::Plan;
use crate::stack::{Shape, Stack, wait_ready};
use crate::verify::{Account, drops, wait_until_drained};

/// Hits a second: far below what is possible, because what is measured is the outage.
const RATE: u64 = 4_000;

/// Before and after an outage.
const CALM: Duration = Duration::from_secs(3);

/// A lane log that is full within a second.
const SMALL_LOG: &str = "65536";

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    redis_hangs(run, &mut figures)?;
    redis_is_gone(run, &mut figures)?;
    redis_is_gone_and_the_log_is_full(run, &mut figures)?;
    writers_are_stopped(run, &mut figures)?;
    engine_refuses_inserts(run, &mut figures)?;
    Ok(figures)
}

/// One outage on a stack of its own.
struct Outage<'a> {
    run: &'a Run,
    label: &'static str,
    stack: Arc<Stack>,
    plan: Plan,
    load: Load,
}

impl<'a> Outage<'a> {
    fn begin(run: &'a Run, label: &'static str, edge_args: &[&str]) -> Result<Self> {
        progress(&format!("outage: {label}"));
        let edge_args = edge_args.iter().map(|arg| (*arg).to_owned()).collect();
        let shape = Shape { edge_args, threads: 2, ..Shape::default() };
        let stack = Stack::start(&run.tools, &shape, run.seed())?;
        let plan = Plan::EachItsOwn { seed: run.seed() };
        let load = Load::start(Job {
            targets: stack.targets(),
            connections: 64,
            plan,
            minter: stack.minter(),
            first: 0,
            count: u64::MAX,
            rate: Some(RATE),
            patience: Duration::from_secs(30),
            latency_every: 1,
        });
        sleep(CALM);
        Ok(Self { run, label, stack, plan, load })
    }

    /// How long the store is away.
    fn wait(&self) {
        sleep(Duration::from_secs(self.run.size(60, 4)));
    }

    /// The load goes on for a while and ends; then nothing may be under way or missing.
    fn end(self, figures: &mut Figures) -> Result<(Arc<Stack>, Outcome)> {
        sleep(CALM);
        let outcome = self.load.stop()?;
        wait_until_drained(&self.stack, Duration::from_secs(300))?;
        let label = self.label;
        let unanswered = outcome.sent.count() - outcome.answered.count();
        figures.exactly(&format!("{label}: hits not answered"), unanswered, 0, "hits");
        let account = Account::of(&self.stack, self.plan, &outcome)?;
        account.tell(&format!("{label}: "), figures);
        let conflicts = "hushmark_edge_lane_conflicts_total";
        let conflicts = self.stack.edges[0].metric(conflicts)?.unwrap_or(f64::NAN);
        figures.must(
            format!("{label}: batches out of order"),
            conflicts,
            "0",
            conflicts.abs() < f64::EPSILON,
        );
        Ok((self.stack, outcome))
    }
}

/// Redis takes what is sent and does not answer. When it goes on it still has that batch, and gets
/// it once more from the log.
fn redis_hangs(run: &Run, figures: &mut Figures) -> Result<()> {
    let outage = Outage::begin(run, "redis hangs", &[])?;
    let from = outage.load.elapsed();
    outage.stack.redis.process.signal(Signal::STOP)?;
    sleep(Duration::from_secs(run.size(10, 3)));
    let to = outage.load.elapsed();
    outage.stack.redis.process.signal(Signal::CONT)?;
    let (stack, outcome) = outage.end(figures)?;
    latencies(run, figures, "redis hangs", &outcome, (from, to));
    replayed(figures, "redis hangs", &stack)
}

fn redis_is_gone(run: &Run, figures: &mut Figures) -> Result<()> {
    let outage = Outage::begin(run, "redis gone", &[])?;
    let from = outage.load.elapsed();
    outage.stack.redis.process.kill9()?;
    outage.wait();
    let to = outage.load.elapsed();
    outage.stack.redis.process.start()?;
    let (stack, outcome) = outage.end(figures)?;
    latencies(run, figures, "redis gone", &outcome, (from, to));
    replayed(figures, "redis gone", &stack)
}

fn replayed(figures: &mut Figures, label: &str, stack: &Stack) -> Result<()> {
    let replayed = stack.edges[0].metric("hushmark_edge_replayed_batches_total")?.unwrap_or(0.0);
    let name = format!("{label}: batches replayed from the lane log");
    figures.at_least(&name, replayed as u64, 1, "batches");
    Ok(())
}

/// The hits that were under way when the breaker opened, and those that came while it was open.
fn latencies(
    run: &Run,
    figures: &mut Figures,
    label: &str,
    outcome: &Outcome,
    (from, to): (Duration, Duration),
) {
    // A batch that left up to 40 ms before waits for its time-out like the one that opens it.
    let opening = outcome.latencies.between(from.saturating_sub(millis(50)), from + millis(200));
    let open = outcome.latencies.between(from + millis(200), to);
    let name = |what: &str| format!("{label}: {what}");
    run.limit(figures, &name("longest while the breaker opens"), opening.at(1.0), 60.0, "ms");
    run.limit(figures, &name("p99 once it is open"), open.at(0.99), 20.0, "ms");
    figures.measure(name("longest once it is open"), open.at(1.0), "ms");
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What neither takes is a drop, counted before the answer; one record in forty is a void.
fn redis_is_gone_and_the_log_is_full(run: &Run, figures: &mut Figures) -> Result<()> {
    let label = "redis gone, lane log full";
    let outage = Outage::begin(run, label, &["--lane-log-max-bytes", SMALL_LOG])?;
    outage.stack.redis.process.kill9()?;
    outage.wait();
    let dropped = drops(&outage.stack)?;
    outage.stack.redis.process.start()?;
    let plan = outage.plan;
    let (stack, outcome) = outage.end(figures)?;
    figures.at_least(&format!("{label}: drops counted during the outage"), dropped, 1, "records");
    let account = Account::of(&stack, plan, &outcome)?;
    let beyond = account.drops.saturating_sub(account.missing) as f64 / account.drops.max(1) as f64;
    figures.at_most(&format!("{label}: drops beyond missing hits"), beyond, 0.05, "of the drops");
    Ok(())
}

fn writers_are_stopped(run: &Run, figures: &mut Figures) -> Result<()> {
    let outage = Outage::begin(run, "writers stopped", &[])?;
    for writer in &outage.stack.writers {
        writer.process.kill9()?;
    }
    outage.wait();
    for writer in &outage.stack.writers {
        writer.process.start()?;
        wait_ready(&writer.process.name(), &writer.process, || writer.is_ready())?;
    }
    outage.end(figures)?;
    Ok(())
}

/// As a server does that has too many parts (its error 252): no error of the data, so that nothing
/// may become a dead letter.
fn engine_refuses_inserts(run: &Run, figures: &mut Figures) -> Result<()> {
    let label = "engine refuses inserts";
    let outage = Outage::begin(run, label, &[])?;
    let clickhouse = &outage.stack.clickhouse;
    for table in ["counters", "hits"] {
        clickhouse.query(&format!(
            "ALTER TABLE {table} MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1"
        ))?;
    }
    outage.wait();
    for table in ["counters", "hits"] {
        clickhouse.query(&format!(
            "ALTER TABLE {table} RESET SETTING parts_to_throw_insert, parts_to_delay_insert"
        ))?;
    }
    let refused = outage.stack.writers.iter().map(|w| w.metric("hushmark_writer_repeats_total"));
    let refused: f64 = refused.collect::<Result<Vec<_>>>()?.into_iter().flatten().sum();
    figures.at_least(&format!("{label}: inserts that were repeated"), refused as u64, 1, "inserts");
    let plan = outage.plan;
    let (stack, outcome) = outage.end(figures)?;
    let dead = Account::of(&stack, plan, &outcome)?.dead;
    figures.exactly(&format!("{label}: hits that became dead letters"), dead, 0, "hits");
    Ok(())
}
