//! "The most restrictive wins", for opens and for clicks apart, with the reason kept.

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
     ask for {ceiling} or less, or raise the region's ceiling"
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
        if *mode > ceiling {
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
    // Among equals the wider scope is named: it is the one that would have to change.
    let strictest = tenant.into_iter().chain(campaign).min_by_key(|(mode, _)| *mode);
    let (mode, source) = strictest.unwrap_or((Mode::Off, Source::NothingSaid));
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
        }
    }
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
                        prop_assert!(voices.iter().all(|v| e.mode <= *v));
                        prop_assert!(e.mode <= ceiling.of(kind));
                        prop_assert!(!killed || e.mode == Mode::Off);
                        prop_assert!(!voices.is_empty() || e.mode == Mode::Off);
                    }
                    Err(_) => prop_assert!(voices.iter().any(|v| *v > ceiling.of(kind))),
                }
            }
        }
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
