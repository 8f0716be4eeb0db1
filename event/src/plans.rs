//! Retention and anonymization policies on their way: what the operator hands the writer of each,
//! and what the writer tells of its plan. `WIRE.md`, "Policies and plans". On one machine a command
//! makes plans, and keeps them in files; a plan and its hash are the same.
//!
//! In reading order: here what is handed over and told, [`plan`] what a plan says, its hash, and
//! whether it still holds.

pub mod plan;

use hushmark_policy::retention::Limit;
use hushmark_policy::{CampaignId, Day, TenantId};
use serde::{Deserialize, Serialize};

use crate::audit::Reason;
use crate::audit::text::campaign_id;
use crate::chain::Hash32;
pub use plan::{Done, Found, Held, Plan, Planned, Unfit};

/// A kind of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyKind {
    /// How long data is kept.
    #[serde(rename = "RetentionPolicy")]
    Retention,
    /// How exactly data is kept as it ages.
    #[serde(rename = "AnonymizationPolicy")]
    Anonymization,
}

impl PolicyKind {
    /// As manifests spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retention => "RetentionPolicy",
            Self::Anonymization => "AnonymizationPolicy",
        }
    }
}

/// A policy and the campaigns that name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The region: ids are derived from its name.
    pub region: String,
    /// Which kind of policy.
    pub kind: PolicyKind,
    /// Its namespace, which is the tenant's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it says, as JSON with its fields in the order of their names.
    pub spec: String,
    /// Whether anything may be removed by it.
    pub enforces: bool,
    /// What is done after how many days.
    pub limits: Vec<Limit>,
    /// By how many per cent the rows found may differ from the rows announced.
    pub drift_percent: u8,
    /// The campaigns that nothing holds, by name.
    pub campaigns: Vec<Reached>,
    /// Those that a legal hold keeps.
    pub held: Vec<Held>,
}

impl Policy {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whose data it is about.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        TenantId::derive(&self.region, &self.namespace)
    }

    /// The field of its hand-over and of its plan in Redis.
    #[must_use]
    pub fn field(&self) -> String {
        field(self.kind, &self.full_name())
    }
}

/// The field of a policy's hand-over, and of its plan.
#[must_use]
pub fn field(kind: PolicyKind, full_name: &str) -> String {
    format!("{} {full_name}", kind.name())
}

/// A campaign, by name and id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// `namespace/name`.
    pub name: String,
    /// Its id.
    #[serde(with = "campaign_id")]
    pub id: CampaignId,
}

/// What the working writer tells of a policy: the plan that holds now, and what became of the last
/// one that was to be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The newest plan. None but this can be carried out.
    pub plan: Plan,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// How many entries the audit log had by then, as far as the writer had read it: only a later
    /// one can demand this plan, so that one that was obeyed is not obeyed again.
    pub after: u64,
    /// Since when it is carried out.
    pub begun: Option<Begun>,
    /// What became of the last plan that was demanded.
    pub last: Option<Past>,
    /// The hash of the plan that this one replaced: who demanded that one meanwhile is told so.
    #[serde(default)]
    pub replaced: Option<Hash32>,
}

impl Told {
    /// Whether it is the plan of what a policy says and reaches now, made on this day.
    #[must_use]
    pub fn is_of(&self, policy: &Policy, today: Day) -> bool {
        let plan = &self.plan;
        Day::of_unix_ms(self.made_ms) == today
            && plan.spec == policy.spec
            && plan.campaigns == policy.campaigns
            && plan.held == policy.held
    }
}

/// A plan that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The audit log's entry that demands it.
    pub entry: u64,
    /// Since when, in milliseconds since 1970. From then on less may be due than was announced.
    pub at_ms: u64,
    /// Steps that are done.
    pub done: Vec<Done>,
}

/// A plan that was carried out, or was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The audit log's entry that demanded it.
    pub entry: u64,
    /// Its hash.
    pub plan: Hash32,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// Steps that were done.
    pub done: Vec<Done>,
    /// Why the others were not.
    pub stopped: Option<Stopped>,
}

/// Why a plan was not carried out, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// In one word.
    pub reason: Reason,
    /// In words for people, with the next step.
    pub said: String,
}
