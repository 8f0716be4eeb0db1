//! Everyone who has a say in what mail may tell, from the widest to the narrowest. Pure.

use anyhow::{Context as _, Result};
use hushmark_crds::fits::Limits;
use hushmark_crds::{
    Campaign, Decided, DecidedBy, EffectivePolicy, Region, Tenant, TypeStatus, effective,
};
use hushmark_policy::resolve::needs_consent;
use hushmark_policy::{Kind as Hit, MailType, Mode, Place, Tracking};
use kube::ResourceExt as _;
use serde::Serialize;

use super::super::world::{World, ready};
use super::kept::Kept;
use super::recipient::Recipient;

/// The annotation that pauses an object.
pub(in crate::cluster) const PAUSED: &str = "hushmark.io/paused";

/// Whether a person asked that what loosens waits.
pub(in crate::cluster) fn is_paused(object: &impl kube::Resource) -> bool {
    object.annotations().get(PAUSED).is_some_and(|value| value != "false")
}

/// What is explained.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explained {
    /// `campaign` or `tenant`.
    pub(crate) kind: &'static str,
    /// `NAMESPACE/NAME`.
    pub(crate) name: String,
    pub(crate) region: String,
    /// Whether it is in a cluster; else it is what manifests say.
    pub(crate) applied: bool,
    pub(crate) ready: bool,
    /// The data folder, where it is about the stack of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
    /// What the condition Ready says.
    pub(crate) says: String,
    pub(crate) phase: Option<String>,
    pub(crate) paused: bool,
    /// Whether what is said here is in the status; else it is what the operator will say.
    pub(crate) resolved: bool,
    pub(crate) mail: Vec<Mail>,
    pub(crate) consent: Consent,
    /// What it comes to for one person, where one is asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recipient: Option<Recipient>,
    /// How long after sending a hit counts, in days.
    pub(crate) track_for_days: Option<i32>,
    /// How long what is stored is kept; of a campaign.
    pub(crate) kept: Option<Kept>,
    pub(crate) place: Place,
    pub(crate) minimum_group: u32,
    pub(crate) epoch: String,
}

/// What holds for one kind of hits of one type of mail.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mail {
    #[serde(rename = "type")]
    pub(crate) mail_type: MailType,
    /// Opens or clicks.
    pub(crate) hits: Hit,
    pub(crate) mode: Mode,
    pub(crate) decided_by: Option<DecidedBy>,
    /// The same as the end of a sentence; of a recipient also what they said themselves.
    pub(crate) because: Option<String>,
    /// The generation that mail sealed now carries.
    pub(crate) generation: Option<u32>,
    pub(crate) voices: Vec<Voice>,
}

/// Whether people are asked before mail tracks them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Consent {
    /// The tenant that says so.
    pub(crate) tenant: String,
    /// The lowest mode that needs a person's consent, if any does.
    pub(crate) from: Option<Mode>,
    /// Whether this mail needs it, or a tenant's may.
    pub(crate) is_asked: bool,
}

impl Consent {
    fn of(tenant: &Tenant, all: &[Tracking]) -> Self {
        let (name, from) = (tenant.name_any(), tenant.spec.consent_from);
        let is_asked = all.iter().any(|tracking| needs_consent(from, *tracking));
        Self { tenant: name, from, is_asked }
    }
}

/// One who has a say.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Voice {
    pub(crate) who: String,
    pub(crate) says: String,
    /// Whether it decided.
    pub(crate) decides: bool,
}

fn region_of<'a>(world: &'a World, tenant: &Tenant) -> Result<&'a Region> {
    let name = &tenant.spec.region;
    world.regions.get(name).with_context(|| match world.unseen.first() {
        Some(unseen) => format!("the Region {name} cannot be seen: {unseen}"),
        None if world.here.is_none() => {
            format!("the Region {name} is not among these manifests: give it as well")
        }
        None => format!("there is no Region {name} in this cluster, so nothing holds"),
    })
}

/// What a campaign's mail may tell.
pub(crate) fn of_campaign(campaign: &Campaign, world: &World) -> Result<Explained> {
    let namespace = campaign.namespace().unwrap_or_default();
    let tenant = world
        .tenant_of(&namespace)
        .with_context(|| hushmark_crds::fits::no_tenant(&namespace).to_string())?;
    let region = region_of(world, tenant)?;
    let limits = Limits::from(&region.spec);
    let status = campaign.status.clone().unwrap_or_default();
    let effective = status
        .effective
        .clone()
        .unwrap_or_else(|| EffectivePolicy::of(&campaign.spec, &tenant.spec, &limits));
    let mail_type = campaign.spec.mail_type;
    let generation = generation(tenant, mail_type);
    let mail = Hit::ALL.map(|hits| {
        let decided = of_hit(&effective, hits);
        let voices = campaign_voices((campaign, tenant, region), hits, decided);
        let (mode, decided_by) = (decided.mode, Some(decided.decided_by));
        let because = Some(decided.decided_by.because().to_owned());
        Mail { mail_type, hits, mode, decided_by, because, generation, voices }
    });
    let condition = ready(&status.conditions);
    Ok(Explained {
        kind: "campaign",
        name: format!("{namespace}/{}", campaign.name_any()),
        region: region.name_any(),
        applied: world.here.is_some(),
        data: None,
        ready: condition.is_some_and(|ready| ready.status == "True"),
        says: condition.map_or_else(nobody_looked, |ready| ready.message.clone()),
        phase: status.phase.map(|phase| format!("{phase:?}")),
        paused: is_paused(campaign),
        resolved: status.effective.is_some(),
        mail: mail.into(),
        consent: Consent::of(tenant, &[effective.tracking()]),
        recipient: None,
        track_for_days: Some(effective.track_for_days),
        kept: Some(Kept::of(campaign, world)),
        place: effective.place,
        minimum_group: region.spec.minimum_group,
        epoch: region.spec.epoch.clone(),
    })
}

fn nobody_looked() -> String {
    "no operator has said anything of it yet".to_owned()
}

fn generation(tenant: &Tenant, mail_type: MailType) -> Option<u32> {
    type_status(tenant, mail_type).map(|status| status.generation)
}

fn type_status(tenant: &Tenant, mail_type: MailType) -> Option<TypeStatus> {
    let status = tenant.status.as_ref()?;
    match mail_type {
        MailType::Campaign => status.campaign,
        MailType::Transactional => status.transactional,
    }
}

const fn of_hit(effective: &EffectivePolicy, hits: Hit) -> Decided {
    match hits {
        Hit::Open => effective.opens,
        Hit::Click => effective.clicks,
    }
}

fn campaign_voices(
    (campaign, tenant, region): (&Campaign, &Tenant, &Region),
    hits: Hit,
    decided: Decided,
) -> Vec<Voice> {
    let by = decided.decided_by;
    let own = campaign.spec.tracking.map(|own| Tracking::from(own).of(hits));
    let mut voices = tenant_voices((tenant, region), campaign.spec.mail_type, hits);
    voices.push(voice("the campaign asks for", own.map_or("nothing", Mode::name)));
    if by == DecidedBy::Withdrawal {
        voices.push(voice("a withdrawal in the refusal log left", decided.mode.name()));
    }
    // In the order in which they stand above.
    let at: &[usize] = match by {
        DecidedBy::RegionCeiling => &[0],
        DecidedBy::TenantDefault => &[1],
        DecidedBy::KillSwitch => &[2],
        DecidedBy::Campaign => &[3],
        DecidedBy::NothingInCommon => &[1, 3],
        DecidedBy::Withdrawal => &[4],
        DecidedBy::Nobody => &[],
    };
    for at in at {
        if let Some(voice) = voices.get_mut(*at) {
            voice.decides = true;
        }
    }
    voices
}

fn tenant_voices((tenant, region): (&Tenant, &Region), mail: MailType, hits: Hit) -> Vec<Voice> {
    let ceiling = Limits::from(&region.spec).tracking.of(hits);
    let default = tenant.spec.default_for(mail).map(|own| own.of(hits));
    let switch = if tenant.spec.kill_switch { "on: off" } else { "not on" };
    vec![
        voice(format!("Region {} allows up to", region.name_any()), ceiling.name()),
        voice(
            format!("Tenant {}'s default for {} mail", tenant.name_any(), mail.name()),
            default.map_or("nothing", Mode::name),
        ),
        voice("the tenant's kill switch is", switch),
    ]
}

pub(super) fn voice(who: impl Into<String>, says: &str) -> Voice {
    Voice { who: who.into(), says: says.to_owned(), decides: false }
}

/// What a tenant's mail may tell at most.
pub(crate) fn of_tenant(tenant: &Tenant, world: &World) -> Result<Explained> {
    let region = region_of(world, tenant)?;
    let limits = Limits::from(&region.spec);
    let status = tenant.status.clone().unwrap_or_default();
    let (mut mail, mut all) = (Vec::new(), Vec::new());
    for mail_type in [MailType::Campaign, MailType::Transactional] {
        let resolved = type_status(tenant, mail_type);
        let said = effective::at_most(&tenant.spec, mail_type, &limits);
        for hits in Hit::ALL {
            let holds = resolved.map(|it| Tracking { opens: it.opens, clicks: it.clicks });
            let mode = holds.unwrap_or(said).of(hits);
            let mut voices = tenant_voices((tenant, region), mail_type, hits);
            if mode != said.of(hits) && said.of(hits).allows(mode) && !is_paused(tenant) {
                voices.push(voice("a withdrawal in the refusal log left", mode.name()));
            }
            let decides = decides(tenant, (mail_type, hits), &limits, voices.len());
            if let Some(voice) = voices.get_mut(decides) {
                voice.decides = true;
            }
            let generation = resolved.map(|it| it.generation);
            all.push(Tracking { opens: mode, clicks: Mode::Off });
            let (decided_by, because) = (None, None);
            mail.push(Mail { mail_type, hits, mode, decided_by, because, generation, voices });
        }
    }
    let condition = ready(&status.conditions);
    Ok(Explained {
        kind: "tenant",
        name: format!("{}/{}", tenant.namespace().unwrap_or_default(), tenant.name_any()),
        region: region.name_any(),
        applied: world.here.is_some(),
        data: None,
        ready: condition.is_some_and(|ready| ready.status == "True"),
        says: condition.map_or_else(nobody_looked, |ready| ready.message.clone()),
        phase: None,
        paused: is_paused(tenant),
        resolved: status.campaign.is_some(),
        mail,
        consent: Consent::of(tenant, &all),
        recipient: None,
        track_for_days: None,
        kept: None,
        place: limits.place,
        minimum_group: region.spec.minimum_group,
        epoch: region.spec.epoch.clone(),
    })
}

/// Which of the voices decides what a tenant's mail may tell at most.
fn decides(
    tenant: &Tenant,
    (mail_type, hits): (MailType, Hit),
    limits: &Limits,
    voices: usize,
) -> usize {
    let default = tenant.spec.default_for(mail_type).map(|own| own.of(hits));
    let ceiling = limits.tracking.of(hits);
    match (voices, tenant.spec.kill_switch, default) {
        (4, ..) => 3,
        (_, true, _) => 2,
        (_, false, Some(default)) if ceiling.allows(default) => 1,
        _ => 0,
    }
}
