//! Proof `pipeline`: what a hit costs on its way from the edge's stream to the counters, in CPU and
//! in memory, beside a bare hyper server in the same run.

mod spent;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Run;
use super::report::expected::Expected;
use super::report::{loader, morning};
use crate::figure::{Figures, progress};
use crate::load::{Job, Load};
use crate::plan::Plan;
use crate::ports;
use crate::process::{Process, Recipe};
use crate::stack::{Shape, Stack, wait_ready};
use crate::verify::wait_until_drained;
use spent::Spent;

/// As many as all figures of the edge are measured with.
const CONNECTIONS: usize = 64;

/// So many that a batch is filled while the one before it is under way.
const MANY: usize = 1_024;

/// How long the last hits may take from the stream to the counters.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    // The shipped window, one core of the edge, and a standby costs nothing worth measuring.
    let window_seconds = run.size(10, 1);
    let shape = Shape { writers: 1, window_seconds, ..Shape::default() };
    let stack = Stack::start(&run.tools, &shape, run.seed())?;
    with_shipped_epochs(&stack)?;
    let mut bench = Bench { run, stack: &stack, next: 0 };
    bench.live(&mut figures)?;
    bench.without_writer(&mut figures)?;
    drop(stack);
    rows_on_disk(run, &mut figures)?;
    Ok(figures)
}

/// The harness publishes every ten seconds, so that tests need not wait; a Region's default is an
/// hour, and what a hit costs is measured with it.
fn with_shipped_epochs(stack: &Stack) -> Result<()> {
    for writer in &stack.writers {
        writer.process.terminate(Duration::from_secs(60))?;
        writer.process.change(|recipe| {
            if let Some(flag) = recipe.args.iter().position(|arg| arg == "--epoch-seconds") {
                recipe.args[flag + 1] = "3600".into();
            }
        });
        writer.process.start()?;
        wait_ready(&writer.process.name(), &writer.process, || writer.is_ready())?;
    }
    Ok(())
}

/// Loads one stack again and again; a hit is never sent twice.
struct Bench<'a> {
    run: &'a Run,
    stack: &'a Stack,
    next: u64,
}

impl Bench<'_> {
    /// Sends hits as fast as they are answered, and says how many were.
    fn send(&mut self, targets: Vec<std::net::SocketAddr>, hits: u64, many: usize) -> Result<u64> {
        let load = Load::start(Job {
            targets,
            connections: many,
            plan: Plan::Newsletters { seed: self.run.seed(), campaigns: 12 },
            minter: self.stack.minter(),
            first: self.next,
            count: hits,
            rate: None,
            patience: Duration::from_secs(30),
            latency_every: u64::MAX,
        });
        self.next += hits;
        let outcome = load.join()?;
        // A bare server answers a click with a pixel, which the client calls wrong.
        Ok(outcome.answered.count() + outcome.wrong_count)
    }

    /// CPU time of a bare hyper server a request, in microseconds, of the same requests.
    fn bare(&mut self, hits: u64) -> Result<f64> {
        let address = ports::free()?;
        let recipe = Recipe {
            name: "bare-hyper".into(),
            program: self.run.tools.program("bare-hyper")?,
            args: vec![address.to_string()],
            env: [].into(),
        };
        let server = Process::new(recipe, &self.stack.folder().join("logs"));
        server.start()?;
        wait_ready("bare-hyper", &server, || std::net::TcpStream::connect(address).is_ok())?;
        let before = server.usage()?;
        let answered = self.send(vec![address], hits, CONNECTIONS)?;
        let used = server.usage()?.cpu_us_since(&before) / answered as f64;
        server.kill9()?;
        Ok(used)
    }

    /// Everything at work at once, between two measurements of a bare server.
    fn live(&mut self, figures: &mut Figures) -> Result<()> {
        let (hits, rounds) = self.run.size((500_000, 3), (10_000, 1));
        let mut all = Vec::new();
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        let mut bare = vec![self.bare(hits)?];
        for round in 1..=rounds {
            let before = Spent::of(self.stack)?;
            let began = Instant::now();
            let answered = self.send(self.stack.targets(), hits, CONNECTIONS)?;
            rates.push(answered as f64 / began.elapsed().as_secs_f64());
            wait_until_drained(self.stack, PATIENCE)?;
            let spent = Spent::of(self.stack)?.since(&before).each(answered);
            bare.push(self.bare(hits)?);
            let around = (bare[round - 1] + bare[round]) / 2.0;
            progress(&format!("round {round}: bare {around:.2} µs, {spent}"));
            ratios.push(spent.all() / around);
            all.push(spent);
        }
        let of = |part: fn(&Spent) -> f64| median(all.iter().map(part).collect());
        let connections = format!("at {CONNECTIONS} connections");
        figures.measure("a bare hyper server, CPU a request", median(bare), "µs");
        figures.measure(format!("edge, CPU a hit {connections}"), of(|s| s.edge), "µs");
        figures.measure("hits answered a second", median(rates), "hits/s");
        figures.measure("hits a batch", of(|s| s.hits_a_batch), "hits");
        let redis = format!("Redis, CPU a hit {connections}");
        self.run.limit(figures, &redis, of(|s| s.redis), 2.5, "µs");
        figures.measure("writer, CPU a hit", of(|s| s.writer), "µs");
        figures.measure("engine, CPU a hit", of(|s| s.engine), "µs");
        let pair = of(|s| s.writer + s.engine);
        self.run.limit(figures, "writer and engine, CPU a hit", pair, 6.0, "µs");
        let all = "all together, as a multiple of a bare hyper server";
        self.run.limit(figures, all, median(ratios), 3.0, "times");
        Ok(())
    }

    /// What lies in Redis while the writer is away, full batches, and how it gets out again.
    fn without_writer(&mut self, figures: &mut Figures) -> Result<()> {
        let (hits, more) = self.run.size((500_000, 1_000_000), (10_000, 10_000));
        let writer = &self.stack.writers[0];
        writer.process.terminate(Duration::from_secs(60))?;
        let (empty, began) = (self.stack.redis.info("used_memory")?, Spent::of(self.stack)?);
        let answered = self.send(self.stack.targets(), hits, CONNECTIONS)?;
        let full = self.stack.redis.info("used_memory")?;
        let appended = Spent::of(self.stack)?.since(&began).each(answered);
        figures.measure("hits a batch, nobody reading", appended.hits_a_batch, "hits");
        figures.measure("Redis, CPU a hit of these", appended.redis, "µs");
        let bytes = full.saturating_sub(empty) as f64 / answered as f64;
        self.run.limit(figures, "Redis's memory a hit", bytes, 60.0, "bytes");

        let before = Spent::of(self.stack)?;
        let many = self.send(self.stack.targets(), more, MANY)?;
        let batched = Spent::of(self.stack)?.since(&before).each(many);
        let filled = self.stack.redis.info("used_memory")?;
        figures.measure("hits a full batch", batched.hits_a_batch, "hits");
        let redis = "Redis, CPU a hit at full batches";
        self.run.limit(figures, redis, batched.redis, 0.5, "µs");
        let bytes = filled.saturating_sub(full) as f64 / many as f64;
        figures.measure("Redis's memory a hit at full batches", bytes, "bytes");

        let before = Spent::of(self.stack)?;
        writer.process.start()?;
        wait_ready(&writer.process.name(), &writer.process, || writer.is_ready())?;
        wait_until_drained(self.stack, PATIENCE)?;
        let drained = Spent::of(self.stack)?.since(&before).each(answered + many);
        figures.measure("backlog: writer, CPU a hit", drained.writer, "µs");
        figures.measure("backlog: engine, CPU a hit", drained.engine, "µs");
        figures.measure("backlog: Redis, CPU a hit read and trimmed", drained.redis, "µs");
        Ok(())
    }
}

/// Rows of `individual` after all merges, loaded as people read a morning's mail: over hours, from
/// many clients, in the writer's own way.
fn rows_on_disk(run: &Run, figures: &mut Figures) -> Result<()> {
    let shape = Shape { edges: 0, writers: 0, ..Shape::default() };
    let stack = Stack::start(&run.tools, &shape, run.seed())?;
    let (hits, campaigns) = run.size((8_000_000, 80), (200_000, 2));
    let morning = super::report::morning(run.seed(), hits, campaigns, 100_000);
    let took = loader::load(
        &stack.clickhouse.in_the_open(),
        &stack.keys.salt_folder(),
        &morning,
        &mut Expected::of(Vec::new()),
    )?;
    progress(&format!("loaded {hits} hits in {took:?}, merging"));
    let individual =
        (0..hits).filter(|n| morning.draw(*n).hit.context.mode == morning::mode(0)).count() as u64;
    stack.clickhouse.query("OPTIMIZE TABLE hits FINAL")?;
    let of = |what: &str| {
        stack
            .clickhouse
            .number(&format!("SELECT {what} FROM system.parts WHERE active AND table = 'hits'"))
    };
    let (parts, rows, bytes) = (of("count()")?, of("sum(rows)")?, of("sum(bytes_on_disk)")?);
    figures.exactly("parts of individual rows after merges", parts, 1, "parts");
    figures.at_least("individual rows", rows, individual, "rows");
    let each = bytes as f64 / rows as f64;
    figures.at_most("an individual row on disk after merges", each, 20.0, "bytes");
    // Small parts keep all columns in one file, so that they cannot be told apart.
    for column in columns(&stack)?.into_iter().filter(|(_, bytes)| *bytes > 0) {
        figures.measure(format!("of it {}", column.0), column.1 as f64 / rows as f64, "bytes");
    }
    Ok(())
}

/// What each column of `hits` takes on disk.
fn columns(stack: &Stack) -> Result<Vec<(String, u64)>> {
    let text = stack.clickhouse.query(
        "SELECT column, sum(column_bytes_on_disk) AS bytes FROM system.parts_columns \
         WHERE active AND table = 'hits' GROUP BY column ORDER BY bytes DESC LIMIT 6",
    )?;
    let column = |line: &str| -> Result<(String, u64)> {
        let (name, bytes) = line.split_once('\t').context("a column has a name and a size")?;
        Ok((name.to_owned(), bytes.parse()?))
    };
    text.lines().map(column).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
