//! Drains lanes into ClickHouse, every answered hit exactly once, whatever is killed.
//!
//! The path of a hit, in reading order:
//!
//! 1. [`lanes`]: streams are found and read.
//! 2. [`entry`]: one entry is opened; what cannot be opened is a dead letter or a counted drop.
//! 3. [`behaviour`]: what a mark did in the ten seconds around a click.
//! 4. [`queue`]: what waits, what ClickHouse holds already, and the choice of the next cut.
//! 5. [`scripts`]: the cut is written down, under the lease.
//! 6. [`judge`]: the last word on a hit: caps, closed days, behaviour.
//! 7. [`cells`] and [`rows`]: hits become rows.
//! 8. [`store`]: ledger look-up and send, on one connection that is never reopened.
//!
//! Around it: [`lease`] (one writer works), [`session`] (all of the above in order, from nothing
//! but what the stores tell), [`service`] (standing by, draining). Beside a session, told by
//! [`shared`]: [`publish`] (what an epoch shows), [`erase`] (what the refusal log demands to be gone),
//! [`plans`] (what a cluster's policies come to) and [`housekeeping`] (merges, days of last opens, a
//! cluster's [`audit`] log in ClickHouse, closing of [`days`]). On its own: [`retention`] (what
//! policies remove), which a person's command does on one machine.
//! For all: [`migrate`], [`keys`], [`redis_at`], [`refusals`], [`metrics`], [`admin`], [`told`],
//! [`config`].
//!
//! Architecture invariant: [`behaviour`], [`queue`], [`judge`], [`cells`] and [`days`] do no I/O and read no
//! clock. Nothing is removed from Redis before every target has it.

pub mod admin;
pub mod audit;
pub mod behaviour;
pub mod cells;
pub mod config;
pub mod days;
pub mod entry;
pub mod erase;
mod failpoints;
pub mod housekeeping;
pub mod judge;
pub mod keys;
pub mod lanes;
mod last_opens;
pub mod lease;
pub mod metrics;
pub mod migrate;
pub mod objections;
mod once;
pub mod plans;
pub mod publish;
pub mod queue;
pub mod redis_at;
pub mod refusals;
pub mod retention;
pub mod rows;
pub mod scripts;
pub mod service;
pub mod session;
pub mod shared;
pub mod store;
pub mod told;
