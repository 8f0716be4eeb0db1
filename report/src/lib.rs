//! The published tables as text, JSON and CSV.
//!
//! What is read here was judged before it was stored: an epoch publishes what the minimum group
//! allows, and for `overall` and `anonymous` nothing else is ever read. In reading order:
//! [`model`] (what a report is), [`read`] (from ClickHouse), [`text`], [`export`] (JSON and CSV),
//! and [`counters`] (the raw counters, for operators on one machine alone).
//!
//! What is told of single people is apart, and needs the tenant's key: [`people`] says of which
//! campaigns that is possible at all, [`deliveries`] what is known of mail in every mode. From the two
//! come a [`segment`], a [`contact`]'s page (both with `last_opens`), a campaign's [`mailing`] and the
//! [`log`] of transactional mail; `days` is what the last two may say of hits whose readers are not
//! known.

pub mod completed;
pub mod contact;
pub mod counters;
mod days;
pub mod deliveries;
pub mod export;
mod last_opens;
pub mod log;
pub mod mailing;
pub mod model;
pub mod people;
pub mod read;
pub mod segment;
pub mod text;

pub use model::{Cell, KindReport, Report, Uniques};
pub use people::{Ended, Known, Person, Whom};
pub use read::{ClickHouse, ReadError, campaign, erased};
