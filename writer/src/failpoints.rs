//! Deaths and stops at chosen points, and switches that turn a protection off, for the proof that
//! each protection is needed. Only the feature `failpoints` compiles them in.
//!
//! `HUSHMARK_FAILPOINT=after-cut`, `after-first-target` (both die) or `between-lookup-and-insert`
//! (stops, once); `HUSHMARK_WITHOUT` is a comma-separated list of `cut`, `token`, `ledger`,
//! `proof` (that what may have been sent before is looked for in the ledger once it is answered),
//! `one-connection` and `lease-clock` (the holder's own belief, which a stop can always outlast).

/// Where a failpoint may sit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// The cut is written, nothing is sent.
    AfterCut,
    /// The first target answered, the second was not sent.
    AfterFirstTarget,
    /// The ledger was asked and the insert has not begun.
    BetweenLookupAndInsert,
}

/// Whether a protection is switched off.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn off(_protection: &str) -> bool {
    false
}

/// Passes a failpoint.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn pass(_point: Point) {}

/// Whether a protection is switched off.
#[cfg(feature = "failpoints")]
pub(crate) fn off(protection: &str) -> bool {
    static WITHOUT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let without = WITHOUT.get_or_init(|| std::env::var("HUSHMARK_WITHOUT").unwrap_or_default());
    without.split(',').any(|name| name == protection)
}

/// Passes a failpoint: dies or stops there if it was chosen, the first time only.
#[cfg(feature = "failpoints")]
pub(crate) fn pass(point: Point) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::atomic::{AtomicBool, Ordering};
    static PASSED: AtomicBool = AtomicBool::new(false);
    let name = match point {
        Point::AfterCut => "after-cut",
        Point::AfterFirstTarget => "after-first-target",
        Point::BetweenLookupAndInsert => "between-lookup-and-insert",
    };
    let chosen = std::env::var("HUSHMARK_FAILPOINT").is_ok_and(|chosen| chosen == name);
    if !chosen || PASSED.swap(true, Ordering::SeqCst) {
        return;
    }
    tracing::warn!(name, "failpoint reached");
    let signal = if point == Point::BetweenLookupAndInsert { Signal::STOP } else { Signal::KILL };
    kill_process(getpid(), signal).expect("a process may signal itself");
}
