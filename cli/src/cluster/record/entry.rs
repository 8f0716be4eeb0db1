//! What goes under each letter of Article 30(1), and what nobody has said. Pure.
//!
//! Source: Regulation (EU) 2016/679, Article 30(1) (a) to (g).

use anyhow::{Context as _, Result};
use hushmark_crds::policies::Action;
use hushmark_crds::{Campaign, Controller, DecidedBy, Region};
use hushmark_policy::{Kind as Hit, MailType, Mode, Place};
use kube::ResourceExt as _;
use serde::Serialize;

use super::super::explain::{Explained, of_campaign, policy_is, stored};
use super::super::world::World;

/// Where the General Data Protection Regulation holds: the Union's members, and those of the
/// European Economic Area beside them. A transfer elsewhere is one to a third country (Article 44).
const UNDER_THE_GDPR: [&str; 31] = [
    "EU", "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
    "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// One entry of the register.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// `NAMESPACE/NAME`.
    pub(crate) campaign: String,
    pub(crate) subject: String,
    /// The day on which the resources said so, `2026-11-22`.
    pub(crate) as_of: String,
    /// The law that the data is under: EU, or a country's code.
    pub(crate) jurisdiction: String,
    /// (a)
    pub(crate) controller: Option<Controller>,
    /// (b)
    pub(crate) purposes: Vec<String>,
    /// (c), the people.
    pub(crate) people: Vec<String>,
    /// (c), the data.
    pub(crate) data: Vec<Item>,
    /// (d) and (e).
    pub(crate) recipients: Vec<Recipient>,
    /// (f)
    pub(crate) limits: Vec<Item>,
    /// (g)
    pub(crate) measures: Vec<String>,
    /// What the article asks for and nobody has said, each with what to do.
    pub(crate) lacks: Vec<String>,
}

/// Something, and what is to be said of it.
#[derive(Serialize)]
pub(crate) struct Item {
    pub(crate) what: String,
    pub(crate) says: String,
}

impl Item {
    fn new(what: impl Into<String>, says: impl Into<String>) -> Self {
        Self { what: what.into(), says: says.into() }
    }
}

/// Somebody who may be sent data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recipient {
    pub(crate) host: String,
    pub(crate) purpose: String,
    pub(crate) jurisdiction: String,
    /// Whether it is in a third country.
    pub(crate) is_transfer: bool,
}

/// The entry of a campaign.
///
/// # Errors
/// When its tenant or its Region is not there or cannot be seen: nothing is known then.
pub(super) fn of(campaign: &Campaign, world: &World, as_of: String) -> Result<Entry> {
    let explained = of_campaign(campaign, world)?;
    let namespace = campaign.namespace().unwrap_or_default();
    // Both were found a moment ago, for the explanation.
    let tenant = world.tenant_of(&namespace).context("the tenant is gone")?;
    let region = world.region_of(&namespace).context("the Region is gone")?;
    let mut lacks = Vec::new();
    let controller = tenant.spec.controller.clone();
    if controller.is_none() {
        lacks.push(format!(
            "(a) who is responsible: give spec.controller of Tenant {namespace}/{}",
            tenant.name_any()
        ));
    }
    let asks_from = tenant.spec.consent_from.filter(|_| explained.consent.is_asked);
    let limits = limits(campaign, world, &explained, asks_from.is_some(), &mut lacks);
    let mut measures = measures(region, &explained, &mut lacks);
    if let Some(from) = asks_from {
        measures.push(format!(
            "whoever has not consented gets the same mail {}, because Tenant {namespace}/{} asks for \
             consent from {from} on",
            if mode(&explained, Hit::Open) == Mode::LastOpenDay {
                "with no tracking but the day of the last open"
            } else {
                "without any tracking"
            },
            tenant.name_any()
        ));
    }
    Ok(Entry {
        campaign: explained.name.clone(),
        subject: campaign.spec.subject.clone(),
        as_of,
        jurisdiction: region.spec.jurisdiction.clone(),
        controller,
        purposes: purposes(campaign.spec.mail_type, &explained),
        people: people(campaign),
        data: data(&explained, asks_from.is_some()),
        recipients: recipients(region),
        limits,
        measures,
        lacks,
    })
}

fn mode(explained: &Explained, hits: Hit) -> Mode {
    explained.mail.iter().find(|mail| mail.hits == hits).map_or(Mode::Off, |mail| mail.mode)
}

fn is_any(explained: &Explained, is: impl Fn(Mode) -> bool) -> bool {
    modes(explained).iter().any(|(_, mode)| is(*mode))
}

fn is_tracked(mode: Mode) -> bool {
    mode != Mode::Off
}

/// Whether tracking was ended by somebody: what was counted before that is still there.
fn has_ended(explained: &Explained) -> bool {
    let ended = [DecidedBy::KillSwitch, DecidedBy::Withdrawal];
    explained.mail.iter().any(|mail| mail.decided_by.is_some_and(|by| ended.contains(&by)))
}

fn modes(explained: &Explained) -> [(Hit, Mode); 2] {
    Hit::ALL.map(|hits| (hits, mode(explained, hits)))
}

/// (b)
fn purposes(mail: MailType, explained: &Explained) -> Vec<String> {
    let mut purposes = vec![match mail {
        MailType::Campaign => "to send this mailing to the people on its list".to_owned(),
        MailType::Transactional => {
            "to send this mail to a person whose own action caused it".to_owned()
        }
    }];
    let said = modes(explained).map(|(hits, mode)| {
        let of = match hits {
            Hit::Open => "whether it is read",
            Hit::Click => "which of its links are followed",
        };
        match mode {
            Mode::Off => None,
            Mode::Overall => Some(format!("to know {of}, for the mailing as a whole")),
            Mode::Anonymous => Some(format!("to know {of} and by how many, but not by whom")),
            Mode::Individual => Some(format!("to know {of}, and by whom")),
            Mode::LastOpenDay => Some(
                "to stop writing to people who no longer read: the day of each one's last open"
                    .to_owned(),
            ),
        }
    });
    purposes.extend(said.into_iter().flatten());
    purposes
}

/// (c)
fn people(campaign: &Campaign) -> Vec<String> {
    let number = campaign.spec.recipients.map(|n| format!(", {n} by the sender's word"));
    vec![match campaign.spec.mail_type {
        MailType::Campaign => {
            format!("the people on the mailing's list{}", number.unwrap_or_default())
        }
        MailType::Transactional => "people who did what the mail answers".to_owned(),
    }]
}

/// (c)
fn data(explained: &Explained, asks_consent: bool) -> Vec<Item> {
    let modes = modes(explained);
    // Who was sent what is no tracking: these are the same in every mode.
    let mut data = vec![
        Item::new(
            "delivery",
            "the recipient's address, in the sender's list and in the message itself",
        ),
        Item::new(
            "contacts",
            "of every recipient a random id beside the address, which is sealed (AES-256-GCM) \
             under the tenant's key and found again by a keyed hash, and the day of the first mail",
        ),
        Item::new(
            "deliveries",
            "of which contacts mail of this campaign was made, and whether their servers took it: \
             the day of each, and no mark",
        ),
    ];
    if asks_consent {
        data.push(Item::new(
            "consents",
            "a keyed hash of the address of whoever agreed, when, and how they said so",
        ));
    }
    data.push(Item::new(
        "withdrawals and objections",
        "a keyed hash of the address of whoever ended their tracking or was erased, when, and how \
         they said so; what their mail names, so that it is ignored",
    ));
    for (hits, mode) in modes {
        let what = match hits {
            Hit::Open => "opens",
            Hit::Click => "clicks",
        };
        let because = explained.mail.iter().find(|mail| mail.hits == hits);
        let because = because.and_then(|mail| mail.decided_by).map(DecidedBy::because);
        let because = because.map(|text| format!(" ({mode}, because {text})"));
        data.push(Item::new(what, format!("{}{}", stored(mode), because.unwrap_or_default())));
    }
    if has_ended(explained) {
        data.push(Item::new(
            "what was counted before tracking ended",
            "as it was then: counters, and where it was individual rows",
        ));
    }
    if is_any(explained, is_tracked) {
        data.push(Item::new(
            "whoever opens or clicks",
            "the connection's address and the program's name are looked at in memory, to tell \
             people from machines; neither is stored",
        ));
        if explained.place != Place::None && is_any(explained, Mode::counts) {
            data.push(Item::new(
                "place",
                "the country that the address is in, found by a database on the spot; nothing finer",
            ));
        }
    }
    data
}

/// (d) and (e)
fn recipients(region: &Region) -> Vec<Recipient> {
    let home = region.spec.jurisdiction.as_str();
    let is_covered = |law: &str| UNDER_THE_GDPR.contains(&law);
    let egress = region.spec.egress.iter().map(|egress| {
        let there = egress.jurisdiction.as_str();
        Recipient {
            host: egress.host.clone(),
            purpose: egress.purpose.clone(),
            jurisdiction: there.to_owned(),
            is_transfer: there != home && !(is_covered(there) && is_covered(home)),
        }
    });
    egress.collect()
}

/// (f)
fn limits(
    campaign: &Campaign,
    world: &World,
    explained: &Explained,
    asks_consent: bool,
    lacks: &mut Vec<String>,
) -> Vec<Item> {
    let ends = "for good, because whoever forgets it tracks them again";
    let mut limits = vec![
        Item::new("contacts", "until they are erased (`hushmark erase`): no policy reaches them"),
        Item::new(
            "deliveries",
            "until the campaign is completed (`hushmark complete`) or erased: no policy reaches them",
        ),
        Item::new("withdrawals and objections", ends),
    ];
    if asks_consent {
        limits
            .push(Item::new("consents", "for good, because it is what shows that somebody agreed"));
    }
    if !is_any(explained, is_tracked) && !has_ended(explained) {
        limits.push(Item::new("opens and clicks", "nothing is stored of them"));
        return limits;
    }
    if let Some(days) = explained.track_for_days {
        limits.push(Item::new("a hit counts", format!("for {days} days after sending")));
    }
    limits.push(Item::new(
        "sealed hits under way, and what could link a mark to its mail",
        "until their day closes, at the latest seven days after it ended: then the day's keys are \
         destroyed",
    ));
    if is_any(explained, |mode| mode == Mode::LastOpenDay) {
        limits.push(Item::new(
            "the day of a contact's last open",
            "until the next open overwrites it, or the contact withdraws, objects or is erased: no \
             policy reaches it",
        ));
    }
    let is_counted = is_any(explained, Mode::counts) || has_ended(explained);
    let is_individual = is_any(explained, |mode| mode == Mode::Individual) || has_ended(explained);
    limits.extend(fading(campaign, world, is_individual));
    let namespace = campaign.namespace().unwrap_or_default();
    let policy = campaign.spec.retention_policy.as_ref();
    let found = policy.and_then(|name| world.retention.get(&(namespace.clone(), name.clone())));
    let keep = found.map(|policy| policy.spec.keep);
    let kept = [
        ("rows of single hits", "rowsDays", keep.and_then(|keep| keep.rows_days), is_individual),
        (
            "counters and figures",
            "countersDays",
            keep.and_then(|keep| keep.counters_days),
            is_counted,
        ),
    ];
    if let Some(hold) = found.and_then(|policy| policy.spec.legal_hold.as_ref()) {
        let says = format!("nothing goes, whatever stands here: {}", hold.reason);
        limits.push(Item::new("a legal hold", says));
    }
    for (what, field, days, matters) in kept {
        if !matters {
            continue;
        }
        if let (Some(days), Some(name)) = (days, policy) {
            let says = format!("due {days} days after the hit, by RetentionPolicy {name}");
            let how = found.map_or("", |policy| policy_is(policy.spec.mode));
            limits.push(Item::new(what, format!("{says}, {how}")));
            continue;
        }
        let how = match policy {
            None => "name a RetentionPolicy in the Campaign's spec.retentionPolicy".to_owned(),
            Some(name) if found.is_none() => {
                format!("RetentionPolicy {name} is not there, or you may not see it")
            }
            Some(name) => format!("give spec.keep.{field} in RetentionPolicy {name}"),
        };
        lacks.push(format!("(f) how long {what} are kept: {how}"));
    }
    limits
}

/// What of the data is made coarser, and when.
fn fading(campaign: &Campaign, world: &World, has_rows: bool) -> Vec<Item> {
    let Some(name) = &campaign.spec.anonymization_policy else { return Vec::new() };
    let key = (campaign.namespace().unwrap_or_default(), name.clone());
    let Some(policy) = world.anonymization.get(&key) else { return Vec::new() };
    let how = policy_is(policy.spec.mode);
    let what = |action| match action {
        Action::DropPlace => Some("the place"),
        Action::HourToDay => Some("the hour of a hit, of which the day stays"),
        Action::DropClient => Some("client, device and system"),
        Action::DropRows => has_rows.then_some("rows of single hits, of which counters stay"),
    };
    let says = |days| format!("due {days} days after the hit, by AnonymizationPolicy {name}");
    let items = policy.spec.steps.iter().filter_map(|step| {
        Some(Item::new(what(step.action)?, format!("{}, {how}", says(step.after_days))))
    });
    items.collect()
}

/// (g)
fn measures(region: &Region, explained: &Explained, lacks: &mut Vec<String>) -> Vec<String> {
    let mut measures = vec![
        "recipients' addresses are sealed (AES-256-GCM) in every store, under a key of the tenant's \
         that is destroyed when the tenant is erased"
            .to_owned(),
    ];
    if is_any(explained, is_tracked) || has_ended(explained) {
        let always = [
            "links and pictures carry sealed tokens, which tell nobody on their way whom they are \
             for",
            "hits are sealed (AES-256-GCM) wherever they rest before they are counted, under a key \
             of their day that is destroyed when the day closes",
            "no address of whoever opens or clicks and no program's name is in any log, queue or \
             table",
        ];
        measures.extend(always.map(str::to_owned));
    }
    if is_any(explained, |mode| matches!(mode, Mode::Overall | Mode::Anonymous)) {
        let k = explained.minimum_group;
        measures.push(format!(
            "figures of what is not individual stand for at least {k} people, change only once \
             every {}, and never by fewer than {k}",
            explained.epoch
        ));
    }
    for (name, holds, lack) in [
        (
            "ResidencyProven",
            "data stays on the region's nodes, and nothing leaves but to the recipients above: \
             proved by a probe",
            "that data stays where it should",
        ),
        (
            "EncryptedAtRest",
            "volumes are encrypted, as their StorageClass or whoever runs them says",
            "that volumes are encrypted",
        ),
    ] {
        let conditions = region.status.iter().flat_map(|status| &status.conditions);
        let found = conditions.into_iter().find(|one| one.type_ == name);
        match found {
            Some(one) if one.status == "True" => measures.push(holds.to_owned()),
            Some(one) => lacks.push(format!("(g) {lack} is not proved: {}", one.message)),
            // Nobody has looked at manifests.
            None if !explained.applied => {}
            None => lacks.push(format!(
                "(g) {lack} is not proved: Region {} does not say",
                region.name_any()
            )),
        }
    }
    measures
}
