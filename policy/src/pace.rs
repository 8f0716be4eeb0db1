//! How figures of traffic move on, so that they tell of many hits or of none.
//!
//! What programs count for their operators knows no campaign, but a region may have one alone, and
//! what it publishes can be subtracted from what all of them together count. So these figures are
//! taken anew only after a number of hits that is the minimum group or more, which chance decides
//! anew each time, and are rounded down to multiples of the minimum group.

/// When figures may be taken anew, and how exact they are.
#[derive(Clone, Debug)]
pub struct Pace {
    step: u64,
    due: u64,
}

impl Pace {
    /// Figures in steps of no fewer than `step` hits; 1 or 0 for exact ones, at every moment.
    #[must_use]
    pub const fn new(step: u32) -> Self {
        Self { step: if step == 0 { 1 } else { step as u64 }, due: 0 }
    }

    /// Whether figures may be taken anew after so many hits; `random` is any random number. How
    /// many hits make the next step nobody knows before it: from `step` to nearly twice as many.
    pub const fn moves_on(&mut self, hits: u64, random: u64) -> bool {
        if self.step == 1 {
            return true;
        }
        if hits < self.due {
            return false;
        }
        self.due = hits.saturating_add(self.step + random % self.step);
        true
    }

    /// A number as it is told: the multiple of the step that it has reached.
    #[must_use]
    pub const fn rounded(&self, n: u64) -> u64 {
        n - n % self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_move_on_with_a_group_and_never_with_one_hit() {
        let mut pace = Pace::new(10);
        assert!(pace.moves_on(0, 7), "the first look is of a program that has begun");
        let moves = (1..=200).filter(|hits| pace.moves_on(*hits, hits * 7)).collect::<Vec<_>>();
        assert_eq!(moves[0], 17);
        assert!(moves.windows(2).all(|two| two[1] - two[0] >= 10 && two[1] - two[0] < 20));
    }

    #[test]
    fn numbers_are_multiples_of_the_group() {
        let pace = Pace::new(10);
        assert_eq!([0, 9, 10, 19, 20].map(|n| pace.rounded(n)), [0, 0, 10, 10, 20]);
    }

    #[test]
    fn a_step_of_one_is_exact() {
        for step in [0, 1] {
            let mut pace = Pace::new(step);
            assert!(pace.moves_on(3, 5) && pace.moves_on(3, 5));
            assert_eq!(pace.rounded(3), 3);
        }
    }
}
