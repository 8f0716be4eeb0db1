//! What was read of the lanes and is not stored yet, and the choice of the next cut. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use hushmark_event::tables::Target;
use hushmark_event::{Cut, Lane};
use hushmark_policy::{Day, Month};

use crate::entry::{Content, Entry};

/// For every target the highest number stored of every lane, as ClickHouse says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    stored: BTreeMap<Target, BTreeMap<Lane, u64>>,
}

impl Ledger {
    /// Takes what a target answered. Numbers only grow, so an older answer changes nothing.
    pub fn learn(&mut self, target: Target, answer: impl IntoIterator<Item = (Lane, u64)>) {
        let lanes = self.stored.entry(target).or_default();
        for (lane, last) in answer {
            let known = lanes.entry(lane).or_default();
            *known = last.max(*known);
        }
    }

    /// Up to where a target holds a lane.
    #[must_use]
    pub fn stored(&self, target: Target, lane: Lane) -> u64 {
        self.stored.get(&target).and_then(|lanes| lanes.get(&lane)).copied().unwrap_or(0)
    }

    /// Up to where every target holds a lane.
    #[must_use]
    pub fn stored_by_all(&self, lane: Lane) -> u64 {
        Target::ALL.into_iter().map(|target| self.stored(target, lane)).min().unwrap_or(0)
    }

    /// Whether a target holds all of a cut.
    #[must_use]
    pub fn holds(&self, target: Target, cut: &Cut) -> bool {
        cut.lanes.iter().all(|(lane, (_, last))| *last <= self.stored(target, *lane))
    }
}

/// One lane's entries that are read and not stored by every target.
#[derive(Default)]
pub struct LaneQueue {
    /// The highest number that was read.
    pub read: u64,
    /// Read and not stored, in order.
    entries: VecDeque<Entry>,
    /// Stored and still in the stream, for a restarted writer's sake: number, last arrival.
    past: VecDeque<(u64, u64)>,
}

/// What the writer holds of all lanes.
#[derive(Default)]
pub struct Queues {
    lanes: BTreeMap<Lane, LaneQueue>,
    bytes: usize,
    records: u64,
}

/// How large a cut may be.
#[derive(Clone, Copy, Debug)]
pub struct CutLimits {
    /// Most records; a record becomes at most ten rows.
    pub records: u64,
    /// Most entries.
    pub entries: u64,
}

impl CutLimits {
    /// 150,000 records become 1.5 million rows at most, for which the engine takes less than a
    /// GiB and which stay well below [`crate::store::BLOCK_ROWS`].
    const MOST: u64 = 150_000;

    /// Where a session begins, and the least that it goes down to.
    const FIRST: u64 = 20_000;
    const LEAST: u64 = 4_000;

    /// What a session begins with.
    #[must_use]
    pub const fn first() -> Self {
        Self { records: Self::FIRST, entries: 100_000 }
    }

    /// Follows the time that the last cut took: about a second at most, because whoever takes
    /// over has to send a cut as it was written, however often it is cut short.
    #[must_use]
    pub fn after(self, took: Duration) -> Self {
        let records = if took > Duration::from_secs(1) {
            (self.records / 2).max(Self::LEAST)
        } else if took < Duration::from_millis(400) {
            (self.records * 2).min(Self::MOST)
        } else {
            self.records
        };
        Self { records, ..self }
    }
}

impl Queues {
    /// Bytes held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records held.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The lanes that are known.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> + '_ {
        self.lanes.keys().copied()
    }

    /// Whether a lane is known.
    #[must_use]
    pub fn knows(&self, lane: Lane) -> bool {
        self.lanes.contains_key(&lane)
    }

    /// Begins to follow a lane; its stream is read from its first entry, so that what is stored
    /// and still there is seen as the past.
    pub fn add(&mut self, lane: Lane) {
        self.lanes.entry(lane).or_default();
    }

    /// Up to where a lane was read.
    #[must_use]
    pub fn read(&self, lane: Lane) -> u64 {
        self.lanes.get(&lane).map_or(0, |queue| queue.read)
    }

    /// Forgets a lane whose stream is gone, unless something of it is still to be stored.
    pub fn remove(&mut self, lane: Lane) -> bool {
        let empty = self.lanes.get(&lane).is_some_and(|queue| queue.entries.is_empty());
        if empty {
            self.lanes.remove(&lane);
        }
        empty
    }

    /// Takes the next entry of a lane and tells how many numbers are missing before it. What is
    /// stored already is only remembered as the past.
    pub fn push(&mut self, lane: Lane, entry: Entry, stored: u64) -> u64 {
        let queue = self.lanes.entry(lane).or_default();
        let missing = entry.number.saturating_sub(queue.read.max(stored) + 1);
        queue.read = queue.read.max(entry.number);
        if entry.number <= stored {
            queue.past.push_back((entry.number, entry.batch().map_or(0, |batch| batch.last_ms)));
        } else {
            self.bytes += entry.size();
            self.records += entry.records();
            queue.entries.push_back(entry);
        }
        missing
    }

    /// The earliest arrival that is not stored, if anything waits.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<u64> {
        self.lanes
            .values()
            .filter_map(|queue| queue.entries.iter().find_map(Entry::batch))
            .map(|batch| batch.base_ms)
            .min()
    }

    /// The day of sealing of the oldest that is not stored, if anything waits.
    #[must_use]
    pub fn oldest_day(&self) -> Option<Day> {
        let entries = self.lanes.values().flat_map(|queue| &queue.entries);
        entries.filter_map(Entry::batch).map(|batch| batch.day).min()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(|queue| queue.entries.is_empty())
    }

    /// Chooses the next cut among what arrived by `due_ms`: oldest first over all lanes, of one
    /// month, within the limits; always at least one entry if one is due. Dead letters alone go to
    /// `this_month`.
    #[must_use]
    pub fn plan(&self, due_ms: u64, this_month: Month, limits: CutLimits) -> Option<Cut> {
        let due = |entry: &Entry| entry.batch().is_none_or(|batch| batch.last_ms <= due_ms);
        let age = |entry: &Entry| entry.batch().map_or(0, |batch| batch.base_ms);
        let mut heads: BinaryHeap<Reverse<(u64, Lane, usize)>> = self
            .lanes
            .iter()
            .filter_map(|(lane, queue)| queue.entries.front().map(|entry| (lane, entry)))
            .filter(|(_, entry)| due(entry))
            .map(|(lane, entry)| Reverse((age(entry), *lane, 0)))
            .collect();
        let (mut month, mut records, mut entries) = (None::<Month>, 0, 0);
        let mut chosen = BTreeMap::new();
        while let Some(Reverse((_, lane, index))) = heads.pop() {
            let queue = &self.lanes[&lane].entries;
            let entry = &queue[index];
            // A dead letter lies in no month of its own and goes with any.
            match (month, entry.batch().map(|batch| batch.day.month())) {
                (Some(month), Some(other)) if month != other => continue,
                (None, Some(first)) => month = Some(first),
                _ => {}
            }
            records += entry.records();
            entries += 1;
            if entries > 1 && (records > limits.records || entries > limits.entries) {
                break;
            }
            chosen
                .entry(lane)
                .and_modify(|range: &mut (u64, u64)| range.1 = entry.number)
                .or_insert((entry.number, entry.number));
            if let Some(next) = queue.get(index + 1).filter(|next| due(next)) {
                heads.push(Reverse((age(next), lane, index + 1)));
            }
        }
        let month = month.unwrap_or(this_month);
        (!chosen.is_empty()).then(|| Cut::new(month, chosen))
    }

    /// The waiting entries of a cut, lane by lane in order.
    pub fn of_cut<'a>(&'a self, cut: &'a Cut) -> impl Iterator<Item = (Lane, &'a Entry)> {
        cut.lanes.iter().flat_map(move |(lane, (first, last))| {
            let entries = self.lanes.get(lane).map(|queue| &queue.entries);
            entries
                .into_iter()
                .flatten()
                .filter(move |entry| (*first..=*last).contains(&entry.number))
                .map(move |entry| (*lane, entry))
        })
    }

    /// Turns a waiting entry into a dead letter.
    pub fn bury(&mut self, lane: Lane, number: u64) {
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        if let Some(entry) = queue.entries.iter_mut().find(|entry| entry.number == number) {
            self.bytes -= entry.size();
            self.records -= entry.records();
            entry.content = Content::Dead;
            self.bytes += entry.size();
        }
    }

    /// Moves what every target holds to the past.
    pub fn stored(&mut self, ledger: &Ledger) {
        for (lane, queue) in &mut self.lanes {
            let stored = ledger.stored_by_all(*lane);
            while let Some(entry) = queue.entries.pop_front_if(|entry| entry.number <= stored) {
                self.bytes -= entry.size();
                self.records -= entry.records();
                let last_ms = entry.batch().map_or(0, |batch| batch.last_ms);
                queue.past.push_back((entry.number, last_ms));
            }
        }
    }

    /// For each lane up to where its stream may be trimmed: stored by every target, and arrived
    /// before the horizon, so that nothing that waits needs it as its past.
    pub fn trim(&mut self, horizon_ms: u64) -> Vec<(Lane, u64)> {
        let mut trims = Vec::new();
        for (lane, queue) in &mut self.lanes {
            let mut upto = 0;
            while let Some((number, _)) = queue.past.pop_front_if(|past| past.1 < horizon_ms) {
                upto = number;
            }
            if upto > 0 {
                trims.push((*lane, upto));
            }
        }
        trims
    }
}
