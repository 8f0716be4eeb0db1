//! ClickHouse's HTTP interface over the in-process engine, for one machine and for tests.
//!
//! A request's way: [`server`] accepts and bounds it, [`access`] sees who asks, [`answer`] reads
//! what for ([`request`]), finds where an insert's rows begin ([`sql`]), streams its body ([`body`],
//! unpacked by [`blocks`]) to a thread on which [`engine`] runs the statement in a session of its
//! own through [`ffi`], and sends what came of it, or the error as ClickHouse words it
//! ([`failure`]). [`folder`] keeps a second process off the same data.
//!
//! Architecture invariants: `unsafe` is in [`ffi`] alone. No call into the engine is made on an
//! async thread. No state of one request reaches another: no pool of sessions, no `SET` that
//! stays. Nothing here knows Hushmark's tables: this room depends on no other.

pub mod access;
pub mod answer;
pub mod blocks;
pub mod body;
pub mod engine;
pub mod failure;
pub mod ffi;
pub mod folder;
pub mod request;
pub mod server;
pub mod sql;
