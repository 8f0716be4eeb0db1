//! What a person's command asks of the operator, who alone appends to the refusal log. `WIRE.md`,
//! "Asking the operator".
//!
//! What is asked can never be taken back, so it is checked here once more by the one who appends,
//! and only what a person means to say is taken: takedowns, erasures, and withdrawals of the
//! region's, a tenant's or a campaign's tracking. [`look`] is what a person reads there.

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
    /// Every edge and every writer: nothing of theirs ends a whole region's tracking, or erases.
    Servers,
}

/// What a request in the stream `asks` asks for, if it makes sense and is no more than those may ask
/// for who may write one.
#[must_use]
pub fn requested(journal: &Journal, text: &[u8], askers: Askers) -> Option<Refuses> {
    let refuses: Refuses = serde_json::from_slice(text).ok()?;
    let is_askable = match &refuses {
        Refuses::Takedown(_) | Refuses::Contact { .. } | Refuses::Message { .. } => true,
        Refuses::Erase(_) => askers == Askers::Owner,
        Refuses::Cap { scope: CapScope::All, .. } if askers == Askers::Servers => false,
        cap => cap.is_for_good(),
    };
    let is_possible = || journal.prepare([refuses.clone()], 0).is_ok();
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
mod tests {
    use hushmark_policy::{CampaignId, MailType, TenantId};

    use super::*;

    fn ask(refuses: Refuses, of: Option<&str>) -> Ask {
        let (by, of) = (Name::of("jane"), of.map(str::to_owned));
        Ask { region: "eu".into(), by, of, refuses }
    }

    fn asked(refuses: Refuses, of: Option<&str>) -> Result<Action, String> {
        let checked = ask(refuses, of).check("eu", &[1, 2]);
        checked.map(|question| question.action).map_err(|error| error.to_string())
    }

    #[test]
    fn a_person_may_ask_for_takedowns_withdrawals_and_erasures_and_for_nothing_else() {
        let id = CampaignId::derive("eu", "acme", "spring");
        let tenant = TenantId::derive("eu", "acme");
        let (one, theirs) = (Some("acme/spring"), Some("acme"));
        let target = Target::Campaign { tenant, id };
        let scope = Scope::Tenant(tenant, MailType::Campaign);
        let nothing = left_after(true, true);
        let erased = Erased::Campaign { tenant: tenant.to_string(), id: id.to_string() };
        let url = Takedown::Url("https://example.org/x".into());
        for (refuses, of, action) in [
            (
                Refuses::withdrawal(Scope::Campaign(id), nothing),
                one,
                Action::Withdraw(target.clone()),
            ),
            (
                Refuses::withdrawal(scope, left_after(true, false)),
                theirs,
                Action::Withdraw(Target::Tenant(tenant)),
            ),
            (Refuses::withdrawal(Scope::All, nothing), None, Action::WithdrawAll),
            (Refuses::Takedown(Takedown::Kid(2)), None, Action::Takedown(TakenDown::Kid(2))),
            (Refuses::Takedown(url), None, Action::Takedown(TakenDown::Url)),
            (
                Refuses::Takedown(Takedown::Campaign(id.to_string())),
                one,
                Action::Takedown(TakenDown::Campaign { tenant, id }),
            ),
            (Refuses::Erase(erased.clone()), one, Action::Erase(target)),
            (
                Refuses::Erase(Erased::Tenant(tenant.to_string())),
                theirs,
                Action::Erase(Target::Tenant(tenant)),
            ),
        ] {
            assert_eq!(asked(refuses, of), Ok(action));
        }
        for of in [None, Some("acme"), Some("acme/winter"), Some("other/spring")] {
            let another = asked(Refuses::Erase(erased.clone()), of).unwrap_err();
            assert!(another.contains("say in `of` whose it is"), "{another}");
        }
        let a_while = Refuses::Cap {
            scope: Scope::Campaign(id).into(),
            up_to: 3,
            opens: Mode::Off,
            clicks: Mode::Off,
            place: Place::None,
        };
        assert!(asked(a_while, one).unwrap_err().contains("only the end of a tracking"));
        let unknown = asked(Refuses::Takedown(Takedown::Kid(3)), None).unwrap_err();
        assert_eq!(unknown, "the Region eu has no key 3; it has 1, 2");
        let nobody = Refuses::Takedown(Takedown::Tenant("XYZ".into()));
        assert!(asked(nobody, None).unwrap_err().contains("no id"));
        let person = Refuses::Contact { tenant: tenant.to_string(), id: "0".repeat(16) };
        assert!(asked(person, theirs).unwrap_err().contains("a cluster has none yet"));
        for url in ["", "example.org", "https://", "https:///x", "javascript:alert(1)"] {
            assert!(asked(Refuses::Takedown(Takedown::Url(url.into())), None).is_err(), "{url}");
        }
    }

    #[test]
    fn servers_speak_for_recipients_alone() {
        let says = |by, action| serde_json::to_vec(&Question { by, action }).unwrap();
        let target = || Target::Tenant(TenantId(7));
        let theirs = says(Principal::Recipient, Action::Object(target()));
        assert!(objected(&theirs).is_some());
        let jane = || Principal::Kubernetes(Name::of("jane"));
        assert!(objected(&says(jane(), Action::Object(target()))).is_none());
        assert!(objected(&says(Principal::Recipient, Action::Erase(target()))).is_none());
        assert!(objected(b"please").is_none());
    }

    #[test]
    fn a_request_that_cannot_be_or_asks_for_too_much_is_none() {
        let journal = Journal::default();
        let says_to = |refuses: &Refuses, askers| {
            let text = serde_json::to_vec(refuses).unwrap();
            requested(&journal, &text, askers).as_ref() == Some(refuses)
        };
        let says = |refuses: &Refuses| says_to(refuses, Askers::Servers);
        let nothing = left_after(true, true);
        assert!(says(&Refuses::withdrawal(Scope::Campaign(CampaignId(7)), nothing)));
        assert!(says(&Refuses::Takedown(Takedown::Kid(2))));
        assert!(!says(&Refuses::withdrawal(Scope::All, nothing)));
        assert!(says_to(&Refuses::withdrawal(Scope::All, nothing), Askers::Owner));
        assert!(!says(&Refuses::Takedown(Takedown::Tenant("XYZ".into()))));
        assert!(requested(&journal, b"please", Askers::Owner).is_none());
    }

    #[test]
    fn another_regions_log_is_never_written() {
        let ask = Ask { region: "ca".into(), ..ask(Refuses::Takedown(Takedown::Kid(1)), None) };
        let refused = ask.check("eu", &[1]).unwrap_err().to_string();
        assert!(refused.contains("runs the Region eu, and not ca"), "{refused}");
    }

    #[test]
    fn the_bytes_on_the_wire() {
        let scope = Scope::Campaign(CampaignId(7));
        let refuses = Refuses::withdrawal(scope, left_after(true, false));
        let ask = ask(refuses, Some("acme/spring"));
        let text = serde_json::to_string(&ask).unwrap();
        insta::assert_snapshot!(text, @r#"{"region":"eu","by":"jane","of":"acme/spring","refuses":{"cap":{"scope":{"campaign":{"id":"0000000000000007"}},"up_to":4294967295,"opens":"off","clicks":"individual","place":"city"}}}"#);
        assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask);
        let more = text.replace("\"region\"", "\"please\":1,\"region\"");
        assert!(serde_json::from_str::<Ask>(&more).is_err(), "what is not known is not guessed");
    }
}
