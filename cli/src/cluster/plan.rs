//! `plan`: what applying manifests would change, and what that means for mail.
//!
//! Path: manifests → checked as `hushmark up` checks them → merged with what the cluster has, as
//! `kubectl apply` merges → held against the API server's own rules by a dry run → the cluster as
//! it would be → judged beside the cluster as it is. Nothing is changed.

mod dry_run;
mod effect;
mod merge;
mod say;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use hushmark_crds::load::{Found, Resources};
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::args;
use super::connect::Connected;
use super::paint::Paint;
use super::world::{Key, World, manifests_at};
use crate::report::print;
use dry_run::{Applied, dry_run};
use merge::Change;

/// Everything that applying would change.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Planned {
    pub(crate) changes: Vec<Change>,
    /// Manifests that say what the cluster says already.
    pub(crate) unchanged: usize,
    /// What it means for mail and for what runs.
    pub(crate) effects: Vec<effect::Effect>,
    /// What would be refused: by the API server, or by the operator afterwards.
    pub(crate) refused: Vec<effect::Refusal>,
    pub(crate) notes: Vec<String>,
}

pub(crate) async fn run(options: &args::PlanManifests) -> Result<ExitCode> {
    let manifests = manifests_at(&options.filename)?;
    let at = options.connection.connect().await?;
    let planned = plan(&at, &manifests).await?;
    if options.json {
        let text = serde_json::to_string_pretty(&planned).context("cannot write JSON")?;
        print(&(text + "\n"))?;
    } else {
        print(&say::say(&planned, Paint::of_stdout()))?;
    }
    Ok(match (planned.refused.is_empty(), planned.changes.is_empty()) {
        (false, _) => super::NOT_WELL.into(),
        (true, false) => super::CHANGES.into(),
        (true, true) => ExitCode::SUCCESS,
    })
}

async fn plan(at: &Connected, manifests: &Resources) -> Result<Planned> {
    let before = World::fetch(at).await?;
    let others = manifests.others.as_deref().unwrap_or_default();
    let namespaces: Vec<&str> = others
        .iter()
        .filter(|other| other.kind == "Namespace")
        .map(|other| other.name.as_str())
        .collect();
    let mut plan = Plan {
        at,
        namespaces: &namespaces,
        after: before.clone(),
        changes: Vec::new(),
        unchanged: 0,
        refused: Vec::new(),
        notes: before.unseen.clone(),
    };
    for region in &manifests.regions {
        let live = before.regions.get(&region.name);
        if let Some(object) = plan.take(region, live).await? {
            plan.after.regions.insert(region.name.clone(), object);
        }
    }
    for_each(&mut plan, &manifests.tenants, &before.tenants, |world| &mut world.tenants).await?;
    for_each(&mut plan, &manifests.retention, &before.retention, |world| &mut world.retention)
        .await?;
    for_each(&mut plan, &manifests.anonymization, &before.anonymization, |world| {
        &mut world.anonymization
    })
    .await?;
    for_each(&mut plan, &manifests.campaigns, &before.campaigns, |world| &mut world.campaigns)
        .await?;
    let Plan { after, changes, unchanged, mut refused, mut notes, .. } = plan;
    if !others.is_empty() {
        let mut kinds: Vec<&str> = others.iter().map(|other| other.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        notes.push(format!(
            "{} of other kinds ({}) were not looked at: kubectl diff shows them",
            others.len(),
            kinds.join(", ")
        ));
    }
    refused.extend(effect::refusals(&before, &after));
    let effects = effect::effects(&before, &after);
    Ok(Planned { changes, unchanged, effects, refused, notes })
}

/// A plan in the making.
struct Plan<'a> {
    at: &'a Connected,
    /// Namespaces that the manifests make themselves.
    namespaces: &'a [&'a str],
    after: World,
    changes: Vec<Change>,
    unchanged: usize,
    refused: Vec<effect::Refusal>,
    notes: Vec<String>,
}

impl Plan<'_> {
    /// The object as it would be, if the API server takes it.
    async fn take<K>(&mut self, found: &Found<K>, live: Option<&K>) -> Result<Option<K>>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        let kind = K::kind(&()).into_owned();
        let applied = dry_run(self.at, self.namespaces, found, live).await?;
        let object = match applied {
            Applied::Refused(message) => {
                let name = merge::name(&found.namespace, &found.name);
                self.refused.push(effect::Refusal { kind, name, message });
                return Ok(None);
            }
            Applied::Taken(object) => object,
            Applied::Unchecked(object, note) => {
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
                object
            }
        };
        match merge::change(&kind, (&found.namespace, &found.name), live, &object)? {
            Some(change) => self.changes.push(change),
            None => self.unchanged += 1,
        }
        Ok(Some(object))
    }
}

async fn for_each<K>(
    plan: &mut Plan<'_>,
    manifests: &[Found<K>],
    live: &std::collections::BTreeMap<Key, K>,
    of: impl Fn(&mut World) -> &mut std::collections::BTreeMap<Key, K>,
) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    for found in manifests {
        let key = (found.namespace.clone(), found.name.clone());
        if live.get(&key).is_some_and(|live| live.meta().deletion_timestamp.is_some()) {
            let name = merge::name(&found.namespace, &found.name);
            bail!("{} {name} is being deleted: wait until it is gone", K::kind(&()));
        }
        if let Some(object) = plan.take(found, live.get(&key)).await? {
            of(&mut plan.after).insert(key, object);
        }
    }
    Ok(())
}
