//! All servers in turn, and the median of the ratios.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use hushmark_tests::figure::{Figures, progress};
use hushmark_tests::process::Process;

use crate::load::{Asks, Seen};
use crate::pinned::cpu_us;

/// A server that takes its turn, and what it is asked.
pub struct Contender<'a> {
    /// What it is, as the figures name it.
    pub name: &'static str,
    /// Where it takes requests.
    pub address: SocketAddr,
    /// The server, its children included.
    pub server: &'a Process,
    /// What keeps the hits, where that is a program of its own.
    pub store: Option<&'a Process>,
    /// What it is asked.
    pub load: &'a dyn Asks,
}

/// One measurement of one server.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// CPU time of the server a request, in microseconds.
    pub server_us: f64,
    /// The same of its store; 0 where it has none.
    pub store_us: f64,
    /// What the load saw.
    pub seen: Seen,
}

/// Measures one server once.
///
/// # Errors
/// When a program died or a request failed.
pub fn measure(contender: &Contender<'_>) -> Result<Sample> {
    let used = || -> Result<(f64, f64)> {
        let store = contender.store.map_or(Ok(0.0), cpu_us)?;
        Ok((cpu_us(contender.server)?, store))
    };
    let before = used()?;
    let seen = contender.load.run(contender.address).with_context(|| contender.name.to_owned())?;
    let after = used()?;
    let a_request = |before: f64, after: f64| (after - before) / seen.requests as f64;
    Ok(Sample {
        server_us: a_request(before.0, after.0),
        store_us: a_request(before.1, after.1),
        seen,
    })
}

/// What one contender came to: its samples, each with the baseline's just before and after it.
#[derive(Debug)]
pub struct Series {
    /// The contender.
    pub name: &'static str,
    /// Its samples, one a round.
    pub samples: Vec<Sample>,
    /// The baseline's CPU time a request around each sample, in microseconds.
    pub around: Vec<f64>,
}

impl Series {
    /// The server's CPU time a request as a multiple of the baseline's, median of the rounds.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        median(self.ratios())
    }

    /// The same with its store.
    #[must_use]
    pub fn ratio_with_store(&self) -> f64 {
        let both = |sample: &Sample| sample.server_us + sample.store_us;
        median(self.samples.iter().zip(&self.around).map(|(s, around)| both(s) / around).collect())
    }

    /// The ratio of each round.
    #[must_use]
    pub fn ratios(&self) -> Vec<f64> {
        self.samples.iter().zip(&self.around).map(|(s, around)| s.server_us / around).collect()
    }

    /// How often more CPU a request takes than another's, round by round.
    #[must_use]
    pub fn ratio_to(&self, other: &Self) -> f64 {
        let pairs = self.ratios().into_iter().zip(other.ratios());
        median(pairs.map(|(own, other)| own / other).collect())
    }

    /// The median over the rounds of anything measured.
    #[must_use]
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }
}

/// Every contender once a round, between two measurements of the baseline.
///
/// Returns the baseline's own series first; its ratios are each measurement over its neighbours'
/// mean, and show how far the machine itself drifted.
///
/// # Errors
/// When a program died or a request failed.
pub fn in_turn(
    baseline: &Contender<'_>,
    contenders: &[Contender<'_>],
    rounds: usize,
) -> Result<Vec<Series>> {
    let mut all: Vec<Series> = contenders.iter().map(|contender| empty(contender.name)).collect();
    let mut bare = vec![measure(baseline)?];
    for round in 1..=rounds {
        for (contender, series) in contenders.iter().zip(&mut all) {
            let sample = measure(contender)?;
            let after = measure(baseline)?;
            let around = bare
                .last()
                .map_or(after.server_us, |before| f64::midpoint(before.server_us, after.server_us));
            progress(&format!(
                "round {round} of {rounds}: {}: {:.2} µs, {:.2} with its store; {:.3} × {around:.2}",
                contender.name,
                sample.server_us,
                sample.server_us + sample.store_us,
                sample.server_us / around,
            ));
            series.samples.push(sample);
            series.around.push(around);
            bare.push(after);
        }
    }
    let mut own = empty(baseline.name);
    for triple in bare.windows(3) {
        own.samples.push(triple[1]);
        own.around.push(f64::midpoint(triple[0].server_us, triple[2].server_us));
    }
    all.insert(0, own);
    Ok(all)
}

const fn empty(name: &'static str) -> Series {
    Series { name, samples: Vec::new(), around: Vec::new() }
}

/// Writes down what every series came to, in `times` the baseline.
pub fn tell(figures: &mut Figures, all: &[Series], times: &'static str) {
    for series in all {
        let name = series.name;
        figures.measure(format!("{name}: CPU a request"), series.ratio(), times);
        if series.samples.iter().any(|sample| sample.store_us > 0.0) {
            figures.measure(
                format!("{name}: CPU a request with its store"),
                series.ratio_with_store(),
                times,
            );
        }
        figures.measure(format!("{name}: CPU a request, µs"), series.median(|s| s.server_us), "µs");
        let per_second = series.median(|s| s.seen.per_second).round();
        figures.tell(format!("{name}: requests"), per_second as u64, "a second");
        figures.measure(format!("{name}: median"), series.median(|s| s.seen.p50_us) / 1e3, "ms");
        figures.measure(format!("{name}: p99"), series.median(|s| s.seen.p99_us) / 1e3, "ms");
    }
}

/// The middle of some values; not a number where there are none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round_so_that_drift_cancels() {
        let seen = Seen { requests: 1, per_second: 1.0, p50_us: 1.0, p99_us: 1.0 };
        let sample = |server_us| Sample { server_us, store_us: server_us, seen };
        // The machine became half as fast after the first round, and one round was disturbed.
        let series = Series {
            name: "peer",
            samples: [6.0, 12.0, 60.0].map(sample).into(),
            around: vec![5.0, 10.0, 10.0],
        };
        assert!((series.ratio() - 1.2).abs() < 1e-9);
        assert!((series.ratio_with_store() - 2.4).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
    }
}
