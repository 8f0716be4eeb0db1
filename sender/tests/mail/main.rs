//! What is sent, looked at from outside: every message is parsed by programs that are not ours
//! (html5ever, mail-parser), and every token is opened with the region's key.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod fixture;
mod golden;
mod roundtrip;
mod rules;
mod stamping;
