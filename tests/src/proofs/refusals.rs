//! Proof `refusals`: an answer does not tell why. Tokens that are no good are answered alike among
//! themselves, and good ones alike whether they are counted, expired, withdrawn or killed: in bytes,
//! in headers, and in time.
//!
//! A round asks each class once, in random order, one request at a time, over connections that are
//! drawn at random: what disturbs this machine disturbs all classes alike. The times go through an
//! equivalence test ([`equivalence`]). That it would find what is there is shown beside it, by the
//! valid class once more: its client lets 20 microseconds pass after the time began and before it
//! asks. That is what an edge that takes longer looks like from outside, and the same rounds,
//! statistics and margin have to find it.

mod classes;
mod equivalence;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use hushmark_token::Route;

use super::Run;
use crate::figure::{Figures, progress};
use crate::http::Kept;
use crate::stack::{Shape, Stack, wait_ready};
use classes::{Class, Maker};
use equivalence::{Measured, Quantile};

/// By how much two classes may differ, in microseconds.
const MARGIN_US: f64 = 10.0;

/// Connections that are kept. Each is asked often enough that none is ever parked.
const CONNECTIONS: usize = 8;

/// Rounds before anything is measured: caches fill, and the breaker and the connections settle.
const WARM_UP: usize = 200;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    // Nobody reads what is appended: a writer and an engine would only disturb.
    let stack = Stack::prepare(&run.tools, &Shape { writers: 0, ..Shape::default() }, run.seed())?;
    stack.redis.process.start()?;
    wait_ready("redis-server", &stack.redis.process, || stack.redis.is_ready())?;
    let log = classes::refuse(&stack)?;
    stack.start_edges()?;
    let position = stack.edges[0].metric("hushmark_edge_refusal_log_length")?;
    figures.exactly(
        "entries of the refusal log that the edge obeys",
        position.unwrap_or_default() as u64,
        log.length(),
        "entries",
    );
    let mut maker = Maker::new(&stack.keys, run.seed());
    let rounds = run.size(100_000, 300);
    for (route, of) in [(Route::Open, "opens"), (Route::Click, "clicks")] {
        // The good ones first: the key of their campaign is derived then, and those that are no good
        // are held against what an edge knows of mail that is being read.
        for (classes, what) in [
            (maker.good(route)?, format!("{of}, good tokens")),
            (maker.refused(route)?, format!("{of}, tokens that are no good")),
        ] {
            group(run, &stack, (classes, &what), rounds, &mut figures)
                .with_context(|| stack.logs())?;
        }
    }
    Ok(figures)
}

/// Measures one group of classes that must be alike.
fn group(
    run: &Run,
    stack: &Stack,
    (mut classes, what): (Vec<Class>, &str),
    rounds: usize,
    figures: &mut Figures,
) -> Result<()> {
    progress(&format!("{what}: {rounds} rounds"));
    let alike = classes.len();
    classes.push(classes::planted(&classes[0]));
    let (times, answers) = ask(stack, &classes, rounds, run.seed())?;
    figures.exactly(&format!("{what}: requests a class"), times[0].len() as u64, rounds as u64, "");
    let name = format!("{what}: different answers, but for their date");
    figures.exactly(&name, answers.len() as u64, 1, "answers");
    if answers.len() > 1 {
        answers.iter().for_each(|answer| progress(&String::from_utf8_lossy(answer)));
    }
    tell(run, figures, (&classes, what), &Measured::new(&times, run.seed()), alike);
    Ok(())
}

/// Times of each class, one a round.
type Times = Vec<Vec<u32>>;

/// Asks every class once a round. Returns the times, in nanoseconds, and what the answers were.
fn ask(
    stack: &Stack,
    classes: &[Class],
    rounds: usize,
    seed: u64,
) -> Result<(Times, BTreeSet<Vec<u8>>)> {
    let edge = *stack.targets().first().context("the stack has an edge")?;
    let mut random = Rng::with_seed(seed);
    let connections = (0..CONNECTIONS).map(|_| Kept::connect(edge, PATIENCE));
    let mut connections = connections.collect::<Result<Vec<_>>>()?;
    let mut times = vec![Vec::with_capacity(rounds); classes.len()];
    let mut answers = BTreeSet::new();
    let mut order: Vec<usize> = (0..classes.len()).collect();
    for round in 0..WARM_UP + rounds {
        random.shuffle(&mut order);
        for &at in &order {
            let class = &classes[at];
            let request = &class.requests[random.usize(..class.requests.len())];
            let connection = &mut connections[random.usize(..CONNECTIONS)];
            let planted = let_pass(class.delay);
            let (answer, took) = connection.ask(request)?;
            if round >= WARM_UP {
                times[at].push(u32::try_from((planted + took).as_nanos()).unwrap_or(u32::MAX));
            }
            let answer = undated(answer);
            if !answers.contains(&answer) {
                answers.insert(answer);
            }
        }
    }
    Ok((times, answers))
}

/// Lets time pass without giving the core away, and says how much it was.
fn let_pass(delay: Duration) -> Duration {
    let began = Instant::now();
    while began.elapsed() < delay {
        std::hint::spin_loop();
    }
    if delay.is_zero() { delay } else { began.elapsed() }
}

/// An answer with the digits and letters of its date replaced, and every other byte as it was.
fn undated(answer: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"\r\ndate: ";
    let mut answer = answer.to_vec();
    if let Some(at) = answer.windows(NAME.len()).position(|it| it.eq_ignore_ascii_case(NAME)) {
        let value = answer[at + NAME.len()..].iter_mut().take_while(|byte| **byte != b'\r');
        value.filter(|byte| byte.is_ascii_alphanumeric()).for_each(|byte| *byte = b'*');
    }
    answer
}

/// The verdict at full size: a short form on a busy machine shows that all of it runs.
fn tell(
    run: &Run,
    figures: &mut Figures,
    (classes, what): (&[Class], &str),
    measured: &Measured,
    alike: usize,
) {
    for (at, class) in classes.iter().enumerate() {
        let [median, p95] = Quantile::ALL.map(|quantile| measured.at(at, quantile));
        figures.measure(format!("{what}: {}, median", class.name), median, "µs");
        figures.measure(format!("{what}: {}, p95", class.name), p95, "µs");
    }
    for quantile in Quantile::ALL {
        let ((a, b), widest) = measured.widest(0..alike, quantile);
        let pair = format!("{} and {}", classes[a].name, classes[b].name);
        let name = format!("{what}: {} of any two differs by at most ({pair})", quantile.name());
        run.limit(figures, &name, widest.bound(), MARGIN_US, "µs");
        figures.measure(
            format!("{what}: {} of these two, found", quantile.name()),
            widest.found,
            "µs",
        );
        let planted = measured.compare((alike, 0), quantile);
        let name =
            format!("{what}: planted {} µs, {}", classes::PLANTED.as_micros(), quantile.name());
        let found = format!("{:.1} ({:.1} to {:.1}) µs", planted.found, planted.low, planted.high);
        if run.short {
            figures.tell(name, found, "");
        } else {
            let holds = planted.low > 0.0 && planted.high > MARGIN_US;
            figures.must(name, found, "found: above 0, and not within 10 µs", holds);
        }
    }
}
