//! Mail as it was sent: tokens sealed as a sender seals them, and who of each pair opened.

use anyhow::Result;
use fastrand::Rng;
use hushmark_event::{Client, Context, Device, Hit, System, Verdict};
use hushmark_policy::{CampaignId, Generation, Kind, MailType, Mark, Mode, Place, TenantId};
use hushmark_token::{Claims, Route, Sealer};

use crate::keys::{Keys, today};
use crate::plan::tenant;
use crate::stack::Stack;

/// How long sending takes.
const SPAN_MS: u64 = 4 * 3_600_000;

/// The mean time from delivery to opening.
const DELAY_MS: f64 = 20.0 * 60_000.0;

/// One message as whoever delivered it knows it.
pub(super) struct Message {
    pub(super) token: String,
    pub(super) delivered_ms: u64,
}

/// One campaign: pairs of messages of which one was opened.
pub(super) struct Mail {
    pub(super) campaign: CampaignId,
    pub(super) pairs: Vec<[Message; 2]>,
    /// The truth: which of each pair was opened, and the hit. No attacker reads it.
    opened: Vec<(usize, Hit)>,
}

impl Mail {
    pub(super) fn send(stack: &Stack, n: u64, pairs: u64, random: &mut Rng) -> Result<Self> {
        let campaign = CampaignId(0x0a00_0000_0000_0000 + n);
        let sealer = Sealer::new(stack.keys.kid, &stack.keys.region, campaign);
        let begin = today().start_ms();
        let mut mail = Self { campaign, pairs: Vec::new(), opened: Vec::new() };
        for _ in 0..pairs {
            let marks = [random.u64(..), random.u64(..)];
            let delivered = [begin + random.u64(..SPAN_MS), begin + random.u64(..SPAN_MS)];
            let seal = |of: usize| -> Result<Message> {
                let token = sealer.seal(Route::Open, &claims(campaign, marks[of]))?;
                Ok(Message { token, delivered_ms: delivered[of] })
            };
            mail.pairs.push([seal(0)?, seal(1)?]);
            let opened = random.usize(..2);
            let delay = -(1.0 - random.f64()).ln() * DELAY_MS;
            let at_ms = delivered[opened] + delay as u64;
            mail.opened.push((opened, hit(campaign, marks[opened], at_ms, random)));
        }
        Ok(mail)
    }

    /// What mail clients requested.
    pub(super) fn opens(&self) -> impl Iterator<Item = Hit> {
        self.opened.iter().map(|(_, hit)| hit.clone())
    }

    /// How many guesses are right.
    pub(super) fn right(&self, guesses: &[usize]) -> u64 {
        let both = self.opened.iter().zip(guesses);
        both.filter(|((opened, _), guess)| opened == *guess).count() as u64
    }
}

fn claims(campaign: CampaignId, mark: u64) -> Claims {
    Claims {
        tenant: tenant(),
        campaign,
        generation: Generation(0),
        mode: Mode::Anonymous,
        mail_type: MailType::Campaign,
        place: Place::Country,
        honeypot: false,
        mark: Some(Mark::new(mark)),
        link: 0,
        last_day: Keys::last_day(),
        destination: None,
        apart: None,
    }
}

/// An open of somebody's message, with a client, a device and a country of five each.
pub(super) fn hit(campaign: CampaignId, mark: u64, at_ms: u64, random: &mut Rng) -> Hit {
    const CLIENTS: [Client; 5] =
        [Client::AppleMail, Client::Gmail, Client::Outlook, Client::Thunderbird, Client::YahooMail];
    const COUNTRIES: [&[u8; 2]; 5] = [b"DE", b"AT", b"CH", b"FR", b"NL"];
    let tenant: TenantId = tenant();
    Hit {
        context: Context {
            tenant,
            campaign,
            generation: Generation(0),
            mode: Mode::Anonymous,
            mail_type: MailType::Campaign,
            last_day: Keys::last_day(),
        },
        kind: Kind::Open,
        link: 0,
        honeypot: false,
        mark: Some(Mark::new(mark)),
        at_ms,
        verdict: Verdict::Human,
        device: [Device::Desktop, Device::Phone][random.usize(..2)],
        client: CLIENTS[random.usize(..5)],
        system: System::Unknown,
        country: Some(*COUNTRIES[random.usize(..5)]),
    }
}
