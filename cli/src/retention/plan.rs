//! What a plan says, and its hash. Pure.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use hushmark_event::chain::Hash32;
use hushmark_policy::retention::{Due, Step};
use hushmark_policy::{CampaignId, Day, TenantId};
use hushmark_writer::retention::Found;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policies::{Policy, PolicyKind};

/// What a policy would remove and change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The version of this form.
    pub(crate) schema: u32,
    pub(crate) region: String,
    pub(crate) kind: PolicyKind,
    /// `namespace/name`.
    pub(crate) policy: String,
    /// What the policy says, as JSON.
    pub(crate) spec: String,
    /// The campaigns that it reaches.
    pub(crate) campaigns: Vec<Reached>,
    /// Those that a legal hold keeps.
    pub(crate) held: Vec<Held>,
    pub(crate) steps: Vec<Planned>,
}

/// A campaign, by name and id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reached {
    pub(crate) name: String,
    pub(crate) id: String,
}

/// A campaign of which nothing is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// A step, with what it was found to be due for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Planned {
    pub(crate) step: String,
    /// The first day of arrival that is not touched.
    pub(crate) before: String,
    /// Rows older than this go in the same plan, and are not changed first.
    pub(crate) gone_before: Option<String>,
    pub(crate) found: Vec<Found>,
}

impl Plan {
    pub(crate) fn new(region: &str, policy: &Policy, found: Vec<(Due, Vec<Found>)>) -> Self {
        let reached =
            |(name, id): &(String, CampaignId)| Reached { name: name.clone(), id: id.to_string() };
        let held =
            |(name, reason): &(String, String)| Held { name: name.clone(), reason: reason.clone() };
        Self {
            schema: 1,
            region: region.to_owned(),
            kind: policy.kind,
            policy: policy.full_name(),
            spec: policy.spec.clone(),
            campaigns: policy.campaigns.iter().map(reached).collect(),
            held: policy.held.iter().map(held).collect(),
            steps: found.into_iter().map(|(due, found)| Planned::new(due, found)).collect(),
        }
    }

    /// What is hashed: who is meant, when, and how many rows; not the bytes, which a merge changes.
    pub(crate) fn canonical(&self) -> String {
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

    pub(crate) fn hash(&self) -> Hash32 {
        Hash32(Sha256::digest(self.canonical()).into())
    }

    /// Whose data it is about.
    pub(crate) fn tenant(&self) -> TenantId {
        let namespace = self.policy.split_once('/').map_or("", |(namespace, _)| namespace);
        TenantId::derive(&self.region, namespace)
    }

    /// Fails for the plan of another policy than a person names, by NAME or NAMESPACE/NAME.
    pub(crate) fn is_of(&self, asked: &str) -> Result<()> {
        let name = self.policy.split_once('/').map_or("", |(_, name)| name);
        ensure!(
            asked == self.policy || asked == name,
            "this plan is of {} {}, and not of {asked}: give the hash that `hushmark plan {asked}` \
             prints",
            self.kind.name(),
            self.policy
        );
        Ok(())
    }

    /// Whether nothing is due.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.found.is_empty())
    }
}

impl Planned {
    fn new(due: Due, found: Vec<Found>) -> Self {
        let gone_before = (due.gone_before > Day(0)).then(|| due.gone_before.to_string());
        let (step, before) = (due.step.name().to_owned(), due.before.to_string());
        Self { step, before, gone_before, found }
    }

    /// The step as it was announced.
    pub(crate) fn due(&self) -> Result<Due> {
        let step = Step::ALL.into_iter().find(|step| step.name() == self.step);
        let day = |text: &str| Day::parse(text).with_context(|| format!("{text} is no day"));
        Ok(Due {
            step: step.with_context(|| format!("no step is called {}", self.step))?,
            before: day(&self.before)?,
            gone_before: self.gone_before.as_deref().map_or(Ok(Day(0)), day)?,
        })
    }

    /// Rows of a table that were announced, all dimensions together.
    pub(crate) fn rows(&self, table: &str) -> u64 {
        rows(&self.found, table)
    }
}

/// Rows of a table, all dimensions together.
pub(crate) fn rows(found: &[Found], table: &str) -> u64 {
    found.iter().filter(|found| found.table == table).map(|found| found.rows).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let found = Found {
            table: "counters".into(),
            part: "hour".into(),
            rows: 12,
            bytes: 800,
            partitions: vec!["2026-07".into()],
            oldest: "2026-07-03".into(),
        };
        let due = Due { step: Step::Hour, before: Day(20_000), gone_before: Day(19_000) };
        Plan {
            schema: 1,
            region: "eu".into(),
            kind: PolicyKind::Anonymization,
            policy: "acme/fade".into(),
            spec: "{}".into(),
            campaigns: vec![Reached { name: "acme/spring".into(), id: "0000000000000007".into() }],
            held: vec![Held { name: "acme/autumn".into(), reason: "a court".into() }],
            steps: vec![Planned::new(due, vec![found])],
        }
    }

    #[test]
    fn a_plan_is_hashed_as_it_reads() {
        insta::assert_snapshot!(plan().canonical(), @r"
        hushmark plan 1
        region eu
        policy AnonymizationPolicy acme/fade
        spec {}
        campaign 0000000000000007 acme/spring
        held acme/autumn
        step hour from 2022-01-08 before 2024-10-04
        rows counters hour 12
        ");
    }

    #[test]
    fn whatever_is_announced_changes_the_hash_and_bytes_do_not() {
        let first = plan().hash();
        let changes: [fn(&mut Plan); 6] = [
            |plan| plan.region = "us".into(),
            |plan| plan.spec = "{ }".into(),
            |plan| plan.kind = PolicyKind::Retention,
            |plan| plan.campaigns.clear(),
            |plan| plan.steps[0].before = "2024-10-05".into(),
            |plan| plan.steps[0].found[0].rows += 1,
        ];
        for change in changes {
            let mut other = plan();
            change(&mut other);
            assert_ne!(other.hash(), first, "{}", other.canonical());
        }
        let mut merged = plan();
        merged.steps[0].found[0].bytes = 1;
        assert_eq!(merged.hash(), first);
    }

    #[test]
    fn a_plan_of_another_policy_is_said_to_be_one() {
        assert!(plan().is_of("fade").is_ok() && plan().is_of("acme/fade").is_ok());
        for other in ["two-years", "beta/fade", "acme/", ""] {
            let said = plan().is_of(other).unwrap_err().to_string();
            assert!(said.starts_with("this plan is of AnonymizationPolicy acme/fade, and not of"));
        }
    }

    #[test]
    fn a_step_reads_back_as_it_was_announced() {
        let due = plan().steps[0].due().unwrap();
        assert_eq!((due.step, due.before, due.gone_before), (Step::Hour, Day(20_000), Day(19_000)));
    }
}
