//! The classes of requests, each a pool of whole requests on one route, and the refusal log that
//! makes some of them what they are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fastrand::Rng;
use hushmark_event::objection::name_message;
use hushmark_event::redis_keys::{REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{CapScope, Entry, RefusalLog, Refuses};
use hushmark_policy::{CampaignId, Day, Generation, MailType, Mark, Mode, Place, TenantId};
use hushmark_token::{Claims, Kid, RegionKey, Route, Sealer};

use crate::keys::{Keys, today};
use crate::stack::Stack;

/// Requests of a class; each is drawn again and again, as links are opened again.
const POOL: usize = 1_000;

/// What is planted: the client waits so long, after the time began and before it asks.
pub(super) const PLANTED: Duration = Duration::from_micros(20);

/// Everybody's link leads there, so that answers can be compared to the byte.
const DESTINATION: &str = "https://news.example.org/articles/the-night-market?from=letter";

const AGENTS: [&str; 4] = [
    crate::plan::USER_AGENT,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 \
     Safari/537.36",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
];

/// Requests that must not be told from those of the other classes of their group.
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) requests: Vec<Vec<u8>>,
    /// What the client plants.
    pub(super) delay: Duration,
}

/// Whose mail is what. All are sealed alike but for what the class is about.
#[derive(Clone, Copy)]
struct Mail {
    tenant: TenantId,
    campaign: CampaignId,
    last_day: Day,
    mode: Mode,
}

const KEPT: TenantId = TenantId(0x7e11);
const WITHDRAWN: TenantId = TenantId(0x7e12);
const KILLED: TenantId = TenantId(0x7e13);
const CAMPAIGN: CampaignId = CampaignId(0x0a01);
const WITHDRAWN_CAMPAIGN: CampaignId = CampaignId(0x0a02);
/// Of some of its messages the reader objected to being counted.
const OBJECTED_CAMPAIGN: CampaignId = CampaignId(0x0a03);
/// Marks of people who withdrew, and of messages that were objected to, begin here; those of others
/// are below.
const WITHDRAWN_PEOPLE: u64 = 1 << 32;

/// Makes requests of every class.
pub(super) struct Maker {
    kid: Kid,
    ours: RegionKey,
    theirs: RegionKey,
    last_day: Day,
    random: Rng,
}

impl Maker {
    pub(super) fn new(keys: &Keys, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        // The region's own key is the first that is drawn from this seed.
        let mut theirs = [0; 32];
        random.fork().fill(&mut theirs);
        let theirs = RegionKey::new(theirs);
        Self {
            kid: keys.kid,
            ours: keys.region.clone(),
            theirs,
            last_day: Keys::last_day(),
            random,
        }
    }

    /// Tokens that are no good, each in another way.
    pub(super) fn refused(&mut self, route: Route) -> Result<Vec<Class>> {
        let mail = self.mail(KEPT, CAMPAIGN);
        let other = if route == Route::Open { Route::Click } else { Route::Open };
        Ok(vec![
            self.class("forged", route, |maker| maker.forged(route, mail))?,
            self.class("forged, of a campaign that is not", route, |maker| {
                let campaign = CampaignId(maker.random.u64(..));
                maker.forged(route, Mail { campaign, ..mail })
            })?,
            self.class("cut", route, |maker| {
                let mut token = maker.token(route, mail, 0)?;
                token.truncate(maker.random.usize(1..token.len()));
                Ok(token)
            })?,
            self.class("sealed under a foreign key", route, |maker| {
                let theirs = maker.theirs.clone();
                maker.sealed((maker.kid, &theirs), route, mail, 0)
            })?,
            self.class("naming a key that is not", route, |maker| {
                let theirs = maker.theirs.clone();
                maker.sealed((Kid(9), &theirs), route, mail, 0)
            })?,
            self.class("of another route", route, |maker| maker.token(other, mail, 0))?,
        ])
    }

    /// Tokens that are good, whether or not anything may be counted.
    pub(super) fn good(&mut self, route: Route) -> Result<Vec<Class>> {
        let kept = self.mail(KEPT, CAMPAIGN);
        let expired = Mail { last_day: Day(today().0 - 1), ..kept };
        let campaign = self.mail(KEPT, WITHDRAWN_CAMPAIGN);
        let (tenant, killed) = (self.mail(WITHDRAWN, CAMPAIGN), self.mail(KILLED, CAMPAIGN));
        let anonymous = Mail { mode: Mode::Anonymous, ..self.mail(KEPT, OBJECTED_CAMPAIGN) };
        Ok(vec![
            self.class("valid", route, |maker| maker.token(route, kept, 0))?,
            self.class("expired", route, |maker| maker.token(route, expired, 0))?,
            self.class("withdrawn campaign", route, |maker| maker.token(route, campaign, 0))?,
            self.class("withdrawn tenant", route, |maker| maker.token(route, tenant, 0))?,
            self.class("withdrawn person", route, |maker| {
                maker.token(route, kept, WITHDRAWN_PEOPLE)
            })?,
            self.class("killed tenant", route, |maker| maker.token(route, killed, 0))?,
            self.class("valid, anonymous", route, |maker| maker.token(route, anonymous, 0))?,
            self.class("objected message", route, |maker| {
                maker.token(route, anonymous, WITHDRAWN_PEOPLE)
            })?,
        ])
    }

    fn mail(&self, tenant: TenantId, campaign: CampaignId) -> Mail {
        Mail { tenant, campaign, last_day: self.last_day, mode: Mode::Individual }
    }

    fn class(
        &mut self,
        name: &'static str,
        route: Route,
        token: impl Fn(&mut Self) -> Result<String>,
    ) -> Result<Class> {
        let requests = (0..POOL).map(|_| {
            let (token, agent) = (token(self)?, AGENTS[self.random.usize(..AGENTS.len())]);
            let segment = route.segment();
            Ok(format!(
                "GET /{segment}/{token} HTTP/1.1\r\nHost: t.example.org\r\nUser-Agent: {agent}\r\n\
                 Accept: image/avif,image/webp,*/*\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
            )
            .into_bytes())
        });
        Ok(Class { name, requests: requests.collect::<Result<_>>()?, delay: Duration::ZERO })
    }

    fn token(&mut self, route: Route, mail: Mail, people: u64) -> Result<String> {
        let ours = self.ours.clone();
        self.sealed((self.kid, &ours), route, mail, people)
    }

    /// Of somebody among the people whose marks begin there.
    fn sealed(
        &mut self,
        (kid, key): (Kid, &RegionKey),
        route: Route,
        mail: Mail,
        people: u64,
    ) -> Result<String> {
        let click = route == Route::Click;
        let claims = Claims {
            tenant: mail.tenant,
            campaign: mail.campaign,
            generation: Generation(0),
            mode: mail.mode,
            mail_type: MailType::Campaign,
            place: Place::None,
            honeypot: false,
            mark: Some(Mark::new(people + self.random.u64(..POOL as u64))),
            link: u16::from(click),
            last_day: mail.last_day,
            destination: click.then(|| DESTINATION.to_owned()),
            apart: None,
        };
        let sealer = Sealer::new(kid, key, mail.campaign);
        sealer.seal(route, &claims).context("a class's token cannot be sealed")
    }

    /// As long as a token, with its header, and random after it.
    fn forged(&mut self, route: Route, mail: Mail) -> Result<String> {
        let mut bytes = URL_SAFE_NO_PAD.decode(self.token(route, mail, 0)?)?;
        self.random.fill(&mut bytes[11..]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// The valid class once more, with what the client plants.
pub(super) fn planted(of: &Class) -> Class {
    Class { name: "planted", requests: of.requests.clone(), delay: PLANTED }
}

/// Writes into Redis what withdraws and kills, as an operator does.
pub(super) fn refuse(stack: &Stack) -> Result<RefusalLog> {
    let off = |scope| Refuses::Cap {
        scope,
        up_to: u32::MAX,
        opens: Mode::Off,
        clicks: Mode::Off,
        place: Place::None,
    };
    let tenant = |id: TenantId, mail| off(CapScope::Tenant { id: id.to_string(), mail });
    let mut all = vec![
        off(CapScope::Campaign { id: WITHDRAWN_CAMPAIGN.to_string() }),
        tenant(WITHDRAWN, MailType::Campaign),
        tenant(KILLED, MailType::Campaign),
        tenant(KILLED, MailType::Transactional),
    ];
    all.extend((0..POOL as u64).map(|n| Refuses::Contact {
        tenant: KEPT.to_string(),
        id: format!("{:016x}", WITHDRAWN_PEOPLE + n),
    }));
    for n in 0..POOL as u64 {
        let mark = Mark::new(WITHDRAWN_PEOPLE + n);
        let (batch, last_day) = (&stack.keys.batch, Keys::last_day());
        let message = name_message(batch, OBJECTED_CAMPAIGN, last_day, &mark);
        let id = message.context("no batch key of the tokens' last day")?.id;
        let campaign = OBJECTED_CAMPAIGN.to_string();
        let until = last_day.to_string();
        all.push(Refuses::Message { campaign, until, id: format!("{id:016x}") });
    }
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let (mut log, mut redis) = (RefusalLog::default(), stack.redis.connect()?);
    for (n, refuses) in (1..).zip(all) {
        let entry = serde_json::to_string(&Entry { n, at_ms, refuses })?;
        log.append(entry.as_bytes())?;
        let id = format!("{n}-0");
        redis::cmd("XADD").arg(REFUSALS).arg(id).arg(REFUSAL_FIELD).arg(&entry).exec(&mut redis)?;
    }
    let head = serde_json::to_string(&log.sign_head(&stack.keys.signing))?;
    redis::cmd("SET").arg(REFUSALS_HEAD).arg(head).exec(&mut redis)?;
    Ok(log)
}
