//! Conditions as `kubectl wait`, Argo CD and people read them (kstatus), and writing a status only
//! when it says something new.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

/// The spec is one that can be obeyed.
pub const SPEC_VALID: &str = "SpecValid";
/// What was wanted was applied.
pub const RECONCILE_SUCCEEDED: &str = "ReconcileSucceeded";
/// Every writer knows the schema that ClickHouse has.
pub const SCHEMA_IN_SYNC: &str = "SchemaInSync";
/// What runs, runs well.
pub const HEALTHY: &str = "Healthy";
/// The data is where the law wants it.
pub const RESIDENCY_PROVEN: &str = "ResidencyProven";
/// Everything is as the spec says.
pub const READY: &str = "Ready";
/// Something is under way; kstatus shows `InProgress`.
pub const RECONCILING: &str = "Reconciling";
/// Nothing goes on without a person; kstatus shows `Failed`.
pub const STALLED: &str = "Stalled";
/// False: another manager holds a field of an object.
pub const FIELDS_OWNED: &str = "FieldsOwned";
/// Only the declared hosts outside can be reached.
pub const EGRESS_LIMITED: &str = "EgressLimited";
/// The storage under the volumes encrypts.
pub const ENCRYPTED_AT_REST: &str = "EncryptedAtRest";
/// The stores answer the operator.
pub const STORES_ANSWER: &str = "StoresAnswer";
/// Every kind of others that the spec asks for can be made.
pub const APIS_AVAILABLE: &str = "ApisAvailable";
/// True: a person asked that what loosens waits.
pub const PAUSED: &str = "Paused";

/// A policy's plan was made.
pub const PLANNED: &str = "Planned";
/// What was last demanded by a policy's plan was done.
pub const ENFORCED: &str = "Enforced";

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody can tell.
    Unknown,
}

impl Status {
    /// As Kubernetes spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Status {
    fn from(is: bool) -> Self {
        if is { Self::True } else { Self::False }
    }
}

/// A condition before it has a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What is said something about.
    pub type_: &'static str,
    /// Whether it is so.
    pub status: Status,
    /// Why, in one word for programs.
    pub reason: &'static str,
    /// Why, and what to do next, in words for people.
    pub message: String,
}

impl Wanted {
    /// A condition.
    #[must_use]
    pub fn new(
        type_: &'static str,
        status: Status,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// Every wanted condition, in the order given. The time of one whose status is what it was stays:
/// it says since when.
#[must_use]
pub fn merge(
    old: &[Condition],
    wanted: &[Wanted],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    // Kubernetes keeps whole seconds; finer ones would differ from what is read back.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let since = |wanted: &Wanted| {
        let same = |c: &&Condition| c.type_ == wanted.type_ && c.status == wanted.status.name();
        old.iter().find(same).map_or(Time(now), |c| c.last_transition_time.clone())
    };
    wanted
        .iter()
        .map(|wanted| Condition {
            type_: wanted.type_.to_owned(),
            status: wanted.status.name().to_owned(),
            observed_generation: Some(generation),
            last_transition_time: since(wanted),
            reason: wanted.reason.to_owned(),
            message: short(&wanted.message),
        })
        .collect()
}

/// How a resource is, from which the conditions that kstatus reads follow, so that no two of them
/// contradict each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Everything is as the spec says.
    Ready(&'static str, String),
    /// It waits for something that comes by itself.
    Waiting(&'static str, String),
    /// It waits for a person; the spec itself is good.
    Blocked(&'static str, String),
    /// The spec is refused.
    Refused(&'static str, String),
}

/// The conditions of a resource that has no objects of its own.
#[must_use]
pub fn of(outcome: &Outcome, paused: bool) -> Vec<Wanted> {
    use Status::{False, True};
    let (Outcome::Ready(reason, message)
    | Outcome::Waiting(reason, message)
    | Outcome::Blocked(reason, message)
    | Outcome::Refused(reason, message)) = outcome;
    let reason = *reason;
    let is_ready = matches!(outcome, Outcome::Ready(..));
    let is_waiting = matches!(outcome, Outcome::Waiting(..));
    let is_stalled = matches!(outcome, Outcome::Blocked(..) | Outcome::Refused(..));
    let said = |is: bool| if is { message.clone() } else { String::new() };
    let valid = if matches!(outcome, Outcome::Refused(..)) {
        Wanted::new(SPEC_VALID, False, reason, message.clone())
    } else {
        Wanted::new(SPEC_VALID, True, "Accepted", "")
    };
    let pause = if paused {
        let message = "the annotation hushmark.io/paused is set: what tightens is obeyed, what \
                       loosens waits until it is taken away";
        Wanted::new(PAUSED, True, "Asked", message)
    } else {
        Wanted::new(PAUSED, False, "NotAsked", "")
    };
    vec![
        valid,
        Wanted::new(READY, is_ready.into(), reason, message.clone()),
        Wanted::new(
            RECONCILING,
            is_waiting.into(),
            if is_waiting { reason } else { "Idle" },
            said(is_waiting),
        ),
        Wanted::new(
            STALLED,
            is_stalled.into(),
            if is_stalled { reason } else { "NotStalled" },
            said(is_stalled),
        ),
        pause,
    ]
}

/// The patch that makes `new` the status, if it says anything that `old` does not. Nulls stay:
/// to a merge patch they mean that nothing is there any more.
#[must_use]
pub fn patch<S: Serialize + PartialEq>(old: Option<&S>, new: &S) -> Option<Json> {
    (old != Some(new)).then(|| serde_json::json!({ "status": new }))
}

/// The same without the nulls of its fields, for a server-side apply, which owns what it names.
#[must_use]
pub fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The schema takes 4,096 characters, and nobody reads more.
fn short(message: &str) -> String {
    match message.char_indices().nth(4_000) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
