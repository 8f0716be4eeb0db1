//! The names of everything in Redis. `WIRE.md`, "Redis", says who may write which.

use crate::lane::Lane;

/// What every lane's stream begins with; the writer finds lanes by `SCAN` for it.
pub const LANE_PREFIX: &str = "ev:";

/// The field of a stream entry that holds the sealed batch.
pub const BATCH_FIELD: &str = "b";

/// Hash of dead letters: field `lane:number`, value the sealed batch.
pub const DEAD: &str = "dead";

/// The fenced lease: its value is the working writer's random id. It expires unless renewed.
pub const WRITER_LEASE: &str = "writer:lease";

/// What the working writer is about to store, set before the first send. See [`crate::cut`].
pub const WRITER_CUT: &str = "writer:cut";

/// What begins the name of what a writer says of itself. See [`crate::told`].
pub const WRITER_TOLD_PREFIX: &str = "writer:told:";

/// Stream of the refusal log: entry `n-0`, field `e`, the n-th entry's bytes.
pub const REFUSALS: &str = "refusals";

/// The field of a refusal entry.
pub const REFUSAL_FIELD: &str = "e";

/// Set of days, as `2026-11-21`, that every lane has passed: whoever holds the key files destroys
/// their keys and takes them out.
pub const CLOSABLE_DAYS: &str = "days:closable";

/// The refusal log's signed head.
pub const REFUSALS_HEAD: &str = "refusals:head";

/// Stream of the audit log, as the refusal log's. Edges do not read it.
pub const AUDIT: &str = "audit";

/// The audit log's signed head.
pub const AUDIT_HEAD: &str = "audit:head";

/// Hash of what became of erasures: field the refusal log's entry, value
/// [`crate::audit::Ended`].
pub const ERASED: &str = "erased";

/// Stream of requests to the one who appends to the refusal log.
pub const ASKS: &str = "asks";

/// So many requests of recipients may wait in [`ASKS`]: the rest waits in the lanes.
pub const ASKS_MOST: u64 = 10_000;

/// The field of a request that says why a command refused by itself what it was asked for, for the
/// audit log. Nothing is to be refused beside it.
pub const DECLINED_FIELD: &str = "d";

/// The field of a request that says who asks for what, for the audit log.
pub const QUESTION_FIELD: &str = "q";

/// Hash of what epochs published: field campaign, value [`crate::Totals`].
pub const PUBLISHED: &str = "published";

/// The epoch that last changed [`PUBLISHED`], written after it: seconds since 1970.
pub const PUBLISHED_EPOCH: &str = "published:epoch";

/// Hash of policies for the writer: field [`crate::plans::Policy::field`], value
/// [`crate::plans::Policy`].
pub const POLICIES: &str = "policies";

/// Hash of what they come to: the same field, value [`crate::plans::Told`].
pub const PLANS: &str = "plans";

/// A lane's stream.
#[must_use]
pub fn lane_stream(lane: Lane) -> String {
    format!("{LANE_PREFIX}{lane}")
}

/// The field of a dead letter in [`DEAD`].
#[must_use]
pub fn dead_field(lane: Lane, number: u64) -> String {
    format!("{lane}:{number}")
}

/// What the writer of a pod says of itself; it stands for fifteen seconds, and the last words of one
/// that ends for five minutes and a half.
#[must_use]
pub fn writer_told(pod: &str) -> String {
    format!("{WRITER_TOLD_PREFIX}{pod}")
}

/// An edge process's heartbeat; it lives ten seconds.
#[must_use]
pub fn heartbeat(incarnation: u64) -> String {
    format!("edge:{incarnation:016x}")
}
