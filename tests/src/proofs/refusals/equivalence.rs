//! Whether two classes of requests take equally long: two one-sided tests, of the median and of the
//! 95th percentile.
//!
//! Equal is what cannot differ by the margin: both ends of the 90 % interval of the difference lie
//! within it, so that each one-sided test errs in at most 5 % of all cases. The interval comes from a
//! bootstrap over blocks of rounds. A round asks every class once, so that what disturbs a moment
//! disturbs all classes, and a block holds many rounds, so that what lasts a while is drawn as one.

use fastrand::Rng;

/// How often the rounds are drawn anew.
const DRAWS: usize = 1_000;

/// Rounds that are drawn together.
const BLOCK: usize = 50;

/// The part of the draws that lies outside on each side.
const OUTSIDE: f64 = 0.05;

/// Which figure of a class is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantile {
    Median,
    P95,
}

impl Quantile {
    pub(super) const ALL: [Self; 2] = [Self::Median, Self::P95];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::P95 => "p95",
        }
    }

    const fn part(self) -> f64 {
        match self {
            Self::Median => 0.5,
            Self::P95 => 0.95,
        }
    }
}

/// How one class compares with another, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    /// What was measured: the first class less the second.
    pub(super) found: f64,
    /// The ends of the 90 % interval.
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Difference {
    /// The most by which the two may differ, either way.
    pub(super) fn bound(self) -> f64 {
        self.high.max(-self.low)
    }
}

/// What was measured of several classes: a time of each in every round.
pub(super) struct Measured {
    rounds: usize,
    /// Of each class every time, in nanoseconds, with its block, in order of time.
    sorted: Vec<Vec<(u32, u32)>>,
    /// Of each draw and class the median and the 95th percentile, in microseconds.
    drawn: Vec<Vec<[f64; 2]>>,
}

impl Measured {
    /// `times` holds a class a row and a round a column, in nanoseconds.
    pub(super) fn new(times: &[Vec<u32>], seed: u64) -> Self {
        let rounds = times.first().map_or(0, Vec::len);
        let sorted: Vec<Vec<(u32, u32)>> = times
            .iter()
            .map(|class| {
                let dated = class.iter().enumerate();
                let mut dated: Vec<_> = dated.map(|(n, t)| (*t, (n / BLOCK) as u32)).collect();
                dated.sort_unstable();
                dated
            })
            .collect();
        let mut random = Rng::with_seed(seed);
        let blocks = rounds.div_ceil(BLOCK);
        let drawn = (0..DRAWS)
            .map(|_| {
                let mut weights = vec![0_u32; blocks];
                (0..blocks).for_each(|_| weights[random.usize(..blocks)] += 1);
                sorted.iter().map(|class| quantiles(class, &weights)).collect()
            })
            .collect();
        Self { rounds, sorted, drawn }
    }

    /// A class's figure, in microseconds.
    pub(super) fn at(&self, class: usize, quantile: Quantile) -> f64 {
        let weights = vec![1; self.rounds.div_ceil(BLOCK)];
        quantiles(&self.sorted[class], &weights)[quantile as usize]
    }

    /// How a class compares with another.
    pub(super) fn compare(&self, (one, other): (usize, usize), quantile: Quantile) -> Difference {
        let of =
            |draw: &Vec<[f64; 2]>| draw[one][quantile as usize] - draw[other][quantile as usize];
        let mut differences: Vec<f64> = self.drawn.iter().map(of).collect();
        differences.sort_by(f64::total_cmp);
        let outside = (DRAWS as f64 * OUTSIDE) as usize;
        Difference {
            found: self.at(one, quantile) - self.at(other, quantile),
            low: differences[outside],
            high: differences[DRAWS - 1 - outside],
        }
    }

    /// The pair among some classes that may differ most, and by how much.
    pub(super) fn widest(
        &self,
        classes: std::ops::Range<usize>,
        quantile: Quantile,
    ) -> ((usize, usize), Difference) {
        let pairs = classes.clone().flat_map(|a| classes.clone().map(move |b| (a, b)));
        let compared =
            pairs.filter(|(a, b)| a < b).map(|pair| (pair, self.compare(pair, quantile)));
        compared
            .max_by(|a, b| a.1.bound().total_cmp(&b.1.bound()))
            .expect("at least two classes are compared")
    }
}

/// The median and the 95th percentile of times that count as often as their block was drawn.
fn quantiles(sorted: &[(u32, u32)], weights: &[u32]) -> [f64; 2] {
    let total: u64 = sorted.iter().map(|(_, block)| u64::from(weights[*block as usize])).sum();
    let ranks = Quantile::ALL.map(|quantile| (total as f64 * quantile.part()) as u64);
    let (mut passed, mut found) = (0, [0.0; 2]);
    let mut wanted = ranks.iter().zip(&mut found).peekable();
    for (nanoseconds, block) in sorted {
        passed += u64::from(weights[*block as usize]);
        while let Some((_, found)) = wanted.next_if(|(rank, _)| passed > **rank) {
            *found = f64::from(*nanoseconds) / 1_000.0;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: f64 = 10.0;

    /// Times with a long tail and a disturbance that lasts, which all classes share.
    fn noisy(rounds: usize, delays_us: &[f64]) -> Measured {
        let mut random = Rng::with_seed(7);
        let mut times = vec![Vec::new(); delays_us.len()];
        let mut disturbed = 0.0;
        for round in 0..rounds {
            if round % 100 == 0 {
                disturbed = if random.u8(..4) == 0 { 120.0 } else { 0.0 };
            }
            for (class, delay) in times.iter_mut().zip(delays_us) {
                let tail = -40.0 * (1.0 - random.f64()).ln();
                class.push(((150.0 + disturbed + tail + delay) * 1_000.0) as u32);
            }
        }
        Measured::new(&times, 1)
    }

    #[test]
    fn equal_classes_are_found_equal_and_twenty_microseconds_are_found() {
        let measured = noisy(20_000, &[0.0, 0.5, 20.0]);
        for quantile in Quantile::ALL {
            let equal = measured.compare((0, 1), quantile);
            assert!(equal.bound() < MARGIN, "{quantile:?} {equal:?}");
            let late = measured.compare((2, 0), quantile);
            assert!(late.low > MARGIN && (late.found - 20.0).abs() < 5.0, "{late:?}");
            assert_eq!(measured.widest(0..3, quantile).0.1, 2);
        }
    }

    #[test]
    fn too_few_rounds_never_prove_equality() {
        let measured = noisy(200, &[0.0, 0.0]);
        assert!(measured.compare((0, 1), Quantile::P95).bound() > MARGIN);
    }

    #[test]
    fn figures_without_a_draw_are_those_of_the_sorted_list() {
        let times: Vec<u32> = (0..1_000).rev().map(|n| n * 1_000).collect();
        let measured = Measured::new(&[times.clone(), times], 1);
        assert_eq!(
            (measured.at(0, Quantile::Median), measured.at(0, Quantile::P95)),
            (500.0, 950.0)
        );
        assert!(measured.compare((0, 1), Quantile::P95).bound().abs() < f64::EPSILON);
    }
}
