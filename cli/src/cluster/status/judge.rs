//! What of all that was seen is not as it should be. Pure.

use std::collections::BTreeMap;

use hushmark_crds::{Region, Replicas};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::super::paint::since;
use super::super::world::{Key, World, ready};
use super::{Release, Seen};

/// How long after its last renewal a Lease is still believed: its life is ten seconds, and clocks
/// differ.
const BELIEVED_SECONDS: i64 = 30;

/// Conditions that should be `False`; every other one should be `True`.
const SHOULD_BE_FALSE: [&str; 5] =
    ["Reconciling", "Stalled", "Contested", "Paused", "KeysRotating"];

/// What repeats in other words what `Ready` says.
const REPEATS: [&str; 3] = ["Ready", "Reconciling", "Stalled"];

/// The whole screen.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// Whether everything is as it should be.
    pub(crate) well: bool,
    pub(crate) regions: Vec<RegionSummary>,
    /// What is not Ready, Regions apart.
    pub(crate) not_ready: Vec<NotReady>,
    /// What this person may not see.
    pub(crate) unseen: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegionSummary {
    pub(crate) name: String,
    pub(crate) jurisdiction: String,
    pub(crate) base_url: String,
    pub(crate) ready: bool,
    /// `NAMESPACE/NAME` of the release that runs it.
    pub(crate) release: Option<String>,
    pub(crate) operator: Operator,
    pub(crate) edges: Option<Replicas>,
    pub(crate) writers: Option<Replicas>,
    pub(crate) keys: Option<String>,
    pub(crate) refusal_log: Option<String>,
    /// Conditions that are not as they should be.
    pub(crate) conditions: Vec<Amiss>,
    /// Pods that are not Ready.
    pub(crate) pods: Vec<String>,
    pub(crate) tenants: Count,
    pub(crate) campaigns: Count,
    pub(crate) phases: BTreeMap<String, usize>,
}

/// Whether somebody works.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operator {
    /// Unknown where the Lease cannot be seen.
    pub(crate) works: Option<bool>,
    pub(crate) says: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Count {
    pub(crate) all: usize,
    pub(crate) ready: usize,
    /// Tenants whose kill switch is on.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) killed: usize,
}

/// A condition that is not as it should be.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Amiss {
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    #[serde(rename = "for")]
    pub(crate) for_: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotReady {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    #[serde(rename = "for")]
    pub(crate) for_: String,
}

const fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Holds everything against how it should be.
pub(crate) fn judge(seen: &Seen, now: Timestamp) -> Summary {
    let world = &seen.world;
    let regions: Vec<RegionSummary> =
        world.regions.values().map(|region| region_summary(region, seen, now)).collect();
    let mut not_ready = Vec::new();
    let mut look = |kind, (key, meta): (&Key, &ObjectMeta), said: Option<&[Condition]>| {
        not_ready.extend(unready(kind, (key, meta), said.unwrap_or_default(), now));
    };
    for (key, one) in &world.tenants {
        let said = one.status.as_ref().map(|status| &status.conditions[..]);
        look("Tenant", (key, &one.metadata), said);
    }
    for (key, one) in &world.campaigns {
        let said = one.status.as_ref().map(|status| &status.conditions[..]);
        look("Campaign", (key, &one.metadata), said);
    }
    for (key, one) in &world.retention {
        let said = one.status.as_ref().map(|status| &status.conditions[..]);
        look("RetentionPolicy", (key, &one.metadata), said);
    }
    for (key, one) in &world.anonymization {
        let said = one.status.as_ref().map(|status| &status.conditions[..]);
        look("AnonymizationPolicy", (key, &one.metadata), said);
    }
    let works = |region: &RegionSummary| region.ready && region.operator.works != Some(false);
    let well = !regions.is_empty() && regions.iter().all(works) && not_ready.is_empty();
    Summary { well, regions, not_ready, unseen: world.unseen.clone() }
}

fn region_summary(region: &Region, seen: &Seen, now: Timestamp) -> RegionSummary {
    let name = region.metadata.name.clone().unwrap_or_default();
    let status = region.status.clone().unwrap_or_default();
    let release = seen.releases.iter().find(|release| release.region == name);
    let behind = behind(&region.metadata, &status.conditions);
    let is_ready = ready(&status.conditions).is_some_and(|ready| ready.status == "True");
    let is_ready = is_ready && behind.is_none();
    let mut conditions = amiss(&status.conditions, now);
    conditions.extend(behind.map(|message| Amiss {
        type_: "Ready".to_owned(),
        status: "Unknown".to_owned(),
        reason: BEHIND.to_owned(),
        message,
        for_: String::new(),
    }));
    if status.conditions.is_empty() {
        conditions.push(untouched(now, region.metadata.creation_timestamp.as_ref().map(|t| t.0)));
    }
    let (tenants, campaigns, phases) = counts(&seen.world, &name);
    RegionSummary {
        jurisdiction: region.spec.jurisdiction.clone(),
        base_url: region.spec.base_url.clone(),
        ready: is_ready,
        operator: operator(release, status.owner.is_some(), now),
        release: status.owner.map(|owner| format!("{}/{}", owner.namespace, owner.name)),
        edges: status.edge,
        writers: status.writer,
        keys: status.keys.map(|keys| {
            let kids: Vec<String> = keys.kids.iter().map(ToString::to_string).collect();
            let seals = keys.sealing.map_or_else(String::new, |kid| format!("; {kid} seals"));
            let (first, last) = (&keys.first_day, &keys.last_day);
            format!("{}{seals}; day keys from {first} to {last}", kids.join(", "))
        }),
        refusal_log: status.refusal_log.map(|log| {
            let entries = if log.length == 1 { "entry" } else { "entries" };
            let head = log.hash.get(..12).unwrap_or(&log.hash);
            format!("{} {entries}, head {head}…", log.length)
        }),
        conditions,
        pods: release
            .and_then(|release| release.pods.as_deref())
            .map_or_else(Vec::new, unready_pods),
        tenants,
        campaigns,
        phases,
        name,
    }
}

/// What conditions that are older than their resource are told under.
const BEHIND: &str = "NotLookedAtYet";

/// Conditions that are about an older generation than the one that there is, told as such.
fn behind(meta: &ObjectMeta, conditions: &[Condition]) -> Option<String> {
    let (newest, seen) = (meta.generation?, ready(conditions)?.observed_generation?);
    (seen < newest).then(|| {
        format!(
            "conditions are about generation {seen}, and there is generation {newest}: nobody has \
             looked at it yet. If that stays so, see the operator's log"
        )
    })
}

/// Nobody has looked at it yet.
fn untouched(now: Timestamp, created: Option<Timestamp>) -> Amiss {
    Amiss {
        type_: "Ready".to_owned(),
        status: "Unknown".to_owned(),
        reason: "NobodyLooked".to_owned(),
        message: "no operator has said anything of it yet: install a release for it, as \
                  docs/install.md says, or see the log of the one that there is"
            .to_owned(),
        for_: created.map_or_else(String::new, |created| since(created, now)),
    }
}

fn amiss(conditions: &[Condition], now: Timestamp) -> Vec<Amiss> {
    let is_ready = ready(conditions).is_some_and(|ready| ready.status == "True");
    let others = conditions.iter().filter(|c| !REPEATS.contains(&c.type_.as_str()));
    let wrong: Vec<Amiss> = others
        .filter(|c| {
            let wanted = if SHOULD_BE_FALSE.contains(&c.type_.as_str()) { "False" } else { "True" };
            c.status != wanted
        })
        .map(|c| told(c, now))
        .collect();
    // Where nothing else says why it is not Ready, that does.
    let own = ready(conditions)
        .filter(|ready| !is_ready && wrong.iter().all(|wrong| wrong.message != ready.message));
    own.map(|own| told(own, now)).into_iter().chain(wrong).collect()
}

fn told(condition: &Condition, now: Timestamp) -> Amiss {
    Amiss {
        type_: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        for_: since(condition.last_transition_time.0, now),
    }
}

fn operator(release: Option<&Release>, is_owned: bool, now: Timestamp) -> Operator {
    let said = |works, says: &str| Operator { works, says: says.to_owned() };
    if !is_owned {
        return said(Some(false), "none has taken this Region");
    }
    let Some(lease) = release.and_then(|release| release.lease.as_ref()) else {
        return said(None, "its Lease cannot be seen");
    };
    let Lease { spec: Some(spec), .. } = lease else {
        return said(Some(false), "its Lease says nothing: see the operators' logs");
    };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let Some(renewed) = spec.renew_time.as_ref().filter(|_| !holder.is_empty()) else {
        return said(Some(false), "none works: the last one let go, and no other took over");
    };
    let ago = since(renewed.0, now);
    if now.as_second() - renewed.0.as_second() > BELIEVED_SECONDS {
        let says = format!("none works: {holder} renewed its Lease {ago} ago for the last time");
        return said(Some(false), &says);
    }
    said(Some(true), &format!("{holder} works, Lease renewed {ago} ago"))
}

fn counts(world: &World, region: &str) -> (Count, Count, BTreeMap<String, usize>) {
    let is_ready = |conditions: Option<&[Condition]>| {
        conditions.and_then(ready).is_some_and(|ready| ready.status == "True")
    };
    let (mut tenants, mut campaigns) = (Count::default(), Count::default());
    let mut phases = BTreeMap::new();
    for tenant in world.tenants.values().filter(|tenant| tenant.spec.region == region) {
        let conditions = tenant.status.as_ref().map(|status| &status.conditions[..]);
        tenants.all += 1;
        tenants.ready += usize::from(is_ready(conditions));
        tenants.killed += usize::from(tenant.spec.kill_switch);
    }
    let ours: std::collections::BTreeSet<&str> = world
        .tenants
        .iter()
        .filter(|(_, tenant)| tenant.spec.region == region)
        .map(|((namespace, _), _)| namespace.as_str())
        .collect();
    for ((namespace, _), campaign) in &world.campaigns {
        if !ours.contains(namespace.as_str()) {
            continue;
        }
        let status = campaign.status.as_ref();
        campaigns.all += 1;
        campaigns.ready += usize::from(is_ready(status.map(|status| &status.conditions[..])));
        let phase = status.and_then(|status| status.phase);
        let phase = phase.map_or_else(|| "New".to_owned(), |phase| format!("{phase:?}"));
        *phases.entry(phase).or_insert(0) += 1;
    }
    (tenants, campaigns, phases)
}

fn unready(
    kind: &'static str,
    ((namespace, name), meta): (&Key, &ObjectMeta),
    conditions: &[Condition],
    now: Timestamp,
) -> Option<NotReady> {
    let name = format!("{namespace}/{name}");
    let Some(ready) = ready(conditions) else {
        let message = "no operator has said anything of it yet: is there a Tenant in its \
                       namespace, and a Region that runs?";
        let (reason, message) = ("NobodyLooked".to_owned(), message.to_owned());
        return Some(NotReady { kind, name, reason, message, for_: String::new() });
    };
    if let Some(message) = behind(meta, conditions) {
        let (reason, for_) = (BEHIND.to_owned(), String::new());
        return Some(NotReady { kind, name, reason, message, for_ });
    }
    (ready.status != "True").then(|| NotReady {
        kind,
        name,
        reason: ready.reason.clone(),
        message: ready.message.clone(),
        for_: since(ready.last_transition_time.0, now),
    })
}

/// Each pod that is not Ready, with the reason that its containers give.
fn unready_pods(pods: &[Pod]) -> Vec<String> {
    let unready = pods.iter().filter_map(|pod| {
        let status = pod.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        if ready.is_some_and(|ready| ready.status == "True") {
            return None;
        }
        let containers = status.and_then(|status| status.container_statuses.as_deref());
        let waits = containers.unwrap_or_default().iter().find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            let times = container.restart_count;
            Some(format!("{} ({times} restarts)", waiting.reason.as_deref()?))
        });
        let unscheduled =
            conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status != "True");
        let why = waits
            .or_else(|| unscheduled.and_then(|c| c.message.clone()))
            .or_else(|| ready.and_then(|ready| ready.reason.clone()))
            .or_else(|| status.and_then(|status| status.phase.clone()))
            .unwrap_or_else(|| "not seen by any node yet".to_owned());
        Some(format!("{}: {why}", pod.metadata.name.as_deref().unwrap_or_default()))
    });
    unready.collect()
}

#[cfg(test)]
mod tests;
