//! The published tables as text, JSON and CSV.
//!
//! What is read here was judged before it was stored: an epoch publishes what the minimum group
//! allows, and for `overall` and `anonymous` nothing else is ever read. In reading order:
//! [`model`] (what a report is), [`read`] (from ClickHouse), [`text`], [`export`] (JSON and CSV),
//! and [`counters`] (the raw counters, for operators on one machine alone).

pub mod counters;
pub mod export;
pub mod model;
pub mod read;
pub mod text;

pub use model::{Cell, KindReport, Report, Uniques};
pub use read::{ReadError, campaign, client, erased};
