//! Erasures: entries that refuse what still comes, and that the writer carries out in ClickHouse.
//!
//! The log alone says what has to be gone, so that a ClickHouse that was restored from before an
//! erasure can be held against it, however old it is.

use std::collections::HashMap;

use hushmark_policy::{
    CampaignId, Cap, Caps, Generation, MailType, Mark, Place, Scope, TenantId, Tracking,
};
use serde::{Deserialize, Serialize};

use crate::chain::{Hash32, parse_id};

/// Whose data is erased, as an entry writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Erased {
    /// One person of a tenant.
    Person {
        /// The tenant's id.
        tenant: String,
        /// The keyed hash by which the tenant finds an address. It stays, so that the person is
        /// not tracked anew by accident; without the tenant's key it tells nothing.
        lookup: Hash32,
        /// Every id that mail named the person by, in 16 hex digits; none where no mail did.
        contacts: Vec<String>,
    },
    /// One campaign.
    Campaign {
        /// Whose.
        tenant: String,
        /// Its id.
        id: String,
    },
    /// Everything of a tenant, by its id.
    Tenant(String),
}

/// Whose data is erased.
#[derive(Clone)]
pub enum Whose {
    /// One person of a tenant.
    Person {
        /// The tenant.
        tenant: TenantId,
        /// The keyed hash of the address.
        lookup: Hash32,
        /// Every id that mail named the person by.
        contacts: Vec<Mark>,
    },
    /// One campaign of a tenant.
    Campaign(TenantId, CampaignId),
    /// A tenant.
    Tenant(TenantId),
}

impl Erased {
    /// The ids in it, if all of them can be. Zero is nobody: ledger rows carry it, and no erasure
    /// may ever reach those.
    #[must_use]
    pub fn parse(&self) -> Option<Whose> {
        let id = |text: &str| parse_id(text).filter(|id| *id != 0);
        Some(match self {
            Self::Person { tenant, lookup, contacts } => Whose::Person {
                tenant: TenantId(id(tenant)?),
                lookup: *lookup,
                contacts: contacts
                    .iter()
                    .map(|text| parse_id(text).map(Mark::new))
                    .collect::<Option<_>>()?,
            },
            Self::Campaign { tenant, id: campaign } => {
                Whose::Campaign(TenantId(id(tenant)?), CampaignId(id(campaign)?))
            }
            Self::Tenant(tenant) => Whose::Tenant(TenantId(id(tenant)?)),
        })
    }
}

impl Whose {
    /// The tenant that it is of.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::Person { tenant, .. } | Self::Campaign(tenant, _) | Self::Tenant(tenant) => {
                *tenant
            }
        }
    }

    /// Whether both are about the same person, campaign or tenant, whatever ids the person had.
    #[must_use]
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Person { tenant, lookup, .. }, Self::Person { tenant: of, lookup: by, .. }) => {
                (tenant, lookup) == (of, by)
            }
            (Self::Campaign(tenant, id), Self::Campaign(of, other)) => (tenant, id) == (of, other),
            (Self::Tenant(tenant), Self::Tenant(other)) => tenant == other,
            _ => false,
        }
    }

    /// Whether this is about the same, and no id of the other is missing here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let ids = |whose: &Self| match whose {
            Self::Person { contacts, .. } => contacts.clone(),
            Self::Campaign(..) | Self::Tenant(_) => Vec::new(),
        };
        let mine = ids(self);
        self.is_about_the_same(other) && ids(other).iter().all(|id| mine.contains(id))
    }

    /// What edges and writers obey from then on: nothing is stored, of any generation.
    pub(super) fn refuse(&self, caps: &mut Caps) {
        let mut end = |scope| {
            let up_to = Generation(u32::MAX);
            caps.add(Cap { scope, up_to, tracking: Tracking::OFF, place: Place::None });
        };
        match self {
            Self::Person { tenant, contacts, .. } => {
                contacts.iter().for_each(|contact| caps.withdraw(*tenant, contact));
            }
            Self::Campaign(_, campaign) => end(Scope::Campaign(*campaign)),
            Self::Tenant(tenant) => {
                end(Scope::Tenant(*tenant, MailType::Campaign));
                end(Scope::Tenant(*tenant, MailType::Transactional));
            }
        }
    }
}

/// One erasure.
#[derive(Clone)]
pub struct Erasure {
    /// The entry's place in the log.
    pub n: u64,
    /// When it was appended, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whose data.
    pub whose: Whose,
}

/// Every erasure of a log.
#[derive(Clone, Default)]
pub struct Erasures {
    all: Vec<Erasure>,
    campaigns: HashMap<CampaignId, u64>,
    tenants: HashMap<TenantId, u64>,
}

impl Erasures {
    pub(super) fn add(&mut self, erasure: Erasure) {
        match &erasure.whose {
            Whose::Person { .. } => {}
            Whose::Campaign(_, campaign) => {
                self.campaigns.entry(*campaign).or_insert(erasure.at_ms);
            }
            Whose::Tenant(tenant) => {
                self.tenants.entry(*tenant).or_insert(erasure.at_ms);
            }
        }
        self.all.push(erasure);
    }

    /// All of them, in the log's order.
    #[must_use]
    pub fn all(&self) -> &[Erasure] {
        &self.all
    }

    /// The last erasure of the same person, campaign or tenant.
    #[must_use]
    pub fn last_of(&self, whose: &Whose) -> Option<&Erasure> {
        self.all.iter().rev().find(|erasure| erasure.whose.is_about_the_same(whose))
    }

    /// When a tenant was erased, in milliseconds since 1970.
    #[must_use]
    pub fn of_tenant(&self, tenant: TenantId) -> Option<u64> {
        self.tenants.get(&tenant).copied()
    }

    /// When a campaign was erased, by itself or with its tenant. Its name can never be used again:
    /// old mail names the same id, and the log refuses it for ever.
    #[must_use]
    pub fn of_campaign(&self, tenant: TenantId, campaign: CampaignId) -> Option<u64> {
        self.campaigns.get(&campaign).copied().or_else(|| self.of_tenant(tenant))
    }
}

#[cfg(test)]
mod tests {
    use hushmark_policy::{Kind, Mode};

    use super::*;
    use crate::refusal::{Entry, RefusalLog, Refuses};

    fn log(erased: Vec<Erased>) -> RefusalLog {
        let mut log = RefusalLog::default();
        for (n, erased) in (1..).zip(erased) {
            let entry = Entry { n, at_ms: 1_000 * n, refuses: Refuses::Erase(erased) };
            log.append(&entry.to_bytes()).unwrap();
        }
        log
    }

    fn id(n: u64) -> String {
        format!("{n:016x}")
    }

    fn person(contacts: &[u64]) -> Erased {
        let contacts = contacts.iter().map(|contact| id(*contact)).collect();
        Erased::Person { tenant: id(7), lookup: Hash32([5; 32]), contacts }
    }

    fn left(log: &RefusalLog, tenant: u64, campaign: u64) -> Mode {
        let whose = (TenantId(tenant), MailType::Transactional);
        let most = (Mode::Individual, Place::City);
        let of =
            log.caps().apply(whose, CampaignId(campaign), Generation(u32::MAX), Kind::Click, most);
        of.0
    }

    #[test]
    fn an_erased_person_is_refused_under_every_id_that_mail_named_them_by() {
        let log = log(vec![person(&[1, 2]), person(&[])]);
        let is_refused =
            |tenant, contact| log.caps().is_withdrawn(TenantId(tenant), &Mark::new(contact));
        assert!(is_refused(7, 1) && is_refused(7, 2));
        assert!(!is_refused(7, 3) && !is_refused(8, 1));
        assert_eq!(left(&log, 7, 1), Mode::Individual, "nobody else's tracking ends");
        assert_eq!(log.erasures().all().len(), 2);
    }

    #[test]
    fn of_an_erased_campaign_and_of_an_erased_tenant_nothing_is_stored_ever() {
        let campaign = Erased::Campaign { tenant: id(7), id: id(21) };
        let log = log(vec![campaign, Erased::Tenant(id(8))]);
        assert_eq!((left(&log, 7, 21), left(&log, 7, 22)), (Mode::Off, Mode::Individual));
        assert_eq!((left(&log, 8, 1), left(&log, 9, 1)), (Mode::Off, Mode::Individual));
        let erased =
            |tenant, campaign| log.erasures().of_campaign(TenantId(tenant), CampaignId(campaign));
        assert_eq!((erased(7, 21), erased(7, 22)), (Some(1_000), None));
        assert_eq!((erased(8, 5), erased(9, 5)), (Some(2_000), None));
    }

    #[test]
    fn the_bytes_and_what_cannot_be_an_erasure() {
        let entry = Entry { n: 1, at_ms: 5, refuses: Refuses::Erase(person(&[0xaa])) };
        let text = String::from_utf8(entry.to_bytes()).unwrap();
        insta::assert_snapshot!(text, @r#"{"n":1,"at_ms":5,"refuses":{"erase":{"person":{"tenant":"0000000000000007","lookup":"0505050505050505050505050505050505050505050505050505050505050505","contacts":["00000000000000aa"]}}}}"#);
        for bad in [
            r#"{"tenant":"0000000000000000"}"#,
            r#"{"tenant":"XYZ"}"#,
            r#"{"campaign":{"tenant":"0000000000000007","id":"0000000000000000"}}"#,
            r#"{"person":{"tenant":"0000000000000007","lookup":"05","contacts":[]}}"#,
        ] {
            let text = format!(r#"{{"n":1,"at_ms":5,"refuses":{{"erase":{bad}}}}}"#);
            assert!(RefusalLog::default().append(text.as_bytes()).is_err(), "{bad}");
        }
    }
}
