use proptest::prelude::*;

use super::*;
use crate::refusal::{Entry, RefusalLog};

const TENANT: TenantId = TenantId(7);
const CAMPAIGN: CampaignId = CampaignId(9);

fn allowed() -> impl Strategy<Value = Allowed> {
    (0..4u8, 0..4u8, 0..2u8).prop_map(|(opens, clicks, place)| Allowed {
        tracking: Tracking {
            opens: Mode::from_u8(opens).unwrap(),
            clicks: Mode::from_u8(clicks).unwrap(),
        },
        place: Place::from_u8(place).unwrap(),
    })
}

/// One tenant and one campaign of it as the appender sees them, and what was sealed so far.
#[derive(Default)]
struct Model {
    log: RefusalLog,
    generation: u32,
    before: [Option<Allowed>; 2],
    /// Generation and claims of everything sealed, and what it could tell when it was last asked.
    sealed: Vec<(u32, Allowed, Allowed)>,
}

impl Model {
    fn mails() -> [Mail; 2] {
        let tenant = Mail { tenant: TENANT, mail_type: MailType::Campaign, campaign: None };
        [tenant, Mail { campaign: Some(CAMPAIGN), ..tenant }]
    }

    /// The tenant allows, and the campaign asks for, something else now.
    fn change(&mut self, tenant: Allowed, campaign: Allowed) {
        let now = [tenant, campaign.strictest(&tenant)];
        for (i, mail) in Self::mails().into_iter().enumerate() {
            let cap = mail.tighten(self.log.caps(), self.before[i], now[i], self.generation);
            if let Some(refuses) = cap {
                let entry = Entry { n: self.log.length() + 1, at_ms: 0, refuses };
                self.log.append(&entry.to_bytes()).unwrap();
            }
        }
        for (i, mail) in Self::mails().into_iter().enumerate() {
            self.generation = mail.free_generation(self.log.caps(), now[i], self.generation);
            self.before[i] = Some(now[i]);
        }
    }

    fn tells(&self, generation: u32, claims: Allowed) -> Allowed {
        Self::mails()[1].capped(self.log.caps(), generation).strictest(&claims)
    }
}

proptest! {
    /// Whatever a tenant and a campaign say one after the other: new mail tells exactly what is
    /// allowed when it is sealed, old mail never tells more than it did, and never more than is
    /// allowed since.
    #[test]
    fn loosening_never_loosens_old_mail(
        story in prop::collection::vec((allowed(), allowed()), 1..20),
    ) {
        let mut model = Model::default();
        for (tenant, campaign) in story {
            model.change(tenant, campaign);
            let now = campaign.strictest(&tenant);
            prop_assert_eq!(model.tells(model.generation, now), now, "new mail is free");
            let sealed = std::mem::take(&mut model.sealed);
            for (generation, claims, told) in sealed {
                let tells = model.tells(generation, claims);
                prop_assert!(!tells.exceeds(&told), "old mail got freer");
                prop_assert!(!tells.exceeds(&now), "old mail tells what is forbidden");
                model.sealed.push((generation, claims, tells));
            }
            model.sealed.push((model.generation, now, now));
        }
    }

    /// A tenant that is deleted and made anew, its status lost, starts past every cap.
    #[test]
    fn a_generation_that_was_forgotten_is_found_again(
        story in prop::collection::vec((allowed(), allowed()), 1..12), last in allowed(),
    ) {
        let mut model = Model::default();
        story.into_iter().for_each(|(tenant, campaign)| model.change(tenant, campaign));
        let tenant = Model::mails()[0];
        let found = tenant.free_generation(model.log.caps(), last, 0);
        prop_assert!(!last.exceeds(&tenant.capped(model.log.caps(), found)));
        prop_assert!(found <= model.generation + 1);
    }
}

#[test]
fn a_cap_that_says_it_already_is_not_said_again() {
    let mut model = Model::default();
    let open = Allowed {
        tracking: Tracking { opens: Mode::Individual, clicks: Mode::Individual },
        place: Place::Country,
    };
    let off = Allowed { tracking: Tracking::OFF, ..open };
    model.change(open, open);
    model.change(off, open);
    assert_eq!(model.log.length(), 1, "the tenant's cap covers its campaigns");
    model.before[0] = Some(open);
    model.change(off, open);
    assert_eq!(model.log.length(), 1, "a death before the status was written repeats nothing");
}

#[test]
fn a_withdrawal_is_for_good() {
    let mail = Model::mails()[1];
    let mut log = RefusalLog::default();
    let refuses = Refuses::Cap {
        scope: mail.scope().into(),
        up_to: u32::MAX,
        opens: Mode::Off,
        clicks: Mode::Off,
        place: Place::None,
    };
    log.append(&Entry { n: 1, at_ms: 0, refuses }.to_bytes()).unwrap();
    let open = Allowed {
        tracking: Tracking { opens: Mode::Overall, clicks: Mode::Overall },
        place: Place::None,
    };
    assert_eq!(mail.free_generation(log.caps(), open, 3), 3);
}
