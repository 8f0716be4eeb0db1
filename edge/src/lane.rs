//! A core's lane: one batch in flight, the next leaves when the reply comes.
//!
//! While the breaker is closed a batch goes to Redis and is durable when its XADD replied. If Redis
//! does not answer in time, refuses, or is nearly full, the breaker opens: the same bytes go to the
//! lane log, and so does every batch after it, while [`drain`] brings the log to Redis in order.
//! Only when Redis has all of it does the breaker close. Where both refuse, the drop is counted on
//! disk and the requests are answered all the same.
//!
//! A number is sealed once. Whether it goes to Redis, to the log, or to both because the reply was
//! lost, the bytes are the same, and the stream takes each number once.

pub(crate) mod drain;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hushmark_event::redis_keys::lane_stream;
use hushmark_event::{Lane, LaneSealer, Ring};
use hushmark_policy::Day;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::config::Durability;
use crate::handler::Desk;
use crate::lane_log::LogThread;
use crate::lane_log::frame;
use crate::link::{Appended, Link, LinkError, RedisAt};

/// How long Redis may take before the batch goes to the log. A sync of its log takes a tenth of a
/// millisecond usually and 34 ms at worst (measured); with the lane log's own write the batch that
/// opens the breaker stays under 60 ms.
const REDIS_PATIENCE: Duration = Duration::from_millis(40);

/// One lane and all that it needs.
pub(crate) struct LaneTask {
    desk: Rc<Desk>,
    lane: Lane,
    stream: String,
    redis: RedisAt,
    log: LogThread,
    durability: Durability,
    /// Redis is nearly full: what remains of its memory belongs to control writes.
    spill: Arc<AtomicBool>,
    sealer: RefCell<Option<LaneSealer>>,
    number: Cell<u64>,
    /// Where the log ends, and up to where Redis has it.
    written: Cell<u64>,
    replayed: Cell<u64>,
    /// Up to where the disk has its room back.
    reclaimed: Cell<u64>,
    /// The drain asks for a pause between two batches.
    hold: Cell<bool>,
    /// Who waits for a batch meanwhile.
    held: Cell<Option<Waker>>,
    /// A batch was taken and is not answered yet.
    busy: Cell<bool>,
    /// For the drain: a batch was answered, or the last one was.
    progress: Notify,
    /// For the log: the pause is over.
    released: Notify,
}

/// A sealed batch that is not durable yet.
struct Batch {
    number: u64,
    records: u16,
    blob: Vec<u8>,
    left: Instant,
}

/// Memory that serves one batch after the other.
#[derive(Default)]
struct Buffers {
    packed: Vec<u8>,
    blob: Vec<u8>,
}

impl LaneTask {
    pub(crate) fn new(
        desk: Rc<Desk>,
        lane: Lane,
        redis: RedisAt,
        log: LogThread,
        durability: Durability,
        spill: Arc<AtomicBool>,
    ) -> Self {
        let begin = frame::BEGIN;
        Self {
            desk,
            lane,
            stream: lane_stream(lane),
            redis,
            log,
            durability,
            spill,
            sealer: RefCell::default(),
            number: Cell::new(0),
            written: Cell::new(begin),
            replayed: Cell::new(begin),
            reclaimed: Cell::new(begin),
            hold: Cell::new(false),
            held: Cell::new(None),
            busy: Cell::new(false),
            progress: Notify::new(),
            released: Notify::new(),
        }
    }

    /// Works until the desk is closed and Redis has every batch.
    pub(crate) async fn run(self) {
        let mut buffers = Buffers::default();
        let mut link = None;
        while let Some(refused) = self.closed(&mut link, &mut buffers).await {
            self.desk.stats.breaker_open.set(1);
            self.desk.stats.breaker_opened.one();
            link = self.open(refused, &mut buffers).await;
            self.desk.stats.breaker_open.set(0);
        }
    }

    /// Takes the next batch and seals it; `None` once the desk is closed and empty.
    async fn next(&self, buffers: &mut Buffers) -> Option<Batch> {
        let records = poll_fn(|cx| {
            // The drain is about to empty the log and to hand Redis back: a batch taken now would
            // be written into the log that is being emptied.
            if self.hold.get() {
                self.held.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            self.desk.commit.poll_take(&mut buffers.packed, cx)
        })
        .await?;
        let left = Instant::now();
        self.busy.set(true);
        let number = self.number.get() + 1;
        self.number.set(number);
        let mut blob = std::mem::take(&mut buffers.blob);
        let mut sealer = self.sealer.borrow_mut();
        let today = today();
        let sealer = match &mut *sealer {
            Some(sealer) if sealer.day() == today => sealer,
            other => other.insert(self.sealer_for(today)),
        };
        sealer.seal(number, records, &buffers.packed, &mut blob);
        Some(Batch { number, records, blob, left })
    }

    /// The sealer of a day, or of the nearest day that has a key: a hit that is read under
    /// yesterday's key is better than one that is not stored. The edge is not ready meanwhile.
    fn sealer_for(&self, today: Day) -> LaneSealer {
        let ring: Arc<Ring> = self.desk.shared.get().ring;
        let nearest = ring.days().min_by_key(|day| (day.0.abs_diff(today.0), day.0));
        let day = nearest.unwrap_or(today);
        if day != today {
            tracing::error!(%today, using = %day, "the ring has no batch key for today: extend it");
        }
        let key = ring.get(day).expect("a ring that was loaded holds a key");
        LaneSealer::new(key, day, self.lane)
    }

    fn answered(&self, batch: Batch, buffers: &mut Buffers) {
        self.desk.stats.committed(batch.records, batch.left.elapsed());
        buffers.blob = batch.blob;
        self.busy.set(false);
        self.progress.notify_one();
        self.desk.commit.answered();
    }

    fn must_log(&self) -> bool {
        self.durability == Durability::Disk || self.spill.load(Ordering::Relaxed)
    }

    /// Brings batches to Redis until one has to go elsewhere, which is returned; `None` at the end.
    async fn closed(&self, link: &mut Option<Link>, buffers: &mut Buffers) -> Option<Batch> {
        while let Some(batch) = self.next(buffers).await {
            if self.must_log() {
                return Some(batch);
            }
            let sent = timeout(REDIS_PATIENCE, self.append(link, &batch)).await;
            match sent {
                Ok(Ok(Appended::Done)) => {
                    self.desk.stats.to_redis.one();
                    self.desk.stats.refused_now.set(0);
                    self.answered(batch, buffers);
                }
                Ok(Ok(Appended::NotAbove)) => {
                    // This number was never sent before, so somebody else writes to this lane. The
                    // log cannot help: what is replayed from it would be refused as well.
                    self.desk.stats.conflicts.one();
                    tracing::error!(
                        lane = %self.lane, number = batch.number,
                        "another program writes to this lane: restart this edge for a new one"
                    );
                    self.dropped(&batch).await;
                    self.answered(batch, buffers);
                }
                Ok(Err(error)) => {
                    self.opens(&batch, &error);
                    *link = None;
                    return Some(batch);
                }
                Err(_) => {
                    self.opens(&batch, &"no answer in time");
                    *link = None;
                    return Some(batch);
                }
            }
        }
        None
    }

    fn opens(&self, batch: &Batch, why: &dyn std::fmt::Display) {
        tracing::warn!(lane = %self.lane, number = batch.number, %why, "breaker opens");
    }

    async fn append(&self, link: &mut Option<Link>, batch: &Batch) -> Result<Appended, LinkError> {
        let link = match link {
            Some(link) => link,
            None => link.insert(Link::connect(&self.redis).await?),
        };
        link.append(&self.stream, batch.number, &batch.blob);
        link.flush().await?;
        link.appended().await
    }

    /// Brings batches to the log while the drain empties it, until the drain hands Redis back.
    async fn open(&self, refused: Batch, buffers: &mut Buffers) -> Option<Link> {
        let log = async {
            let mut next = Some(refused);
            while let Some(batch) = next {
                self.log(batch, buffers).await;
                while self.hold.get() {
                    self.released.notified().await;
                }
                next = self.next(buffers).await;
            }
            // The desk is closed: what remains is the drain's.
            self.progress.notify_one();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = log => None,
            link = self.drain() => link,
        }
    }

    async fn log(&self, mut batch: Batch, buffers: &mut Buffers) {
        let blob = std::mem::take(&mut batch.blob);
        let (blob, appended) = self.log.append(batch.number, blob).await;
        batch.blob = blob;
        match appended {
            Ok(length) => {
                self.written.set(length);
                self.desk.stats.to_log.one();
                self.desk.stats.refused_now.set(0);
                self.gauge_log();
            }
            Err(error) => {
                // Said once: a full disk is not helped by a line for every batch.
                if self.desk.stats.refused_now.get() == 0 {
                    tracing::error!(
                        lane = %self.lane, number = batch.number, %error,
                        "neither redis nor the lane log takes batches: they are dropped and counted"
                    );
                }
                self.dropped(&batch).await;
            }
        }
        self.answered(batch, buffers);
    }

    /// Counts a drop on disk before anybody is answered.
    async fn dropped(&self, batch: &Batch) {
        self.desk.commit.dropped();
        self.desk.stats.refused_now.set(1);
        self.desk.stats.dropped_batches.one();
        self.desk.stats.dropped_records.add(batch.records.into());
        if let Err(error) = self.log.count_drop(batch.records).await
            && self.desk.stats.dropped_batches.get() == 1
        {
            tracing::error!(lane = %self.lane, %error, "a drop is counted in metrics alone");
        }
    }

    fn gauge_log(&self) {
        self.desk.stats.log_bytes.set(self.written.get() - self.replayed.get());
    }
}

fn today() -> Day {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Day::of_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
