//! `RetentionPolicy` and `AnonymizationPolicy`: what is kept, how exactly, for how long.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function")]

use hushmark_policy::retention::{Limit, Step as Due};
use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field::PolicyMode;
use crate::status::PolicyStatus;

/// How long data is kept.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "hushmark.io",
    version = "v1alpha1",
    kind = "RetentionPolicy",
    plural = "retentionpolicies",
    namespaced,
    derive = "PartialEq",
    doc = "How long data is kept.",
    category = "hushmark",
    shortname = "retpol",
    status = "PolicyStatus",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".spec.keep.rowsDays"),
    printcolumn(name = "Counters", type_ = "integer", json_path = ".spec.keep.countersDays"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    cel
)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicySpec {
    /// `plan` says what would be removed; `enforce` removes what an approved plan announced.
    #[serde(default)]
    pub mode: PolicyMode,
    /// For how long what is kept.
    pub keep: Keep,
    /// While it is there nothing is removed, whatever else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<LegalHold>,
    /// How wrong a plan may be before enforcing stops.
    #[serde(default)]
    pub guard: Guard,
}

impl RetentionPolicySpec {
    /// What is done after how many days.
    #[must_use]
    pub fn limits(&self) -> Vec<Limit> {
        let rows = self.keep.rows_days.or(self.keep.counters_days);
        let rows = rows.map(|days| Limit { step: Due::Rows, days });
        let counters = self.keep.counters_days.map(|days| Limit { step: Due::Counters, days });
        rows.into_iter().chain(counters).collect()
    }
}

/// For how many days what is kept, counted from a hit's arrival.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.rowsDays) || has(self.countersDays)")
        .message("says nothing: give rowsDays, countersDays or both"),
    validation = Rule::new(
        "!has(self.rowsDays) || !has(self.countersDays) || self.rowsDays <= self.countersDays"
    ).message("keeps rows longer than the counters made of them: a row tells more than a counter, \
               so rowsDays is at most countersDays").field_path(".rowsDays"),
)]
pub struct Keep {
    /// Rows of `individual` hits. Left out: as long as their counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 3660))]
    pub rows_days: Option<u16>,
    /// Counters and sketches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 3660))]
    pub counters_days: Option<u16>,
}

/// A reason that forbids every removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LegalHold {
    /// Who asked for it and why, in words for whoever reads it in two years.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
}

/// The blast radius that a removal must stay within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// By how many per cent the rows found may differ from the rows announced.
    #[serde(default = "default_drift")]
    #[schemars(with = "i32", range(min = 0, max = 100))]
    pub drift_percent: u8,
}

impl Default for Guard {
    fn default() -> Self {
        Self { drift_percent: default_drift() }
    }
}

const fn default_drift() -> u8 {
    5
}

/// How exactly data is kept as it ages.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "hushmark.io",
    version = "v1alpha1",
    kind = "AnonymizationPolicy",
    plural = "anonymizationpolicies",
    namespaced,
    derive = "PartialEq",
    doc = "How exactly data is kept as it ages.",
    category = "hushmark",
    shortname = "anonpol",
    status = "PolicyStatus",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    cel
)]
pub struct AnonymizationPolicySpec {
    /// `plan` says what would be changed; `enforce` changes what an approved plan announced.
    #[serde(default)]
    pub mode: PolicyMode,
    /// What is made coarser, and when. Each action once.
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["action".into()]))]
    #[schemars(length(min = 1, max = 8))]
    pub steps: Vec<Step>,
    /// How wrong a plan may be before enforcing stops.
    #[serde(default)]
    pub guard: Guard,
}

impl AnonymizationPolicySpec {
    /// What is done after how many days.
    #[must_use]
    pub fn limits(&self) -> Vec<Limit> {
        let limit = |step: &Step| Limit { step: step.action.into(), days: step.after_days };
        self.steps.iter().map(limit).collect()
    }
}

/// One step.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = late_hits())]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// How many days after a hit's arrival.
    #[schemars(with = "i32", range(min = 1, max = 3660))]
    pub after_days: u16,
}

/// What the edge answered while a store was away is stored up to seven days later, with the time
/// at which it came.
fn late_hits() -> Rule {
    Rule::new("self.action != 'hourToDay' || self.afterDays >= 8")
        .message(
            "takes the hours of days whose hits may still come: what an edge kept while Redis was \
             away is stored up to 7 days later, so hourToDay comes after 8 days or more",
        )
        .field_path(".afterDays")
}

/// What makes data coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "action")]
pub enum Action {
    /// Drop the place.
    DropPlace,
    /// Keep the day of a hit and drop its hour.
    HourToDay,
    /// Drop client, device and system.
    DropClient,
    /// Delete the rows of `individual` hits; their counters and sketches stay.
    DropRows,
}

impl Action {
    /// The name as manifests spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DropPlace => "dropPlace",
            Self::HourToDay => "hourToDay",
            Self::DropClient => "dropClient",
            Self::DropRows => "dropRows",
        }
    }
}

impl From<Action> for Due {
    fn from(action: Action) -> Self {
        match action {
            Action::DropPlace => Self::Place,
            Action::HourToDay => Self::Hour,
            Action::DropClient => Self::Client,
            Action::DropRows => Self::Rows,
        }
    }
}
