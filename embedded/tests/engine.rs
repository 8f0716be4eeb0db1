//! `hushmark-embedded` as its clients see it: the real binary, the real engine, real sockets.
//!
//! The engine library's path comes in `HUSHMARK_ENGINE_LIB`; `cargo xtask test` sets it.
#![allow(clippy::unwrap_used, reason = "a test's helper may fail like the test itself")]

#[path = "engine/background.rs"]
mod background;
#[path = "engine/client.rs"]
mod client;
#[path = "engine/exactly_once.rs"]
mod exactly_once;
#[path = "engine/http.rs"]
mod http;
#[path = "engine/limits.rs"]
mod limits;
#[path = "engine/process.rs"]
mod process;
#[path = "engine/support.rs"]
mod support;
