//! What a verdict asks for, carried out: the refusal log, then the status, then events.

use std::sync::Arc;
use std::time::Duration;

use hushmark_crds::{AnonymizationPolicy, Campaign, RetentionPolicy, Tenant};
use hushmark_event::refusal::Refuses;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::seen::Object;
use super::world::{Key, Kind};
use super::{Note, Plan};
use crate::context::now_ms;
use crate::reconcile::timed;
use crate::{Context, Error, FIELD_MANAGER, conditions};

/// What is to be done.
pub(super) struct Effect {
    key: Key,
    pub(super) append: Vec<Refuses>,
    patch: Option<Json>,
    meanwhile: Option<Json>,
    events: Vec<Note>,
    pub(super) again: Option<Duration>,
    pub(super) waits: bool,
    pub(super) wake_tenant: bool,
}

/// What came of it.
pub(super) struct Done {
    pub(super) key: Key,
    /// The object as it is now, if it was written.
    pub(super) written: Option<Object>,
    /// When to look again, though nothing changes.
    pub(super) again: Option<Duration>,
    pub(super) failed: bool,
}

impl Effect {
    pub(super) fn new<S: Serialize + PartialEq>(key: &Key, plan: Plan<S>, old: Option<&S>) -> Self {
        let Plan { status, append, meanwhile, events, again, waits, wake_tenant } = plan;
        Self {
            key: key.clone(),
            patch: conditions::patch(old, &status),
            meanwhile: meanwhile.and_then(|status| conditions::patch(old, &status)),
            append,
            events,
            again,
            waits,
            wake_tenant,
        }
    }

    /// Whether everything is said and done already.
    pub(super) fn is_nothing(&self) -> bool {
        self.append.is_empty() && self.patch.is_none()
    }

    pub(super) async fn carry_out(self, ctx: Arc<Context>) -> Done {
        let key = self.key.clone();
        let again = self.again;
        let mut written = None;
        let work = self.work(&ctx, &mut written);
        let done = timed(key.kind.name(), &key.to_string(), &ctx, work).await;
        match done {
            Ok(()) => Done { key, written, again, failed: false },
            Err((_, pause)) => Done { key, written, again: Some(pause), failed: true },
        }
    }

    async fn work(self, ctx: &Context, written: &mut Option<Object>) -> Result<(), Error> {
        if let Err(error) = append(ctx, self.append).await {
            // People see why it takes so long; the log is tried again all the same.
            if let Some(patch) = self.meanwhile {
                *written = Some(write(&ctx.client, &self.key, &patch).await?);
            }
            return Err(error);
        }
        if let Some(patch) = self.patch {
            *written = Some(write(&ctx.client, &self.key, &patch).await?);
            for note in self.events {
                tell(ctx, written.as_ref(), note).await;
            }
        }
        Ok(())
    }
}

async fn append(ctx: &Context, refuses: Vec<Refuses>) -> Result<(), Error> {
    if refuses.is_empty() {
        return Ok(());
    }
    let active = ctx.active().ok_or_else(|| Error::Refusals("the Region is gone".into()))?;
    let mut redis = ctx.redis.connection().await?;
    let done = ctx.refusals.append(&mut redis, &active.signing_key, refuses, now_ms()).await;
    if matches!(done, Err(Error::Redis { .. })) {
        ctx.redis.failed().await;
    }
    done
}

async fn write(client: &Client, key: &Key, patch: &Json) -> Result<Object, Error> {
    let written = match key.kind {
        Kind::Tenant => patch_status::<Tenant>(client, key, patch).await.map(Object::from),
        Kind::Campaign => patch_status::<Campaign>(client, key, patch).await.map(Object::from),
        Kind::Retention => {
            patch_status::<RetentionPolicy>(client, key, patch).await.map(Object::from)
        }
        Kind::Anonymization => {
            patch_status::<AnonymizationPolicy>(client, key, patch).await.map(Object::from)
        }
    };
    written.map_err(|source| Error::api(format!("patch the status of {key}"))(source))
}

async fn patch_status<K>(client: &Client, key: &Key, patch: &Json) -> Result<K, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), &key.namespace);
    // A merge patch replaces what it names and clears what is null: the status has one writer, and
    // keeping account of fields would cost the API server more than the write itself.
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch_status(&key.name, &params, &Patch::Merge(patch)).await
}

async fn tell(ctx: &Context, about: Option<&Object>, note: Note) {
    let reference = match about {
        Some(Object::Tenant(object)) => object.object_ref(&()),
        Some(Object::Campaign(object)) => object.object_ref(&()),
        Some(Object::Retention(object)) => object.object_ref(&()),
        Some(Object::Anonymization(object)) => object.object_ref(&()),
        None => return,
    };
    let event = Event {
        type_: if note.is_warning { EventType::Warning } else { EventType::Normal },
        reason: note.reason.to_owned(),
        // The API server takes 1 kB.
        note: Some(note.text.chars().take(900).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = ctx.recorder.publish(&event, &reference).await {
        tracing::warn!(%error, reason = note.reason, "an event was not published");
    }
}
