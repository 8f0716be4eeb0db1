//! From streams to queues.

use std::time::Instant;

use hushmark_event::{Cut, Lane, Record};

use super::{EMPTY_FOR, KEYS_EVERY, LOOK_EVERY, Session, SessionError, now_ms};
use crate::entry::{Content, DeadReason, Entry};
use crate::lanes;

/// Read-ahead: what waits ten seconds at 100,000 hits a second takes about 60 MB. Above this the
/// rest waits in Redis, where the edges see it and spill.
const READ_AHEAD_BYTES: usize = 256 << 20;

/// Entries a lane and read: at a few KiB each and 40 lanes, some 30 MB in one answer.
const READ_COUNT: usize = 256;

/// Lanes a read, so that one answer stays within the time that an answer has.
const READ_LANES: usize = 64;

/// Objections that are asked for in one turn, at most two entries each: some 300 kB, and Redis
/// answers nobody else for a few milliseconds. Between two turns is time to store.
const OBJECTIONS_AT_ONCE: usize = 500;

impl Session {
    /// Looks for lanes, reads the refusal log and day keys, trims. Returns each lane's top.
    pub(super) async fn look(&mut self) -> Result<Vec<(Lane, u64)>, SessionError> {
        self.next_look = Instant::now() + LOOK_EVERY;
        self.parts.refusals.follow(&mut self.parts.redis).await;
        self.objections.forget_those_of(self.parts.refusals.log().caps().objected());
        let refusals = self.parts.refusals.length();
        self.parts.shared.set_log(self.parts.refusals.log());
        self.parts.status.metrics.refusals.set(i64::try_from(refusals).unwrap_or(i64::MAX));
        if Instant::now() >= self.next_keys {
            self.reload_keys();
        }
        for lane in lanes::find(&mut self.parts.redis).await? {
            self.queues.add(lane);
        }
        let known: Vec<Lane> = self.queues.lanes().collect();
        let tops = lanes::tops(&mut self.parts.redis, &known).await?;
        let mut unread = 0;
        for (lane, length, top) in &tops {
            unread += top.saturating_sub(self.queues.read(*lane)).min(*length);
            self.watch_empty(*lane, *length).await?;
        }
        self.parts.shared.set_waiting(unread == 0, self.queues.oldest_day());
        self.parts.status.metrics.lag_entries.set(i64::try_from(unread).unwrap_or(i64::MAX));
        self.trim().await?;
        Ok(tops.into_iter().map(|(lane, _, top)| (lane, top)).collect())
    }

    pub(super) fn reload_keys(&mut self) {
        self.next_keys = Instant::now() + KEYS_EVERY;
        if self.parts.keys.reload() {
            self.opener.forget_all();
        }
    }

    async fn watch_empty(&mut self, lane: Lane, length: u64) -> Result<(), SessionError> {
        if length > 0 {
            self.empty_since.remove(&lane);
            return Ok(());
        }
        let since = *self.empty_since.entry(lane).or_insert_with(Instant::now);
        if since.elapsed() >= EMPTY_FOR && self.queues.remove(lane) {
            self.empty_since.remove(&lane);
            self.opener.forget(lane);
            self.parts.fenced.delete_empty(lane).await?;
        }
        Ok(())
    }

    /// What is stored stays in its stream until nothing that waits can need it as its past.
    async fn trim(&mut self) -> Result<(), SessionError> {
        // An objection that nobody was asked for is in its stream alone.
        if !self.objections.are_asked() {
            return Ok(());
        }
        let window = self.parts.window_ms;
        let oldest = self.queues.oldest_ms().unwrap_or(u64::MAX);
        let now = now_ms();
        let horizon = if window == 0 {
            u64::MAX
        } else {
            now.saturating_sub(2 * window).min(oldest.saturating_sub(window))
        };
        for (lane, upto) in self.queues.trim(horizon) {
            self.parts.fenced.trim(lane, upto).await?;
        }
        self.behaviour.forget_before(horizon);
        Ok(())
    }

    /// Reads on in every lane while there is room; `true` if more is waiting.
    pub(super) async fn read(&mut self) -> Result<bool, SessionError> {
        let after: Vec<(Lane, u64)> =
            self.queues.lanes().map(|lane| (lane, self.queues.read(lane))).collect();
        let mut more = false;
        for after in after.chunks(READ_LANES) {
            if self.queues.bytes() >= READ_AHEAD_BYTES || !self.objections.have_room() {
                return Ok(false);
            }
            for (lane, raw) in lanes::read(&mut self.parts.redis, after, READ_COUNT).await? {
                more |= raw.len() == READ_COUNT;
                self.take(lane, raw).await?;
            }
        }
        Ok(more)
    }

    /// Asks for the entries that objections need, in order, as long as there is room for requests;
    /// `true` if more is waiting. What does not fit is asked for in a later turn.
    pub(super) async fn ask_for_objections(&mut self) -> Result<bool, SessionError> {
        let waiting = self.objections.next(OBJECTIONS_AT_ONCE);
        if waiting.is_empty() {
            return Ok(false);
        }
        let mut taken = self.parts.fenced.ask(waiting.iter().flatten()).await?;
        // One of which a part alone found room is asked for again: the log takes nothing twice.
        let asked = waiting.iter().take_while(|requests| {
            let is_asked = requests.len() <= taken;
            taken = taken.saturating_sub(requests.len());
            is_asked
        });
        let asked = asked.count();
        self.objections.asked(asked);
        self.parts.status.metrics.objections.inc_by(asked as u64);
        if asked < waiting.len() {
            tracing::warn!("too many requests wait for the one who appends to the log");
        }
        Ok(asked == OBJECTIONS_AT_ONCE)
    }

    /// Reads the lanes of a cut to its end, room or not: it is sent before anything else.
    pub(super) async fn read_cut(&mut self, cut: &Cut) -> Result<(), SessionError> {
        for (lane, (_, last)) in &cut.lanes {
            self.queues.add(*lane);
            while self.queues.read(*lane) < *last {
                let after = [(*lane, self.queues.read(*lane))];
                let read = lanes::read(&mut self.parts.redis, &after, READ_COUNT).await?;
                let Some((lane, raw)) = read.into_iter().next() else { break };
                self.take(lane, raw).await?;
            }
        }
        while self.read().await? {}
        Ok(())
    }

    async fn take(&mut self, lane: Lane, raw: Vec<lanes::Raw>) -> Result<(), SessionError> {
        let stored = self.ledger.stored_by_all(lane);
        for (number, blob) in raw {
            let content = self.open(lane, number, blob, number <= stored).await?;
            let missing = self.queues.push(lane, Entry { number, content }, stored);
            if missing > 0 {
                self.parts.status.metrics.gaps.inc_by(missing);
                tracing::warn!(%lane, number, missing, "numbers are missing in a lane");
            }
        }
        Ok(())
    }

    async fn open(
        &mut self,
        lane: Lane,
        number: u64,
        blob: Vec<u8>,
        is_stored: bool,
    ) -> Result<Content, SessionError> {
        if self.dead.contains(&(lane, number)) {
            return Ok(Content::Dead);
        }
        let now = now_ms();
        let Self { opener, behaviour, objections, parts, .. } = self;
        let at = (lane, number);
        let keys = &parts.keys;
        let log = parts.refusals.log().caps().objected();
        let opened = opener.open(at, blob, &keys.batch, &keys.salts, |record| match record {
            Record::Hit(hit) => behaviour.see(hit),
            Record::Objection(objection) => objections.take(objection, log),
            Record::Void => {}
        });
        match opened {
            Ok(Content::Batch(mut batch)) => {
                // An edge whose clock runs ahead must not make its hits wait until that time.
                batch.last_ms = batch.last_ms.min(now);
                Ok(Content::Batch(batch))
            }
            Ok(content) => Ok(content),
            // Its fate is known already, whatever became of its key.
            Err(_) if is_stored => Ok(Content::Dead),
            Err(reason) => {
                self.bury(lane, number, reason).await?;
                Ok(Content::Dead)
            }
        }
    }

    /// Puts an entry into `dead`, sealed as it lies in its stream.
    pub(super) async fn bury(
        &mut self,
        lane: Lane,
        number: u64,
        reason: DeadReason,
    ) -> Result<(), SessionError> {
        self.parts.fenced.bury(lane, number).await?;
        self.dead.insert((lane, number));
        self.parts.status.metrics.dead.with_label_values(&[reason.name()]).inc();
        tracing::error!(%lane, number, reason = reason.name(), "an entry is a dead letter");
        Ok(())
    }
}
