//! Caps: what the refusal log does to mail that was already sent. A cap is never lifted.

use std::collections::HashMap;

use crate::id::{CampaignId, Generation, Mark, TenantId};
use crate::mode::{Kind, MailType, Mode, Place, Tracking};
use crate::objected::{Objected, ObjectedMessage};

/// Whom a cap covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Every message of the region.
    All,
    /// A tenant's mail of one type.
    Tenant(TenantId, MailType),
    /// One campaign.
    Campaign(CampaignId),
}

/// The most that hits on covered messages may tell from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Whom it covers.
    pub scope: Scope,
    /// The highest generation it covers; mail sealed later is free of it.
    pub up_to: Generation,
    /// The modes it allows, for opens and for clicks apart; `off` for both is the kill switch.
    pub tracking: Tracking,
    /// The coarsest place it allows.
    pub place: Place,
}

/// All caps of a region, by scope, ready to be asked once a hit.
///
/// A scope may hold several caps with different generations. They are kept reduced: one that
/// covers no more and allows no less than another is left out.
#[derive(Clone, Debug, Default)]
pub struct Caps {
    by_scope: HashMap<Scope, Vec<Cap>>,
    objected: Objected,
}

impl Caps {
    /// Adds one cap. Adding the same one twice changes nothing.
    pub fn add(&mut self, cap: Cap) {
        let caps = self.by_scope.entry(cap.scope).or_default();
        let covers = |a: &Cap, b: &Cap| {
            a.up_to >= b.up_to
                && b.tracking.opens.allows(a.tracking.opens)
                && b.tracking.clicks.allows(a.tracking.clicks)
                && a.place <= b.place
        };
        if caps.iter().any(|old| covers(old, &cap)) {
            return;
        }
        caps.retain(|old| !covers(&cap, old));
        caps.push(cap);
    }

    /// Whether no cap was ever added, which is the common case on the hot path.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_scope.is_empty()
    }

    /// Ends the tracking of one contact of a tenant: of every message that names the contact.
    pub fn withdraw(&mut self, tenant: TenantId, contact: &Mark) {
        self.objected.add_contact(tenant, contact);
    }

    /// Ends the counting of one message, of which nobody knows whose it is.
    pub fn withdraw_message(&mut self, message: ObjectedMessage) {
        self.objected.add_message(message);
    }

    /// Whether a mark is that of a contact whose tracking ended. The mark of a single message is
    /// as random and as long, so that none is taken for a contact's.
    #[must_use]
    pub fn is_withdrawn(&self, tenant: TenantId, contact: &Mark) -> bool {
        self.objected.has_contact(tenant, contact)
    }

    /// The contacts and messages whose tracking ended.
    #[must_use]
    pub const fn objected(&self) -> &Objected {
        &self.objected
    }

    /// The strictest of what a token says and of every cap that covers its generation.
    #[must_use]
    pub fn apply(
        &self,
        (tenant, mail_type): (TenantId, MailType),
        campaign: CampaignId,
        generation: Generation,
        kind: Kind,
        (mode, place): (Mode, Place),
    ) -> (Mode, Place) {
        if self.is_empty() {
            return (mode, place);
        }
        let scopes = [Scope::All, Scope::Tenant(tenant, mail_type), Scope::Campaign(campaign)];
        scopes
            .iter()
            .filter_map(|scope| self.by_scope.get(scope))
            .flatten()
            .filter(|cap| cap.up_to >= generation)
            .fold((mode, place), |(m, p), cap| {
                (m.strictest(cap.tracking.of(kind)), p.min(cap.place))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cap() -> impl Strategy<Value = Cap> {
        let scope = prop_oneof![
            Just(Scope::All),
            (0..2u64).prop_map(|t| Scope::Tenant(TenantId(t), MailType::Campaign)),
            (0..2u64).prop_map(|c| Scope::Campaign(CampaignId(c))),
        ];
        (scope, 0..4u32, 0..5u8, 0..5u8, 0..4u8).prop_map(|(scope, g, o, c, p)| Cap {
            scope,
            up_to: Generation(g),
            tracking: Tracking {
                opens: Mode::from_u8(o).unwrap(),
                clicks: Mode::from_u8(c).unwrap(),
            },
            place: Place::from_u8(p).unwrap(),
        })
    }

    proptest! {
        /// The reduced set answers what asking every cap in turn answers, in any order.
        #[test]
        fn reducing_forgets_nothing(
            caps in prop::collection::vec(cap(), 0..12),
            t in 0..2u64, c in 0..2u64, g in 0..4u32, m in 0..5u8, p in 0..4u8,
        ) {
            let asked = (Mode::from_u8(m).unwrap(), Place::from_u8(p).unwrap());
            let covers = |cap: &Cap| cap.up_to >= Generation(g) && match cap.scope {
                Scope::All => true,
                Scope::Tenant(tenant, mail) => tenant.0 == t && mail == MailType::Campaign,
                Scope::Campaign(campaign) => campaign.0 == c,
            };
            for kind in Kind::ALL {
                let expected = caps.iter().filter(|cap| covers(cap))
                    .fold(asked, |(m, p), cap| {
                        (m.strictest(cap.tracking.of(kind)), p.min(cap.place))
                    });
                for order in [caps.clone(), caps.iter().rev().copied().collect()] {
                    let mut all = Caps::default();
                    order.into_iter().for_each(|cap| all.add(cap));
                    let tenant = (TenantId(t), MailType::Campaign);
                    let found = all.apply(tenant, CampaignId(c), Generation(g), kind, asked);
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
