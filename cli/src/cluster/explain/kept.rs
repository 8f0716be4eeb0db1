//! How long what is stored of a campaign is kept, as the policies say that it names. Pure.

use hushmark_crds::Campaign;
use hushmark_crds::field::PolicyMode;
use hushmark_crds::policies::{AnonymizationPolicySpec, RetentionPolicySpec, Step};
use hushmark_policy::{Mode, Tracking};
use kube::ResourceExt as _;
use serde::Serialize;

use super::super::world::World;

/// What a campaign's policies say.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    pub(crate) retention: Option<Policy<RetentionPolicySpec>>,
    pub(crate) anonymization: Option<Policy<AnonymizationPolicySpec>>,
}

/// A policy that the campaign names.
#[derive(Serialize)]
pub(crate) struct Policy<S> {
    pub(crate) name: String,
    /// None where it is not there, or may not be seen.
    pub(crate) spec: Option<S>,
}

impl Kept {
    pub(super) fn of(campaign: &Campaign, world: &World) -> Self {
        let namespace = campaign.namespace().unwrap_or_default();
        let key = |name: &String| (namespace.clone(), name.clone());
        let retention = campaign.spec.retention_policy.as_ref().map(|name| {
            let spec = world.retention.get(&key(name)).map(|policy| policy.spec.clone());
            Policy { name: name.clone(), spec }
        });
        let anonymization = campaign.spec.anonymization_policy.as_ref().map(|name| {
            let spec = world.anonymization.get(&key(name)).map(|policy| policy.spec.clone());
            Policy { name: name.clone(), spec }
        });
        Self { retention, anonymization }
    }

    /// A line each, of what mail that tells so much leaves.
    pub(super) fn told(&self, tracking: Tracking) -> Vec<String> {
        let modes = [tracking.opens, tracking.clicks];
        let has_rows = modes.contains(&Mode::Individual);
        let mut lines = Vec::new();
        if modes.contains(&Mode::LastOpenDay) {
            let says = "the day of a last open until the next one, or until its contact withdraws, \
                        objects or is erased: no policy reaches it";
            lines.push(says.to_owned());
        }
        if !modes.iter().any(|mode| mode.counts()) {
            if lines.is_empty() {
                let says = "nothing new is stored; what was stored before stays until a policy or an \
                            erasure removes it";
                lines.push(says.to_owned());
            }
            return lines;
        }
        if let Some(reason) = self.legal_hold() {
            lines.push(format!("a legal hold wins over all of it, nothing goes: {reason}"));
        }
        lines.push(match &self.retention {
            None => "until somebody erases it: the campaign names no RetentionPolicy".to_owned(),
            Some(Policy { name, spec: None }) => not_there("RetentionPolicy", name),
            Some(Policy { name, spec: Some(spec) }) => {
                let rows = spec.keep.rows_days.or(spec.keep.counters_days).filter(|_| has_rows);
                let said = |what: &str, days: Option<u16>| match days {
                    Some(days) => format!("{what} {days} days"),
                    None => format!("{what} until somebody erases them"),
                };
                let rows = rows.map(|days| said("rows of single hits", Some(days)) + ", ");
                let counters = said("counters", spec.keep.counters_days);
                let (rows, how) = (rows.unwrap_or_default(), how(spec.mode));
                format!("{rows}{counters}, by RetentionPolicy {name}, {how}")
            }
        });
        lines.extend(self.anonymization.as_ref().map(|policy| match policy {
            Policy { name, spec: None } => not_there("AnonymizationPolicy", name),
            Policy { name, spec: Some(spec) } => {
                let said =
                    |step: &Step| format!("{} after {} days", step.action.name(), step.after_days);
                let all: Vec<String> = spec.steps.iter().map(said).collect();
                format!("{}, by AnonymizationPolicy {name}, {}", all.join(", "), how(spec.mode))
            }
        }));
        lines
    }

    fn legal_hold(&self) -> Option<&str> {
        let hold = self.retention.as_ref()?.spec.as_ref()?.legal_hold.as_ref()?;
        Some(&hold.reason)
    }
}

fn not_there(kind: &str, name: &str) -> String {
    format!("nobody can tell how long: {kind} {name} is not there, or you may not see it")
}

/// What comes of a policy.
pub(in crate::cluster) const fn how(mode: PolicyMode) -> &'static str {
    match mode {
        PolicyMode::Plan => "which only plans: nothing goes",
        PolicyMode::Enforce => "once somebody carries out its plan",
    }
}
