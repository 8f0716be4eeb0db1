//! What the edge knows besides the request: keys, the day ring, the refusal log, places. The
//! control thread replaces it, the cores look at it; nobody waits for anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hushmark_event::Ring;
use hushmark_event::refusal::RefusalLog;
use hushmark_policy::Objected;
use hushmark_token::RegionKeys;

use crate::place::CountryDb;

/// One state of things.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) keys: Arc<RegionKeys>,
    pub(crate) ring: Arc<Ring>,
    /// `None` while there is no verified copy: then nothing may be counted.
    pub(crate) refusals: Option<Arc<RefusalLog>>,
    /// Who objected here and is not in the refusal log yet.
    pub(crate) objected: Arc<Objected>,
    pub(crate) countries: Option<Arc<CountryDb>>,
}

/// The newest state, and its number.
pub(crate) struct Shared {
    version: AtomicU64,
    newest: Mutex<Known>,
}

impl Shared {
    pub(crate) fn new(known: Known) -> Self {
        Self { version: AtomicU64::new(1), newest: Mutex::new(known) }
    }

    /// The number of the newest state: a core asks this once a request, and for the state itself
    /// only when the number changed.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self) -> Known {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.newest.lock().unwrap_or_else(PoisonError::into_inner));
        self.version.fetch_add(1, Ordering::Release);
    }
}
