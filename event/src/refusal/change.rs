//! What a change of policy asks of the log.
//!
//! A cap is never lifted. Tightening a policy appends a cap that covers every generation so far;
//! loosening one raises the tenant's generation, so that only mail sealed afterwards is freer.

use hushmark_policy::{
    CampaignId, Caps, Generation, Kind, MailType, Mode, Place, Scope, TenantId, Tracking,
};
use serde::{Deserialize, Serialize};

use super::Refuses;

/// What one scope allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// What opens and clicks may tell.
    pub tracking: Tracking,
    /// The finest place that may be kept.
    pub place: Place,
}

impl Allowed {
    /// Whether this allows something that `other` does not.
    #[must_use]
    pub fn exceeds(&self, other: &Self) -> bool {
        !other.tracking.opens.allows(self.tracking.opens)
            || !other.tracking.clicks.allows(self.tracking.clicks)
            || self.place > other.place
    }

    /// What both allow.
    #[must_use]
    pub fn strictest(&self, other: &Self) -> Self {
        Self {
            tracking: Tracking {
                opens: self.tracking.opens.strictest(other.tracking.opens),
                clicks: self.tracking.clicks.strictest(other.tracking.clicks),
            },
            place: self.place.min(other.place),
        }
    }
}

/// Whose mail is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The tenant.
    pub tenant: TenantId,
    /// The type.
    pub mail_type: MailType,
    /// One campaign, or all of them.
    pub campaign: Option<CampaignId>,
}

impl Mail {
    /// The scope that a cap on this mail has.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.campaign {
            Some(campaign) => Scope::Campaign(campaign),
            None => Scope::Tenant(self.tenant, self.mail_type),
        }
    }

    /// The most that the caps let mail of a generation tell.
    #[must_use]
    pub fn capped(&self, caps: &Caps, generation: u32) -> Allowed {
        // No campaign has the id zero.
        let campaign = self.campaign.unwrap_or(CampaignId(0));
        let of = |kind| {
            let most = (Mode::Individual, Place::City);
            let tenant = (self.tenant, self.mail_type);
            caps.apply(tenant, campaign, Generation(generation), kind, most)
        };
        let ((opens, place), (clicks, _)) = (of(Kind::Open), of(Kind::Click));
        Allowed { tracking: Tracking { opens, clicks }, place }
    }

    /// The most that was left of it by withdrawals: no generation gets past this.
    #[must_use]
    pub fn left(&self, caps: &Caps) -> Allowed {
        self.capped(caps, u32::MAX)
    }

    /// The cap that a change asks for, if mail sealed so far could tell more than is allowed now,
    /// and no cap says so already.
    #[must_use]
    pub fn tighten(
        &self,
        caps: &Caps,
        before: Option<Allowed>,
        now: Allowed,
        generation: u32,
    ) -> Option<Refuses> {
        let before = before?.strictest(&self.capped(caps, generation));
        before.exceeds(&now).then(|| Refuses::Cap {
            scope: self.scope().into(),
            up_to: generation,
            opens: now.tracking.opens,
            clicks: now.tracking.clicks,
            place: now.place,
        })
    }

    /// The lowest generation, from the present one on, in which no cap stands in the way of what
    /// is allowed. Mail of earlier ones stays under its caps.
    #[must_use]
    pub fn free_generation(&self, caps: &Caps, now: Allowed, generation: u32) -> u32 {
        let is_free = |g: u32| !now.exceeds(&self.capped(caps, g));
        if is_free(generation) {
            return generation;
        }
        if !is_free(u32::MAX) {
            // A cap for good, such as a withdrawal: no generation gets past it.
            return generation;
        }
        // Caps cover all generations up to theirs, so freedom, once reached, stays.
        let (mut capped, mut free) = (generation, u32::MAX);
        while free - capped > 1 {
            let middle = capped + (free - capped) / 2;
            if is_free(middle) { free = middle } else { capped = middle }
        }
        free
    }
}

#[cfg(test)]
mod tests;
