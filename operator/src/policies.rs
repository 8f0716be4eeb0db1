//! What a RetentionPolicy or an AnonymizationPolicy comes to. In a cluster this version removes
//! nothing, and refuses a policy that asks for it; the status says whom the policy belongs to.

use hushmark_crds::PolicyStatus;
use hushmark_crds::field::PolicyMode;
use hushmark_crds::fits::{self, Limits, Misfit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::conditions::{self, Outcome};
use crate::tenancy::world::{Key, Kind, World};
use crate::tenancy::{Around, Plan, is_paused};
use crate::tenant::joined;

/// What is to be done about a policy; nothing where it is another release's.
pub(crate) fn verdict(key: &Key, world: &World, around: &Around<'_>) -> Option<Plan<PolicyStatus>> {
    // Without a tenant of ours nobody can name it, and it is nobody's to judge.
    let tenant = world.tenant_of(&key.namespace)?;
    let (region, _) = around.region?;
    let (meta, old, misfits) = match key.kind {
        Kind::Retention => {
            let policy = world.retention.get(key)?;
            let misfits = fits::retention(&policy.spec, &Limits::from(region));
            (&policy.metadata, policy.status.as_ref(), [misfits, mode(policy.spec.mode)].concat())
        }
        Kind::Anonymization => {
            let policy = world.anonymization.get(key)?;
            (&policy.metadata, policy.status.as_ref(), mode(policy.spec.mode))
        }
        Kind::Tenant | Kind::Campaign => return None,
    };
    if meta.deletion_timestamp.is_some() || tenant.spec.region != around.ours {
        return None;
    }
    let outcome = if misfits.is_empty() {
        let text = "accepted; in a cluster this version makes plans and removes nothing";
        Outcome::Ready("Accepted", text.to_owned())
    } else {
        Outcome::Refused("Refused", joined(&misfits))
    };
    Some(plan(meta, old, &outcome, around))
}

fn mode(mode: PolicyMode) -> Vec<Misfit> {
    fits::enforcing(mode).into_iter().collect()
}

fn plan(
    meta: &ObjectMeta,
    old: Option<&PolicyStatus>,
    outcome: &Outcome,
    around: &Around<'_>,
) -> Plan<PolicyStatus> {
    let generation = meta.generation.unwrap_or(0);
    let known = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let wanted = conditions::of(outcome, is_paused(meta));
    Plan {
        status: PolicyStatus {
            observed_generation: Some(generation),
            conditions: conditions::merge(known, &wanted, generation, around.now),
        },
        append: Vec::new(),
        meanwhile: None,
        events: Vec::new(),
        again: None,
        waits: false,
        wake_tenant: false,
    }
}
