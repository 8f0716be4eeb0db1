//! What a plan says, its hash, and whether it still holds. Pure.

use std::fmt::Write as _;

use hushmark_policy::retention::{Due, Step, due, has_drifted};
use hushmark_policy::{CampaignId, Day, TenantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Policy, PolicyKind, Reached};
use crate::audit::Reason;
use crate::chain::Hash32;

/// Rows of one kind that a step is due for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The table.
    pub table: String,
    /// Of `counters` and `published` the dimension, of `hits` nothing.
    pub part: String,
    /// Rows as a reader sees them: several that wait for a merge are one.
    pub rows: u64,
    /// About how many bytes they take on disk, by the table's mean row.
    pub bytes: u64,
    /// The months of their partitions, like `2026-11`; `published` has none.
    pub partitions: Vec<String>,
    /// The day of the oldest, for counters the first of its month; empty where a table knows none.
    pub oldest: String,
}

/// Rows of a table, all dimensions together.
#[must_use]
pub fn rows(found: &[Found], table: &str) -> u64 {
    found.iter().filter(|found| found.table == table).map(|found| found.rows).sum()
}

/// A campaign of which nothing is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// `namespace/name`.
    pub name: String,
    /// What its legal hold says.
    pub reason: String,
}

/// What a policy would remove and change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this form.
    pub schema: u32,
    /// The region.
    pub region: String,
    /// Which kind of policy.
    pub kind: PolicyKind,
    /// `namespace/name`.
    pub policy: String,
    /// What the policy says, as JSON.
    pub spec: String,
    /// The campaigns that it reaches.
    pub campaigns: Vec<Reached>,
    /// Those that a legal hold keeps.
    pub held: Vec<Held>,
    /// What would be done, in this order.
    pub steps: Vec<Planned>,
}

/// A step, with what it was found to be due for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its name.
    pub step: String,
    /// The first day of arrival that is not touched.
    pub before: String,
    /// Rows older than this go in the same plan, and are not changed first.
    pub gone_before: Option<String>,
    /// What there is to do.
    pub found: Vec<Found>,
}

/// A step that was done, with what was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its name.
    pub step: String,
    /// The first day of arrival that was not touched.
    pub before: String,
    /// What was removed and changed.
    pub removed: Vec<Found>,
}

impl Done {
    /// A step that was done.
    #[must_use]
    pub fn new(due: Due, removed: Vec<Found>) -> Self {
        Self { step: due.step.name().to_owned(), before: due.before.to_string(), removed }
    }
}

/// Why a plan is not carried out. `again` is the command that plans anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A legal hold came after the plan.
    #[error(
        "a legal hold keeps {campaign} since this plan was made ({reason}): nothing of it was \
         changed; plan anew to see what is left"
    )]
    OnHold {
        /// What is kept.
        campaign: String,
        /// What the hold says.
        reason: String,
    },
    /// Nobody may remove by it.
    #[error(
        "{0} has mode: plan, so nothing was changed: write mode: enforce into it, and plan anew"
    )]
    OnlyPlans(String),
    /// The policy is another one.
    #[error(
        "{policy} says something else since this plan was made, so nothing was changed: see what it \
         comes to with `{again}`, and give its hash"
    )]
    AnotherSpec {
        /// Whose plan.
        policy: String,
        /// How to plan anew.
        again: String,
    },
    /// It reaches others.
    #[error(
        "other campaigns name {policy} since this plan was made, so nothing was changed: see what \
         it comes to with `{again}`, and give its hash"
    )]
    OtherCampaigns {
        /// Whose plan.
        policy: String,
        /// How to plan anew.
        again: String,
    },
    /// The clock went back.
    #[error("this plan removes what is younger than {0} says today: is the clock right?")]
    TooYoung(String),
    /// Another version made it.
    #[error("the plan of {0} cannot be read: is it of this version?")]
    Unreadable(String),
    /// More or less is due.
    #[error(
        "step {step} was announced for {announced} rows of {table}, and {found} are due, more than \
         {percent} % apart (guard.driftPercent): nothing was changed; find out why, then plan anew \
         with `{again}`"
    )]
    Drifted {
        /// Which step.
        step: String,
        /// Of which table.
        table: &'static str,
        /// Rows by the plan.
        announced: u64,
        /// Rows now.
        found: u64,
        /// How much it may be.
        percent: u8,
        /// How to plan anew.
        again: String,
    },
}

impl Unfit {
    /// As the audit log says it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::OnHold { .. } => Reason::LegalHold,
            _ => Reason::PlanChanged,
        }
    }
}

impl Plan {
    /// A plan of what was found.
    #[must_use]
    pub fn new(policy: &Policy, found: Vec<(Due, Vec<Found>)>) -> Self {
        Self {
            schema: 1,
            region: policy.region.clone(),
            kind: policy.kind,
            policy: policy.full_name(),
            spec: policy.spec.clone(),
            campaigns: policy.campaigns.clone(),
            held: policy.held.clone(),
            steps: found.into_iter().map(|(due, found)| Planned::new(due, found)).collect(),
        }
    }

    /// What is hashed: who is meant, when, and how many rows; not the bytes, which a merge changes.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = format!("hushmark plan 1\nregion {}\n", self.region);
        let mut line = |args: std::fmt::Arguments<'_>| {
            writeln!(text, "{args}").expect("a string takes any text");
        };
        line(format_args!("policy {} {}", self.kind.name(), self.policy));
        line(format_args!("spec {}", self.spec));
        for Reached { name, id } in &self.campaigns {
            line(format_args!("campaign {id} {name}"));
        }
        for Held { name, .. } in &self.held {
            line(format_args!("held {name}"));
        }
        for Planned { step, before, gone_before, found } in &self.steps {
            let from = gone_before.as_deref().unwrap_or("-");
            line(format_args!("step {step} from {from} before {before}"));
            for Found { table, part, rows, .. } in found {
                let part = if part.is_empty() { "-" } else { part };
                line(format_args!("rows {table} {part} {rows}"));
            }
        }
        text
    }

    /// The one name of the plan.
    #[must_use]
    pub fn hash(&self) -> Hash32 {
        Hash32(Sha256::digest(self.canonical()).into())
    }

    /// Whose data it is about.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        let namespace = self.policy.split_once('/').map_or("", |(namespace, _)| namespace);
        TenantId::derive(&self.region, namespace)
    }

    /// The field of its hand-over and of its plan in Redis.
    #[must_use]
    pub fn field(&self) -> String {
        super::field(self.kind, &self.policy)
    }

    /// The command that plans anew in a cluster.
    #[must_use]
    pub fn again(&self) -> String {
        format!("kubectl hushmark plan {}", self.typed())
    }

    /// Its policy as it is typed in a cluster.
    #[must_use]
    pub fn typed(&self) -> String {
        let (namespace, name) = self.policy.split_once('/').unwrap_or_default();
        format!("{}/{name} -n {namespace}", self.kind.name().to_ascii_lowercase())
    }

    /// Whether nothing is due.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.found.is_empty())
    }

    /// The campaigns that it reaches.
    #[must_use]
    pub fn campaign_ids(&self) -> Vec<CampaignId> {
        self.campaigns.iter().map(|campaign| campaign.id).collect()
    }

    /// Fails where a legal hold keeps one of its campaigns.
    ///
    /// # Errors
    /// [`Unfit::OnHold`].
    pub fn no_hold(&self, policy: &Policy) -> Result<(), Unfit> {
        let of_plan = |name: &str| self.campaigns.iter().any(|campaign| campaign.name == name);
        match policy.held.iter().find(|held| of_plan(&held.name)) {
            Some(Held { name, reason }) => {
                Err(Unfit::OnHold { campaign: name.clone(), reason: reason.clone() })
            }
            None => Ok(()),
        }
    }

    /// Fails unless the policy says and reaches what it did when this was announced. `again` is the
    /// command that plans anew.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn still_holds(&self, policy: &Policy, today: Day, again: &str) -> Result<(), Unfit> {
        self.no_hold(policy)?;
        let (name, again) = (self.policy.clone(), again.to_owned());
        if !policy.enforces {
            return Err(Unfit::OnlyPlans(name));
        }
        if policy.spec != self.spec {
            return Err(Unfit::AnotherSpec { policy: name, again });
        }
        if policy.campaigns != self.campaigns {
            return Err(Unfit::OtherCampaigns { policy: name, again });
        }
        let now = due(&policy.limits, today);
        for step in &self.steps {
            let announced = step.due().ok_or_else(|| Unfit::Unreadable(name.clone()))?;
            let now = now.iter().find(|due| due.step == announced.step);
            if now.is_none_or(|now| announced.before > now.before) {
                return Err(Unfit::TooYoung(name));
            }
        }
        Ok(())
    }
}

impl Planned {
    fn new(due: Due, found: Vec<Found>) -> Self {
        let gone_before = (due.gone_before > Day(0)).then(|| due.gone_before.to_string());
        let (step, before) = (due.step.name().to_owned(), due.before.to_string());
        Self { step, before, gone_before, found }
    }

    /// The step as it was announced; none where this version does not know it.
    #[must_use]
    pub fn due(&self) -> Option<Due> {
        Some(Due {
            step: Step::ALL.into_iter().find(|step| step.name() == self.step)?,
            before: Day::parse(&self.before)?,
            gone_before: self.gone_before.as_deref().map_or(Some(Day(0)), Day::parse)?,
        })
    }

    /// Fails where more or less is due than was announced. Of a plan that was begun a part may be
    /// done.
    ///
    /// # Errors
    /// [`Unfit::Drifted`].
    pub fn check_drift(
        &self,
        now: &[Found],
        (percent, is_begun): (u8, bool),
        again: &str,
    ) -> Result<(), Unfit> {
        for table in ["hits", "counters"] {
            let (announced, found) = (rows(&self.found, table), rows(now, table));
            let is_done_in_part = is_begun && found <= announced;
            if !is_done_in_part && has_drifted(announced, found, percent) {
                let (step, again) = (self.step.clone(), again.to_owned());
                return Err(Unfit::Drifted { step, table, announced, found, percent, again });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
