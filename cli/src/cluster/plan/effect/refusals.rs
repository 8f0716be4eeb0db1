//! What the operator would refuse afterwards, in its own words. Pure.

use std::collections::BTreeSet;

use hushmark_crds::fits::{self, Limits, Misfit};
use kube::ResourceExt as _;
use serde::Serialize;

use super::super::super::world::World;

/// One thing that would be refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Refusal {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) message: String,
}

/// What is wrong afterwards and was not before.
pub(crate) fn refusals(before: &World, after: &World) -> Vec<Refusal> {
    let known = all(before);
    all(after).into_iter().filter(|wrong| !known.contains(wrong)).collect()
}

fn all(world: &World) -> BTreeSet<Refusal> {
    let mut wrong = BTreeSet::new();
    let mut say = |kind: &str, (namespace, name): &(String, String), misfits: Vec<Misfit>| {
        let name = format!("{namespace}/{name}");
        wrong.extend(misfits.into_iter().map(|misfit| Refusal {
            kind: kind.to_owned(),
            name: name.clone(),
            message: misfit.to_string(),
        }));
    };
    // Who may not see them cannot say that there is none.
    let regions_are_seen = !world.unseen.iter().any(|unseen| unseen.contains("regions"));
    for (key, tenant) in &world.tenants {
        let mut misfits = Vec::new();
        let first = world.tenant_of(&key.0).filter(|first| first.name_any() != key.1);
        misfits.extend(first.map(|first| fits::second_tenant(&first.name_any())));
        match world.regions.get(&tenant.spec.region) {
            Some(region) => misfits.extend(fits::tenant(&tenant.spec, &Limits::from(&region.spec))),
            None if regions_are_seen => {
                let known: Vec<&str> = world.regions.keys().map(String::as_str).collect();
                misfits.push(fits::no_region(&tenant.spec.region, &known));
            }
            None => {}
        }
        say("Tenant", key, misfits);
    }
    for (key, campaign) in &world.campaigns {
        let (namespace, _) = key;
        let spec = &campaign.spec;
        if world.tenant_of(namespace).is_none() {
            say("Campaign", key, vec![fits::no_tenant(namespace)]);
            continue;
        }
        let mut misfits = Vec::new();
        if let Some(region) = world.region_of(namespace) {
            misfits.extend(fits::campaign(spec, &Limits::from(&region.spec)));
        }
        let retention = names(world.retention.keys(), namespace);
        let anonymization = names(world.anonymization.keys(), namespace);
        misfits.extend(fits::policies(spec, namespace, &retention, &anonymization));
        let named = |name: &Option<String>| Some((namespace.clone(), name.clone()?));
        let kept = named(&spec.retention_policy).and_then(|key| world.retention.get(&key));
        let faded = named(&spec.anonymization_policy).and_then(|key| world.anonymization.get(&key));
        misfits.extend(fits::ages(kept.map(|kept| &kept.spec), faded.map(|faded| &faded.spec)));
        misfits.extend(fits::erasure(spec.deletion_policy));
        say("Campaign", key, misfits);
    }
    for (key, policy) in &world.retention {
        let region = world.region_of(&key.0).map(|region| Limits::from(&region.spec));
        let misfits = region.map_or_else(Vec::new, |limits| fits::retention(&policy.spec, &limits));
        say("RetentionPolicy", key, misfits);
    }
    wrong
}

fn names<'a>(keys: impl Iterator<Item = &'a (String, String)>, namespace: &str) -> Vec<&'a str> {
    keys.filter(|(there, _)| there == namespace).map(|(_, name)| name.as_str()).collect()
}
