//! The frame around every reconcile: a time-out, figures, and when it is tried again.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

use crate::{Context, Error};

/// How long one reconcile may take. The client itself repeats what the API server puts off.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The first pause after a failure, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// How often each object failed in a row.
#[derive(Default)]
pub struct Retries {
    failures: Mutex<HashMap<String, u32>>,
}

impl Retries {
    /// It failed once more: try again after this long.
    pub fn failed(&self, key: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        pause(*count, fastrand::f64())
    }

    /// It succeeded.
    pub fn succeeded(&self, key: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Doubling from [`FIRST`] to [`LONGEST`], and up to a half less by chance, so that what failed
/// together is not tried again together. `chance` is from 0 to 1.
fn pause(failures: u32, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST).mul_f64(1.0 - chance / 2.0)
}

/// The pause before a watch is opened again. kube's own grows to half a minute, and a kill switch
/// that is applied when the API server is back would wait as long; one operator a region has a dozen
/// watches, which no API server feels.
pub struct WatchPause(Duration);

/// The first pause of a watch, and the longest.
const WATCH_FIRST: Duration = Duration::from_millis(400);
const WATCH_LONGEST: Duration = Duration::from_secs(3);

impl Default for WatchPause {
    fn default() -> Self {
        Self(WATCH_FIRST)
    }
}

impl Iterator for WatchPause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = pause.saturating_mul(2).min(WATCH_LONGEST);
        Some(pause.mul_f64(1.0 - fastrand::f64() / 2.0))
    }
}

impl Backoff for WatchPause {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Runs one reconcile within [`PATIENCE`], counts it, and says when to try again if it failed.
///
/// # Errors
/// What the work said, or [`Error::Late`], with the pause before the next try.
pub async fn timed<T>(
    kind: &'static str,
    key: &str,
    ctx: &Context,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, (Error, Duration)> {
    let begun = Instant::now();
    let done = tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Error::Late(PATIENCE)));
    let result = if done.is_ok() { "ok" } else { "error" };
    ctx.metrics.reconciled(kind, result, begun.elapsed().as_secs_f64());
    match done {
        Ok(done) => {
            ctx.retries.succeeded(key);
            Ok(done)
        }
        Err(error) => {
            let again = ctx.retries.failed(key);
            tracing::warn!(kind, object = key, %error, again_s = again.as_secs(), "not reconciled");
            Err((error, again))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_five_minutes_and_never_falls_below_half() {
        assert_eq!(pause(1, 0.0), Duration::from_secs(1));
        assert_eq!(pause(2, 0.0), Duration::from_secs(2));
        assert_eq!(pause(5, 1.0), Duration::from_secs(8));
        assert_eq!(pause(100, 0.0), LONGEST);
        assert_eq!(pause(u32::MAX, 1.0), LONGEST / 2);
    }

    #[test]
    fn a_watch_is_opened_again_within_three_seconds_however_often_it_failed() {
        let mut pause = WatchPause::default();
        assert!(pause.next().is_some_and(|first| first <= WATCH_FIRST));
        assert!(pause.by_ref().take(100).all(|next| next <= WATCH_LONGEST));
        assert!(pause.next().is_some_and(|next| next >= WATCH_LONGEST / 2));
        pause.reset();
        assert!(pause.next().is_some_and(|first| first <= WATCH_FIRST));
    }

    #[test]
    fn a_success_ends_the_row_of_failures() {
        let retries = Retries::default();
        for _ in 0..10 {
            retries.failed("a");
        }
        assert!(retries.failed("a") >= LONGEST / 2);
        retries.succeeded("a");
        assert!(retries.failed("a") <= FIRST);
    }
}
