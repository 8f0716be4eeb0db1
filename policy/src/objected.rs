//! Who is counted no more by their own word: contacts, and single messages whose mark nobody can
//! tell from the others.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::id::{CampaignId, Mark, TenantId};
use crate::time::Day;

/// One message of `anonymous` mail that is counted no more. Its mark is not in here: `id` is a hash
/// of it under a key that is destroyed once the token's last day closes, and tells nobody anything
/// from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectedMessage {
    /// Which mail it is.
    pub campaign: CampaignId,
    /// The token's last day, which names the key.
    pub last_day: Day,
    /// The mark's keyed hash.
    pub id: u64,
}

/// A set of contacts and messages that are counted no more. Who they are is not printed.
#[derive(Clone, Default)]
pub struct Objected {
    contacts: HashSet<(TenantId, u64)>,
    /// By campaign, so that nothing is hashed for a campaign that nobody objected to.
    messages: HashMap<CampaignId, HashSet<(Day, u64)>>,
}

impl fmt::Debug for Objected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} contacts and messages", self.len())
    }
}

impl Objected {
    /// Adds a contact of a tenant.
    pub fn add_contact(&mut self, tenant: TenantId, contact: &Mark) {
        self.contacts.insert((tenant, contact.expose()));
    }

    /// Adds one message.
    pub fn add_message(&mut self, ObjectedMessage { campaign, last_day, id }: ObjectedMessage) {
        self.messages.entry(campaign).or_default().insert((last_day, id));
    }

    /// Whether a contact of a tenant is among them.
    #[must_use]
    pub fn has_contact(&self, tenant: TenantId, contact: &Mark) -> bool {
        // The common case must not hash anything.
        !self.contacts.is_empty() && self.contacts.contains(&(tenant, contact.expose()))
    }

    /// Whether any message of a campaign is among them. Asked first, because a message's id costs a
    /// hash.
    #[must_use]
    pub fn has_any_of(&self, campaign: CampaignId) -> bool {
        !self.messages.is_empty() && self.messages.contains_key(&campaign)
    }

    /// Whether a message is among them.
    #[must_use]
    pub fn has_message(
        &self,
        ObjectedMessage { campaign, last_day, id }: &ObjectedMessage,
    ) -> bool {
        self.messages.get(campaign).is_some_and(|ids| ids.contains(&(*last_day, *id)))
    }

    /// Adds all of another set.
    pub fn add_all(&mut self, other: &Self) {
        self.contacts.extend(&other.contacts);
        for (campaign, ids) in &other.messages {
            self.messages.entry(*campaign).or_default().extend(ids);
        }
    }

    /// Leaves out what another set has: it is obeyed there.
    pub fn forget_those_of(&mut self, other: &Self) {
        self.contacts.retain(|contact| !other.contacts.contains(contact));
        for (campaign, ids) in &mut self.messages {
            if let Some(known) = other.messages.get(campaign) {
                ids.retain(|id| !known.contains(id));
            }
        }
        self.messages.retain(|_, ids| !ids.is_empty());
    }

    /// How many contacts and messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contacts.len() + self.messages.values().map(HashSet::len).sum::<usize>()
    }

    /// Whether nobody objected, which is the common case on the hot path.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty() && self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: ObjectedMessage =
        ObjectedMessage { campaign: CampaignId(1), last_day: Day(20_000), id: 7 };

    #[test]
    fn a_contact_is_one_tenants_and_never_printed() {
        let mut objected = Objected::default();
        let contact = Mark::new(0x1234_5678_9abc_def0);
        assert!(!objected.has_contact(TenantId(1), &contact));
        objected.add_contact(TenantId(1), &contact);
        assert!(objected.has_contact(TenantId(1), &contact));
        assert!(!objected.has_contact(TenantId(2), &contact));
        assert!(!objected.has_contact(TenantId(1), &Mark::new(7)));
        let printed = format!("{objected:?}");
        assert!(printed.starts_with("1 contacts") && !printed.contains("1311768467463790320"));
    }

    #[test]
    fn a_message_is_one_of_its_campaign_and_day() {
        let mut objected = Objected::default();
        objected.add_message(MESSAGE);
        objected.add_message(MESSAGE);
        assert!(objected.has_any_of(MESSAGE.campaign) && !objected.has_any_of(CampaignId(2)));
        assert!(objected.has_message(&MESSAGE));
        for other in [
            ObjectedMessage { campaign: CampaignId(2), ..MESSAGE },
            ObjectedMessage { last_day: Day(20_001), ..MESSAGE },
            ObjectedMessage { id: 8, ..MESSAGE },
        ] {
            assert!(!objected.has_message(&other));
        }
        assert_eq!(objected.len(), 1);
    }

    #[test]
    fn what_the_log_has_need_not_be_kept_beside_it() {
        let (mut own, mut log) = (Objected::default(), Objected::default());
        own.add_message(MESSAGE);
        own.add_message(ObjectedMessage { id: 8, ..MESSAGE });
        own.add_contact(TenantId(1), &Mark::new(1));
        log.add_message(MESSAGE);
        log.add_contact(TenantId(1), &Mark::new(1));
        own.forget_those_of(&log);
        assert_eq!(own.len(), 1);
        log.add_message(ObjectedMessage { id: 8, ..MESSAGE });
        own.forget_those_of(&log);
        assert!(own.is_empty() && !own.has_any_of(MESSAGE.campaign));
    }
}
