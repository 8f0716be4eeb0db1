//! What a RetentionPolicy or an AnonymizationPolicy comes to: whether it fits its Region, what the
//! writer is told of it, and what its status says of the plan that the writer made.

use std::collections::BTreeMap;
use std::sync::Arc;

use hushmark_crds::field::PolicyMode;
use hushmark_crds::fits::{self, Limits, Misfit};
use hushmark_crds::{Campaign, PlanStatus, PolicyStatus, RegionSpec, RetentionPolicy, StepStatus};
use hushmark_event::audit::Reason;
use hushmark_event::plans::plan::rows;
use hushmark_event::plans::{self, Held, Planned, Policy, PolicyKind, Reached, Told};
use hushmark_policy::retention::Limit;
use hushmark_policy::{CampaignId, TenantId};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::Value as Json;

use crate::conditions::{self, ENFORCED, Outcome, PLANNED, Status, Wanted};
use crate::plans::Hold;
use crate::tenancy::world::{Key, Kind, World};
use crate::tenancy::{Around, Plan, is_paused};
use crate::tenant::joined;

/// Below so many rows a status does not tell whether there is one: a plan's own figures are for who
/// may ask the operator.
const FEW: u64 = 100;

/// What is to be done about a policy; nothing where it is another release's.
pub(crate) fn verdict(key: &Key, world: &World, around: &Around<'_>) -> Option<Plan<PolicyStatus>> {
    // Without a tenant of ours nobody can name it, and it is nobody's to judge.
    let tenant = world.tenant_of(&key.namespace)?;
    let (region, _) = around.region?;
    let (meta, old, misfits) = match key.kind {
        Kind::Retention => {
            let policy = world.retention.get(key)?;
            (&policy.metadata, policy.status.as_ref(), misfits(policy, region))
        }
        Kind::Anonymization => {
            let policy = world.anonymization.get(key)?;
            (&policy.metadata, policy.status.as_ref(), Vec::new())
        }
        Kind::Tenant | Kind::Campaign => return None,
    };
    if meta.deletion_timestamp.is_some() || tenant.spec.region != around.ours {
        return None;
    }
    let outcome = if misfits.is_empty() {
        let text = "accepted; `kubectl hushmark plan` shows what is due, and nothing is removed \
                    before `kubectl hushmark enforce` takes that plan's hash";
        Outcome::Ready("Accepted", text.to_owned())
    } else {
        Outcome::Refused("Refused", joined(&misfits))
    };
    let told = around.plans.and_then(|plans| plans.get(&field(key)?));
    Some(plan(meta, old, &outcome, told.filter(|_| misfits.is_empty()), around))
}

fn misfits(policy: &RetentionPolicy, region: &RegionSpec) -> Vec<Misfit> {
    fits::retention(&policy.spec, &Limits::from(region))
}

/// The field of a policy in Redis; none for other kinds.
pub(crate) fn field(key: &Key) -> Option<String> {
    let kind = match key.kind {
        Kind::Retention => PolicyKind::Retention,
        Kind::Anonymization => PolicyKind::Anonymization,
        Kind::Tenant | Kind::Campaign => return None,
    };
    Some(plans::field(kind, &format!("{}/{}", key.namespace, key.name)))
}

/// What the writer has to know of every policy of our tenants that is accepted.
pub(crate) fn hand_over(
    world: &World,
    ours: &str,
    region: &RegionSpec,
) -> BTreeMap<String, Policy> {
    let is_ours = |namespace: &str| {
        world.tenant_of(namespace).is_some_and(|tenant| tenant.spec.region == ours)
    };
    let mut all = BTreeMap::new();
    for key in world.retention.keys().chain(world.anonymization.keys()) {
        let Some((kind, said)) = said(&key, world, region).filter(|_| is_ours(&key.namespace))
        else {
            continue;
        };
        let Said { spec, mode, drift_percent, limits } = said;
        let (mut campaigns, mut held) = (Vec::new(), Vec::new());
        for campaign in world.campaigns.in_namespace(&key.namespace) {
            let named = match kind {
                PolicyKind::Retention => &campaign.spec.retention_policy,
                PolicyKind::Anonymization => &campaign.spec.anonymization_policy,
            };
            if named.as_ref() != Some(&key.name) {
                continue;
            }
            let (campaign_name, namespace) = (campaign.name_any(), &key.namespace);
            let name = format!("{namespace}/{campaign_name}");
            match hold(campaign, world, namespace) {
                Some(reason) => held.push(Held { name, reason }),
                None => {
                    let id = CampaignId::derive(ours, namespace, &campaign_name);
                    campaigns.push(Reached { name, id });
                }
            }
        }
        let policy = Policy {
            region: ours.to_owned(),
            kind,
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            spec: spec.to_string(),
            enforces: mode == PolicyMode::Enforce,
            limits,
            drift_percent,
            campaigns,
            held,
        };
        all.insert(policy.field(), policy);
    }
    all
}

/// Campaigns of our tenants that a legal hold keeps, or could.
pub(crate) fn holds(world: &World, ours: &str) -> Vec<Hold> {
    let campaigns = world.campaigns.keys().filter_map(|key| {
        let campaign = world.campaigns.get(&key)?;
        let Key { namespace, name, .. } = key;
        // A hold outlives its tenant's resource.
        let is_ours = world.tenant_of(&namespace).is_none_or(|tenant| tenant.spec.region == ours);
        let reason = hold(campaign, world, &namespace)?;
        is_ours.then(|| Hold {
            tenant: TenantId::derive(ours, &namespace),
            campaign: CampaignId::derive(ours, &namespace, &name),
            held: Held { name: format!("{namespace}/{name}"), reason },
        })
    });
    campaigns.collect()
}

/// What a policy of either kind says.
struct Said {
    spec: Json,
    mode: PolicyMode,
    drift_percent: u8,
    limits: Vec<Limit>,
}

/// What a policy says; none where it is refused or on its way out.
fn said(key: &Key, world: &World, region: &RegionSpec) -> Option<(PolicyKind, Said)> {
    let is_gone = |meta: &ObjectMeta| meta.deletion_timestamp.is_some();
    if key.kind == Kind::Retention {
        let policy = world.retention.get(key)?;
        if is_gone(&policy.metadata) || !misfits(policy, region).is_empty() {
            return None;
        }
        let (spec, limits) = (&policy.spec, policy.spec.limits());
        let (mode, drift_percent) = (spec.mode, spec.guard.drift_percent);
        let spec = serde_json::to_value(spec).ok()?;
        return Some((PolicyKind::Retention, Said { spec, mode, drift_percent, limits }));
    }
    let policy = world.anonymization.get(key).filter(|policy| !is_gone(&policy.metadata))?;
    let (spec, limits) = (&policy.spec, policy.spec.limits());
    let (mode, drift_percent) = (spec.mode, spec.guard.drift_percent);
    let spec = serde_json::to_value(spec).ok()?;
    Some((PolicyKind::Anonymization, Said { spec, mode, drift_percent, limits }))
}

/// What forbids every removal from a campaign: its RetentionPolicy's hold wins over every policy of
/// it, be it refused itself; and one that is not there may have had one.
fn hold(campaign: &Campaign, world: &World, namespace: &str) -> Option<String> {
    let name = campaign.spec.retention_policy.as_ref()?;
    let find = |policy: &&Arc<RetentionPolicy>| policy.name_any() == *name;
    match world.retention.in_namespace(namespace).find(find) {
        Some(policy) => policy.spec.legal_hold.as_ref().map(|hold| hold.reason.clone()),
        None => Some(format!("its RetentionPolicy {name} is not there, and could hold it")),
    }
}

fn plan(
    meta: &ObjectMeta,
    old: Option<&PolicyStatus>,
    outcome: &Outcome,
    told: Option<&Told>,
    around: &Around<'_>,
) -> Plan<PolicyStatus> {
    let generation = meta.generation.unwrap_or(0);
    let known = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let mut wanted = conditions::of(outcome, is_paused(meta));
    wanted.extend(told.map(planned));
    wanted.extend(told.and_then(enforced));
    let mut merged = conditions::merge(known, &wanted, generation, around.now);
    if told.is_none() {
        // While Redis is away, or was emptied, what was shown last stays.
        let stays = |one: &&Condition| [PLANNED, ENFORCED].contains(&one.type_.as_str());
        merged.extend(known.iter().filter(stays).cloned());
    }
    Plan {
        status: PolicyStatus {
            observed_generation: Some(generation),
            plan: told.map(status).or_else(|| old.and_then(|old| old.plan.clone())),
            conditions: merged,
        },
        append: Vec::new(),
        meanwhile: None,
        events: Vec::new(),
        again: None,
        waits: false,
        wake_tenant: false,
    }
}

/// Rows of a step, of hits and counters: what is published of them is theirs.
fn due(step: &Planned) -> u64 {
    rows(&step.found, "hits") + rows(&step.found, "counters")
}

/// One digit of a number of rows, and none of a small one.
fn about(rows: u64) -> String {
    if rows < FEW {
        return format!("fewer than {FEW}");
    }
    let unit = 10_u64.pow(rows.ilog10());
    format!("about {}", rows.saturating_add(unit / 2) / unit * unit)
}

fn status(told: &Told) -> PlanStatus {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let step = |step: &Planned| StepStatus {
        step: step.step.clone(),
        before: step.before.clone(),
        rows: about(due(step)),
    };
    PlanStatus {
        made_at: time(told.made_ms),
        campaigns: number(told.plan.campaigns.len()),
        held: number(told.plan.held.len()),
        steps: told.plan.steps.iter().map(step).collect(),
    }
}

fn time(ms: u64) -> Time {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    Time(Timestamp::from_second(seconds).unwrap_or_default())
}

/// What is due.
fn planned(told: &Told) -> Wanted {
    let most = told.plan.steps.iter().map(due).max().unwrap_or(0);
    let how = format!("`{}` shows the plan", told.plan.again());
    if most < FEW {
        let text = format!("fewer than {FEW} rows are due by any step; {how}");
        return Wanted::new(PLANNED, Status::True, "LittleDue", text);
    }
    Wanted::new(PLANNED, Status::True, "Due", format!("rows are due; {how} and its hash"))
}

/// What became of the last plan that was demanded; nothing where none was.
fn enforced(told: &Told) -> Option<Wanted> {
    if let Some(begun) = &told.begun {
        let text = format!("entry {} of the audit log demands it", begun.entry);
        return Some(Wanted::new(ENFORCED, Status::Unknown, "Enforcing", text));
    }
    let last = told.last.as_ref()?;
    let (entry, at) = (last.entry, time(last.ended_ms).0);
    Some(match &last.stopped {
        None => {
            let text = format!("what entry {entry} of the audit log demanded was done by {at}");
            Wanted::new(ENFORCED, Status::True, "Enforced", text)
        }
        Some(stopped) if stopped.reason == Reason::LegalHold => {
            let text = format!("entry {entry} of the audit log: {}", stopped.said);
            Wanted::new(ENFORCED, Status::False, "LegalHold", text)
        }
        Some(_) => {
            let text = format!(
                "what entry {entry} of the audit log demanded was not what was due any more: see \
                 what is with `{}`",
                told.plan.again()
            );
            Wanted::new(ENFORCED, Status::False, "PlanChanged", text)
        }
    })
}
