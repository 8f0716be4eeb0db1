//! What a Tenant comes to: whether it fits its Region, what its mail may tell at most, and in
//! which generation it is sealed.
//!
//! Tightening is in the refusal log before the status says so; loosening raises the generation in
//! the same write that says so. A crash in between repeats nothing and frees nothing.

use hushmark_crds::effective;
use hushmark_crds::fits::{self, Limits, Misfit};
use hushmark_crds::{RegionSpec, Tenant, TenantStatus, TypeStatus};
use hushmark_event::refusal::{Allowed, Mail, Refuses};
use hushmark_policy::{Caps, Day, MailType, Mode, Place, TenantId, Tracking};

use crate::campaign;
use crate::conditions::{self, Outcome};
use crate::tenancy::world::{Key, World, key_of};
use crate::tenancy::{Around, Note, Plan, is_paused, note_of};

/// Both types of mail, in the order of the status.
const TYPES: [MailType; 2] = [MailType::Campaign, MailType::Transactional];

/// The most that mail of a tenant can tell of which nothing is known: it may have been deleted and
/// made anew, or restored without its status.
const ANYTHING: Allowed = Allowed {
    tracking: Tracking { opens: Mode::Individual, clicks: Mode::Individual },
    place: Place::Country,
};

/// What is to be done about a tenant; nothing where it is another release's.
pub(crate) fn verdict(key: &Key, world: &World, around: &Around<'_>) -> Option<Plan<TenantStatus>> {
    let tenant = world.tenants.get(key)?;
    if tenant.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let old = tenant.status.clone().unwrap_or_default();
    if around.is_missing(&tenant.spec.region) {
        // Any operator may say so: all say the same.
        let text = around.no_such_region(&tenant.spec.region);
        let mut plan = told(tenant, old, Outcome::Blocked("NoSuchRegion", text), around);
        // Applied together, the two come in any order.
        plan.waits = true;
        return Some(plan);
    }
    if tenant.spec.region != around.ours {
        return None;
    }
    let (region, invalid) = around.region?;
    let first = world.tenant_of(&key.namespace)?;
    if key_of(first) != *key {
        let wrong = fits::second_tenant(&key_of(first).name);
        let outcome = Outcome::Refused("SecondTenant", wrong.to_string());
        return Some(told(tenant, old, outcome, around));
    }
    let limits = Limits::from(region);
    let misfits = fits::tenant(&tenant.spec, &limits);
    let case = Case { tenant, old: &old, region, limits, world, around };
    let resolved: Vec<Resolved> = TYPES.iter().map(|mail| case.resolve(*mail)).collect();
    let is_waiting = resolved.iter().any(|one| one.waits);
    let outcome = match case.erased() {
        Some(erased) => erased,
        None => outcome(&misfits, invalid, is_waiting, &tenant.spec, around),
    };
    let mut plan = told(tenant, old.clone(), outcome.clone(), around);
    plan.waits = matches!(outcome, Outcome::Waiting(..));
    plan.status.id = Some(TenantId::derive(around.ours, &key.namespace).to_string());
    (plan.status.campaign, plan.status.transactional) = (resolved[0].status, resolved[1].status);
    plan.events.extend(changes(&old, &plan.status));
    plan.append = resolved.into_iter().filter_map(|one| one.append).collect();
    if !plan.append.is_empty() {
        let waiting = Outcome::Waiting("RefusalLog", around.log_problem());
        let mut meanwhile = told(tenant, old, waiting, around).status;
        // The status must not say that the spec was taken: kubectl wait would believe it.
        meanwhile.id.clone_from(&plan.status.id);
        plan.meanwhile = Some(meanwhile);
    }
    Some(plan)
}

/// Why a tenant is refused, if it is.
pub(crate) fn refusal(spec: &hushmark_crds::TenantSpec, limits: &Limits) -> Option<String> {
    let misfits = fits::tenant(spec, limits);
    (!misfits.is_empty()).then(|| joined(&misfits))
}

/// Several misfits as one text.
pub(crate) fn joined(misfits: &[Misfit]) -> String {
    misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Its status with another outcome and everything else as it was.
fn told(
    tenant: &Tenant,
    old: TenantStatus,
    outcome: Outcome,
    around: &Around<'_>,
) -> Plan<TenantStatus> {
    let generation = tenant.metadata.generation.unwrap_or(0);
    let wanted = conditions::of(&outcome, is_paused(&tenant.metadata));
    let events = note_of(&old.conditions, &outcome).into_iter().collect();
    Plan {
        status: TenantStatus {
            observed_generation: Some(generation),
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

fn outcome(
    misfits: &[Misfit],
    invalid: Option<&str>,
    is_waiting: bool,
    spec: &hushmark_crds::TenantSpec,
    around: &Around<'_>,
) -> Outcome {
    if !misfits.is_empty() {
        Outcome::Refused("AboveCeiling", joined(misfits))
    } else if is_waiting {
        Outcome::Waiting("RefusalLog", around.log_problem())
    } else if let Some(why) = invalid {
        Outcome::Blocked("RegionNotValid", format!("the Region is not valid: {why}"))
    } else if spec.kill_switch {
        let text = "the kill switch is on: nothing is tracked, mail that was sent included; links \
                    go on working";
        Outcome::Ready("Killed", text.to_owned())
    } else {
        Outcome::Ready("Resolved", "what its mail may tell is in the refusal log".to_owned())
    }
}

/// What of a change people want to know.
fn changes(old: &TenantStatus, new: &TenantStatus) -> Vec<Note> {
    let pairs = [(old.campaign, new.campaign), (old.transactional, new.transactional)];
    let mut notes = Vec::new();
    for (mail, (old, new)) in TYPES.iter().zip(pairs) {
        let (Some(old), Some(new)) = (old, new) else { continue };
        if allowed(&old).exceeds(&allowed(&new)) {
            let text = format!(
                "{} mail now tells at most {} opens and {} clicks, mail that was sent included",
                mail.name(),
                new.opens,
                new.clicks
            );
            notes.push(Note { is_warning: false, reason: "Tightened", text });
        }
        if new.generation > old.generation {
            let text = format!(
                "{} mail sealed from now on is of generation {}; mail that was sent stays as \
                 restricted as it was",
                mail.name(),
                new.generation
            );
            notes.push(Note { is_warning: false, reason: "Loosened", text });
        }
    }
    notes
}

fn allowed(status: &TypeStatus) -> Allowed {
    Allowed {
        tracking: Tracking { opens: status.opens, clicks: status.clicks },
        place: status.place,
    }
}

struct Case<'a> {
    tenant: &'a Tenant,
    old: &'a TenantStatus,
    region: &'a RegionSpec,
    limits: Limits,
    world: &'a World,
    around: &'a Around<'a>,
}

/// What one type of mail comes to.
struct Resolved {
    status: Option<TypeStatus>,
    append: Option<Refuses>,
    /// Nothing can be said before the log is known.
    waits: bool,
}

impl Case<'_> {
    fn resolve(&self, mail_type: MailType) -> Resolved {
        let namespace = self.tenant.metadata.namespace.as_deref().unwrap_or_default();
        let tenant = TenantId::derive(self.around.ours, namespace);
        let mail = Mail { tenant, mail_type, campaign: None };
        let old = match mail_type {
            MailType::Campaign => self.old.campaign,
            MailType::Transactional => self.old.transactional,
        };
        let before = old.as_ref().map(allowed);
        let left = self.around.log.map(|log| mail.left(log.caps()));
        let now = self.allows(mail_type, before);
        let now = left.map_or(now, |left| now.strictest(&left));
        let Some(log) = self.around.log else {
            // What is settled stays settled while the log is away.
            return Resolved { status: old, append: None, waits: before != Some(now) };
        };
        let generation = old.map_or(0, |old| old.generation);
        // In its own time, before it may be raised: this is for mail that was sealed so far.
        let capped = Some(before.unwrap_or(ANYTHING));
        let append = mail.tighten(log.caps(), capped, now, generation);
        let loosened = before.is_some_and(|before| now.exceeds(&before));
        let raised = if loosened { generation.saturating_add(1) } else { generation };
        let raised = mail.free_generation(log.caps(), now, raised);
        let generation = self.freed_by_campaigns(log.caps(), mail, raised);
        let Allowed { tracking: Tracking { opens, clicks }, place } = now;
        let status = Some(TypeStatus { generation, opens, clicks, place });
        Resolved { status, append, waits: false }
    }

    /// What is said of a tenant that was erased.
    fn erased(&self) -> Option<Outcome> {
        let namespace = self.tenant.metadata.namespace.as_deref().unwrap_or_default();
        let tenant = TenantId::derive(self.around.ours, namespace);
        let day = Day::of_unix_ms(self.around.log?.erasures().of_tenant(tenant)?);
        let text = format!(
            "the tenant of this namespace was erased on {day}, and nothing of it is ever stored \
             again: delete it and its campaigns, or use another namespace"
        );
        Some(Outcome::Refused("Erased", text))
    }

    /// What the tenant allows: its default, or all that the region does. A default above the
    /// ceiling is refused, and the ceiling holds all the same for what was sent.
    fn allows(&self, mail_type: MailType, before: Option<Allowed>) -> Allowed {
        let tracking = effective::at_most(&self.tenant.spec, mail_type, &self.limits);
        let now = Allowed { tracking, place: self.limits.place };
        let loosening_waits = is_paused(&self.tenant.metadata) || self.around.is_region_invalid();
        match before.filter(|_| loosening_waits) {
            Some(before) => before.strictest(&now),
            None => now,
        }
    }

    /// A campaign that asks for more than a cap of its own lets through needs a generation that
    /// is past that cap.
    fn freed_by_campaigns(&self, caps: &Caps, mail: Mail, generation: u32) -> u32 {
        if caps.is_empty() || fits_not(&self.tenant.spec, &self.limits) {
            return generation;
        }
        let namespace = self.tenant.metadata.namespace.as_deref().unwrap_or_default();
        let campaigns = self.world.campaigns.in_namespace(namespace);
        campaigns
            .filter(|campaign| campaign.spec.mail_type == mail.mail_type)
            .filter(|campaign| campaign::is_sound(campaign, self.world, self.region))
            .fold(generation, |generation, campaign| {
                let wanted =
                    campaign::wanted(campaign, &self.tenant.spec, &self.limits, self.around);
                let mail = campaign::mail(campaign, self.around.ours);
                mail.free_generation(caps, campaign::allowed(&wanted), generation)
            })
    }
}

fn fits_not(spec: &hushmark_crds::TenantSpec, limits: &Limits) -> bool {
    !fits::tenant(spec, limits).is_empty()
}
