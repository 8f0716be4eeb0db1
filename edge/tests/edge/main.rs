//! The edge as its clients, its operators and its disasters see it: the real binary beside a real
//! redis-server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "cargo shows what a failed test's edge said")]

mod answers;
mod bad_input;
mod control;
mod door;
mod fixture;
mod objections;
mod outages;
