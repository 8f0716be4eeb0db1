//! What a RetentionPolicy or an AnonymizationPolicy comes to. This version makes plans and removes
//! nothing, which the schema holds everybody to; the status says whom the policy belongs to.

use hushmark_crds::PolicyStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::conditions::{self, Outcome};
use crate::tenancy::world::{Key, Kind, World};
use crate::tenancy::{Around, Plan, is_paused};

/// What is to be done about a policy; nothing where it is another release's.
pub(crate) fn verdict(key: &Key, world: &World, around: &Around<'_>) -> Option<Plan<PolicyStatus>> {
    let (meta, old) = match key.kind {
        Kind::Retention => {
            let policy = world.retention.get(key)?;
            (&policy.metadata, policy.status.as_ref())
        }
        Kind::Anonymization => {
            let policy = world.anonymization.get(key)?;
            (&policy.metadata, policy.status.as_ref())
        }
        Kind::Tenant | Kind::Campaign => return None,
    };
    // Without a tenant of ours nobody can name it, and it is nobody's to judge.
    let tenant = world.tenant_of(&key.namespace)?;
    if meta.deletion_timestamp.is_some() || tenant.spec.region != around.ours {
        return None;
    }
    around.region?;
    let text = "accepted; this version makes plans and removes nothing";
    Some(plan(meta, old, &Outcome::Ready("Accepted", text.to_owned()), around))
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
