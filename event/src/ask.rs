//! What a person's command asks of the operator, who alone appends to the refusal log. `WIRE.md`,
//! "Asking the operator".
//!
//! What is asked can never be taken back, so it is checked here once more by the one who appends,
//! and only what a person means to say is taken: takedowns, erasures, and withdrawals of the
//! region's, a tenant's or a campaign's tracking. [`enforce`] is how a policy's plan is asked for and
//! demanded, [`look`] what else a person reads there.

pub mod enforce;
pub mod look;

use hushmark_policy::{CampaignId, Generation, Mode, Place, Scope, TenantId, Tracking};
use serde::{Deserialize, Serialize};

use crate::audit::entry::TakenDown;
use crate::audit::{Action, Name, Principal, Reason, Target};
use crate::chain::parse_id;
use crate::refusal::{Allowed, CapScope, Erased, Journal, Refuses, Takedown};

/// The port on the loopback of the operator's pod.
pub const PORT: u16 = 9083;

/// Where asks are posted.
pub const PATH: &str = "/asks";

/// The longest body that is read: an entry of the log at its longest, and what is around it.
pub const BODY_MAX: usize = crate::refusal::ENTRY_MAX + 1024;

/// One thing that is asked for. Asked twice, it is in the log once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The Region whose log is meant: ids are derived from its name.
    pub region: String,
    /// Who asks, by that one's own word: the operator sees a connection of its own pod, and cannot
    /// tell whose it is.
    #[serde(default = "unknown")]
    pub by: Name,
    /// Whose mail is meant: the tenant's namespace, or NAMESPACE/NAME of a campaign. What is to be
    /// refused names ids, and the audit log says of each campaign whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// What is to be refused.
    pub refuses: Refuses,
}

fn unknown() -> Name {
    Name::of("")
}

/// Who asks for what, beside a request in the stream `asks`: for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who, by that one's own word.
    pub by: Principal,
    /// For what.
    pub action: Action,
}

impl Question {
    /// Whether the audit log would tell of what is refused, and of nothing else: a receipt names
    /// whom the question names, and what was erased is what the refusal log names.
    #[must_use]
    pub fn is_about(&self, refuses: &Refuses) -> bool {
        match (refuses, &self.action) {
            (Refuses::Takedown(what), Action::Takedown(said)) => match (what, said) {
                (Takedown::Tenant(id), TakenDown::Tenant(tenant)) => *id == tenant.to_string(),
                (Takedown::Campaign(of), TakenDown::Campaign { id, .. }) => *of == id.to_string(),
                (Takedown::Url(_), TakenDown::Url) => true,
                (Takedown::Kid(kid), TakenDown::Kid(said)) => kid == said,
                _ => false,
            },
            (Refuses::Cap { scope, .. }, action) => match (scope, action) {
                (CapScope::All, Action::WithdrawAll) => true,
                (CapScope::Tenant { id, .. }, Action::Withdraw(Target::Tenant(tenant))) => {
                    *id == tenant.to_string()
                }
                (CapScope::Campaign { id: of }, Action::Withdraw(Target::Campaign { id, .. })) => {
                    *of == id.to_string()
                }
                _ => false,
            },
            (
                Refuses::Contact { tenant: of, .. },
                Action::Withdraw(Target::Person { tenant, .. })
                | Action::Object(Target::Tenant(tenant)),
            ) => *of == tenant.to_string(),
            (Refuses::Message { campaign, .. }, Action::Object(Target::Campaign { id, .. })) => {
                *campaign == id.to_string()
            }
            (Refuses::Erase(erased), Action::Erase(target)) => match (erased, target) {
                (Erased::Person { tenant: of, .. }, Target::Person { tenant, .. })
                | (Erased::Tenant(of), Target::Tenant(tenant)) => *of == tenant.to_string(),
                (
                    Erased::Campaign { tenant: of, id },
                    Target::Campaign { tenant, id: campaign },
                ) => (of, id) == (&tenant.to_string(), &campaign.to_string()),
                _ => false,
            },
            _ => false,
        }
    }
}

/// It is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its place in the log, from 1.
    pub position: u64,
    /// The entry of the audit log that says who asked for it.
    pub audited: u64,
    /// Whether it is there since now; else it was there already.
    pub appended: bool,
    /// The log's length.
    pub length: u64,
    /// The chain's hash at that length, in hex.
    pub hash: String,
}

/// It is not in the log as far as is known, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// What is wrong and what to do.
    pub error: String,
}

/// Why something is not appended, whoever asks for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAskable {
    /// Another Region's log is meant.
    #[error("this operator runs the Region {ours}, and not {asked}: ask in that one's namespace")]
    AnotherRegion {
        /// Whose operator it is.
        ours: String,
        /// Which one was meant.
        asked: String,
    },
    /// An id that none has.
    #[error("what it names is no id: 16 lower-case hex digits")]
    Impossible,
    /// A cap that is no withdrawal.
    #[error(
        "only the end of a tracking for good can be asked for: change the Tenant or the Campaign \
         itself for anything less"
    )]
    NotForGood,
    /// A key that the Region never had.
    #[error("the Region {region} has no key {kid}; it has {}", list(.kids))]
    NoSuchKey {
        /// Whose operator it is.
        region: String,
        /// What was asked for.
        kid: u16,
        /// The keys that there are.
        kids: Vec<u16>,
    },
    /// What only a message's own page can ask for.
    #[error("one message is objected to by its own page, /p/…, and by nobody else")]
    OnlyByPage,
    /// An id that is not of what was named.
    #[error("say in `of` whose it is: the campaign as NAMESPACE/NAME, the tenant as NAMESPACE")]
    OfAnother,
    /// People, whom a cluster does not know.
    #[error(
        "people are found by a tenant's contacts, and a cluster has none yet: on one machine \
         `hushmark withdraw` and `hushmark erase` take --people"
    )]
    NoContacts,
    /// What a legal hold keeps.
    #[error(
        "a legal hold keeps some of it, and wins over every erasure, so nothing was changed: {}. Take \
         spec.legalHold out once the hold is lifted, or apply the policy that is missing, and ask again",
        some(.0)
    )]
    Held(
        /// Which campaigns, each with what says so.
        Vec<String>,
    ),
    /// A destination that no link can have.
    #[error("a link leads to a whole address, like https://www.example.com/page")]
    NoAddress,
}

impl NotAskable {
    /// As the audit log says it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::AnotherRegion { .. } => Reason::AnotherRegion,
            Self::NotForGood | Self::OnlyByPage => Reason::NotPermitted,
            Self::Held(_) => Reason::LegalHold,
            Self::Impossible
            | Self::NoSuchKey { .. }
            | Self::OfAnother
            | Self::NoContacts
            | Self::NoAddress => Reason::Unknown,
        }
    }
}

impl Ask {
    /// As the audit log says it; none where it cannot, because it names nothing that can be.
    #[must_use]
    pub fn question(&self) -> Option<Question> {
        let action = match &self.refuses {
            Refuses::Cap { scope: CapScope::All, .. } => Action::WithdrawAll,
            Refuses::Cap { scope: CapScope::Tenant { id, .. }, .. } => {
                Action::Withdraw(Target::Tenant(self.tenant(id)?))
            }
            Refuses::Cap { scope: CapScope::Campaign { id }, .. } => {
                let (tenant, id) = self.campaign(id)?;
                Action::Withdraw(Target::Campaign { tenant, id })
            }
            Refuses::Takedown(what) => Action::Takedown(match what {
                Takedown::Tenant(id) => TakenDown::Tenant(self.tenant(id)?),
                Takedown::Campaign(id) => {
                    let (tenant, id) = self.campaign(id)?;
                    TakenDown::Campaign { tenant, id }
                }
                Takedown::Url(_) => TakenDown::Url,
                Takedown::Kid(kid) => TakenDown::Kid(*kid),
            }),
            Refuses::Erase(Erased::Tenant(id)) => Action::Erase(Target::Tenant(self.tenant(id)?)),
            Refuses::Erase(Erased::Campaign { tenant: of, id }) => {
                let (tenant, id) = self.campaign(id)?;
                (of == &tenant.to_string())
                    .then_some(Action::Erase(Target::Campaign { tenant, id }))?
            }
            Refuses::Erase(Erased::Person { .. })
            | Refuses::Contact { .. }
            | Refuses::Message { .. } => return None,
        };
        Some(Question { by: Principal::Kubernetes(self.by.clone()), action })
    }

    /// The tenant of an id, if it is that of the namespace that was named, or none was.
    fn tenant(&self, id: &str) -> Option<TenantId> {
        let named = self.of.as_ref().map(|namespace| TenantId::derive(&self.region, namespace));
        let tenant = TenantId(parse_id(id)?);
        named.is_none_or(|named| named == tenant).then_some(tenant)
    }

    /// The campaign of an id and its tenant, if it is the one that was named.
    fn campaign(&self, id: &str) -> Option<(TenantId, CampaignId)> {
        let (namespace, name) = self.of.as_ref()?.split_once('/')?;
        let campaign = CampaignId::derive(&self.region, namespace, name);
        let tenant = TenantId::derive(&self.region, namespace);
        (campaign.to_string() == id).then_some((tenant, campaign))
    }

    /// What it asks for, if it may be appended to this Region's log.
    ///
    /// # Errors
    /// [`NotAskable`].
    pub fn check(&self, region: &str, kids: &[u16]) -> Result<Question, NotAskable> {
        if self.region != region {
            let (ours, asked) = (region.to_owned(), self.region.clone());
            return Err(NotAskable::AnotherRegion { ours, asked });
        }
        if !self.refuses.is_possible() {
            return Err(NotAskable::Impossible);
        }
        match &self.refuses {
            Refuses::Takedown(Takedown::Kid(kid)) if !kids.contains(kid) => {
                let (region, kids) = (region.to_owned(), kids.to_vec());
                return Err(NotAskable::NoSuchKey { region, kid: *kid, kids });
            }
            Refuses::Takedown(Takedown::Url(url)) if !is_web(url) => {
                return Err(NotAskable::NoAddress);
            }
            Refuses::Message { .. } => return Err(NotAskable::OnlyByPage),
            Refuses::Contact { .. } | Refuses::Erase(Erased::Person { .. }) => {
                return Err(NotAskable::NoContacts);
            }
            cap @ Refuses::Cap { .. } if !cap.is_for_good() => return Err(NotAskable::NotForGood),
            Refuses::Takedown(_) | Refuses::Cap { .. } | Refuses::Erase(_) => {}
        }
        self.question().ok_or(NotAskable::OfAnother)
    }
}

/// An address with a scheme of the web and a host.
fn is_web(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| rest.chars().next().is_some_and(|c| !matches!(c, '/' | '?' | '#')))
}

/// As many as a person reads, and how many more.
fn some(all: &[String]) -> String {
    const READ: usize = 10;
    let more = all.len().saturating_sub(READ);
    let read: Vec<&str> = all.iter().take(READ).map(String::as_str).collect();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    read.join("; ") + &more
}

fn list(kids: &[u16]) -> String {
    let kids: Vec<String> = kids.iter().map(ToString::to_string).collect();
    if kids.is_empty() { "none".to_owned() } else { kids.join(", ") }
}

impl Refuses {
    /// What ends a tracking for good: a cap that covers every generation there can ever be, so that
    /// no loosening gets past it. Edges and writers obey it like any other.
    #[must_use]
    pub fn withdrawal(scope: Scope, allowed: Allowed) -> Self {
        let Allowed { tracking: Tracking { opens, clicks }, place } = allowed;
        Self::Cap { scope: scope.into(), up_to: Generation(u32::MAX).0, opens, clicks, place }
    }

    /// Whether it holds for all mail that will ever be sealed.
    #[must_use]
    pub const fn is_for_good(&self) -> bool {
        match self {
            Self::Cap { up_to, .. } => *up_to == u32::MAX,
            Self::Takedown(_) | Self::Contact { .. } | Self::Message { .. } | Self::Erase(_) => {
                true
            }
        }
    }
}

/// Who may write into the stream `asks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Askers {
    /// The one user whose machine it is.
    Owner,
    /// Every edge and every writer, who speak for recipients: what an objection asks for, and
    /// nothing that anybody else may ask.
    Servers,
}

/// What a request in the stream `asks` asks for, if it makes sense and is no more than those may ask
/// for who may write one.
#[must_use]
pub fn requested(journal: &Journal, text: &[u8], askers: Askers) -> Option<Refuses> {
    let refuses: Refuses = serde_json::from_slice(text).ok()?;
    let is_askable = match &refuses {
        Refuses::Contact { .. } | Refuses::Message { .. } => true,
        other => askers == Askers::Owner && other.is_for_good(),
    };
    // However long the number and the time in front of it become.
    let is_possible = || journal.prepare([refuses.clone()], u64::MAX).is_ok();
    (is_askable && is_possible()).then_some(refuses)
}

/// Who asked for a request in the stream `asks` of a cluster, for the audit log. Edges and writers
/// write there, and they speak for recipients alone.
#[must_use]
pub fn objected(text: &[u8]) -> Option<Question> {
    let question: Question = serde_json::from_slice(text).ok()?;
    let is_theirs =
        matches!((&question.by, &question.action), (Principal::Recipient, Action::Object(_)));
    is_theirs.then_some(question)
}

/// What a withdrawal leaves. A place belongs to both kinds of hits, so it goes with both.
#[must_use]
pub fn left_after(opens: bool, clicks: bool) -> Allowed {
    let of = |withdrawn| if withdrawn { Mode::Off } else { Mode::Individual };
    let place = if opens && clicks { Place::None } else { Place::City };
    Allowed { tracking: Tracking { opens: of(opens), clicks: of(clicks) }, place }
}

#[cfg(test)]
mod tests;
