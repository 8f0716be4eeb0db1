//! What an entry says. Every text in it is an id, a hash, a day, a word of a fixed list, or the
//! name of somebody who works here: there is no place for an address or a message.

use hushmark_policy::{CampaignId, TenantId};
use serde::{Deserialize, Serialize};

use super::receipt::Receipt;
use super::text::{Name, campaign_id, tenant_id};
use crate::chain::Hash32;

/// One entry as it is written: JSON in one line, its fields in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its place in the log, from 1.
    pub n: u64,
    /// When it was appended, in milliseconds since 1970.
    pub at_ms: u64,
    /// The chain's hash before it. With it a changed entry can be named, and not only a changed
    /// log; and a receipt needs nothing else of the log.
    pub before: Hash32,
    /// What it says.
    pub says: Says,
}

impl Entry {
    /// The text that is chained, stored and handed out.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("text and numbers always serialise")
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Says {
    /// Somebody asked for something.
    Asked(Asked),
    /// An erasure has ended.
    Receipt(Receipt),
}

/// What somebody asked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Who.
    pub by: Principal,
    /// For what.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
}

/// Who asks: somebody who works with Hushmark, or a recipient, who is never named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Principal {
    /// A user as Kubernetes names it; the operator itself is its service account.
    Kubernetes(Name),
    /// A user of the one machine.
    Local(Name),
    /// A recipient, by the page of a message.
    Recipient,
}

/// Whose data is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// A tenant.
    Tenant(#[serde(with = "tenant_id")] TenantId),
    /// One campaign.
    Campaign {
        /// Whose.
        #[serde(with = "tenant_id")]
        tenant: TenantId,
        /// Which.
        #[serde(with = "campaign_id")]
        id: CampaignId,
    },
    /// One person.
    Person {
        /// Whose contact.
        #[serde(with = "tenant_id")]
        tenant: TenantId,
        /// HMAC-SHA256 of the address under a key of the tenant's: who has that key can tell that
        /// it is about a person whom they know already, and nobody else can tell anything.
        tombstone: Hash32,
    },
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// End tracking for good.
    Withdraw(Target),
    /// A recipient's objection: to all mail of a tenant that names them, or to one message of a
    /// campaign. Who it was is not in here.
    Object(Target),
    /// End the tracking of the whole region for good.
    WithdrawAll,
    /// Answer links with a plain 404.
    Takedown(TakenDown),
    /// Make a new region key.
    RotateKeys,
    /// Erase.
    Erase(Target),
    /// Complete a campaign: who was on its list is forgotten.
    Complete {
        /// Whose.
        #[serde(with = "tenant_id")]
        tenant: TenantId,
        /// Which.
        #[serde(with = "campaign_id")]
        id: CampaignId,
    },
    /// Carry out what a retention or anonymization policy's plan announced.
    EnforcePlan {
        /// Whose data.
        #[serde(with = "tenant_id")]
        tenant: TenantId,
        /// The plan's hash.
        plan: Hash32,
    },
    /// Look at something.
    Read {
        /// At what.
        what: Read,
        /// About whom.
        of: Target,
    },
    /// Write something about people down.
    Write {
        /// What.
        what: Write,
        /// About whom.
        of: Target,
    },
}

/// What is taken down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TakenDown {
    /// Every link of a tenant.
    Tenant(#[serde(with = "tenant_id")] TenantId),
    /// Every link of a campaign.
    Campaign {
        /// Whose.
        #[serde(with = "tenant_id")]
        tenant: TenantId,
        /// Which.
        #[serde(with = "campaign_id")]
        id: CampaignId,
    },
    /// Every link to one destination. Which one stands in the refusal log alone: a destination can
    /// tell of a person.
    Url,
    /// Every token sealed under a key that leaked.
    Kid(u16),
}

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// A campaign's report.
    Report,
    /// A campaign's raw counters, below any minimum group.
    Counters,
    /// An export.
    Export,
    /// A segment.
    Segment,
    /// A contact's page.
    Contact,
    /// What a campaign's mail to a person may tell, and what they said themselves.
    Explanation,
    /// The transactional log.
    Log,
    /// The register entry that Art. 30 GDPR asks for.
    RecordOfProcessing,
}

/// What can be written down about people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Write {
    /// Messages of a campaign, and with them contacts and whom each was made for.
    Messages,
    /// What the receiving servers said of a campaign's messages.
    Deliveries,
    /// Who agreed to be tracked by a tenant, and how they said so.
    Consents,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It was allowed.
    Allowed {
        /// The refusal log's entry that makes it hold, where there is one.
        position: Option<u64>,
    },
    /// It was refused, and nothing was changed.
    Refused(Reason),
}

/// Why something was refused. A fixed list, so that no message finds its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Who asked may not do that.
    NotPermitted,
    /// There is no such tenant, campaign, person or key.
    Unknown,
    /// It is meant for another region.
    AnotherRegion,
    /// The region's ceiling is below it.
    AboveCeiling,
    /// A legal hold keeps the data.
    LegalHold,
    /// The plan is an old one, or the counts have drifted from it.
    PlanChanged,
    /// A key that is needed is gone.
    KeyGone,
    /// A store is away: to be asked again.
    NotNow,
}
