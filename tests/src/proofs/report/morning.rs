//! Mornings of mail as people read it: a pure function from a hit's number to the hit.

use std::sync::Arc;

use hushmark_event::{Client, Context, Device, Hit, System, Verdict};
use hushmark_policy::{CampaignId, Day, Generation, Kind, MailType, Mark, Mode, TenantId};

use crate::plan::tenant;

/// The region and the namespace that [`tenant`] is derived from.
pub(in crate::proofs) const REGION: &str = "proof";
pub(in crate::proofs) const NAMESPACE: &str = "tenant";

/// Links of one newsletter.
const LINKS: u64 = 16;

/// Who made a request, as one line of the table below says.
type Profile = (Verdict, Device, Client, System);

/// What opens mail, in the shares that senders publish: half of it is Apple's proxy.
const OPENERS: [(u64, Profile); 8] = [
    (46, (Verdict::AppleProxy, Device::Unknown, Client::AppleMail, System::Unknown)),
    (26, (Verdict::GmailProxy, Device::Unknown, Client::Gmail, System::Unknown)),
    (9, (Verdict::Human, Device::Desktop, Client::Outlook, System::Windows)),
    (6, (Verdict::Human, Device::Phone, Client::Outlook, System::Ios)),
    (5, (Verdict::YahooProxy, Device::Unknown, Client::YahooMail, System::Unknown)),
    (4, (Verdict::Human, Device::Desktop, Client::Thunderbird, System::Linux)),
    (3, (Verdict::Human, Device::Phone, Client::SamsungEmail, System::Android)),
    (1, (Verdict::Scanner, Device::Server, Client::Program, System::Linux)),
];

/// What follows links.
const CLICKERS: [(u64, Profile); 7] = [
    (38, (Verdict::Human, Device::Phone, Client::Safari, System::Ios)),
    (24, (Verdict::Human, Device::Desktop, Client::Chrome, System::Windows)),
    (15, (Verdict::Human, Device::Phone, Client::Chrome, System::Android)),
    (9, (Verdict::Human, Device::Desktop, Client::Edge, System::Windows)),
    (6, (Verdict::Human, Device::Desktop, Client::Safari, System::MacOs)),
    (5, (Verdict::Scanner, Device::Server, Client::Program, System::Linux)),
    (3, (Verdict::Bot, Device::Server, Client::Program, System::Unknown)),
];

const COUNTRIES: [(u64, [u8; 2]); 6] =
    [(55, *b"DE"), (14, *b"AT"), (12, *b"CH"), (9, *b"FR"), (6, *b"NL"), (4, *b"GB")];

/// Campaigns that are out at once: a newsletter is read for some hours, then the next ones are.
const OUT_AT_ONCE: u64 = 100;

/// A load of many campaigns: every second one `individual`, the others `anonymous`.
#[derive(Clone, Debug)]
pub(in crate::proofs) struct Morning {
    /// Makes marks and choices.
    seed: u64,
    /// Hits in all.
    pub(super) hits: u64,
    /// Campaigns that share them.
    pub(super) campaigns: u64,
    /// Readers of each; contacts of the tenant where the mode is `individual`.
    pub(super) readers: u64,
    /// When the first hit arrived and the last, in milliseconds since 1970.
    span_ms: (u64, u64),
    /// The last day of the tokens, which has a salt.
    last_day: Day,
    tenant: TenantId,
    ids: Arc<[CampaignId]>,
}

/// A hit, and what a proof knows of it beyond what a hit says.
pub(in crate::proofs) struct Drawn {
    /// The campaign's place among the campaigns.
    pub(in crate::proofs) campaign: u64,
    /// The reader's place among its readers.
    pub(in crate::proofs) reader: u64,
    pub(in crate::proofs) hit: Hit,
}

impl Morning {
    /// So many hits of so many campaigns with so many readers each.
    pub(in crate::proofs) fn new(
        seed: u64,
        (hits, campaigns, readers): (u64, u64, u64),
        span_ms: (u64, u64),
        last_day: Day,
    ) -> Self {
        let ids = (0..campaigns).map(id).collect();
        Self { seed, hits, campaigns, readers, span_ms, last_day, tenant: tenant(), ids }
    }

    /// The id of a reader where readers are known.
    pub(in crate::proofs) fn contact(&self, reader: u64) -> u64 {
        self.mark(u64::MAX, reader)
    }

    fn mark(&self, owner: u64, reader: u64) -> u64 {
        fastrand::Rng::with_seed(self.seed ^ owner << 32 ^ reader).u64(..)
    }

    /// The n-th hit. Arrival grows with the number.
    pub(in crate::proofs) fn draw(&self, n: u64) -> Drawn {
        let mut random = fastrand::Rng::with_seed(self.seed << 48 ^ n);
        let oldest = (u128::from(n) * u128::from(self.campaigns) / u128::from(self.hits)) as u64;
        let out = oldest + random.u64(..OUT_AT_ONCE.min(self.campaigns));
        let campaign = out % self.campaigns;
        // Some open everything, many hardly anything: the square of an even draw.
        let reader = (random.f64().powi(2) * self.readers as f64) as u64;
        let kind = if random.u8(..4) == 0 { Kind::Click } else { Kind::Open };
        let (link, profiles): (_, &[_]) = match kind {
            Kind::Open => (0, &OPENERS),
            Kind::Click => (1 + (random.f64().powi(2) * LINKS as f64) as u16, &CLICKERS),
        };
        // A reader stays with one client for each kind, and in one country.
        let mut habits = fastrand::Rng::with_seed(self.seed ^ reader << 1 ^ kind as u64);
        let (verdict, device, client, system) = choose(profiles, habits.u64(..100));
        let mut home = fastrand::Rng::with_seed(!self.seed ^ reader);
        let country = choose(&COUNTRIES, home.u64(..100));
        let mode = mode(campaign);
        // A contact's id is the tenant's; a message's mark is the message's alone.
        let mark = match mode {
            Mode::Individual => self.contact(reader),
            _ => self.mark(campaign, reader),
        };
        let (from, to) = self.span_ms;
        let after = (u128::from(to - from) * u128::from(n) / u128::from(self.hits)) as u64;
        let hit = Hit {
            context: Context {
                tenant: self.tenant,
                campaign: self.ids[campaign as usize],
                generation: Generation(0),
                mode,
                mail_type: MailType::Campaign,
                last_day: self.last_day,
            },
            kind,
            link,
            honeypot: false,
            mark: Some(Mark::new(mark)),
            at_ms: from + after,
            verdict,
            device,
            client,
            system,
            country: Some(country),
        };
        Drawn { campaign, reader, hit }
    }
}

/// The mode of a campaign by its place.
pub(in crate::proofs) const fn mode(campaign: u64) -> Mode {
    if campaign.is_multiple_of(2) { Mode::Individual } else { Mode::Anonymous }
}

/// The name of a campaign by its place.
pub(in crate::proofs) fn name(campaign: u64) -> String {
    format!("newsletter-{campaign:04}")
}

/// The id of a campaign by its place.
pub(in crate::proofs) fn id(campaign: u64) -> CampaignId {
    CampaignId::derive(REGION, NAMESPACE, &name(campaign))
}

fn choose<T: Copy>(shares: &[(u64, T)], mut draw: u64) -> T {
    for (share, value) in shares {
        match draw.checked_sub(*share) {
            Some(left) => draw = left,
            None => return *value,
        }
    }
    shares[0].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_a_hundred_and_arrival_only_grows() {
        assert_eq!(OPENERS.iter().map(|(share, _)| share).sum::<u64>(), 100);
        assert_eq!(CLICKERS.iter().map(|(share, _)| share).sum::<u64>(), 100);
        assert_eq!(COUNTRIES.iter().map(|(share, _)| share).sum::<u64>(), 100);
        let morning = Morning::new(1, (10_000, 20, 1_000), (1_000, 9_000_000), Day(21_000));
        let mut before = 0;
        for n in 0..morning.hits {
            let drawn = morning.draw(n);
            assert!(drawn.hit.at_ms >= before && drawn.hit.at_ms <= 9_000_000);
            assert!(drawn.campaign < 20 && drawn.reader < 1_000);
            assert!(u64::from(drawn.hit.link) <= LINKS);
            before = drawn.hit.at_ms;
        }
    }
}
