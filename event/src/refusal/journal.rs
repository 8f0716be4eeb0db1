//! The log in the hands of the one who appends: the operator, or `hushmark up`.
//!
//! An entry is checked here before it is written anywhere, so that what is on a disk or in Redis
//! can always be read again.

use std::collections::HashMap;

use super::{Entry, Following, LogError, RefusalLog, Refuses};

/// The log with its entries.
#[derive(Clone, Default)]
pub struct Journal {
    log: RefusalLog,
    entries: Vec<Vec<u8>>,
    /// What is refused, and by which entry first.
    refuses: HashMap<Refuses, u64>,
}

/// Entries that are checked and not appended yet.
#[must_use = "what was prepared is appended by `commit`, once it is durable"]
pub struct Prepared {
    following: Following,
    entries: Vec<Vec<u8>>,
}

impl Prepared {
    /// The entries' bytes, in order.
    #[must_use]
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// Where the log will end, to sign its head.
    #[must_use]
    pub const fn log(&self) -> &Following {
        &self.following
    }
}

impl Journal {
    /// The log.
    #[must_use]
    pub const fn log(&self) -> &RefusalLog {
        &self.log
    }

    /// Every entry's bytes.
    #[must_use]
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// Whether the log refuses exactly this already.
    #[must_use]
    pub fn has(&self, refuses: &Refuses) -> bool {
        self.refuses.contains_key(refuses)
    }

    /// The number of the first entry that refuses exactly this.
    #[must_use]
    pub fn position(&self, refuses: &Refuses) -> Option<u64> {
        self.refuses.get(refuses).copied()
    }

    /// Takes the next entry as it was written before.
    ///
    /// # Errors
    /// [`LogError`]; nothing is changed then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let entry = self.log.append(bytes)?;
        self.entries.push(bytes.to_vec());
        self.refuses.entry(entry.refuses).or_insert(entry.n);
        Ok(())
    }

    /// Makes and checks entries that follow. The caller writes them down, then commits.
    ///
    /// # Errors
    /// [`LogError`] when one of them names something impossible; none is made then.
    pub fn prepare(
        &self,
        refuses: impl IntoIterator<Item = Refuses>,
        at_ms: u64,
    ) -> Result<Prepared, LogError> {
        let (mut following, mut entries) = (self.log.following(), Vec::new());
        for refuses in refuses {
            let bytes = Entry { n: following.length() + 1, at_ms, refuses }.to_bytes();
            following.push(&bytes)?;
            entries.push(bytes);
        }
        Ok(Prepared { following, entries })
    }

    /// Appends what was prepared on this very log and is durable now.
    ///
    /// # Panics
    /// When it was prepared on another log: the entries that were made durable then name places
    /// that they do not have.
    pub fn commit(&mut self, prepared: Prepared) {
        let taken = self.log.take_all(prepared.following);
        let taken = taken.expect("prepared on this log, by one who appends alone");
        self.entries.extend(prepared.entries);
        for entry in taken {
            self.refuses.entry(entry.refuses).or_insert(entry.n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Takedown;

    #[test]
    fn what_is_prepared_is_in_the_log_once_it_is_committed() {
        let mut journal = Journal::default();
        let down = |kid| Refuses::Takedown(Takedown::Kid(kid));
        let prepared = journal.prepare([down(1), down(2)], 5).unwrap();
        assert_eq!((journal.log().length(), prepared.log().length()), (0, 2));
        journal.commit(prepared);
        assert!(journal.has(&down(2)) && !journal.has(&down(3)));
        assert_eq!((journal.position(&down(2)), journal.position(&down(3))), (Some(2), None));

        let mut read_back = Journal::default();
        journal.entries().iter().for_each(|entry| read_back.take(entry).unwrap());
        assert_eq!(read_back.log().hash(), journal.log().hash());
        assert_eq!(read_back.position(&down(2)), Some(2));
    }

    #[test]
    fn what_follows_is_taken_by_the_log_that_it_follows_and_by_no_other() {
        let down = |kid| Refuses::Takedown(Takedown::Kid(kid));
        let mut journal = Journal::default();
        let prepared = journal.prepare([down(1), down(2), down(3)], 5).unwrap();
        journal.commit(prepared);
        let [first, rest @ ..] = journal.entries() else { panic!("three entries") };
        let mut log = RefusalLog::default();
        let too_early = log.read(rest.iter().map(Vec::as_slice));
        assert!(matches!(too_early, Err(LogError::OutOfOrder { length: 0, found: 2 })));
        let following = log.read([first.as_slice()]).unwrap();
        log.append(first).unwrap();
        assert!(log.take(following).is_err(), "it is there already");
        let following = log.read(rest.iter().map(Vec::as_slice)).unwrap();
        assert_eq!((log.length(), following.length()), (1, 3));
        log.take(following).unwrap();
        assert_eq!((log.length(), log.hash()), (3, journal.log().hash()));
    }

    #[test]
    fn an_impossible_entry_takes_the_others_with_it() {
        let journal = Journal::default();
        let bad = Refuses::Takedown(Takedown::Tenant("XYZ".into()));
        assert!(journal.prepare([Refuses::Takedown(Takedown::Kid(1)), bad], 5).is_err());
        assert_eq!(journal.log().length(), 0);
    }
}
