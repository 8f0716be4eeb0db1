//! The watches: one a kind, over all namespaces, each object trimmed before it is kept.

use futures_util::stream::{BoxStream, SelectAll, StreamExt as _};
use hushmark_crds::{AnonymizationPolicy, Campaign, RetentionPolicy, Tenant};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use super::world::{Kind, trim};
use crate::reconcile::WatchPause;

/// One object.
pub(crate) enum Object {
    Tenant(Box<Tenant>),
    Campaign(Box<Campaign>),
    Retention(Box<RetentionPolicy>),
    Anonymization(Box<AnonymizationPolicy>),
}

/// What a watch tells.
pub(crate) enum Seen {
    /// An object is like this now.
    Now(Object),
    /// An object is gone.
    Gone(Object),
    /// All objects of a kind follow: at the start, and when a watch had expired.
    ListBegins(Kind),
    /// They have been told.
    ListEnds(Kind),
}

impl Object {
    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Tenant(object) => &object.metadata,
            Self::Campaign(object) => &object.metadata,
            Self::Retention(object) => &object.metadata,
            Self::Anonymization(object) => &object.metadata,
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Tenant(_) => Kind::Tenant,
            Self::Campaign(_) => Kind::Campaign,
            Self::Retention(_) => Kind::Retention,
            Self::Anonymization(_) => Kind::Anonymization,
        }
    }

    /// Kind, namespace and name.
    pub(super) fn names(&self) -> (Kind, String, String) {
        let meta = self.meta();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (self.kind(), text(&meta.namespace), text(&meta.name))
    }
}

impl From<Tenant> for Object {
    fn from(mut object: Tenant) -> Self {
        trim(&mut object.metadata);
        Self::Tenant(Box::new(object))
    }
}

impl From<Campaign> for Object {
    fn from(mut object: Campaign) -> Self {
        trim(&mut object.metadata);
        // Who gets what mail is nothing that a verdict looks at.
        object.spec.subject = String::new();
        object.spec.from = String::new();
        object.spec.content.path = String::new();
        object.spec.content.digest = None;
        object.spec.list = None;
        Self::Campaign(Box::new(object))
    }
}

impl From<RetentionPolicy> for Object {
    fn from(mut object: RetentionPolicy) -> Self {
        trim(&mut object.metadata);
        Self::Retention(Box::new(object))
    }
}

impl From<AnonymizationPolicy> for Object {
    fn from(mut object: AnonymizationPolicy) -> Self {
        trim(&mut object.metadata);
        Self::Anonymization(Box::new(object))
    }
}

/// All watches as one stream. It never ends: what fails is tried again, later each time.
pub(super) fn all(client: &Client) -> SelectAll<BoxStream<'static, Seen>> {
    futures_util::stream::select_all([
        one::<Tenant>(client, Kind::Tenant),
        one::<Campaign>(client, Kind::Campaign),
        one::<RetentionPolicy>(client, Kind::Retention),
        one::<AnonymizationPolicy>(client, Kind::Anonymization),
    ])
}

fn one<K>(client: &Client, kind: Kind) -> BoxStream<'static, Seen>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    Object: From<K>,
{
    let api: Api<K> = Api::all(client.clone());
    watcher(api, Config::default())
        .backoff(WatchPause::default())
        .filter_map(move |event| {
            let seen = match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    Some(Seen::Now(object.into()))
                }
                Ok(Event::Delete(object)) => Some(Seen::Gone(object.into())),
                Ok(Event::Init) => Some(Seen::ListBegins(kind)),
                Ok(Event::InitDone) => Some(Seen::ListEnds(kind)),
                Err(error) => {
                    tracing::warn!(kind = kind.name(), %error, "a watch ended, and begins again");
                    None
                }
            };
            std::future::ready(seen)
        })
        .boxed()
}
