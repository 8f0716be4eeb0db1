//! The writer against a real Redis and the real engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod epochs;
mod erasures;
mod exactly_once;
mod faults;
mod last_opens;
mod objections;
mod plans;
#[cfg(feature = "failpoints")]
mod protections;
mod retention;
mod support;
