//! What the cores counted of requests and hits, as operators may see it: these figures move on with
//! many hits and never with one, because who reads them may know a region's only campaign.

use std::sync::{Arc, Mutex, PoisonError};

use hushmark_policy::Pace;

use crate::start;
use crate::stats::{CoreStats, Count, Histogram};

/// Figures of hits, all cores together.
#[derive(Clone, Default)]
pub(super) struct Figures {
    pub(super) opens: u64,
    pub(super) clicks: u64,
    pub(super) voids: u64,
    pub(super) objections: u64,
    pub(super) answered: u64,
    pub(super) accepted: u64,
    pub(super) handshakes: u64,
    pub(super) to_redis: u64,
    pub(super) to_log: u64,
    pub(super) batch_records: Merged,
    pub(super) commit_us: Merged,
}

/// A histogram of all cores.
#[derive(Clone, Default)]
pub(super) struct Merged {
    /// Upper bounds, with how many observations are in the bucket or below.
    pub(super) buckets: Vec<(u64, u64)>,
    pub(super) sum: u64,
    pub(super) total: u64,
}

/// What was told last, and when more may be told.
pub(crate) struct Traffic {
    told: Mutex<(Pace, Figures)>,
    is_exact: bool,
}

impl Traffic {
    /// Figures in steps of so many hits.
    pub(crate) fn new(step: u32) -> Self {
        Self { told: Mutex::new((Pace::new(step), Figures::default())), is_exact: step <= 1 }
    }

    /// Figures as they may be told now.
    pub(super) fn figures(&self, cores: &[Arc<CoreStats>]) -> Figures {
        let now = Figures::of(cores);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (pace, figures) = &mut *told;
        // Without random numbers figures stay as they are.
        if let Ok(random) = start::random()
            && pace.moves_on(now.batch_records.sum, u64::from_be_bytes(random))
        {
            *figures = now.rounded(pace);
        }
        figures.clone()
    }

    /// A number that has to be told at every moment.
    pub(super) fn rounded(&self, n: u64) -> u64 {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).0.rounded(n)
    }

    /// Bytes that single batches add to, in steps that hold thousands of them, rounded up: that
    /// there are any is told at once, as the lane's breaker tells it.
    pub(super) fn coarse(&self, bytes: u64) -> u64 {
        const STEP: u64 = 64 << 10;
        if self.is_exact { bytes } else { bytes.next_multiple_of(STEP) }
    }
}

impl Figures {
    fn of(cores: &[Arc<CoreStats>]) -> Self {
        let sum = |of: fn(&CoreStats) -> &Count| cores.iter().map(|core| of(core).get()).sum();
        Self {
            opens: sum(|s| &s.opens),
            clicks: sum(|s| &s.clicks),
            voids: sum(|s| &s.voids),
            objections: sum(|s| &s.objections),
            answered: sum(|s| &s.answered),
            accepted: sum(|s| &s.accepted),
            handshakes: sum(|s| &s.handshakes),
            to_redis: sum(|s| &s.to_redis),
            to_log: sum(|s| &s.to_log),
            batch_records: Merged::of(cores.iter().map(|core| &core.batch_records)),
            commit_us: Merged::of(cores.iter().map(|core| &core.commit_us)),
        }
    }

    fn rounded(self, pace: &Pace) -> Self {
        Self {
            opens: pace.rounded(self.opens),
            clicks: pace.rounded(self.clicks),
            voids: pace.rounded(self.voids),
            objections: pace.rounded(self.objections),
            answered: pace.rounded(self.answered),
            accepted: pace.rounded(self.accepted),
            handshakes: pace.rounded(self.handshakes),
            to_redis: pace.rounded(self.to_redis),
            to_log: pace.rounded(self.to_log),
            batch_records: self.batch_records.rounded(pace),
            commit_us: self.commit_us.rounded(pace),
        }
    }
}

impl Merged {
    fn of<'a, const N: usize>(cores: impl Iterator<Item = &'a Histogram<N>>) -> Self {
        let (mut buckets, mut sum, mut total) = (vec![(0, 0); N], 0, 0);
        for core in cores {
            for (slot, (bound, count)) in buckets.iter_mut().zip(core.buckets()) {
                *slot = (bound, slot.1 + count);
            }
            sum += core.sum.get();
            total += core.total.get();
        }
        let mut below = 0;
        for (_, count) in &mut buckets {
            below += *count;
            *count = below;
        }
        Self { buckets, sum, total }
    }

    /// The sum becomes that of as many observations as are told.
    fn rounded(self, pace: &Pace) -> Self {
        let total = pace.rounded(self.total);
        let share = u128::from(self.sum) * u128::from(total) / u128::from(self.total.max(1));
        let buckets = self.buckets.into_iter().map(|(bound, n)| (bound, pace.rounded(n))).collect();
        Self { buckets, sum: u64::try_from(share).unwrap_or(u64::MAX), total }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cores(hits: u64) -> Vec<Arc<CoreStats>> {
        let core = CoreStats::new();
        for _ in 0..hits {
            core.opens.one();
            core.answered.one();
            core.to_redis.one();
            core.committed(1, Duration::from_micros(300));
        }
        vec![Arc::new(core)]
    }

    fn told(figures: &Figures) -> [u64; 6] {
        let Figures { opens, answered, to_redis, batch_records, commit_us, .. } = figures;
        [*opens, *answered, *to_redis, batch_records.total, commit_us.total, commit_us.sum]
    }

    #[test]
    fn no_figure_tells_of_one_hit() {
        let traffic = Traffic::new(10);
        let before = told(&traffic.figures(&cores(0)));
        let mut moved = 0;
        for hits in 1..=100 {
            let now = told(&traffic.figures(&cores(hits)));
            if now != before && moved == 0 {
                moved = hits;
                assert!((10..20).contains(&hits), "{hits}");
                assert_eq!(now, [10, 10, 10, 10, 10, 3_000]);
            }
        }
        assert!(moved > 0);
    }

    #[test]
    fn with_a_step_of_one_figures_are_exact() {
        let traffic = Traffic::new(1);
        for hits in [1, 2, 7] {
            assert_eq!(told(&traffic.figures(&cores(hits)))[..2], [hits, hits]);
        }
    }
}
