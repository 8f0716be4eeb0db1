//! Which days may be closed. Pure.
//!
//! A day is closed by destroying its keys, and with them everything that is still sealed. So it is
//! closed early only when it is certain that nothing of it is under way any more, and seven days
//! after its end in any case.

use hushmark_policy::Day;

pub use hushmark_event::ring::HOLD_DAYS;

/// How long after its end a day may be closed at the earliest: far longer than a batch waits in an
/// edge's memory.
const GRACE_MS: u64 = 3_600_000;

/// What is known of one edge's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Its heartbeat says that Redis has everything.
    Empty,
    /// It ended in good order and said so.
    Ended,
    /// Its logs hold something, or it fell silent.
    Unknown,
}

/// What speaks for and against closing.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// The oldest day of what waits in Redis; `None` if nothing waits.
    pub waiting: Option<Day>,
    /// The oldest day of a dead letter.
    pub dead: Option<Day>,
    /// Every edge that was ever heard of.
    pub folders: Vec<Folder>,
}

/// The days of a ring that may be closed, which are its first ones.
#[must_use]
pub fn closable(ring: impl Iterator<Item = Day>, evidence: &Evidence) -> Vec<Day> {
    let silent = evidence.folders.contains(&Folder::Unknown);
    let passed = |day: Day| {
        let ended = day.plus(1).start_ms();
        let held = |oldest: Option<Day>| oldest.is_some_and(|oldest| oldest <= day);
        let certain = !silent && !held(evidence.waiting) && !held(evidence.dead);
        evidence.now_ms >= day.plus(1 + HOLD_DAYS).start_ms()
            || certain && evidence.now_ms >= ended + GRACE_MS
    };
    ring.take_while(|day| passed(*day)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Day = Day(20_000);

    fn evidence(day: Day, hour: u64) -> Evidence {
        let now_ms = day.start_ms() + hour * 3_600_000;
        Evidence { now_ms, waiting: None, dead: None, folders: vec![Folder::Empty, Folder::Ended] }
    }

    fn ring() -> impl Iterator<Item = Day> {
        (D.0..D.0 + 30).map(Day)
    }

    #[test]
    fn a_day_is_closed_an_hour_after_its_end_when_nothing_of_it_is_under_way() {
        assert_eq!(closable(ring(), &evidence(D.plus(1), 0)), []);
        assert_eq!(closable(ring(), &evidence(D.plus(1), 1)), [D]);
        assert_eq!(closable(ring(), &evidence(D.plus(2), 1)), [D, D.plus(1)]);
    }

    #[test]
    fn what_waits_what_is_dead_and_a_silent_edge_hold_a_day_open_for_seven_days() {
        let held = [
            Evidence { waiting: Some(D), ..evidence(D.plus(7), 23) },
            Evidence { dead: Some(D), ..evidence(D.plus(7), 23) },
            Evidence { folders: vec![Folder::Empty, Folder::Unknown], ..evidence(D.plus(7), 23) },
        ];
        for mut evidence in held {
            assert_eq!(closable(ring(), &evidence), []);
            evidence.now_ms = D.plus(8).start_ms();
            assert_eq!(closable(ring(), &evidence), [D], "and no longer");
        }
        let later = Evidence { waiting: Some(D.plus(1)), ..evidence(D.plus(3), 0) };
        assert_eq!(closable(ring(), &later), [D], "what waits of a later day does not");
    }
}
