//! "The most restrictive wins", for opens and for clicks apart, with the reason kept; and a single
//! person's own word, which is stricter than any policy or says nothing.

use serde::Serialize;

use crate::mode::{Kind, MailType, Mode, Tracking};

/// Where a mode came from: the sentence that `explain` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// No policy said anything, so nothing is tracked.
    NothingSaid,
    /// The tenant's default for the campaign's mail type.
    TenantDefault(MailType),
    /// The campaign's own `tracking`.
    Campaign,
    /// The tenant's kill switch.
    KillSwitch,
    /// The tenant's default for the campaign's mail type and the campaign itself, of which one allows
    /// counting and the other the day of a last open alone.
    NothingInCommon {
        /// What the tenant's default for the mail type says.
        tenant: (MailType, Mode),
        /// What the campaign says.
        campaign: Mode,
    },
}

/// The mode that holds for one kind of hit, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// What may be recorded.
    pub mode: Mode,
    /// Who decided it.
    pub source: Source,
}

/// What is asked of one campaign, from the widest scope to the narrowest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The campaign's mail type; defaults are kept apart for the two.
    pub mail_type: MailType,
    /// The Region's ceiling. More than it is an error, never a silent clamp.
    pub ceiling: Tracking,
    /// The tenant's default for this mail type.
    pub tenant: Option<Tracking>,
    /// The campaign's own wish.
    pub campaign: Option<Tracking>,
    /// The tenant's kill switch.
    pub killed: bool,
}

/// A wish above the Region's ceiling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{who} asks for {asked} {kind}s, and the region allows at most {ceiling}: \
     ask for {ceiling} or less, or raise the region's ceiling{}", .asked.above()
)]
pub struct AboveCeiling {
    /// Who asked, in words.
    pub who: String,
    /// `open` or `click`.
    pub kind: &'static str,
    /// What was asked.
    pub asked: Mode,
    /// What the Region allows.
    pub ceiling: Mode,
}

impl Mode {
    /// What a ceiling has to be for a mode that stands in no order with it.
    const fn above(self) -> &'static str {
        match self {
            Self::LastOpenDay => " to individual, because somebody's day is kept",
            _ => "",
        }
    }
}

/// The mode that holds for one kind of hit of a campaign.
///
/// # Errors
/// [`AboveCeiling`] when the tenant's default or the campaign asks for more than the Region allows.
pub fn effective(asked: &Asked, kind: Kind) -> Result<Effective, AboveCeiling> {
    let ceiling = asked.ceiling.of(kind);
    let tenant = asked.tenant.map(|t| (t.of(kind), Source::TenantDefault(asked.mail_type)));
    let campaign = asked.campaign.map(|c| (c.of(kind), Source::Campaign));
    let who = |source: &Source| match source {
        Source::TenantDefault(mail) => format!("the tenant's default for {} mail", mail.name()),
        _ => "the campaign".to_owned(),
    };
    for (mode, source) in tenant.iter().chain(campaign.iter()) {
        if !ceiling.allows(*mode) {
            return Err(AboveCeiling {
                who: who(source),
                kind: kind.name(),
                asked: *mode,
                ceiling,
            });
        }
    }
    if asked.killed {
        return Ok(Effective { mode: Mode::Off, source: Source::KillSwitch });
    }
    let (mode, source) = match (tenant, campaign) {
        // Among equals the wider scope is named: it is the one that would have to change.
        (Some(tenant), Some(campaign)) if campaign.0.allows(tenant.0) => tenant,
        (Some(tenant), Some(campaign)) if !tenant.0.allows(campaign.0) => {
            let tenant = (asked.mail_type, tenant.0);
            (Mode::Off, Source::NothingInCommon { tenant, campaign: campaign.0 })
        }
        (tenant, campaign) => campaign.or(tenant).unwrap_or((Mode::Off, Source::NothingSaid)),
    };
    Ok(Effective { mode, source })
}

impl std::fmt::Display for Effective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, because ", self.mode)?;
        match &self.source {
            Source::NothingSaid => f.write_str("no policy says anything"),
            Source::TenantDefault(mail) => {
                write!(f, "the tenant's default for {} mail says so", mail.name())
            }
            Source::Campaign => f.write_str("the campaign says so"),
            Source::KillSwitch => f.write_str("the tenant's kill switch is on"),
            Source::NothingInCommon { tenant: (mail, default), campaign } => write!(
                f,
                "the tenant's default for {} mail says {default} and the campaign says {campaign}, \
                 which have nothing in common",
                mail.name()
            ),
        }
    }
}

/// What is on record of one person's own word on being tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// They were erased: this is all that is left of them.
    pub erased: bool,
    /// They ended their tracking, and it was written down.
    pub withdrew: bool,
    /// They objected by the page of a message that named them.
    pub objected: bool,
    /// They agreed to be tracked.
    pub agreed: bool,
}

/// Why a person's mail carries no tracking, however much the campaign's may tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Untracked {
    /// They were erased.
    Erased,
    /// They ended their tracking.
    Withdrew,
    /// They objected by the page of a message.
    Objected,
    /// They are asked for consent, and none is on record.
    NoConsent,
}

impl Word {
    /// Why the person is not tracked, if they are not. Whoever said no is not asked whether they
    /// once said yes.
    #[must_use]
    pub const fn untracked(self, needs_consent: bool) -> Option<Untracked> {
        match self {
            Self { erased: true, .. } => Some(Untracked::Erased),
            Self { withdrew: true, .. } => Some(Untracked::Withdrew),
            Self { objected: true, .. } => Some(Untracked::Objected),
            Self { agreed: false, .. } if needs_consent => Some(Untracked::NoConsent),
            Self { .. } => None,
        }
    }
}

/// Whether mail that tells so much tracks only people who agreed; `from` is the lowest mode that
/// needs it, if any does. Opens and clicks are asked for together: they leave in one message. The day
/// of the last open needs no consent, whatever the lowest mode is: see [`Tracking::exempt`].
#[must_use]
pub fn needs_consent(from: Option<Mode>, tracking: Tracking) -> bool {
    let asks = |mode: Mode| mode.counts() && from.is_some_and(|from| mode.allows(from));
    asks(tracking.opens) || asks(tracking.clicks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mode() -> impl Strategy<Value = Mode> {
        prop::sample::select(&Mode::ALL[..])
    }

    fn tracking() -> impl Strategy<Value = Tracking> {
        (mode(), mode()).prop_map(|(opens, clicks)| Tracking { opens, clicks })
    }

    proptest! {
        /// No answer is ever more than any single voice allows.
        #[test]
        fn nobody_is_overruled_upwards(
            ceiling in tracking(),
            tenant in prop::option::of(tracking()),
            campaign in prop::option::of(tracking()),
            killed: bool,
        ) {
            let asked =
                Asked { mail_type: MailType::Campaign, ceiling, tenant, campaign, killed };
            for kind in Kind::ALL {
                let voices: Vec<Mode> =
                    tenant.iter().chain(campaign.iter()).map(|t| t.of(kind)).collect();
                match effective(&asked, kind) {
                    Ok(e) => {
                        prop_assert!(voices.iter().all(|v| v.allows(e.mode)));
                        prop_assert!(ceiling.of(kind).allows(e.mode));
                        prop_assert!(!killed || e.mode == Mode::Off);
                        prop_assert!(!voices.is_empty() || e.mode == Mode::Off);
                    }
                    Err(_) => prop_assert!(voices.iter().any(|v| !ceiling.of(kind).allows(*v))),
                }
            }
        }
    }

    proptest! {
        /// Opens and clicks are decided apart: what is said of one changes nothing of the other.
        #[test]
        fn what_is_said_of_clicks_decides_nothing_of_opens(
            ceiling in tracking(), tenant in tracking(), campaign in tracking(),
            other in (mode(), mode(), mode()),
        ) {
            let asked = Asked {
                mail_type: MailType::Campaign,
                ceiling,
                tenant: Some(tenant),
                campaign: Some(campaign),
                killed: false,
            };
            let elsewhere = Asked {
                ceiling: Tracking { clicks: other.0, ..ceiling },
                tenant: Some(Tracking { clicks: other.1, ..tenant }),
                campaign: Some(Tracking { clicks: other.2, ..campaign }),
                ..asked.clone()
            };
            prop_assert_eq!(effective(&asked, Kind::Open), effective(&elsewhere, Kind::Open));
        }

        /// A no outweighs a yes, whichever came first, and a yes is asked for only where it is
        /// needed.
        #[test]
        fn whoever_said_no_is_not_tracked_and_whoever_has_to_be_asked_said_yes(
            erased: bool, withdrew: bool, objected: bool, agreed: bool, needs_consent: bool,
        ) {
            let word = Word { erased, withdrew, objected, agreed };
            let is_tracked = word.untracked(needs_consent).is_none();
            let said_no = erased || withdrew || objected;
            prop_assert_eq!(is_tracked, !said_no && (agreed || !needs_consent));
        }
    }

    #[test]
    fn consent_is_asked_for_from_its_mode_on_by_the_one_that_tells_more() {
        let at = |opens, clicks| Tracking { opens, clicks };
        let from = Some(Mode::Individual);
        assert!(!needs_consent(None, at(Mode::Individual, Mode::Individual)));
        assert!(!needs_consent(from, at(Mode::Anonymous, Mode::Anonymous)));
        assert!(needs_consent(from, at(Mode::Anonymous, Mode::Individual)));
        assert!(needs_consent(from, at(Mode::Individual, Mode::Off)));
    }

    #[test]
    fn the_day_of_the_last_open_needs_no_consent_and_what_is_beside_it_may() {
        let at = |opens, clicks| Tracking { opens, clicks };
        for from in [Mode::Overall, Mode::Anonymous, Mode::Individual] {
            assert!(!needs_consent(Some(from), at(Mode::LastOpenDay, Mode::Off)));
            assert!(needs_consent(Some(from), at(Mode::LastOpenDay, Mode::Individual)));
        }
        let exempt = at(Mode::LastOpenDay, Mode::Individual).exempt();
        assert_eq!(exempt, at(Mode::LastOpenDay, Mode::Off));
        assert_eq!(at(Mode::Overall, Mode::Anonymous).exempt(), Tracking::OFF);
    }

    #[test]
    fn a_day_alone_and_counting_alone_come_to_nothing_and_both_are_named() {
        let asked = Asked {
            mail_type: MailType::Campaign,
            ceiling: Tracking { opens: Mode::Individual, clicks: Mode::Individual },
            tenant: Some(Tracking { opens: Mode::Anonymous, clicks: Mode::Anonymous }),
            campaign: Some(Tracking { opens: Mode::LastOpenDay, clicks: Mode::Overall }),
            killed: false,
        };
        assert_eq!(
            effective(&asked, Kind::Open).unwrap().to_string(),
            "off, because the tenant's default for campaign mail says anonymous and the campaign \
             says lastOpenDay, which have nothing in common"
        );
        assert_eq!(effective(&asked, Kind::Click).unwrap().mode, Mode::Overall);
    }

    #[test]
    fn the_reason_reads_as_a_sentence() {
        let asked = Asked {
            mail_type: MailType::Transactional,
            ceiling: Tracking { opens: Mode::Individual, clicks: Mode::Individual },
            tenant: Some(Tracking { opens: Mode::Anonymous, clicks: Mode::Off }),
            campaign: Some(Tracking { opens: Mode::Individual, clicks: Mode::Overall }),
            killed: false,
        };
        let opens = effective(&asked, Kind::Open).unwrap();
        assert_eq!(
            opens.to_string(),
            "anonymous, because the tenant's default for transactional mail says so"
        );
        let above = Asked { ceiling: Tracking { opens: Mode::Overall, ..asked.ceiling }, ..asked };
        assert_eq!(
            effective(&above, Kind::Open).unwrap_err().to_string(),
            "the tenant's default for transactional mail asks for anonymous opens, and the region \
             allows at most overall: ask for overall or less, or raise the region's ceiling"
        );
    }
}
