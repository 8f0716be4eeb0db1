//! The meeting point of a core's requests and its lane: requests append records and wait, the lane
//! takes the batch and says when it is durable.
//!
//! All of it lives on one thread: no lock, no channel. Waiting is a list of wakers.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use hushmark_event::{self as event, BatchBuilder, Hit, Objection};
use hushmark_policy::Kind;

/// Which batch a record went into; batches are counted from 1 within a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

pub(crate) struct Commit {
    open: RefCell<BatchBuilder>,
    /// The number of the batch that is being filled.
    filling: Cell<u64>,
    /// The last batch that is durable, or whose drop was counted.
    durable: Cell<u64>,
    /// The last batch that was dropped; 0 before the first.
    dropped: Cell<u64>,
    /// Requests in the open batch. Bounded by the core's connections: one request each.
    waiting: RefCell<Vec<Waker>>,
    /// Requests in the batch that is in flight.
    in_flight: RefCell<Vec<Waker>>,
    /// The lane, while it waits for a first record.
    lane: Cell<Option<Waker>>,
    /// No record will come any more.
    closed: Cell<bool>,
}

impl Commit {
    pub(crate) fn new(rules: u16) -> Self {
        Self {
            open: RefCell::new(BatchBuilder::new(rules)),
            filling: Cell::new(1),
            durable: Cell::new(0),
            dropped: Cell::new(0),
            waiting: RefCell::default(),
            in_flight: RefCell::default(),
            lane: Cell::new(None),
            closed: Cell::new(false),
        }
    }

    /// Whether another record fits. A batch holds 65,535 and leaves within 60 ms even where Redis
    /// does not answer, in which no core answers so many: it is full only where the disk hangs.
    pub(crate) fn has_room(&self) -> bool {
        self.open.borrow().has_room()
    }

    pub(crate) fn hit(&self, hit: &Hit) -> Ticket {
        self.open.borrow_mut().push_hit(hit);
        self.appended()
    }

    /// As long as what it stands for; 1 where that is nothing.
    pub(crate) fn void(&self, length: usize, now_ms: u64) -> Ticket {
        self.open.borrow_mut().push_void(length, now_ms);
        self.appended()
    }

    /// The trace of a hit that policy forbids, of which nothing is left but its length.
    pub(crate) fn forbidden(
        &self,
        of: &event::Context,
        kind: Kind,
        has_country: bool,
        now_ms: u64,
    ) -> Ticket {
        self.open.borrow_mut().push_forbidden(of, kind, has_country, now_ms);
        self.appended()
    }

    pub(crate) fn objection(&self, objection: &Objection, now_ms: u64) -> Ticket {
        self.open.borrow_mut().push_objection(objection, now_ms);
        self.appended()
    }

    fn appended(&self) -> Ticket {
        if let Some(lane) = self.lane.take() {
            lane.wake();
        }
        Ticket(self.filling.get())
    }

    /// Whether the record's batch may be answered; `cx` is woken when it may. `registered` is the
    /// request's own, so that it stands in the list once.
    pub(crate) fn poll_durable(
        &self,
        ticket: Ticket,
        registered: &mut bool,
        cx: &Context<'_>,
    ) -> Poll<()> {
        if ticket.0 <= self.durable.get() {
            return Poll::Ready(());
        }
        if !*registered {
            *registered = true;
            let list = if ticket.0 == self.filling.get() { &self.waiting } else { &self.in_flight };
            list.borrow_mut().push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// For the lane: takes the open batch as soon as there is a record in it, and says how many;
    /// `None` once the desk is closed and empty.
    pub(crate) fn poll_take(&self, packed: &mut Vec<u8>, cx: &Context<'_>) -> Poll<Option<u16>> {
        if self.open.borrow().is_empty() {
            if self.closed.get() {
                return Poll::Ready(None);
            }
            self.lane.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let records = self.open.borrow_mut().take(packed);
        self.filling.set(self.filling.get() + 1);
        self.waiting.swap(&self.in_flight);
        Poll::Ready(Some(records))
    }

    /// Says that no record will come any more.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        if let Some(lane) = self.lane.take() {
            lane.wake();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// For the lane: the batch last taken is not durable, but counted as a drop.
    pub(crate) fn dropped(&self) {
        self.dropped.set(self.filling.get() - 1);
    }

    /// Whether a record that may be answered may be lost all the same: it is, or a later one is.
    /// Who must not promise what did not happen promises too little then.
    pub(crate) fn may_be_dropped(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.dropped.get()
    }

    /// For the lane: the batch last taken is durable, and its requests are answered.
    pub(crate) fn answered(&self) {
        self.durable.set(self.filling.get() - 1);
        for waker in self.in_flight.borrow_mut().drain(..) {
            waker.wake();
        }
    }
}
