//! What wakes the Region's reconcile: one watch a kind.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use hushmark_crds::Region;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::build::REGION_LABEL;
use crate::apply::Kind;
use crate::context::ActiveRegion;
use crate::reconcile::WatchPause;
use crate::{Context, FIELD_MANAGER};

/// What the watches saw.
#[derive(Default)]
pub(super) struct Watched {
    regions: Mutex<BTreeMap<String, Arc<Region>>>,
    synced: AtomicBool,
    /// Something changed that a reconcile should look at.
    pub(super) wake: Notify,
}

impl Watched {
    /// Every Region; nothing before all of them were seen.
    pub(super) fn regions(&self) -> Option<Vec<Arc<Region>>> {
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        self.synced.load(Ordering::Acquire).then(|| regions.values().cloned().collect())
    }
}

/// Follows all Regions: the one of this release, and those that might share a host with it.
pub(super) async fn regions(ctx: Arc<Context>, watched: Arc<Watched>) {
    let api: Api<Region> = Api::all(ctx.client.clone());
    let mut stream = pin!(watcher(api, watcher::Config::default()).backoff(WatchPause::default()));
    let mut fresh = BTreeMap::new();
    let mut prints = HashMap::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => {
                fresh.clear();
                // What changed while nobody watched is not known to be what was seen last.
                prints.clear();
            }
            Ok(Event::InitApply(region)) => {
                fresh.insert(region.name_any(), Arc::new(region));
            }
            Ok(Event::InitDone) => {
                set(&watched, |all| *all = std::mem::take(&mut fresh));
                watched.synced.store(true, Ordering::Release);
                watched.wake.notify_one();
            }
            Ok(Event::Apply(region)) => {
                let region = Arc::new(region);
                let name = region.name_any();
                set(&watched, |all| drop(all.insert(name.clone(), Arc::clone(&region))));
                let print = print_of_region(&region);
                if prints.insert(name, print) == Some(print) {
                    keep_fresh(&ctx, &region);
                } else {
                    watched.wake.notify_one();
                }
            }
            Ok(Event::Delete(region)) => {
                set(&watched, |all| drop(all.remove(&region.name_any())));
                prints.remove(&region.name_any());
                watched.wake.notify_one();
            }
            Err(error) => tracing::warn!(%error, "regions are not watched"),
        }
        tell_names(&ctx, &watched);
    }
}

fn set(watched: &Watched, change: impl FnOnce(&mut BTreeMap<String, Arc<Region>>)) {
    change(&mut watched.regions.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Tenants want to know which Regions there are.
fn tell_names(ctx: &Context, watched: &Watched) {
    let Some(regions) = watched.regions() else { return };
    let names: BTreeSet<String> = regions.iter().map(|region| region.name_any()).collect();
    ctx.tell.regions.send_if_modified(|known| {
        let differs = **known != names;
        if differs {
            *known = Arc::new(names);
        }
        differs
    });
}

/// The logs' heads change often and is no reason to look at objects; those who read it
/// still get it at once.
fn keep_fresh(ctx: &Context, region: &Arc<Region>) {
    ctx.tell.active.send_if_modified(|active| {
        let Some(old) = active.as_ref().filter(|old| Some(&old.uid) == region.uid().as_ref())
        else {
            return false;
        };
        *active = Some(Arc::new(ActiveRegion {
            region: Arc::clone(region),
            uid: old.uid.clone(),
            signing_key: Arc::clone(&old.signing_key),
            invalid: old.invalid.clone(),
        }));
        true
    });
}

fn print(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// All of a Region but the logs' heads.
fn print_of_region(region: &Region) -> u64 {
    let mut status = serde_json::to_value(&region.status).unwrap_or_default();
    if let Some(fields) = status.as_object_mut() {
        for head in ["refusalLog", "auditLog"] {
            fields.remove(head);
        }
    }
    let spec = serde_json::to_value(&region.spec).unwrap_or_default();
    let uid = region.uid();
    print(&json!([spec, status, region.labels(), region.annotations(), uid]))
}

/// Follows the stack's objects of one kind.
pub(super) async fn objects(ctx: Arc<Context>, kind: Kind, watched: Arc<Watched>) {
    let api: Api<DynamicObject> =
        Api::namespaced_with(ctx.client.clone(), &ctx.config.namespace, &kind.resource());
    let mut stream = pin!(watcher(api, ours(&ctx)).backoff(WatchPause::default()));
    let mut prints: HashMap<String, u64> = HashMap::new();
    while let Some(event) = stream.next().await {
        let wakes = match event {
            Ok(Event::Init) => {
                prints.clear();
                false
            }
            // What was deleted while nobody watched shows by nothing else.
            Ok(Event::InitDone) => true,
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let print = print_of_object(kind, &object);
                prints.insert(object.name_any(), print) != Some(print)
            }
            Ok(Event::Delete(object)) => {
                prints.remove(&object.name_any());
                true
            }
            Err(error) => {
                tracing::warn!(kind = kind.name(), %error, "objects are not watched");
                false
            }
        };
        if wakes {
            watched.wake.notify_one();
        }
    }
}

/// What could have to be put right, and for workloads how they are. The rest (heartbeats of an
/// autoscaler, whose fields are whose) is no reason to look.
fn print_of_object(kind: Kind, object: &DynamicObject) -> u64 {
    let mut data = object.data.clone();
    if !matches!(kind, Kind::StatefulSet | Kind::Deployment | Kind::ClickHouseCluster)
        && let Some(fields) = data.as_object_mut()
    {
        fields.remove("status");
    }
    let metadata = &object.metadata;
    let owners = serde_json::to_value(&metadata.owner_references).unwrap_or_default();
    let deleting = metadata.deletion_timestamp.is_some();
    let annotations = object.annotations();
    print(&json!([data, owners, object.labels(), annotations, object.uid(), deleting]))
}

/// Follows the Secrets of the release by their metadata alone: keys are not kept in memory here.
pub(super) async fn secrets(ctx: Arc<Context>, watched: Arc<Watched>) {
    let api: Api<PartialObjectMeta<Secret>> =
        Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let mut stream = pin!(watcher(api, ours(&ctx)).backoff(WatchPause::default()));
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone) => watched.wake.notify_one(),
            Ok(Event::Init | Event::InitApply(_)) => {}
            Err(error) => tracing::warn!(%error, "secrets are not watched"),
        }
    }
}

/// What this release made for its Region.
fn ours(ctx: &Context) -> watcher::Config {
    watcher::Config::default().labels(&format!(
        "app.kubernetes.io/managed-by={FIELD_MANAGER},app.kubernetes.io/instance={},{REGION_LABEL}={}",
        ctx.config.name, ctx.config.region
    ))
}
