//! What chance alone may do: the one bound by which guesses are judged.

/// How often a proof may fail by chance although what it says is true.
pub(super) const FALSE_ALARM: f64 = 1e-6;

/// The most guesses of `trials` that may be right, each by itself with probability `p`: chance alone
/// is right more often with a probability below [`FALSE_ALARM`] (Hoeffding, 1963: at most
/// exp(-2 t² / n) for t above the mean).
pub(super) fn bound(trials: u64, p: f64) -> u64 {
    let n = trials as f64;
    (n * p + (n * (1.0 / FALSE_ALARM).ln() / 2.0).sqrt()).ceil() as u64
}

#[cfg(test)]
mod tests {
    #[test]
    fn ten_thousand_tosses_of_a_coin_stay_below_5_263() {
        assert_eq!(super::bound(10_000, 0.5), 5_263);
    }
}
