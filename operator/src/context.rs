//! What every part of the operator is given.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use hushmark_crds::Region;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tokio::sync::watch;

use crate::FIELD_MANAGER;
use crate::config::Config;
use crate::counts::Counts;
use crate::metrics::Metrics;
use crate::plans::{Hold, Plans, Policies};
use crate::reconcile::Retries;
use crate::redis_link::RedisLink;
use crate::refusals::Refusals;

/// What every part is given. One a process.
pub struct Context {
    /// The API server. It counts its calls.
    pub client: Client,
    /// The command line.
    pub config: Config,
    /// Every figure.
    pub metrics: Metrics,
    /// The region's Redis, once the Region has said where it is.
    pub redis: RedisLink,
    /// Publishes events; equal ones are joined.
    pub recorder: Recorder,
    /// The Region that this release runs, while it may.
    pub active: watch::Receiver<Option<Arc<ActiveRegion>>>,
    /// The names of all Regions of the cluster.
    pub regions: watch::Receiver<Arc<BTreeSet<String>>>,
    /// What the refusal log's appender and the tenants tell each other.
    pub refusals: Refusals,
    /// What epochs published of campaigns.
    pub counts: watch::Receiver<Arc<Counts>>,
    /// What policies ask for, once all of them were seen.
    pub policies: watch::Receiver<Option<Arc<Policies>>>,
    /// Campaigns that a legal hold keeps, once all of them were seen.
    pub holds: watch::Receiver<Option<Arc<Vec<Hold>>>>,
    /// What the writer tells of policies, once it was read.
    pub plans: watch::Receiver<Option<Arc<Plans>>>,
    /// How often each object failed in a row.
    pub retries: Retries,
    /// Permissions that are missing now, each with its verb and resource.
    pub missing: watch::Receiver<Arc<Vec<String>>>,
    /// The other ends of the channels, for the one part that may use each.
    pub(crate) tell: Tell,
}

/// The sending ends of the channels in [`Context`].
pub(crate) struct Tell {
    pub(crate) active: watch::Sender<Option<Arc<ActiveRegion>>>,
    pub(crate) regions: watch::Sender<Arc<BTreeSet<String>>>,
    pub(crate) missing: watch::Sender<Arc<Vec<String>>>,
    pub(crate) counts: watch::Sender<Arc<Counts>>,
    pub(crate) policies: watch::Sender<Option<Arc<Policies>>>,
    pub(crate) holds: watch::Sender<Option<Arc<Vec<Hold>>>>,
    pub(crate) plans: watch::Sender<Option<Arc<Plans>>>,
}

/// A Region that was made once and whose status names this release as its owner.
pub struct ActiveRegion {
    /// The resource as last seen.
    pub region: Arc<Region>,
    /// Its uid.
    pub uid: String,
    /// Signs the refusal log's head.
    pub signing_key: Arc<SigningKey>,
    /// Why the spec is not valid, if it is not: what runs stays as it is.
    pub invalid: Option<String>,
}

impl Context {
    /// Joins what a process starts with.
    #[must_use]
    pub fn new(client: Client, config: Config, metrics: Metrics) -> Self {
        let reporter =
            Reporter { controller: FIELD_MANAGER.into(), instance: Some(config.identity.clone()) };
        let (tell_active, active) = watch::channel(None);
        let (tell_regions, regions) = watch::channel(Arc::default());
        let (tell_missing, missing) = watch::channel(Arc::default());
        let (tell_counts, counts) = watch::channel(Arc::default());
        let (tell_policies, policies) = watch::channel(None);
        let (tell_holds, holds) = watch::channel(None);
        let (tell_plans, plans) = watch::channel(None);
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            config,
            metrics,
            redis: RedisLink::default(),
            active,
            regions,
            refusals: Refusals::default(),
            retries: Retries::default(),
            missing,
            counts,
            policies,
            holds,
            plans,
            tell: Tell {
                active: tell_active,
                regions: tell_regions,
                missing: tell_missing,
                counts: tell_counts,
                policies: tell_policies,
                holds: tell_holds,
                plans: tell_plans,
            },
        }
    }

    /// The Region that this release runs, while it may.
    #[must_use]
    pub fn active(&self) -> Option<Arc<ActiveRegion>> {
        self.active.borrow().clone()
    }
}

/// The time, for conditions.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
