//! A policy's plan: what a person's command reads of it, and the demand that it is carried out.

use hushmark_policy::Day;
use serde::{Deserialize, Serialize};

use crate::audit::{Name, Reason};
use crate::chain::Hash32;
use crate::plans::{Plan, Policy, PolicyKind, Told, Unfit};

/// Where plans are asked for.
pub const PLANS_PATH: &str = "/plans";

/// Where a plan is demanded.
pub const ENFORCE_PATH: &str = "/enforce";

/// Which policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanQuestion {
    /// The Region that it is in.
    pub region: String,
    /// Which kind of policy.
    pub kind: PolicyKind,
    /// `namespace/name`.
    pub policy: String,
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// Whether the policy has `mode: enforce` now.
    pub enforces: bool,
    /// What the writer tells of its plan, once it made one of what the policy says now.
    pub told: Option<Told>,
}

/// A demand that a plan is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnforceAsk {
    /// Which policy.
    pub of: PlanQuestion,
    /// Who asks, by that one's own word.
    pub by: Name,
    /// The plan's hash.
    pub plan: Hash32,
}

/// It is demanded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnforceAnswer {
    /// The entry of the audit log that demands it.
    pub entry: u64,
}

/// Why a plan is not demanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEnforceable {
    /// There is no such policy, or it is refused.
    #[error("there is no {0} that this operator accepted")]
    NoPolicy(String),
    /// The writer has not made one.
    #[error("the writer has made no plan of {0} yet: ask again in a minute")]
    NoPlan(String),
    /// It is an old one, or of another policy.
    #[error("this plan is not the newest one of {policy}: look at `{again}`, and give its hash")]
    NotTheNewest {
        /// Of which.
        policy: String,
        /// How to see the newest.
        again: String,
    },
    /// It was carried out.
    #[error("this plan was carried out: see what is due now with `{0}`")]
    Past(String),
    /// There is nothing to do.
    #[error("nothing is due by this plan, and nothing was changed")]
    NothingDue,
    /// It is not the plan any more of what is due.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

impl NotEnforceable {
    /// As the audit log says it; none where there is nothing to tell of.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::NoPolicy(_) => Some(Reason::Unknown),
            Self::NoPlan(_) => Some(Reason::NotNow),
            Self::NotTheNewest { .. } | Self::Past(_) => Some(Reason::PlanChanged),
            Self::NothingDue => None,
            Self::Unfit(unfit) => Some(unfit.reason()),
        }
    }
}

/// Whether a plan may be carried out; and the entry that demands it already, if one does.
///
/// # Errors
/// [`NotEnforceable`].
pub fn may_enforce(
    policy: Option<&Policy>,
    told: Option<&Told>,
    (of, hash): (&PlanQuestion, Hash32),
    today: Day,
) -> Result<Option<u64>, NotEnforceable> {
    let name = || format!("{} {}", of.kind.name(), of.policy);
    let policy = policy.ok_or_else(|| NotEnforceable::NoPolicy(name()))?;
    let told = told.ok_or_else(|| NotEnforceable::NoPlan(name()))?;
    let plan: &Plan = &told.plan;
    if plan.hash() != hash {
        let last = told.last.as_ref().filter(|last| last.plan == hash && last.stopped.is_none());
        let again = plan.again();
        return Err(match last {
            Some(_) => NotEnforceable::Past(again),
            None => NotEnforceable::NotTheNewest { policy: name(), again },
        });
    }
    if let Some(begun) = &told.begun {
        return Ok(Some(begun.entry));
    }
    plan.still_holds(policy, today, &plan.again())?;
    if plan.is_empty() { Err(NotEnforceable::NothingDue) } else { Ok(None) }
}

#[cfg(test)]
mod tests;
