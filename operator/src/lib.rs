//! From custom resources to a running regional stack: what a person applies becomes objects,
//! keys, entries of the refusal log, and a status that says what was done.
//!
//! Path of a change: watch → reconcile → (fetch → validate → build → apply → status). `build` is
//! pure; only the first and the last two hold a client. Nothing is written that does not differ,
//! so that an operator at rest, or one that was just restarted, writes nothing but its Lease.
//!
//! In reading order:
//!
//! 1. [`config`]: the command line. [`context`]: what every part is given.
//! 2. [`region`]: one Region into keys and the objects of its stack.
//! 3. [`apply`]: server-side apply of what differs, and conflicts that are told, not fought.
//! 4. [`tenancy`], with [`tenant`], [`campaign`] and [`policies`]: effective policy and phases.
//! 5. [`refusals`]: the one who appends to the refusal log; [`asks`]: people who ask for that.
//! 6. [`counts`]: what epochs published, for the status of campaigns. [`plans`]: policies for the
//!    writer, and its plans of them.
//! 7. [`conditions`]: how a status says all this.
//! 8. [`probe`]: the other program in this one, for pods that try the network.
//! 9. [`run`], [`leader`], [`client`], [`access`], [`admin`], [`metrics`], [`reconcile`],
//!    [`redis_link`]: running well.
//!
//! Architecture invariant: Secrets, volumes and their data are never deleted here, and nothing
//! here reads a hit.

pub mod access;
pub mod admin;
pub mod apply;
pub mod asks;
pub mod campaign;
pub mod client;
pub mod conditions;
pub mod config;
pub mod context;
pub mod counts;
pub mod error;
pub mod leader;
mod listen;
pub mod metrics;
pub mod plans;
pub mod policies;
pub mod probe;
pub mod reconcile;
pub mod redis_link;
pub mod refusals;
pub mod region;
pub mod run;
pub mod tenancy;
pub mod tenant;

pub use context::{ActiveRegion, Context};
pub use error::Error;

/// Who owns the fields that are applied here.
pub const FIELD_MANAGER: &str = "hushmark-operator";
