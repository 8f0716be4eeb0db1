//! What one core counts, without a lock: each counter has one writer, and the admin port reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hushmark_token::Refusal;

/// A counter or gauge with one writing thread.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds; only the owning thread may, so that no locked instruction is needed.
    pub(crate) fn add(&self, n: u64) {
        self.set(self.get() + n);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram with fixed upper bounds; what is above the last counts in `total` alone.
pub(crate) struct Histogram<const N: usize> {
    bounds: [u64; N],
    buckets: [Count; N],
    pub(crate) sum: Count,
    pub(crate) total: Count,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [u64; N]) -> Self {
        let buckets = std::array::from_fn(|_| Count::default());
        Self { bounds, buckets, sum: Count::default(), total: Count::default() }
    }

    pub(crate) fn observe(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.one();
        }
        self.sum.add(value);
        self.total.one();
    }

    /// Upper bounds with the number of observations in each bucket alone.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.bounds.iter().copied().zip(self.buckets.iter().map(Count::get))
    }
}

/// Why a request with `/o/`, `/c/` or `/p/` was refused: the token's reasons, and takedowns.
pub(crate) const REFUSALS: usize = Refusal::ALL.len() + 1;
/// The last reason.
pub(crate) const TAKEN_DOWN: usize = REFUSALS - 1;

/// What one core counts.
pub(crate) struct CoreStats {
    pub(crate) opens: Count,
    pub(crate) clicks: Count,
    pub(crate) voids: Count,
    pub(crate) objections: Count,
    pub(crate) answered: Count,
    pub(crate) not_found: Count,
    pub(crate) rejected: Count,
    pub(crate) refused: [Count; REFUSALS],
    pub(crate) connections: Count,
    pub(crate) accepted: Count,
    pub(crate) turned_away: Count,
    pub(crate) timed_out: Count,
    pub(crate) proxy_refused: Count,
    pub(crate) handshakes: Count,
    pub(crate) handshakes_failed: Count,
    /// Records in each batch.
    pub(crate) batch_records: Histogram<10>,
    /// Microseconds from a batch's leaving until it was durable. The last bounds are far above what
    /// is well, because an alert asks for a quantile, which never exceeds the last bound.
    pub(crate) commit_us: Histogram<14>,
    pub(crate) to_redis: Count,
    pub(crate) to_log: Count,
    pub(crate) dropped_batches: Count,
    pub(crate) dropped_records: Count,
    pub(crate) replayed: Count,
    pub(crate) conflicts: Count,
    /// 1 while batches go to the lane log.
    pub(crate) breaker_open: Count,
    pub(crate) breaker_opened: Count,
    pub(crate) log_bytes: Count,
    /// 1 while the last batch was taken by neither Redis nor the log.
    pub(crate) refused_now: Count,
    /// The core's last sign of life, in milliseconds since 1970; 0 before the first and at the end.
    pub(crate) alive_ms: Count,
}

impl CoreStats {
    pub(crate) fn new() -> Self {
        Self {
            opens: Count::default(),
            clicks: Count::default(),
            voids: Count::default(),
            objections: Count::default(),
            answered: Count::default(),
            not_found: Count::default(),
            rejected: Count::default(),
            refused: std::array::from_fn(|_| Count::default()),
            connections: Count::default(),
            accepted: Count::default(),
            turned_away: Count::default(),
            timed_out: Count::default(),
            proxy_refused: Count::default(),
            handshakes: Count::default(),
            handshakes_failed: Count::default(),
            batch_records: Histogram::new([1, 2, 5, 10, 20, 50, 100, 500, 2_000, 10_000]),
            commit_us: Histogram::new([
                100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000, 200_000,
                500_000, 1_000_000, 5_000_000,
            ]),
            to_redis: Count::default(),
            to_log: Count::default(),
            dropped_batches: Count::default(),
            dropped_records: Count::default(),
            replayed: Count::default(),
            conflicts: Count::default(),
            breaker_open: Count::default(),
            breaker_opened: Count::default(),
            log_bytes: Count::default(),
            refused_now: Count::default(),
            alive_ms: Count::default(),
        }
    }

    pub(crate) fn refuse(&self, why: Refusal) {
        let at = Refusal::ALL.iter().position(|known| *known == why).unwrap_or_default();
        self.refused[at].one();
    }

    pub(crate) fn committed(&self, records: u16, took: Duration) {
        self.batch_records.observe(records.into());
        self.commit_us.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_lands_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new([1, 10]);
        for value in [0, 1, 2, 10, 11] {
            histogram.observe(value);
        }
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(1, 2), (10, 2)]);
        assert_eq!((histogram.total.get(), histogram.sum.get()), (5, 24));
    }
}
