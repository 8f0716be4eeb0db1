//! Several receipts of one log, held against each other.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;

use super::{HeadFault, Published, VerifiedReceipt};
use crate::audit::Pin;
use crate::chain::Hash32;

/// What receipts prove of one log's past: the chain's hash at some lengths.
#[derive(Clone, Debug, Default)]
pub struct Series {
    known: BTreeMap<u64, Hash32>,
}

/// Why receipts that verify alone do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesFault {
    /// One is not among them.
    #[error(
        "a receipt is missing: receipt {after} comes after receipt {missing}, which is not among \
         these; ask for receipt {missing}"
    )]
    Missing {
        /// The missing one, by its number in the log. There may be more before it.
        missing: u64,
        /// The one that names it.
        after: u64,
    },
    /// They name different hashes at one length.
    #[error(
        "two of these receipts name different entries up to {0}: they are of two logs, or the log \
         was rewritten; keep them, and ask the region's operator"
    )]
    TwoHistories(u64),
    /// A later one does not know an earlier one.
    #[error(
        "receipt {after} does not know receipt {denied}, which was before it: they are of two \
         logs, or the log was rewritten; keep them, and ask the region's operator"
    )]
    Denied {
        /// The one that it does not know.
        denied: u64,
        /// The one that should.
        after: u64,
    },
}

impl SeriesFault {
    /// The entry that it is about.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        match self {
            Self::Missing { missing: n, .. }
            | Self::TwoHistories(n)
            | Self::Denied { denied: n, .. } => *n,
        }
    }
}

impl Series {
    /// Holds receipts against each other, in whatever order they come. One that is given twice
    /// does no harm. Before the first of them nothing is known to be missing.
    ///
    /// # Errors
    /// [`SeriesFault`].
    pub fn of(receipts: &[VerifiedReceipt]) -> Result<Self, SeriesFault> {
        let mut series = Self::default();
        for VerifiedReceipt { pin, before, receipt, .. } in receipts {
            // Entry numbers begin at 1.
            series.learn(Pin { n: pin.n.saturating_sub(1), hash: *before })?;
            series.learn(*pin)?;
            receipt.previous.map_or(Ok(()), |previous| series.learn(previous))?;
        }
        let mut sorted: Vec<&VerifiedReceipt> = receipts.iter().collect();
        sorted.sort_by_key(|receipt| receipt.pin.n);
        sorted.dedup_by_key(|receipt| receipt.pin.n);
        for pair in sorted.windows(2) {
            let (earlier, after) = (pair[0].pin.n, pair[1].pin.n);
            match pair[1].receipt.previous.map_or(0, |previous| previous.n) {
                previous if previous == earlier => {}
                missing if missing > earlier => {
                    return Err(SeriesFault::Missing { missing, after });
                }
                _ => return Err(SeriesFault::Denied { denied: earlier, after }),
            }
        }
        Ok(series)
    }

    fn learn(&mut self, pin: Pin) -> Result<(), SeriesFault> {
        match *self.known.entry(pin.n).or_insert(pin.hash) {
            known if known == pin.hash => Ok(()),
            _ => Err(SeriesFault::TwoHistories(pin.n)),
        }
    }

    /// Holds a published head against what the receipts prove. False where they prove nothing at
    /// that length: only the log itself can tell then.
    ///
    /// # Errors
    /// [`HeadFault`] where they contradict each other.
    pub fn compare(&self, head: &Published, key: &VerifyingKey) -> Result<bool, HeadFault> {
        head.is_signed_if_it_says_so(key)?;
        let Some(found) = self.known.get(&head.pin.n) else { return Ok(false) };
        head.against(*found).map(|()| true)
    }
}
