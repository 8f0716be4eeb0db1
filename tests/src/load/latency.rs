//! How long answers took, exactly: each is kept, and percentiles are read from the sorted list.

use std::time::Duration;

/// One answer: when its request was sent, since the load began, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    sent_ms: u32,
    took_us: u32,
}

impl Latency {
    /// A latency of a request sent at `sent` after the load's begin.
    #[must_use]
    pub fn new(sent: Duration, took: Duration) -> Self {
        let sent_ms = u32::try_from(sent.as_millis()).unwrap_or(u32::MAX);
        Self { sent_ms, took_us: u32::try_from(took.as_micros()).unwrap_or(u32::MAX) }
    }
}

/// All latencies of a load; eight bytes an answer.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Latency>);

impl Latencies {
    /// Keeps one more.
    pub fn push(&mut self, latency: Latency) {
        self.0.push(latency);
    }

    /// Those whose request was sent within a stretch of the load.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> Self {
        let within =
            |l: &&Latency| (from.as_millis()..to.as_millis()).contains(&u128::from(l.sent_ms));
        Self(self.0.iter().filter(within).copied().collect())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency, in milliseconds, that this part of the answers stayed within: 0.99 for p99 and
    /// 1.0 for the longest. Zero where there is none.
    #[must_use]
    pub fn at(&self, part: f64) -> f64 {
        let mut took: Vec<u32> = self.0.iter().map(|l| l.took_us).collect();
        if took.is_empty() {
            return 0.0;
        }
        let last = took.len() - 1;
        let rank = ((took.len() as f64 * part).ceil() as usize).saturating_sub(1).min(last);
        f64::from(*took.select_nth_unstable(rank).1) / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut all = Latencies::default();
        for ms in (1..=100u64).rev() {
            all.push(Latency::new(Duration::from_secs(ms), Duration::from_millis(ms)));
        }
        assert_eq!((all.at(0.5), all.at(0.99), all.at(1.0)), (50.0, 99.0, 100.0));
        let some = all.between(Duration::from_secs(10), Duration::from_secs(20));
        assert_eq!((some.count(), some.at(1.0)), (10, 19.0));
        assert!(Latencies::default().at(0.99).abs() < f64::EPSILON);
    }
}
