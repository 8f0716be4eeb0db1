//! What a session tells the tasks beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hushmark_event::chain::Hash32;
use hushmark_event::refusal::{Erasures, RefusalLog};
use hushmark_policy::Day;

/// Told by the session, read by the publisher and the housekeeping.
#[derive(Default)]
pub struct Shared {
    /// Held while a cut is stored: whoever takes it sees either none or all of it.
    pub gate: tokio::sync::Mutex<()>,
    /// Held while an epoch is published, and while rows are removed that one could read.
    pub epoch: tokio::sync::Mutex<()>,
    open: AtomicBool,
    position: AtomicU64,
    erasures: Mutex<Arc<Erasures>>,
    gone: AtomicU64,
    wanted: AtomicU64,
    ledger: AtomicU64,
    touched: Mutex<BTreeSet<(u64, u64)>>,
    waiting: Mutex<Waiting>,
    audited: Mutex<Option<Audited>>,
}

/// What the audit log says of plans, as far as it was read and verified.
#[derive(Clone, Debug, Default)]
pub struct Audited {
    /// Entries that were read.
    pub length: u64,
    /// Plans that may be carried out, by the entry that demands it.
    pub demanded: BTreeMap<u64, Hash32>,
}

impl Audited {
    /// The first entry after one of them that demands a plan.
    #[must_use]
    pub fn demand(&self, plan: Hash32, after: u64) -> Option<u64> {
        let later = self.demanded.range(after.saturating_add(1)..);
        later.filter(|(_, demanded)| **demanded == plan).map(|(n, _)| *n).next()
    }
}

/// What waits in Redis.
#[derive(Clone, Copy, Default)]
enum Waiting {
    /// Not everything was read.
    #[default]
    Unknown,
    /// The oldest day of what waits.
    Since(Day),
    Nothing,
}

impl Shared {
    /// The session has repeated what it found: both targets say the same from here on.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Whether it has.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// What the session judges by from now on.
    pub fn set_log(&self, log: &RefusalLog) {
        if log.length() == self.position() {
            return;
        }
        let erasures = Arc::new(log.erasures().clone());
        *self.erasures.lock().unwrap_or_else(PoisonError::into_inner) = erasures;
        self.position.store(log.length(), Ordering::Release);
    }

    /// What has to be gone.
    #[must_use]
    pub fn erasures(&self) -> Arc<Erasures> {
        Arc::clone(&self.erasures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No query finds what erasures up to this entry mean.
    pub fn set_gone(&self, upto: u64) {
        self.gone.store(upto, Ordering::Release);
    }

    /// Whether rows are there that the log demands to be gone, or may be: nothing is published
    /// then.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let demanded = self.erasures().all().last().map_or(0, |erasure| erasure.n);
        self.gone.load(Ordering::Acquire) < demanded
    }

    /// Asks for ledger rows that show this position.
    pub fn want_ledger(&self, position: u64) {
        self.wanted.fetch_max(position, Ordering::AcqRel);
    }

    /// Whether somebody waits for ledger rows that were not written yet.
    #[must_use]
    pub fn is_ledger_wanted(&self) -> bool {
        self.ledger() < self.wanted.load(Ordering::Acquire)
    }

    /// Every target was sent ledger rows that show this position.
    pub fn set_ledger(&self, position: u64) {
        self.ledger.store(position, Ordering::Release);
    }

    /// The position that every target's ledger shows.
    #[must_use]
    pub fn ledger(&self) -> u64 {
        self.ledger.load(Ordering::Acquire)
    }

    /// How many entries the refusal log has.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// These campaigns have new hits, or are to be published again.
    pub fn touch(&self, campaigns: impl IntoIterator<Item = (u64, u64)>) {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).extend(campaigns);
    }

    /// The campaigns touched since this was last asked.
    #[must_use]
    pub fn take_touched(&self) -> BTreeSet<(u64, u64)> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything in Redis was read, and the oldest that waits is of this day.
    pub fn set_waiting(&self, all_read: bool, oldest: Option<Day>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = match (all_read, oldest) {
            (false, _) => Waiting::Unknown,
            (true, Some(day)) => Waiting::Since(day),
            (true, None) => Waiting::Nothing,
        };
    }

    /// The audit log was read so far, and is in ClickHouse.
    pub fn set_audited(&self, audited: Audited) {
        *self.audited.lock().unwrap_or_else(PoisonError::into_inner) = Some(audited);
    }

    /// What the audit log says of plans; none until it was read.
    #[must_use]
    pub fn audited(&self) -> Option<Audited> {
        self.audited.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The oldest day of what waits in Redis; the first day of all where that is not known.
    #[must_use]
    pub fn waiting(&self) -> Option<Day> {
        match *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Waiting::Unknown => Some(Day(0)),
            Waiting::Since(day) => Some(day),
            Waiting::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_demanded_by_a_later_entry_alone() {
        let (plan, other) = (Hash32([1; 32]), Hash32([2; 32]));
        let demanded = BTreeMap::from([(3, plan), (5, other), (7, plan)]);
        let audited = Audited { length: 9, demanded };
        assert_eq!(audited.demand(plan, 0), Some(3));
        assert_eq!(audited.demand(plan, 3), Some(7), "what was obeyed is not obeyed again");
        assert_eq!(audited.demand(plan, 7), None);
        assert_eq!(audited.demand(other, u64::MAX), None);
    }
}
