//! What the API server would make of a manifest: defaults, rules of change, quotas. It is asked by
//! a dry run; where this person may not, what can be told without it is told.

use anyhow::Result;
use hushmark_crds::load::Found;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::connect::{Connected, is_forbidden, said};
use super::merge;

/// What came of it.
pub(super) enum Applied<K> {
    /// The API server would take it, and it would be like this.
    Taken(K),
    /// It would not, in its words.
    Refused(String),
    /// It was not asked; this is what the manifest comes to, and why nobody was asked.
    Unchecked(K, String),
}

/// Applies one manifest without changing anything.
pub(super) async fn dry_run<K>(
    at: &Connected,
    namespaces: &[&str],
    found: &Found<K>,
    live: Option<&K>,
) -> Result<Applied<K>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let kind = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = if found.namespace.is_empty() {
        Api::all_with(at.client.clone(), &kind)
    } else {
        Api::namespaced_with(at.client.clone(), &found.namespace, &kind)
    };
    let manifest = found.manifest();
    let answer = match live {
        None => {
            let new = serde_json::from_value(manifest.clone())?;
            let post = PostParams { dry_run: true, ..PostParams::default() };
            api.create(&post, &new).await
        }
        Some(live) => {
            let patch = merge::patch(&manifest, live);
            let params = PatchParams { dry_run: true, ..PatchParams::default() };
            api.patch(&found.name, &params, &Patch::Merge(patch)).await
        }
    };
    let name = merge::name(&found.namespace, &found.name);
    let here = namespaces.contains(&found.namespace.as_str());
    match answer {
        Ok(object) => Ok(Applied::Taken(typed(&serde_json::to_value(object)?)?)),
        Err(kube::Error::Api(status)) if status.code == 404 && live.is_none() && here => {
            let made = typed(&manifest)?;
            let namespace = &found.namespace;
            let note = format!(
                "the manifests make namespace {namespace}, which is not there yet: what is in it \
                 was checked here alone"
            );
            Ok(Applied::Unchecked(made, note))
        }
        Err(kube::Error::Api(status)) if status.code == 404 && live.is_none() => {
            Ok(Applied::Refused(format!("{}: make it first", status.message)))
        }
        Err(kube::Error::Api(status)) if [400, 409, 422].contains(&status.code) => {
            Ok(Applied::Refused(status.message.clone()))
        }
        Err(error) if is_forbidden(&error) => {
            let merged = match live {
                None => manifest,
                Some(live) => merge::merged(&manifest, live),
            };
            let note = "you may not apply all of this, so the API server was not asked: its rules \
                        for changes were not held against it"
                .to_owned();
            Ok(Applied::Unchecked(typed(&merged)?, note))
        }
        Err(error) => Err(said(format!("try {} {name}", K::kind(&())), error)),
    }
}

fn typed<K: DeserializeOwned>(object: &serde_json::Value) -> Result<K> {
    Ok(serde_json::from_value(object.clone())?)
}
