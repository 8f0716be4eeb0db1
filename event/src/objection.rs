//! One recipient's objection: whom it names, and how a message is named without its mark.
//!
//! A message of `anonymous` mail is known to the refusal log by a hash of its mark under a key that
//! comes from the batch key of the token's last day. Edges and the writer hold that key until the
//! day closes; whoever holds the log alone can match nothing, and once the day is closed nobody
//! can. So the log can keep its entry for ever without keeping what it was about. `WIRE.md`,
//! "Objection".

use std::hash::Hasher as _;

use hkdf::Hkdf;
use hushmark_policy::{CampaignId, Caps, Day, Mark, Objected, ObjectedMessage, TenantId};
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::refusal::Refuses;
use crate::ring::{DayKey, Ring};

/// What a recipient objected to by the page of one message. At least one of the two is there.
#[derive(Clone, PartialEq, Eq)]
pub struct Objection {
    /// Whose mail it is.
    pub tenant: TenantId,
    /// The contact, where the message names one (`individual`).
    pub contact: Option<Mark>,
    /// The message itself, where it has a mark of its own (`anonymous`).
    pub message: Option<ObjectedMessage>,
}

impl Objection {
    /// The bytes that one takes in a batch: tag and flags, tenant, and what it names.
    #[must_use]
    pub const fn packed_len(contact: bool, message: bool) -> usize {
        2 + 8 + if contact { 8 } else { 0 } + if message { 8 + 2 + 8 } else { 0 }
    }

    /// The entries of the refusal log that it asks for.
    pub fn refuses(&self) -> impl Iterator<Item = Refuses> + '_ {
        let contact = self.contact.as_ref().map(|contact| Refuses::Contact {
            tenant: self.tenant.to_string(),
            id: format!("{:016x}", contact.expose()),
        });
        let message =
            self.message.map(|ObjectedMessage { campaign, last_day, id }| Refuses::Message {
                campaign: campaign.to_string(),
                until: last_day.to_string(),
                id: format!("{id:016x}"),
            });
        contact.into_iter().chain(message)
    }

    /// Adds it to a set.
    pub fn add_to(&self, objected: &mut Objected) {
        if let Some(contact) = &self.contact {
            objected.add_contact(self.tenant, contact);
        }
        if let Some(message) = self.message {
            objected.add_message(message);
        }
    }

    /// Whether a set has all of it.
    #[must_use]
    pub fn is_in(&self, objected: &Objected) -> bool {
        self.contact.as_ref().is_none_or(|it| objected.has_contact(self.tenant, it))
            && self.message.as_ref().is_none_or(|it| objected.has_message(it))
    }
}

/// What the marks of one last day are hashed with.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct ObjectionKey([u8; 16]);

impl ObjectionKey {
    pub(crate) fn derive(batch: &DayKey) -> Self {
        let mut key = [0; 16];
        Hkdf::<Sha256>::new(None, batch.expose())
            .expand(b"hushmark objection 1", &mut key)
            .expect("16 bytes are within HKDF's limit");
        Self(key)
    }

    /// SipHash-2-4 over campaign ‖ mark.
    fn id(&self, campaign: CampaignId, mark: &Mark) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&campaign.0.to_be_bytes());
        hasher.write(&mark.expose().to_be_bytes());
        hasher.finish()
    }
}

/// How the refusal log names a message; `None` once its last day is closed, or where the batch ring
/// does not reach so far.
#[must_use]
pub fn name_message(
    batch: &Ring,
    campaign: CampaignId,
    last_day: Day,
    mark: &Mark,
) -> Option<ObjectedMessage> {
    let id = batch.objection_key(last_day)?.id(campaign, mark);
    Some(ObjectedMessage { campaign, last_day, id })
}

/// Whose hit is asked about.
#[derive(Clone, Copy)]
pub struct Whose<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The token's last day.
    pub last_day: Day,
    /// The contact's or the message's mark: both are as random and as long, so that none of one
    /// kind is taken for one of the other.
    pub mark: &'a Mark,
}

/// Whether a set refuses a hit. Nothing is hashed where the campaign has no objection.
#[must_use]
pub fn is_objected(objected: &Objected, batch: &Ring, whose: Whose<'_>) -> bool {
    let Whose { tenant, campaign, last_day, mark } = whose;
    objected.has_contact(tenant, mark)
        || objected.has_any_of(campaign)
            && name_message(batch, campaign, last_day, mark)
                .is_some_and(|message| objected.has_message(&message))
}

/// Whether the refusal log refuses a hit by its mark: a person's withdrawal, or an objection.
#[must_use]
pub fn is_refused(caps: &Caps, batch: &Ring, whose: Whose<'_>) -> bool {
    is_objected(caps.objected(), batch, whose)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Day = Day(20_778);

    fn ring(byte: u8) -> Ring {
        let mut ring = Ring::default();
        ring.insert(LAST, DayKey::new([byte; 32]));
        ring
    }

    /// The refusal log holds these: they must never change.
    #[test]
    fn a_message_has_one_name_under_its_days_key_and_none_without() {
        let mark = Mark::new(42);
        let name = |ring: &Ring, campaign, day, mark: &Mark| {
            name_message(ring, CampaignId(campaign), day, mark).map(|message| message.id)
        };
        let id = name(&ring(7), 1, LAST, &mark).unwrap();
        insta::assert_snapshot!(format!("{id:016x}"), @"e980a70e4d5b508a");
        for other in [
            name(&ring(8), 1, LAST, &mark),
            name(&ring(7), 2, LAST, &mark),
            name(&ring(7), 1, LAST, &Mark::new(43)),
        ] {
            assert!(other.is_some_and(|other| other != id));
        }
        assert_eq!(name(&ring(7), 1, Day(LAST.0 + 1), &mark), None);
    }

    #[test]
    fn an_objection_refuses_what_it_names_and_nothing_else() {
        let (ring, mark, contact) = (ring(7), Mark::new(42), Mark::new(43));
        let (tenant, campaign) = (TenantId(1), CampaignId(2));
        let message = name_message(&ring, campaign, LAST, &mark);
        let objection = Objection { tenant, contact: Some(contact.clone()), message };
        let mut objected = Objected::default();
        assert!(!objection.is_in(&objected));
        objection.add_to(&mut objected);
        assert!(objection.is_in(&objected));
        let stranger = Mark::new(44);
        let whose = |mark| Whose { tenant, campaign, last_day: LAST, mark };
        assert!(is_objected(&objected, &ring, whose(&mark)));
        assert!(is_objected(&objected, &ring, whose(&contact)));
        assert!(!is_objected(&objected, &ring, whose(&stranger)));
        let other = Whose { campaign: CampaignId(3), ..whose(&mark) };
        assert!(!is_objected(&objected, &ring, other));
        // The day's key is destroyed: the entry matches nothing any more.
        assert!(!is_objected(&objected, &Ring::default(), whose(&mark)));
        assert_eq!(objection.refuses().count(), 2);
    }
}
