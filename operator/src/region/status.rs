//! The Region's status, from what was applied and from nothing else. [`compose`] is pure, and so is
//! `outside`: what can be said of ways in and out.

mod outside;

use hushmark_crds::{EgressProbe, KeysStatus, Region, RegionOwner, RegionStatus};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::edges::Edges;
use super::health::Health;
use super::keys::{Keys, Waits};
use super::replay::{self, LANE_LOGS_REPLAYED};
use super::validate::{Problem, ValidatedRegion};
use crate::apply::{Applied, Conflict};
use crate::conditions::{
    self, APIS_AVAILABLE, EGRESS_LIMITED, ENCRYPTED_AT_REST, FIELDS_OWNED, HEALTHY, READY,
    RECONCILE_SUCCEEDED, RECONCILING, RESIDENCY_PROVEN, SCHEMA_IN_SYNC, SPEC_VALID, STALLED,
    STORES_ANSWER, Status, Wanted,
};
use crate::{Context, Error, FIELD_MANAGER, context};

use outside::{
    ACCESS_LOGS_OFF, FRONT_SPEAKS_TLS, access_logs, available, egress_limited, front_speaks_tls,
};

pub(super) use outside::left_open;

/// True while a region key waits until every edge has it.
pub(super) const KEYS_ROTATING: &str = "KeysRotating";

/// True while another release runs for the Region, too. That one writes it.
const CONTESTED: &str = "Contested";

/// The types of the conditions that are written here. Others are somebody else's.
const OURS: [&str; 17] = [
    SPEC_VALID,
    RECONCILE_SUCCEEDED,
    FIELDS_OWNED,
    HEALTHY,
    SCHEMA_IN_SYNC,
    RESIDENCY_PROVEN,
    EGRESS_LIMITED,
    ACCESS_LOGS_OFF,
    FRONT_SPEAKS_TLS,
    ENCRYPTED_AT_REST,
    STORES_ANSWER,
    APIS_AVAILABLE,
    KEYS_ROTATING,
    LANE_LOGS_REPLAYED,
    READY,
    RECONCILING,
    STALLED,
];

/// How a reconcile ended.
pub(super) enum Outcome<'a> {
    /// The spec cannot be built; what runs was left as it is.
    Invalid(&'a [Problem]),
    /// A person has to do something in the cluster first.
    Blocked(&'a str),
    /// It will be tried again.
    Failed(&'a str),
    /// It came to its end.
    Done(&'a Done<'a>),
}

/// What a finished reconcile knows.
pub(super) struct Done<'a> {
    pub(super) region: &'a ValidatedRegion,
    pub(super) keys: &'a Keys,
    pub(super) applied: &'a Applied,
    pub(super) health: &'a Health,
    pub(super) edges: &'a Edges,
    pub(super) residency: Wanted,
    pub(super) encryption: Wanted,
    /// Whether Redis answers.
    pub(super) reached: Wanted,
    /// What was found when the network was probed.
    pub(super) probes: &'a [EgressProbe],
    /// Whether the writers know the schema.
    pub(super) schema: Wanted,
    /// What a writer says against ClickHouse.
    pub(super) clickhouse: Option<String>,
    /// Permissions that are missing.
    pub(super) missing: &'a [String],
}

/// The conditions that an outcome says something about; the others stay as they were.
pub(super) fn compose(outcome: &Outcome<'_>) -> Vec<Wanted> {
    use Status::False;
    match outcome {
        Outcome::Invalid(problems) => {
            let reason = problems.first().map_or("Invalid", |problem| problem.reason);
            let all: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
            let message = format!("{}. What runs was left as it is", all.join(". "));
            let mut all = vec![Wanted::new(SPEC_VALID, False, reason, message.clone())];
            all.extend(summary(Summary::Stalled, reason, &message));
            all
        }
        Outcome::Blocked(message) => {
            let mut all = vec![Wanted::new(RECONCILE_SUCCEEDED, False, "NeedsAPerson", *message)];
            all.extend(summary(Summary::Stalled, "NeedsAPerson", message));
            all
        }
        Outcome::Failed(message) => {
            let mut all = vec![Wanted::new(RECONCILE_SUCCEEDED, False, "TriedAgain", *message)];
            all.extend(summary(Summary::Waiting, "TriedAgain", message));
            all
        }
        Outcome::Done(done) => done.conditions(),
    }
}

impl Done<'_> {
    fn conditions(&self) -> Vec<Wanted> {
        let succeeded = self.succeeded();
        let owned = owned(&self.applied.conflicts);
        let healthy = self.healthy();
        let residency = self.residency.clone();
        let available = available(self.region);
        let (state, reason, message) = if succeeded.status != Status::True {
            let waits = succeeded.reason == "PermissionMissing";
            let state = if waits { Summary::Waiting } else { Summary::Stalled };
            (state, succeeded.reason, succeeded.message.clone())
        } else if owned.status != Status::True {
            (Summary::Stalled, owned.reason, owned.message.clone())
        } else if let Some(lacks) = available.as_ref().filter(|it| it.status == Status::False) {
            (Summary::Stalled, lacks.reason, lacks.message.clone())
        } else if self.schema.status == Status::False {
            (Summary::Stalled, self.schema.reason, self.schema.message.clone())
        } else if residency.status == Status::False {
            (Summary::Stalled, residency.reason, residency.message.clone())
        } else if healthy.status != Status::True {
            (Summary::Waiting, healthy.reason, healthy.message.clone())
        } else if self.reached.status != Status::True {
            (Summary::Waiting, self.reached.reason, self.reached.message.clone())
        } else {
            (Summary::Ready, "Ready", String::new())
        };
        let mut all = vec![
            Wanted::new(SPEC_VALID, Status::True, "Accepted", ""),
            succeeded,
            owned,
            healthy,
            self.schema.clone(),
            residency,
            egress_limited(self.region),
            self.encryption.clone(),
            self.reached.clone(),
            rotating(self.keys),
            replay::judge(self.region, self.edges),
        ];
        all.extend(available);
        all.extend(access_logs(self.region));
        all.extend(front_speaks_tls(self.region));
        all.extend(summary(state, reason, &message));
        all
    }

    fn succeeded(&self) -> Wanted {
        let of = |status, reason, message: String| {
            Wanted::new(RECONCILE_SUCCEEDED, status, reason, message)
        };
        if !self.missing.is_empty() {
            let message = format!("the operator {}", self.missing.join("; the operator "));
            return of(Status::False, "PermissionMissing", message);
        }
        let refused: Vec<String> =
            self.applied.refused.iter().map(|(id, why)| format!("{id}: {why}")).collect();
        if !refused.is_empty() {
            return of(Status::False, "ObjectsRefused", refused.join("; "));
        }
        of(Status::True, "Applied", String::new())
    }

    fn healthy(&self) -> Wanted {
        let troubles = self.health.troubles();
        if let Some(said) = &self.clickhouse {
            // Writers that are not ready because of it say less than this does.
            return Wanted::new(HEALTHY, Status::False, "ClickHouseRefuses", said.clone());
        }
        if troubles.is_empty() {
            Wanted::new(HEALTHY, Status::True, "AllReady", "")
        } else {
            let message = format!("{}; see the pods' events and logs", troubles.join("; "));
            Wanted::new(HEALTHY, Status::False, "NotAllReady", message)
        }
    }
}

/// What Ready, Reconciling and Stalled say together, as kstatus reads them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Summary {
    Ready,
    Waiting,
    Stalled,
}

fn summary(state: Summary, reason: &'static str, message: &str) -> [Wanted; 3] {
    let of = |type_, is: bool, otherwise: &'static str| {
        let (reason, message) = if is { (reason, message) } else { (otherwise, "") };
        Wanted::new(type_, is.into(), reason, message)
    };
    let ready = state == Summary::Ready;
    [
        Wanted::new(READY, ready.into(), reason, message),
        of(RECONCILING, state == Summary::Waiting, "Idle"),
        of(STALLED, state == Summary::Stalled, "NotStalled"),
    ]
}

fn owned(conflicts: &[Conflict]) -> Wanted {
    if conflicts.is_empty() {
        return Wanted::new(FIELDS_OWNED, Status::True, "AllOurs", "");
    }
    let all: Vec<String> = conflicts
        .iter()
        .map(|Conflict { object, manager, field, gave_up }| {
            let again = if *gave_up { ", and changes it back each time" } else { "" };
            format!("{object}: {manager} holds {field}{again}")
        })
        .collect();
    let message = format!(
        "{}. The object was left as it is: let the other manager give the field up, or ask for \
         what it wants in the Region",
        all.join("; ")
    );
    Wanted::new(FIELDS_OWNED, Status::False, "AnotherManager", message)
}

fn rotating(keys: &Keys) -> Wanted {
    match &keys.rotation.waits {
        Some(Waits { kid, reason, text }) => {
            let text = format!("key {kid} does not seal yet: {text}");
            Wanted::new(KEYS_ROTATING, Status::True, reason, text)
        }
        None => Wanted::new(KEYS_ROTATING, Status::False, "Settled", ""),
    }
}

/// Writes the status if it says anything new.
pub(super) async fn write(
    ctx: &Context,
    region: &Region,
    owner: RegionOwner,
    outcome: &Outcome<'_>,
) -> Result<(), Error> {
    let old = region.status.clone().unwrap_or_default();
    let generation = region.metadata.generation.unwrap_or(0);
    let wanted = compose(outcome);
    let mut made = conditions::merge(&old.conditions, &wanted, generation, context::now());
    if !matches!(outcome, Outcome::Done(_)) {
        let said = |type_: &str| wanted.iter().any(|wanted| wanted.type_ == type_);
        let kept = old.conditions.iter().filter(|condition| {
            OURS.contains(&condition.type_.as_str()) && !said(&condition.type_)
        });
        made.extend(kept.cloned());
    }
    let mut new = RegionStatus {
        observed_generation: Some(generation),
        conditions: made,
        owner: Some(owner),
        edge: old.edge,
        writer: old.writer,
        keys: old.keys.clone(),
        // Written by the one who appends, under a manager of its own.
        refusal_log: None,
        audit_log: None,
        log_key: None,
        egress_probes: old.egress_probes.clone(),
    };
    if let Outcome::Done(done) = outcome {
        new.edge = done.health.replicas("edge");
        new.writer = done.health.replicas("writer");
        new.keys = done.keys.status().or(new.keys);
        new.egress_probes = done.probes.to_vec();
    }
    if says_the_same(&old, &new) {
        return Ok(());
    }
    patch(ctx, region, &new, None).await?;
    tell(ctx, region, &old, &wanted).await;
    if let Outcome::Done(done) = outcome {
        for (reason, text) in &done.keys.rotation.news {
            publish(ctx, region, (EventType::Normal, reason), text.clone()).await;
        }
    }
    Ok(())
}

impl Keys {
    pub(super) fn status(&self) -> Option<KeysStatus> {
        let (first, last) = self.days?;
        let rotation = &self.rotation;
        Some(KeysStatus {
            kids: self.held.kids.iter().copied().map(i32::from).collect(),
            sealing: rotation.sealing.as_ref().map(|(kid, _)| i32::from(*kid)),
            sealing_since: rotation.sealing.as_ref().map(|(_, since)| since.clone()),
            asked: rotation.asked.clone(),
            first_day: first.to_string(),
            last_day: last.to_string(),
        })
    }
}

/// Whether everything that is written here is as it was.
fn says_the_same(old: &RegionStatus, new: &RegionStatus) -> bool {
    let ours = old.conditions.iter().filter(|c| OURS.contains(&c.type_.as_str()));
    let same_conditions = ours.count() == new.conditions.len()
        && new.conditions.iter().all(|new| old.conditions.contains(new));
    let RegionStatus {
        observed_generation,
        conditions: _,
        owner,
        edge,
        writer,
        keys,
        refusal_log: _,
        audit_log: _,
        log_key: _,
        egress_probes,
    } = new;
    same_conditions
        && *observed_generation == old.observed_generation
        && *owner == old.owner
        && *edge == old.edge
        && *writer == old.writer
        && *keys == old.keys
        && *egress_probes == old.egress_probes
}

/// Applies a status; with a version, only to that one.
pub(super) async fn patch(
    ctx: &Context,
    region: &Region,
    status: &RegionStatus,
    version: Option<&str>,
) -> Result<(), Error> {
    let name = region.name_any();
    let status = serde_json::to_value(status).unwrap_or_default();
    let body = json!({
        "apiVersion": Region::api_version(&()),
        "kind": Region::kind(&()),
        "metadata": {"name": name, "resourceVersion": version},
        "status": status,
    });
    let api: Api<Region> = Api::all(ctx.client.clone());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&name, &params, &Patch::Apply(conditions::without_nulls(body)))
        .await
        .map(drop)
        .map_err(Error::api(format!("write the status of Region {name}")))
}

/// An event when the Region becomes ready, and when it stops being so.
async fn tell(ctx: &Context, region: &Region, old: &RegionStatus, wanted: &[Wanted]) {
    let was = old.conditions.iter().find(|c| c.type_ == READY).map(|c| c.status.as_str());
    let Some(ready) = wanted.iter().find(|wanted| wanted.type_ == READY) else { return };
    if was == Some(ready.status.name()) || (was.is_none() && ready.status != Status::True) {
        return;
    }
    let (type_, text) = if ready.status == Status::True {
        (EventType::Normal, "the stack runs".to_owned())
    } else {
        (EventType::Warning, ready.message.clone())
    };
    publish(ctx, region, (type_, ready.reason), text).await;
}

async fn publish(ctx: &Context, region: &Region, (type_, reason): (EventType, &str), text: String) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        // The API server takes 1 kB.
        note: Some(text.chars().take(900).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = ctx.recorder.publish(&event, &region.object_ref(&())).await {
        tracing::warn!(%error, "an event was not published");
    }
}

/// A second release says that it keeps its hands off: under a manager and in a condition of its
/// own, because all others are the owner's. `None` takes that back.
pub(super) async fn contest(
    ctx: &Context,
    region: &Region,
    owner: Option<&RegionOwner>,
) -> Result<(), Error> {
    let name = region.name_any();
    let old = region.status.clone().unwrap_or_default();
    let wanted = owner.map(|owner| {
        let message = format!(
            "release {}/{} runs for this Region, too, and keeps its hands off, because {}/{} owns \
             it: uninstall one of them. If the owner is gone: kubectl patch region {name} \
             --subresource=status --type=merge -p '{{\"status\":{{\"owner\":null}}}}'",
            ctx.config.namespace, ctx.config.name, owner.namespace, owner.name
        );
        Wanted::new(CONTESTED, Status::True, "SecondRelease", message)
    });
    let generation = region.metadata.generation.unwrap_or(0);
    let wanted: Vec<Wanted> = wanted.into_iter().collect();
    let made = conditions::merge(&old.conditions, &wanted, generation, context::now());
    if !made.is_empty() && made.iter().all(|condition| old.conditions.contains(condition)) {
        return Ok(());
    }
    let body = json!({
        "apiVersion": Region::api_version(&()),
        "kind": Region::kind(&()),
        "metadata": {"name": name},
        "status": {"conditions": made},
    });
    let manager = format!("{FIELD_MANAGER}-{}-{}", ctx.config.namespace, ctx.config.name);
    let api: Api<Region> = Api::all(ctx.client.clone());
    api.patch_status(&name, &PatchParams::apply(&manager).force(), &Patch::Apply(body))
        .await
        .map(drop)
        .map_err(Error::api(format!("write the status of Region {name}")))
}

#[cfg(test)]
mod tests;
