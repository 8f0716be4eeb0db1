//! One stream entry, opened. What cannot be opened is known as such and counted, never guessed.

use std::collections::HashMap;

use hushmark_event::{BatchReader, Lane, LaneSealer, Record, Ring, Sealed};
use hushmark_policy::Day;
use zeroize::Zeroizing;

/// One entry of a lane.
pub struct Entry {
    /// Its number in the lane.
    pub number: u64,
    /// What is in it.
    pub content: Content,
}

/// What an entry holds.
pub enum Content {
    /// A batch that was opened and read to its end.
    Batch(Batch),
    /// A dead letter: it lies in `dead`, sealed as it was, and nothing of it is counted.
    Dead,
    /// Sealed on a day that is closed: nobody can open it any more. A counted drop.
    Closed {
        /// What its header says that it held.
        records: u16,
    },
}

/// An opened batch. Its bytes are read again when it is stored, because decoded hits would take
/// twice the memory for the ten seconds that they wait.
pub struct Batch {
    packed: Zeroizing<Vec<u8>>,
    /// Records inside, hits and voids.
    pub records: u16,
    /// The day that it was sealed on; its month is the partition.
    pub day: Day,
    /// When the first record arrived, milliseconds since 1970.
    pub base_ms: u64,
    /// When the last record arrived.
    pub last_ms: u64,
}

/// Why an entry is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// The seal, the version or the key is not right.
    Seal,
    /// The seal is right and what it holds is not.
    Malformed,
    /// A hit's salt is missing although its day is not closed.
    Salt,
    /// ClickHouse refused it alone.
    Refused,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Seal, Self::Malformed, Self::Salt, Self::Refused];

    /// The reason as metrics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Malformed => "malformed",
            Self::Salt => "salt",
            Self::Refused => "refused",
        }
    }
}

impl Entry {
    /// Bytes that it holds in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + if let Content::Batch(b) = &self.content { b.packed.len() } else { 0 }
    }

    /// Records that count towards a cut's size.
    #[must_use]
    pub const fn records(&self) -> u64 {
        match &self.content {
            Content::Batch(batch) => batch.records as u64,
            Content::Dead | Content::Closed { .. } => 0,
        }
    }

    /// The batch, where it is one.
    #[must_use]
    pub const fn batch(&self) -> Option<&Batch> {
        match &self.content {
            Content::Batch(batch) => Some(batch),
            Content::Dead | Content::Closed { .. } => None,
        }
    }
}

impl Batch {
    /// Takes packed bytes after reading them to their end; `each` sees every record on the way.
    ///
    /// # Errors
    /// [`DeadReason::Malformed`], the whole batch: nothing of it is counted.
    pub fn read(
        sealed: Sealed,
        packed: Vec<u8>,
        mut each: impl FnMut(&Record),
    ) -> Result<Self, DeadReason> {
        let packed = Zeroizing::new(packed);
        let reader = BatchReader::new(&packed).map_err(|_| DeadReason::Malformed)?;
        let base_ms = reader.base_ms();
        let (mut last_ms, mut records) = (base_ms, 0u32);
        for record in reader {
            records += 1;
            let record = record.map_err(|_| DeadReason::Malformed)?;
            if let Record::Hit(hit) = &record {
                last_ms = last_ms.max(hit.at_ms);
            }
            each(&record);
        }
        if records != u32::from(sealed.records) {
            return Err(DeadReason::Malformed);
        }
        Ok(Self { packed, records: sealed.records, day: sealed.day, base_ms, last_ms })
    }

    /// Its records in order, and the version of the rules that the edge judged by.
    pub fn records(&self) -> (u16, impl Iterator<Item = Record> + '_) {
        let reader = BatchReader::new(&self.packed).expect("it was read to its end before");
        (reader.rules(), reader.map(|record| record.expect("it was read to its end before")))
    }
}

/// Opens entries under the batch ring. Derived keys are kept a lane and day.
#[derive(Default)]
pub struct Opener {
    sealers: HashMap<Lane, LaneSealer>,
}

impl Opener {
    /// Opens one entry. `None` in the ring for a day after its first means a broken header.
    ///
    /// # Errors
    /// Why it is a dead letter.
    pub fn open(
        &mut self,
        (lane, number): (Lane, u64),
        mut blob: Vec<u8>,
        ring: &Ring,
        salts: &Ring,
        mut each: impl FnMut(&Record),
    ) -> Result<Content, DeadReason> {
        let sealed = Sealed::header(&blob).map_err(|_| DeadReason::Seal)?;
        if self.sealers.get(&lane).is_none_or(|sealer| sealer.day() != sealed.day) {
            let Some(key) = ring.get(sealed.day) else {
                return closed_or_dead(sealed, ring);
            };
            self.sealers.insert(lane, LaneSealer::new(key, sealed.day, lane));
        }
        let sealer = self.sealers.get(&lane).expect("it was just put there");
        let body = {
            let (_, packed) = sealer.open(number, &mut blob).map_err(|_| DeadReason::Seal)?;
            packed.len()
        };
        // The header and the tag go, the buffer stays.
        blob.drain(..hushmark_event::seal::HEADER_LEN);
        blob.truncate(body);
        let mut unsalted = false;
        let batch = Batch::read(sealed, blob, |record| {
            if let Record::Hit(hit) = record {
                let last_day = hit.context.last_day;
                unsalted |= hit.mark.is_some()
                    && salts.get(last_day).is_none()
                    && !is_closed(last_day, salts);
            }
            each(record);
        })?;
        if unsalted { Err(DeadReason::Salt) } else { Ok(Content::Batch(batch)) }
    }

    /// Forgets a lane that is gone.
    pub fn forget(&mut self, lane: Lane) {
        self.sealers.remove(&lane);
    }

    /// Forgets every derived key, so that a closed day's cannot outlive its file.
    pub fn forget_all(&mut self) {
        self.sealers.clear();
    }
}

/// Whether a day lies before everything that the ring still holds.
#[must_use]
pub fn is_closed(day: Day, ring: &Ring) -> bool {
    ring.days().next().is_some_and(|first| day < first)
}

fn closed_or_dead(sealed: Sealed, ring: &Ring) -> Result<Content, DeadReason> {
    if is_closed(sealed.day, ring) {
        Ok(Content::Closed { records: sealed.records })
    } else {
        Err(DeadReason::Seal)
    }
}
