//! What a Campaign's mail may tell, and who decided it: the strictest of Region, Tenant and
//! Campaign. The operator writes it into the status, and `kubectl hushmark plan` says it of a
//! change before it is applied, so that what was announced is what comes.

use hushmark_policy::resolve::Source;
use hushmark_policy::{Kind, MailType, Mode, Place, Tracking};

use crate::fits::{self, Limits};
use crate::{CampaignSpec, Decided, DecidedBy, EffectivePolicy, TenantSpec};

impl EffectivePolicy {
    /// The strictest of Region, Tenant and Campaign.
    #[must_use]
    pub fn of(campaign: &CampaignSpec, tenant: &TenantSpec, limits: &Limits) -> Self {
        let asked_days = campaign.track_for_days.unwrap_or(limits.longest_tracking_days);
        Self {
            opens: decided(campaign, tenant, limits, Kind::Open),
            clicks: decided(campaign, tenant, limits, Kind::Click),
            place: campaign.place.min(limits.place),
            track_for_days: asked_days.min(limits.longest_tracking_days).into(),
        }
    }

    /// The strictest of this and of what held before. Among equals this one's reasons are told.
    #[must_use]
    pub fn strictest(self, before: &Self) -> Self {
        Self {
            opens: strictest(self.opens, before.opens),
            clicks: strictest(self.clicks, before.clicks),
            place: self.place.min(before.place),
            track_for_days: self.track_for_days.min(before.track_for_days),
        }
    }

    /// No more than withdrawals left.
    #[must_use]
    pub fn withdrawn(self, left: Tracking, place: Place) -> Self {
        let of = |decided: Decided, left: Mode| {
            let mode = left.strictest(decided.mode);
            let withdrawal = Decided { mode, decided_by: DecidedBy::Withdrawal };
            if mode == decided.mode { decided } else { withdrawal }
        };
        Self {
            opens: of(self.opens, left.opens),
            clicks: of(self.clicks, left.clicks),
            place: self.place.min(place),
            ..self
        }
    }

    /// The modes without the reasons.
    #[must_use]
    pub const fn tracking(&self) -> Tracking {
        Tracking { opens: self.opens.mode, clicks: self.clicks.mode }
    }
}

/// The most that a tenant's mail of a type may tell: its default, or all that the region allows. A
/// default above the ceiling is refused, and the ceiling holds all the same for what was sent.
#[must_use]
pub fn at_most(tenant: &TenantSpec, mail_type: MailType, limits: &Limits) -> Tracking {
    let ceiling = limits.tracking;
    let said = tenant.default_for(mail_type).unwrap_or(ceiling);
    let said = if tenant.kill_switch { Tracking::OFF } else { said };
    Tracking {
        opens: said.opens.strictest(ceiling.opens),
        clicks: said.clicks.strictest(ceiling.clicks),
    }
}

/// The strictest of two, and whose word it is. Among equals the first is told.
const fn strictest(a: Decided, b: Decided) -> Decided {
    if b.mode.allows(a.mode) {
        return a;
    }
    if a.mode.allows(b.mode) {
        return b;
    }
    Decided { mode: Mode::Off, decided_by: DecidedBy::NothingInCommon }
}

fn decided(campaign: &CampaignSpec, tenant: &TenantSpec, limits: &Limits, hit: Kind) -> Decided {
    let default = tenant.default_for(campaign.mail_type);
    if let Some(found) = fits::effective(campaign, (default, tenant.kill_switch), limits, hit) {
        let decided_by = match found.source {
            Source::NothingSaid => DecidedBy::Nobody,
            Source::TenantDefault(_) => DecidedBy::TenantDefault,
            Source::Campaign => DecidedBy::Campaign,
            Source::KillSwitch => DecidedBy::KillSwitch,
            Source::NothingInCommon { .. } => DecidedBy::NothingInCommon,
        };
        return Decided { mode: found.mode, decided_by };
    }
    // Somebody asks for more than the ceiling, which is refused; this is for mail that was sent.
    if tenant.kill_switch {
        return Decided { mode: Mode::Off, decided_by: DecidedBy::KillSwitch };
    }
    let ceiling = Decided { mode: limits.tracking.of(hit), decided_by: DecidedBy::RegionCeiling };
    let default =
        default.map(|own| Decided { mode: own.of(hit), decided_by: DecidedBy::TenantDefault });
    let own = campaign.tracking.map(Tracking::from);
    let own = own.map(|own| Decided { mode: own.of(hit), decided_by: DecidedBy::Campaign });
    let voices = [Some(ceiling), default, own];
    voices.into_iter().flatten().reduce(strictest).unwrap_or(ceiling)
}
