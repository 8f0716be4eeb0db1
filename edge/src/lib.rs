//! The pixel and redirect server.
//!
//! The path of a request, in reading order:
//!
//! 1. [`start`]: everything that can fail before the first request, from the [`config`].
//! 2. `worker`: one core, which is one thread, one listener, one lane.
//! 3. `door`: from a socket to HTTP: the PROXY protocol and TLS, where they are configured.
//!    `conn`: one connection, its limits, its parking.
//! 4. `handler`: one request: verify, classify, append, answer. With [`classify`] (who made it),
//!    [`client_addr`] (where from), [`place`] (which country) and [`reply`] (every answer).
//! 5. `commit`: where requests wait for their batch.
//! 6. `lane`: seals the batch and brings it to Redis over a `link`, which speaks `resp`; or, when
//!    Redis is slow or gone, to the `lane_log`, and from there to Redis in order.
//! 7. `replay`: the same for the logs of processes that died.
//! 8. `control`: keys, refusal log, heartbeat and metrics, on a thread that serves nobody.
//!
//! Invariants: a request is answered only when its record is durable or its drop is counted. No
//! address and no user agent outlives its request. Nothing here knows Kubernetes or ClickHouse.

pub mod classify;
pub mod client_addr;
mod commit;
pub mod config;
mod conn;
mod control;
mod door;
mod handler;
mod known;
mod lane;
mod lane_log;
mod link;
mod page;
pub mod place;
pub mod replay;
pub mod reply;
mod resp;
mod serve;
pub mod start;
mod stats;
mod worker;

pub use door::tls::TlsError;
pub use lane_log::dropped_records;
pub use serve::{Edge, replay};
