//! Server-side apply of what differs, and nothing else.
//!
//! An object is read, compared with what is wanted, and applied only where the two differ, so that
//! an operator at rest writes nothing. What somebody changed by an update is put right again; a
//! field that another applier claims is left alone and told, and so is one that keeps being
//! changed back: nothing here takes part in a fight.

mod differs;
mod object;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::Status;
use serde_json::Value;

pub use differs::{differs, quantity};
pub use object::{Id, Kind, RENDERED, Wanted};

use crate::{Context, Error, FIELD_MANAGER};

/// Holds a number of replicas until an autoscaler does.
const REPLICAS_MANAGER: &str = "hushmark-operator-replicas";

/// Reads at once.
const READS_AT_ONCE: usize = 8;

/// So often in a row an object's field is taken back from one who changes it, and one more each
/// [`REFILL`]: enough for people and their mistakes, too little for a fight.
const TAKE_BACKS: u32 = 30;
const REFILL: Duration = Duration::from_secs(20);

/// A field that somebody else holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The object.
    pub object: Id,
    /// Who.
    pub manager: String,
    /// Which field.
    pub field: String,
    /// Whether it was put right several times before it was given up.
    pub gave_up: bool,
}

/// What became of a round.
#[derive(Default)]
pub struct Applied {
    /// Every wanted object as it is in the cluster now.
    pub live: BTreeMap<Id, DynamicObject>,
    /// What was written.
    pub written: Vec<Id>,
    /// What somebody else holds.
    pub conflicts: Vec<Conflict>,
    /// What the API server refused, and why.
    pub refused: Vec<(Id, String)>,
}

/// Applies, and remembers how often each object had to be put right.
#[derive(Default)]
pub struct Applier {
    seen: BTreeSet<Id>,
    budgets: HashMap<Id, Budget>,
}

/// How often an object may still be taken back.
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        let refilled = (now.duration_since(self.since).as_secs() / REFILL.as_secs()) as u32;
        if refilled > 0 {
            self.left = self.left.saturating_add(refilled).min(TAKE_BACKS);
            self.since = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl Applier {
    /// Makes the cluster hold what is wanted, and not hold what is not wanted any more.
    ///
    /// # Errors
    /// [`Error::Api`] when the API server does not answer; what it refuses is in the answer.
    pub async fn apply(
        &mut self,
        ctx: &Context,
        wanted: &[Wanted],
        unwanted: &[Id],
    ) -> Result<Applied, Error> {
        let mut ids: Vec<Id> = wanted.iter().map(|wanted| wanted.id.clone()).collect();
        ids.extend_from_slice(unwanted);
        let found: Vec<(Id, Option<DynamicObject>)> = stream::iter(ids)
            .map(|id| async move {
                let found = id.kind.api(ctx).get_opt(&id.name).await;
                let found = found.map_err(Error::api(format!("read {id}")))?;
                Ok::<_, Error>((id, found))
            })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        let mut found: BTreeMap<Id, Option<DynamicObject>> = found.into_iter().collect();
        let mut applied = Applied::default();
        for wanted in wanted {
            let live = found.remove(&wanted.id).flatten();
            self.one(ctx, wanted, live, &mut applied).await?;
        }
        for (id, live) in found {
            if live.is_some_and(|live| is_ours(&live)) {
                tracing::info!(object = %id, "not wanted any more, deleted");
                let deleted = id.kind.api(ctx).delete(&id.name, &DeleteParams::default()).await;
                drop(deleted.map_err(Error::api(format!("delete {id}")))?);
                applied.written.push(id);
            }
        }
        Ok(applied)
    }

    async fn one(
        &mut self,
        ctx: &Context,
        wanted: &Wanted,
        live: Option<DynamicObject>,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let id = &wanted.id;
        let mut drifted = live.is_none() && self.seen.contains(id);
        if let Some(live) = live {
            let is = serde_json::to_value(&live).unwrap_or_default();
            if !differs(id.kind, &wanted.value, &is) {
                self.seen.insert(id.clone());
                applied.live.insert(id.clone(), live);
                return Ok(());
            }
            if !is_ours(&live) {
                let why = "exists and is not this operator's: rename or delete it, or install the \
                           release under another name";
                applied.refused.push((id.clone(), why.to_owned()));
                return Ok(());
            }
            // The same was wanted before, so somebody changed it.
            let before = &is["metadata"]["annotations"][RENDERED];
            drifted = *before == wanted.value["metadata"]["annotations"][RENDERED];
            if gives_up_replicas(&wanted.value, &live) {
                hand_over_replicas(ctx, id, &is["spec"]["replicas"]).await?;
            }
        }
        match self.write(ctx, wanted).await? {
            Written::Done(live) => {
                tracing::info!(object = %id, drifted, "applied");
                ctx.metrics.object_written(id.kind.name(), drifted);
                self.seen.insert(id.clone());
                applied.live.insert(id.clone(), *live);
                applied.written.push(id.clone());
            }
            Written::Conflicts(conflicts) => applied.conflicts.extend(conflicts),
            Written::Refused(why) => applied.refused.push((id.clone(), why)),
        }
        Ok(())
    }

    async fn write(&mut self, ctx: &Context, wanted: &Wanted) -> Result<Written, Error> {
        let id = &wanted.id;
        let api = id.kind.api(ctx);
        let patch = Patch::Apply(&wanted.value);
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict();
        let conflicts = match api.patch(&id.name, &params, &patch).await {
            Ok(live) => return Ok(Written::Done(Box::new(live))),
            Err(kube::Error::Api(status)) if status.code == 409 => conflicts(id, &status),
            Err(kube::Error::Api(status)) if is_final(&status) => {
                return Ok(Written::Refused(refusal(id, &status)));
            }
            Err(error) => return Err(Error::api(format!("apply {id}"))(error)),
        };
        // Another applier says what it wants, as this one does: to take a field from it would
        // only make it come back. An update is a person's or a tool's, made once.
        let claimed = conflicts.iter().any(|(_, by_update)| !by_update);
        let budget = self
            .budgets
            .entry(id.clone())
            .or_insert_with(|| Budget { left: TAKE_BACKS, since: Instant::now() });
        if conflicts.is_empty() || claimed || !budget.take(Instant::now()) {
            let told = conflicts.into_iter().filter(|(_, by_update)| !claimed || !by_update);
            let gave_up = !claimed;
            return Ok(Written::Conflicts(
                told.map(|(conflict, _)| Conflict { gave_up, ..conflict }).collect(),
            ));
        }
        match api.patch(&id.name, &params.force(), &patch).await {
            Ok(live) => Ok(Written::Done(Box::new(live))),
            Err(kube::Error::Api(status)) if is_final(&status) => {
                Ok(Written::Refused(refusal(id, &status)))
            }
            Err(error) => Err(Error::api(format!("apply {id}"))(error)),
        }
    }
}

/// What became of one write.
enum Written {
    Done(Box<DynamicObject>),
    Conflicts(Vec<Conflict>),
    Refused(String),
}

/// Whether trying again is no use until somebody changes something.
fn is_final(status: &Status) -> bool {
    matches!(status.code, 400 | 403 | 413 | 422)
}

/// What the API server said, and what to do where that is known.
fn refusal(id: &Id, status: &Status) -> String {
    let frozen = id.kind == Kind::StatefulSet && status.message.contains("updates to statefulset");
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    let next = if frozen {
        ": sizes and classes of volumes cannot change; restore the old values, or delete the \
         StatefulSet with --cascade=orphan after resizing its PersistentVolumeClaims"
    } else if causes.any(|cause| cause.reason == "NamespaceTerminating") {
        ": nothing is made in a namespace that is being deleted; its keys go with it, and with them \
         what was sent. Once it is gone, install the release again"
    } else {
        ""
    };
    format!("{}{next}", status.message)
}

/// Whose fields stand in the way, and whether each is held by an update (else by an apply).
fn conflicts(id: &Id, status: &Status) -> Vec<(Conflict, bool)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .map(|cause| {
            // `conflict with "kubectl-edit" using apps/v1`; an applier's has no version.
            let manager = cause.message.split('"').nth(1).unwrap_or("unknown").to_owned();
            // What another manager of ours holds is no claim either.
            let by_update = cause.message.contains("\" using ") || manager == REPLICAS_MANAGER;
            let object = id.clone();
            let conflict = Conflict { object, manager, field: cause.field.clone(), gave_up: false };
            (conflict, by_update)
        })
        .collect()
}

/// Whether an autoscaler takes over the number of replicas, which is ours until now.
fn gives_up_replicas(wanted: &Value, live: &DynamicObject) -> bool {
    let mut managed = live.metadata.managed_fields.iter().flatten();
    wanted["spec"]["replicas"].is_null()
        && managed.any(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            entry.manager.as_deref() == Some(FIELD_MANAGER)
                && fields.is_some_and(|fields| !fields["f:spec"]["f:replicas"].is_null())
        })
}

/// A field that its only owner gives up falls back to its default, and one replica is an outage:
/// so another manager of ours holds the number until the autoscaler changes it.
async fn hand_over_replicas(ctx: &Context, id: &Id, replicas: &Value) -> Result<(), Error> {
    let resource = id.kind.resource();
    let held = serde_json::json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": id.name},
        "spec": {"replicas": replicas},
    });
    let params = PatchParams::apply(REPLICAS_MANAGER);
    id.kind
        .api(ctx)
        .patch(&id.name, &params, &Patch::Apply(&held))
        .await
        .map(drop)
        .map_err(Error::api(format!("hand over the replicas of {id}")))
}

/// Whether an object was made here: somebody may have taken labels off, or annotations, but hardly
/// both and the record of who applied what.
fn is_ours(live: &DynamicObject) -> bool {
    let metadata = &live.metadata;
    let annotated = metadata.annotations.as_ref().is_some_and(|all| all.contains_key(RENDERED));
    let managed = metadata.managed_fields.iter().flatten();
    annotated || managed.into_iter().any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id() -> Id {
        Id { kind: Kind::Service, name: "demo-edge".into() }
    }

    #[test]
    fn a_conflict_tells_an_applier_from_an_update() {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "code": 409, "reason": "Conflict", "message": "Apply failed",
            "details": {"causes": [
                {"reason": "FieldManagerConflict", "field": ".spec.ports",
                 "message": "conflict with \"kubectl-edit\" using v1 at 2026-11-22T00:00:00Z"},
                {"reason": "FieldManagerConflict", "field": ".spec.type",
                 "message": "conflict with \"argocd\""},
            ]},
        }))
        .unwrap();
        let found = conflicts(&id(), &status);
        assert_eq!((found[0].0.manager.as_str(), found[0].1), ("kubectl-edit", true));
        assert_eq!((found[1].0.manager.as_str(), found[1].1), ("argocd", false));
        assert_eq!(found[1].0.field, ".spec.type");
    }

    #[test]
    fn a_refusal_says_what_to_do_where_that_is_known() {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "services \"demo-edge\" is forbidden: unable to create new content",
            "details": {"causes": [
                {"reason": "NamespaceTerminating", "message": "being terminated"},
            ]},
        }))
        .unwrap();
        let told = refusal(&id(), &status);
        assert!(told.ends_with("Once it is gone, install the release again"), "{told}");
    }

    #[test]
    fn replicas_are_handed_over_only_by_the_one_who_holds_them() {
        let live = |manager: &str| -> DynamicObject {
            serde_json::from_value(json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {"name": "x", "managedFields": [{
                    "manager": manager, "operation": "Apply", "apiVersion": "apps/v1",
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}},
                }]},
                "spec": {"replicas": 3},
            }))
            .unwrap()
        };
        let scaled = json!({"spec": {"serviceName": "x"}});
        let fixed = json!({"spec": {"replicas": 3}});
        assert!(gives_up_replicas(&scaled, &live(FIELD_MANAGER)));
        assert!(!gives_up_replicas(&fixed, &live(FIELD_MANAGER)));
        assert!(!gives_up_replicas(&scaled, &live("kube-controller-manager")));
    }

    #[test]
    fn taking_back_ends_and_is_possible_again_later() {
        let start = Instant::now();
        let mut budget = Budget { left: TAKE_BACKS, since: start };
        assert!((0..TAKE_BACKS).all(|_| budget.take(start)));
        assert!(!budget.take(start));
        assert!(budget.take(start + REFILL));
        assert!(!budget.take(start + REFILL));
    }
}
