//! What a Campaign comes to: whether it fits its Region and its namespace, what its mail may tell,
//! who decided that, and where it is in its life.

mod phase;

use hushmark_crds::fits::{self, Limits, Misfit};
use hushmark_crds::{
    Campaign, CampaignStatus, EffectivePolicy, RegionSpec, Tenant, TenantSpec, TypeStatus,
};
use hushmark_event::refusal::{Allowed, Mail};
use hushmark_policy::{CampaignId, Day, MailType, TenantId};
use kube::ResourceExt as _;

use crate::conditions::{self, Outcome, SPEC_VALID};
use crate::counts;
use crate::tenancy::world::{Key, World};
use crate::tenancy::{Around, Plan, is_paused, note_of};
use crate::tenant::{joined, refusal};

/// What is to be done about a campaign; nothing where it is another release's.
pub(crate) fn verdict(
    key: &Key,
    world: &World,
    around: &Around<'_>,
) -> Option<Plan<CampaignStatus>> {
    let campaign = world.campaigns.get(key)?;
    if campaign.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let Some(tenant) = world.tenant_of(&key.namespace) else {
        let wrong = fits::no_tenant(&key.namespace);
        let mut plan = told(campaign, Outcome::Refused("NoTenant", wrong.to_string()), around);
        // Applied together, the two come in any order.
        plan.waits = true;
        return Some(plan);
    };
    if around.is_missing(&tenant.spec.region) {
        let text = around.no_such_region(&tenant.spec.region);
        let mut plan = told(campaign, Outcome::Blocked("NoSuchRegion", text), around);
        plan.waits = true;
        return Some(plan);
    }
    if tenant.spec.region != around.ours {
        return None;
    }
    let (region, invalid) = around.region?;
    let case = Case { campaign, tenant, region, limits: Limits::from(region), world, around };
    Some(case.plan(invalid))
}

/// The campaign as the refusal log names it.
pub(crate) fn mail(campaign: &Campaign, region: &str) -> Mail {
    let namespace = campaign.metadata.namespace.as_deref().unwrap_or_default();
    let name = campaign.metadata.name.as_deref().unwrap_or_default();
    Mail {
        tenant: TenantId::derive(region, namespace),
        mail_type: campaign.spec.mail_type,
        campaign: Some(CampaignId::derive(region, namespace, name)),
    }
}

pub(crate) fn allowed(effective: &EffectivePolicy) -> Allowed {
    Allowed { tracking: effective.tracking(), place: effective.place }
}

/// The strictest of Region, Tenant and Campaign; where loosening waits, and of what held before; and
/// never more than withdrawals left of it.
pub(crate) fn wanted(
    campaign: &Campaign,
    tenant: &TenantSpec,
    limits: &Limits,
    around: &Around<'_>,
) -> EffectivePolicy {
    let mut wanted = EffectivePolicy::of(&campaign.spec, tenant, limits);
    let before = campaign.status.as_ref().and_then(|status| status.effective.as_ref());
    let loosening_waits = is_paused(&campaign.metadata) || around.is_region_invalid();
    if let Some(before) = before.filter(|_| loosening_waits) {
        wanted = wanted.strictest(before);
    }
    match around.log.map(|log| mail(campaign, around.ours).left(log.caps())) {
        Some(left) => wanted.withdrawn(left.tracking, left.place),
        None => wanted,
    }
}

/// What is wrong with a campaign beside others.
fn misfits(campaign: &Campaign, world: &World, limits: &Limits) -> Vec<Misfit> {
    let namespace = campaign.metadata.namespace.as_deref().unwrap_or_default();
    let spec = &campaign.spec;
    let (retention, anonymization) =
        (world.retention.names(namespace), world.anonymization.names(namespace));
    let mut wrong = fits::campaign(spec, limits);
    wrong.extend(fits::policies(spec, namespace, &retention, &anonymization));
    let kept = spec.retention_policy.as_ref().and_then(|name| {
        world.retention.in_namespace(namespace).find(|policy| policy.name_any() == *name)
    });
    let faded = spec.anonymization_policy.as_ref().and_then(|name| {
        world.anonymization.in_namespace(namespace).find(|policy| policy.name_any() == *name)
    });
    wrong.extend(fits::ages(kept.map(|kept| &kept.spec), faded.map(|faded| &faded.spec)));
    wrong.extend(fits::erasure(spec.deletion_policy));
    wrong
}

/// Whether mail of it may be sealed, its tenant being sound.
pub(crate) fn is_sound(campaign: &Campaign, world: &World, region: &RegionSpec) -> bool {
    campaign.metadata.deletion_timestamp.is_none()
        && misfits(campaign, world, &Limits::from(region)).is_empty()
}

/// Its status with another outcome and everything else as it was.
fn told(campaign: &Campaign, outcome: Outcome, around: &Around<'_>) -> Plan<CampaignStatus> {
    let old = campaign.status.clone().unwrap_or_default();
    let generation = campaign.metadata.generation.unwrap_or(0);
    let wanted = conditions::of(&outcome, is_paused(&campaign.metadata));
    // What ails tenant or Region is told there: 50 campaigns need not repeat it.
    let refused = old.conditions.iter().any(|c| c.type_ == SPEC_VALID && c.status == "False");
    let is_own = refused || matches!(outcome, Outcome::Refused(..));
    let events = note_of(&old.conditions, &outcome).filter(|_| is_own).into_iter().collect();
    Plan {
        status: CampaignStatus {
            observed_generation: Some(generation),
            phase: Some(old.phase.unwrap_or(hushmark_crds::Phase::Draft)),
            conditions: conditions::merge(&old.conditions, &wanted, generation, around.now),
            ..old
        },
        append: Vec::new(),
        meanwhile: None,
        events,
        again: None,
        waits: false,
        wake_tenant: false,
    }
}

struct Case<'a> {
    campaign: &'a Campaign,
    tenant: &'a Tenant,
    region: &'a RegionSpec,
    limits: Limits,
    world: &'a World,
    around: &'a Around<'a>,
}

impl Case<'_> {
    fn plan(&self, invalid: Option<&str>) -> Plan<CampaignStatus> {
        let misfits = misfits(self.campaign, self.world, &self.limits);
        let is_sound = misfits.is_empty();
        let wanted = wanted(self.campaign, &self.tenant.spec, &self.limits, self.around);
        let old = self.campaign.status.as_ref();
        let before = old.and_then(|status| status.effective.as_ref()).map(allowed);
        let (mut plan, may_tell) = match self.way_to(&wanted, before, is_sound) {
            Way::Free => {
                let outcome = self.outcome(&misfits, invalid, &wanted);
                (told(self.campaign, outcome, self.around), true)
            }
            Way::Cap(refuses) => {
                let outcome = self.outcome(&misfits, invalid, &wanted);
                let waiting = Outcome::Waiting("RefusalLog", self.around.log_problem());
                let mut plan = told(self.campaign, outcome, self.around);
                plan.append = vec![refuses];
                plan.meanwhile = Some(told(self.campaign, waiting, self.around).status);
                (plan, true)
            }
            Way::Blocked { reason, text, wake_tenant, append } => {
                let outcome = if is_sound {
                    Outcome::Waiting(reason, text)
                } else {
                    Outcome::Refused("Refused", joined(&misfits))
                };
                let mut plan = told(self.campaign, outcome, self.around);
                (plan.waits, plan.wake_tenant) = (is_sound, wake_tenant);
                plan.append.extend(append);
                (plan, false)
            }
        };
        plan.status.id = mail(self.campaign, self.around.ours).campaign.map(|id| id.to_string());
        // While Redis is away, or was emptied, what was shown last stays.
        if let Some(totals) = plan.status.id.as_ref().and_then(|id| self.around.counts.get(id)) {
            plan.status.counts = counts::status(plan.status.counts.as_ref(), totals);
        }
        if self.erased().is_some() {
            plan.status.counts = None;
        }
        // A campaign that never was sound has no policy that anybody could seal by.
        if may_tell && (is_sound || before.is_some()) {
            plan.status.effective = Some(wanted);
        }
        self.age(&mut plan, is_sound);
        plan
    }

    /// What stands between the campaign and what it asks for.
    fn way_to(&self, wanted: &EffectivePolicy, before: Option<Allowed>, is_sound: bool) -> Way {
        let now = allowed(wanted);
        let Some(log) = self.around.log else {
            return if before == Some(now) {
                Way::Free
            } else {
                Way::blocked("RefusalLog", self.around.log_problem())
            };
        };
        let Some(tenant) = self.tenant_says() else {
            if refusal(&self.tenant.spec, &self.limits).is_some() {
                return Way::Free;
            }
            let text = "the Tenant is not resolved yet: see its conditions";
            return Way::blocked("Tenant", text.to_owned());
        };
        let mail = mail(self.campaign, self.around.ours);
        let cap = mail.tighten(log.caps(), before, now, tenant.generation);
        let is_free = mail.free_generation(log.caps(), now, tenant.generation) == tenant.generation;
        if is_sound && !is_free && refusal(&self.tenant.spec, &self.limits).is_none() {
            let text = "mail that was sent is restricted, so the Tenant's next generation is \
                        waited for";
            return Way::Blocked {
                reason: "Generation",
                text: text.to_owned(),
                wake_tenant: true,
                append: cap,
            };
        }
        cap.map_or(Way::Free, Way::Cap)
    }

    /// When it was erased, alone or with its tenant.
    fn erased(&self) -> Option<Day> {
        let Mail { tenant, campaign, .. } = mail(self.campaign, self.around.ours);
        let at_ms = self.around.log?.erasures().of_campaign(tenant, campaign?)?;
        Some(Day::of_unix_ms(at_ms))
    }

    fn tenant_says(&self) -> Option<TypeStatus> {
        let status = self.tenant.status.as_ref()?;
        match self.campaign.spec.mail_type {
            MailType::Campaign => status.campaign,
            MailType::Transactional => status.transactional,
        }
    }

    fn outcome(
        &self,
        misfits: &[Misfit],
        invalid: Option<&str>,
        wanted: &EffectivePolicy,
    ) -> Outcome {
        if let Some(day) = self.erased() {
            let text = format!(
                "it was erased on {day}, and nothing under its name is ever stored again: give it \
                 another name, or delete it"
            );
            return Outcome::Refused("Erased", text);
        }
        if !misfits.is_empty() {
            return Outcome::Refused("Refused", joined(misfits));
        }
        if let Some(why) = refusal(&self.tenant.spec, &self.limits) {
            let name = self.tenant.metadata.name.as_deref().unwrap_or_default();
            let name = fits::quoted(name);
            let text = format!("the Tenant {name} is refused, so nothing can be sealed: {why}");
            return Outcome::Blocked("TenantRefused", text);
        }
        if let Some(why) = invalid {
            return Outcome::Blocked("RegionNotValid", format!("the Region is not valid: {why}"));
        }
        let (opens, clicks) = (wanted.opens, wanted.clicks);
        let text = format!(
            "opens are {}, because {}; clicks are {}, because {}",
            opens.mode,
            opens.decided_by.because(),
            clicks.mode,
            clicks.decided_by.because()
        );
        Outcome::Ready("Resolved", text)
    }

    /// Where it is in its life, and when that changes by itself.
    fn age(&self, plan: &mut Plan<CampaignStatus>, is_sound: bool) {
        let spec = &self.campaign.spec;
        let days = spec.track_for_days.unwrap_or(self.region.longest_tracking_days);
        let retention = spec.retention_policy.as_deref().and_then(|name| {
            let namespace = self.campaign.metadata.namespace.as_deref()?;
            let found = self.world.retention.in_namespace(namespace);
            found.into_iter().find(|policy| policy.metadata.name.as_deref() == Some(name))
        });
        let status = self.campaign.status.as_ref();
        let sent = status.and_then(|status| status.sent_at.as_ref()).map(|at| at.0);
        let life = phase::Life {
            is_sound,
            at: sent.or_else(|| spec.schedule.as_ref().map(|schedule| schedule.at.0)),
            tracked_days: days.min(self.region.longest_tracking_days),
            kept_days: retention.and_then(|policy| phase::kept_days(&policy.spec)),
        };
        let said = status.and_then(|status| status.phase);
        let (phase, next) = life.phase(said, self.around.now);
        plan.status.phase = Some(phase);
        plan.again = next;
    }
}

/// What stands between a campaign and what it asks for.
enum Way {
    Free,
    /// Mail that was sent has to be capped first.
    Cap(hushmark_event::refusal::Refuses),
    Blocked {
        reason: &'static str,
        text: String,
        wake_tenant: bool,
        append: Option<hushmark_event::refusal::Refuses>,
    },
}

impl Way {
    fn blocked(reason: &'static str, text: String) -> Self {
        Self::Blocked { reason, text, wake_tenant: false, append: None }
    }
}
