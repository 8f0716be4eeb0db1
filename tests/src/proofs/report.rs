//! Proof `report`: a campaign's full report while the tables are as full and as unmerged as the
//! writer leaves them, intake goes on, and epochs are published.

mod ask;
pub(super) mod expected;
pub(super) mod loader;
pub(super) mod morning;

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use hushmark_policy::{Day, Mode};

use super::Run;
use crate::figure::{Figures, progress};
use crate::keys::Keys;
use crate::load::{Job, Load};
use crate::plan::{Plan, tenant};
use crate::stack::{Server, Shape, Stack, wait_ready};
use ask::Asker;
use expected::{Expected, Found};
use morning::Morning;

/// The target, from process start to exit.
const TARGET_MS: f64 = 100.0;

/// Reports that are timed.
const ASKED: u64 = 20;

/// Hits a second that come in meanwhile: 170 million a day.
const INTAKE: u64 = 2_000;

/// How long the hits that are loaded took to come in.
const SPAN: Duration = Duration::from_secs(72 * 3_600);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let (hits, campaigns) = run.size((100_000_000, 1_000), (300_000, 20));
    let morning = morning(run.seed(), hits, campaigns, 100_000);
    let stack = Stack::start(&run.tools, &Shape { writers: 1, ..Shape::default() }, run.seed())?;
    // Loading needs no writer, and an epoch over half of a load would only slow it down.
    let writer = &stack.writers[0];
    writer.process.terminate(Duration::from_secs(60))?;
    let mut expected = Expected::of(asked(campaigns));
    let took = loader::load(
        &stack.clickhouse.in_the_open(),
        &stack.keys.salt_folder(),
        &morning,
        &mut expected,
    )?;
    figures.exactly("hits stored", stored(&stack)?, hits, "hits");
    figures.tell("campaigns", campaigns, "campaigns");
    figures.measure("loading took", took.as_secs_f64(), "s");
    record_campaigns(&stack, &morning)?;
    tell_tables(&stack, &mut figures)?;

    let first = publish(&stack, writer, campaigns, run.size(3_600, 240))?;
    figures.measure("first publication, from the writer's start", first.as_secs_f64(), "s");
    let asker = Asker::new(&run.tools, &stack)?;
    let intake = Load::start(Job {
        targets: stack.targets(),
        connections: 16,
        plan: Plan::Newsletters { seed: run.seed(), campaigns: 40 },
        minter: stack.minter(),
        first: 0,
        count: u64::MAX,
        rate: Some(INTAKE),
        patience: Duration::from_secs(30),
        latency_every: 1,
    });
    measure(run, &stack, (&asker, &expected), &mut figures)?;
    let intake = intake.stop()?;
    figures.tell("hits that came in meanwhile", intake.answered.count(), "hits");
    figures.exactly("of these answered wrongly", intake.wrong_count, 0, "hits");
    compare(&asker, &expected, &mut figures)?;
    Ok(figures)
}

/// The campaigns that are asked for, spread over all, every second one `individual`.
fn asked(campaigns: u64) -> Vec<u64> {
    let step = campaigns / ASKED;
    (0..ASKED).map(|n| n * step + if step.is_multiple_of(2) { n % 2 } else { 0 }).collect()
}

/// A load that ends now and lies within one month, as one partition of the writer's does.
pub(super) fn morning(seed: u64, hits: u64, campaigns: u64, readers: u64) -> Morning {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let to_ms = now.as_millis() as u64;
    let month = Day::of_unix_ms(to_ms).month().first_day();
    let from_ms = (to_ms - SPAN.as_millis() as u64).max(month.start_ms());
    Morning::new(seed, (hits, campaigns, readers), (from_ms, to_ms), Keys::last_day())
}

/// What `hushmark up` and `hushmark stamp` write down of campaigns and messages.
fn record_campaigns(stack: &Stack, morning: &Morning) -> Result<()> {
    let (mut campaigns, mut sends) = (String::new(), String::new());
    for n in 0..morning.campaigns {
        let (tenant, id, mode) = (tenant().0, morning::id(n).0, morning::mode(n).name());
        let name = morning::name(n);
        write!(
            campaigns,
            "({tenant},{id},'{}','{name}','campaign','{mode}','{mode}',NULL,now64(3)),",
            morning::NAMESPACE
        )?;
        let readers = morning.readers;
        write!(sends, "({tenant},{id},1,now64(3),{readers},'{mode}','{mode}'),")?;
    }
    for (table, rows) in [("campaigns", campaigns), ("sends", sends)] {
        let rows = rows.trim_end_matches(',');
        stack.clickhouse.query(&format!("INSERT INTO {table} VALUES {rows}"))?;
    }
    Ok(())
}

/// Hits in the counters.
fn stored(stack: &Stack) -> Result<u64> {
    stack.clickhouse.number(&format!(
        "SELECT sum(raw) FROM counters WHERE tenant = {} AND dimension = 'total'",
        tenant().0
    ))
}

fn tell_tables(stack: &Stack, figures: &mut Figures) -> Result<()> {
    for table in ["counters", "hits"] {
        let of = |what: &str| {
            stack.clickhouse.number(&format!(
                "SELECT {what} FROM system.parts WHERE active AND table = '{table}'"
            ))
        };
        figures.tell(format!("active parts of {table}, left as they are"), of("count()")?, "parts");
        figures.tell(format!("rows of {table}, not merged"), of("sum(rows)")?, "rows");
        let bytes = of("sum(bytes_on_disk)")? as f64;
        figures.measure(format!("{table} on disk"), bytes / 1e6, "MB");
    }
    Ok(())
}

/// When the last epoch was published, seconds since 1970.
fn epoch(stack: &Stack) -> Result<u64> {
    stack.clickhouse.number(
        "SELECT toUnixTimestamp(max(epoch)) FROM published_campaigns \
         WHERE tenant = 0 AND campaign = 0",
    )
}

/// Starts the writer and waits until it published every campaign, and a whole epoch after that.
fn publish(stack: &Stack, writer: &Server, campaigns: u64, patience: u64) -> Result<Duration> {
    progress("the writer starts, and publishes");
    let before = epoch(stack)?;
    let began = Instant::now();
    writer.process.start()?;
    wait_ready(&writer.process.name(), &writer.process, || writer.is_ready())?;
    let published = format!(
        "SELECT count(DISTINCT campaign) FROM published_campaigns WHERE tenant = {}",
        tenant().0
    );
    while epoch(stack)? == before || stack.clickhouse.number(&published)? < campaigns {
        if began.elapsed() > Duration::from_secs(patience) {
            let there = stack.clickhouse.number(&published)?;
            bail!("{there} of {campaigns} campaigns are published\n{}", stack.logs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(began.elapsed())
}

fn measure(
    run: &Run,
    stack: &Stack,
    (asker, expected): (&Asker, &Expected),
    figures: &mut Figures,
) -> Result<()> {
    // The first start of a program reads it from the disk.
    asker.time(&morning::name(expected.asked()[0]))?;
    let epochs_before = epoch(stack)?;
    let began = Instant::now();
    let (mut individual, mut anonymous) = (Vec::new(), Vec::new());
    let mut lag: f64 = 0.0;
    for campaign in expected.asked() {
        let took = asker.time(&morning::name(*campaign))?.as_secs_f64() * 1_000.0;
        match morning::mode(*campaign) {
            Mode::Individual => individual.push(took),
            _ => anonymous.push(took),
        }
        let of = stack.writers[0].metric("hushmark_writer_lag_seconds")?;
        lag = lag.max(of.context("the writer does not tell its lag")?);
        // The reports spread over several epochs, so that some fall into a publication.
        std::thread::sleep(Duration::from_millis(run.size(3_000, 50)));
    }
    let all: Vec<f64> = individual.iter().chain(&anonymous).copied().collect();
    run.limit(figures, "one campaign's report, median of 20", median(&all), TARGET_MS, "ms");
    figures.measure("of individual campaigns, median", median(&individual), "ms");
    figures.measure("of anonymous campaigns, median", median(&anonymous), "ms");
    figures.measure("the fastest", all.iter().copied().fold(f64::MAX, f64::min), "ms");
    figures.measure("the slowest", all.iter().copied().fold(0.0, f64::max), "ms");
    let passed = epoch(stack)?.saturating_sub(epochs_before);
    // The short form is over before the next epoch begins.
    let least = run.size(10, 0);
    figures.at_least("epochs moved on meanwhile by", passed, least, "s");
    figures.measure("in", began.elapsed().as_secs_f64(), "s");
    figures.measure("the writer's lag meanwhile, at most", lag, "s");
    Ok(())
}

/// The numbers of the reports against what was loaded.
fn compare(asker: &Asker, expected: &Expected, figures: &mut Figures) -> Result<()> {
    let mut found = Found::default();
    for campaign in expected.asked() {
        let report = asker.json(&morning::name(*campaign))?;
        expected.check(*campaign, &report, &mut found)?;
    }
    figures.at_least("numbers shown", found.shown, 20 * ASKED, "numbers");
    figures.tell("numbers withheld or not known", found.withheld, "numbers");
    figures.measure("the worst sketch is off by", found.worst_sketch * 100.0, "%");
    found.wrong.iter().take(10).for_each(|wrong| progress(wrong));
    figures.exactly("not as it was loaded", found.wrong.len() as u64, 0, "numbers");
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    } else {
        sorted[middle]
    }
}
