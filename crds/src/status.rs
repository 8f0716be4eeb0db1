//! What is reported back: the status of every resource.
//!
//! Every field is always written, `null` where there is nothing, so that what is no longer true
//! does not stay behind.

use hushmark_policy::{Mode, Place};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::field;

/// What is known of a Region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionStatus {
    /// The generation of the spec that this is about.
    pub observed_generation: Option<i64>,
    /// How it is.
    #[serde(default)]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The release that runs the region's stack. Another one keeps its hands off.
    pub owner: Option<RegionOwner>,
    /// Edges.
    pub edge: Option<Replicas>,
    /// Writers.
    pub writer: Option<Replicas>,
    /// The keys that there are, by their names alone.
    pub keys: Option<KeysStatus>,
    /// The last head of the refusal log. Nothing is appended on a shorter log.
    pub refusal_log: Option<LogStatus>,
    /// The last head of the audit log. Nothing is appended on a shorter log.
    pub audit_log: Option<LogStatus>,
    /// The Ed25519 public key that both heads are signed by, in hex.
    pub log_key: Option<String>,
    /// What was found on each node when two pods tried to connect to `spec.egressProbe.target`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "egress_probes")]
    pub egress_probes: Vec<EgressProbe>,
}

/// What became of two connections from one node: the positive control's must get through, and the
/// other's must not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressProbe {
    /// The node.
    pub node: String,
    /// A hash of what was asked: the target and the policies. Another one asks anew.
    pub question: String,
    /// When the answer was there.
    pub at: Time,
    /// How a pod fared that the stack's policies hold back.
    pub restricted: ProbeResult,
    /// How a pod fared that no policy of the stack selects.
    pub control: ProbeResult,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeResult {
    /// It was made.
    Reached,
    /// It was refused.
    Refused,
    /// Nothing came back.
    TimedOut,
    /// There is no way there.
    Unreachable,
    /// The target's name was not found, so that nothing was tried.
    NotResolved,
    /// The pod came to no end.
    NoAnswer,
}

impl ProbeResult {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Reached,
        Self::Refused,
        Self::TimedOut,
        Self::Unreachable,
        Self::NotResolved,
        Self::NoAnswer,
    ];

    /// As the status and the probe itself write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reached => "Reached",
            Self::Refused => "Refused",
            Self::TimedOut => "TimedOut",
            Self::Unreachable => "Unreachable",
            Self::NotResolved => "NotResolved",
            Self::NoAnswer => "NoAnswer",
        }
    }
}

/// The release that runs a region's stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegionOwner {
    /// Its namespace.
    pub namespace: String,
    /// Its full name.
    pub name: String,
    /// The namespace's uid: a namespace of the same name in a restored cluster is another one.
    pub uid: String,
}

/// How many are wanted, and how many serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replicas {
    /// How many are wanted.
    pub desired: i32,
    /// How many serve.
    pub ready: i32,
}

/// The keys that there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeysStatus {
    /// Numbers of the region keys, lowest first.
    #[serde(default)]
    pub kids: Vec<i32>,
    /// The key that new links are sealed under: one that every edge has.
    pub sealing: Option<i32>,
    /// Since when it is.
    #[serde(default)]
    #[schemars(schema_with = "field::date_time")]
    pub sealing_since: Option<Time>,
    /// The last value of the annotation hushmark.io/rotate-keys that was obeyed.
    pub asked: Option<String>,
    /// The first day of the ring, like 2026-11-21.
    pub first_day: String,
    /// The last day of the ring.
    pub last_day: String,
}

/// A log's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogStatus {
    /// Number of entries.
    pub length: i64,
    /// The hash of the chain at that length, in hex.
    pub hash: String,
}

/// What is known of a Tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// The generation of the spec that this is about.
    pub observed_generation: Option<i64>,
    /// How it is.
    #[serde(default)]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The tenant's id, part of every link: 16 hex digits.
    pub id: Option<String>,
    /// What holds for campaigns.
    pub campaign: Option<TypeStatus>,
    /// What holds for transactional mail.
    pub transactional: Option<TypeStatus>,
}

/// What holds for one type of a tenant's mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TypeStatus {
    /// How often this was loosened. Mail sealed now carries it; a cap covers every mail of its
    /// own generation and of those before.
    #[schemars(with = "i64")]
    pub generation: u32,
    /// The most that an open may tell.
    #[schemars(schema_with = "field::mode")]
    pub opens: Mode,
    /// The most that a click may tell.
    #[schemars(schema_with = "field::mode_of_clicks")]
    pub clicks: Mode,
    /// The finest place that may be kept.
    #[schemars(schema_with = "field::place")]
    pub place: Place,
}

/// What is known of a Campaign.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignStatus {
    /// The generation of the spec that this is about.
    pub observed_generation: Option<i64>,
    /// Where it is in its life.
    pub phase: Option<Phase>,
    /// The campaign's id, part of every link: 16 hex digits.
    pub id: Option<String>,
    /// What holds, and who decided it.
    pub effective: Option<EffectivePolicy>,
    /// When its first message was sent. Said by who sends, and kept by the operator; its schedule
    /// stands in where nobody says.
    #[serde(default)]
    #[schemars(schema_with = "field::date_time")]
    pub sent_at: Option<Time>,
    /// What the last epochs published of it, and nothing newer.
    pub counts: Option<CountsStatus>,
    /// How it is.
    #[serde(default)]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// What epochs published of a campaign as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountsStatus {
    /// The epoch that changed them last.
    #[schemars(schema_with = "field::date_time")]
    pub as_of: Time,
    /// Opens, where they are tracked.
    pub opens: Option<PublishedStatus>,
    /// Clicks, where they are tracked.
    pub clicks: Option<PublishedStatus>,
}

/// What may be shown of one kind of hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedStatus {
    /// In one word, for kubectl: hits, or `withheld` where fewer people than the Region's minimum
    /// group are behind them, or nearly all.
    pub shown: String,
    /// Hits, those of machines included.
    pub raw: Option<i64>,
    /// Hits of people; absent where they are withheld.
    pub human: Option<i64>,
    /// Distinct messages; absent where they are withheld or cannot be told apart.
    pub messages: Option<i64>,
    /// Distinct messages that people opened or followed.
    pub human_messages: Option<i64>,
}

/// What is known of a RetentionPolicy or an AnonymizationPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation of the spec that this is about.
    pub observed_generation: Option<i64>,
    /// The newest plan of what is due, in rough numbers.
    pub plan: Option<PlanStatus>,
    /// How it is.
    #[serde(default)]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// What a plan comes to. How many rows exactly would tell of few people, and so would the plan's
/// hash, which can be guessed from it: `kubectl hushmark plan` shows both to who may reach the
/// operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// When it was made.
    #[schemars(schema_with = "field::date_time")]
    pub made_at: Time,
    /// How many campaigns it reaches.
    pub campaigns: i64,
    /// How many campaigns a legal hold keeps.
    pub held: i64,
    /// What would be done, in this order.
    pub steps: Vec<StepStatus>,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepStatus {
    /// Its name.
    pub step: String,
    /// The first day of arrival that is not touched.
    pub before: String,
    /// About how many rows of hits and counters are due.
    pub rows: String,
}

/// Where a campaign is in its life.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    /// It has no moment to be sent at, or it is refused.
    Draft,
    /// It waits for its moment.
    Scheduled,
    /// Its messages are being sent. Said by who sends, and kept by the operator.
    Sending,
    /// Its messages are sent. Said by who sends, and kept by the operator.
    Sent,
    /// Its last day of tracking is over: nothing more is counted.
    Completed,
    /// It is over, and its RetentionPolicy asks for nothing of it any more.
    Archived,
}

/// What holds for a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePolicy {
    /// What an open may tell.
    pub opens: Decided,
    /// What a click may tell.
    pub clicks: Decided,
    /// The finest place that is kept.
    #[schemars(schema_with = "field::place")]
    pub place: Place,
    /// For how many days after sending a hit counts.
    pub track_for_days: i32,
}

/// A mode, and who decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// The mode.
    #[schemars(schema_with = "field::mode")]
    pub mode: Mode,
    /// Who decided it.
    pub decided_by: DecidedBy,
}

/// Who decided a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DecidedBy {
    /// The Region's ceiling, which was lowered under what had been allowed: it holds for mail that
    /// was sent, and nothing new is sealed until the asking is less.
    RegionCeiling,
    /// The Tenant's default for this type of mail.
    TenantDefault,
    /// The Campaign's own `tracking`.
    Campaign,
    /// The Tenant's kill switch.
    KillSwitch,
    /// A withdrawal in the refusal log. No change of any resource gets past it.
    Withdrawal,
    /// Nobody: no policy says anything, so nothing is tracked.
    Nobody,
    /// Two of them, of which one allows counting and the other the day of a last open alone: there is
    /// nothing that both allow.
    NothingInCommon,
}

impl DecidedBy {
    /// In the words of a sentence: "anonymous, because …".
    #[must_use]
    pub const fn because(self) -> &'static str {
        match self {
            Self::RegionCeiling => "the region allows no more",
            Self::TenantDefault => "the tenant's default says so",
            Self::Campaign => "the campaign says so",
            Self::KillSwitch => "the tenant's kill switch is on",
            Self::Withdrawal => "it was withdrawn for good",
            Self::Nobody => "no policy says anything",
            Self::NothingInCommon => {
                "of tenant and campaign one allows counting and the other the last open's day alone"
            }
        }
    }
}

/// The schema of conditions: a list of which each type is there once, and of which every field is
/// always there.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    let text = |says: &str, most: u32| json_schema!({ "type": "string", "description": says, "maxLength": most });
    json_schema!({
        "type": "array",
        "description": "How it is, as kubectl wait and Argo CD read it.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "maxItems": 32,
        "items": {
            "type": "object",
            "required": [
                "type", "status", "observedGeneration", "lastTransitionTime", "reason", "message",
            ],
            "properties": {
                "type": text("What is said something about.", 64),
                "status": {
                    "type": "string",
                    "description": "Whether it is so.",
                    "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The generation of the spec that this is about.",
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "Since when the status is what it is.",
                },
                "reason": text("Why, in one word for programs.", 128),
                "message": text("Why, and what to do next, in words for people.", 4096),
            },
        },
    })
}

/// The schema of the probes: one a node.
fn egress_probes(_: &mut SchemaGenerator) -> Schema {
    let text = |says: &str, most: u32| json_schema!({ "type": "string", "description": says, "maxLength": most });
    let results = ProbeResult::ALL.map(ProbeResult::name);
    let result =
        |says: &str| json_schema!({ "type": "string", "description": says, "enum": results });
    json_schema!({
        "type": "array",
        "description": "What was found on each node when two pods tried to connect to \
                        spec.egressProbe.target.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["node"],
        "maxItems": 1000,
        "items": {
            "type": "object",
            "required": ["node", "question", "at", "restricted", "control"],
            "properties": {
                "node": text("The node.", 253),
                "question": text(
                    "A hash of what was asked: the target and the policies. Another one asks anew.",
                    64,
                ),
                "at": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When the answer was there.",
                },
                "restricted": result("How a pod fared that the stack's policies hold back."),
                "control": result("How a pod fared that no policy of the stack selects."),
            },
        },
    })
}
