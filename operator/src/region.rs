//! One Region into keys and the objects of its stack: fetch → validate → build → apply → status.
//!
//! In reading order: [`mod@validate`] makes of a spec what can be built; `keys` makes Secrets and
//! keeps the [`day_ring`]; [`build`] makes every object; [`crate::apply`] writes what differs;
//! `health`, `edges`, `residency`, `encryption`, `reached` and `writers` look at what came of it;
//! `probing` tries whether anything gets out; `keys` then lets another key seal if every edge has it,
//! and `replay` looks after what removed edges left; `status` says it all. `watch` wakes all this;
//! `optional` knows which kinds of others there are.

pub mod build;
pub mod day_ring;
mod edges;
mod encryption;
mod health;
mod keys;
mod optional;
mod probing;
mod reached;
mod replay;
mod residency;
mod status;
pub mod validate;
mod watch;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hushmark_crds::{KeysStatus, Region, RegionOwner, RegionStatus};
use hushmark_event::told::WriterTold;
use hushmark_policy::Day;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::apply::{Applier, Kind};
use crate::conditions::Status;
use crate::config::OptionalApi;
use crate::context::ActiveRegion;
use crate::reconcile::{PATIENCE, timed};
use crate::{Context, Error, context};

use edges::Edges;
use health::Health;
use keys::{LogAccess, log_access};
use probing::Asked;
use residency::Case;
use status::{Done, Outcome};
use validate::{Around, Problem, validate};
use watch::Watched;

/// What changed together is looked at together.
const SETTLE: Duration = Duration::from_millis(200);

/// Everything is looked at so often although nothing wakes: what no watch shows (nodes, Secrets of
/// others) is seen then.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// As above while something is not there that the spec names: a Secret, a store that answers, a kind
/// of others.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// As above while a region key waits for edges: a heartbeat comes every three seconds.
const LOOK_FOR_KEYS: Duration = Duration::from_secs(5);

/// How often the day rings are looked at.
const RING_EVERY: Duration = Duration::from_secs(60);

/// How often the writers are heard.
const HEAR_EVERY: Duration = Duration::from_secs(10);

/// The kind, in logs and figures.
const KIND: &str = "Region";

/// Works until `shutdown`. `lease_uid` names this release's hold on the Region.
///
/// # Errors
/// None: whatever fails is tried again.
pub async fn run(
    ctx: Arc<Context>,
    lease_uid: String,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let watched = Arc::new(Watched::default());
    let mut watches = JoinSet::new();
    watches.spawn(watch::regions(Arc::clone(&ctx), Arc::clone(&watched)));
    watches.spawn(watch::secrets(Arc::clone(&ctx), Arc::clone(&watched)));
    for kind in Kind::ALL {
        watches.spawn(watch::objects(Arc::clone(&ctx), kind, Arc::clone(&watched)));
    }
    // A kind of others is watched once it is there.
    let mut watched_apis = BTreeSet::new();
    let mut missing = ctx.missing.clone();
    let mut worker = Worker::new(Arc::clone(&ctx), lease_uid);
    let (mut next, mut ring_at) = (Instant::now() + LOOK_EVERY, Instant::now() + RING_EVERY);
    let mut hear_at = Instant::now() + HEAR_EVERY;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = watched.wake.notified() => sleep(SETTLE).await,
            changed = missing.changed() => {
                if changed.is_err() {
                    break;
                }
            }
            () = sleep_until(next) => {}
            () = sleep_until(ring_at) => {
                ring_at = Instant::now() + RING_EVERY;
                worker.turn_rings().await;
                continue;
            }
            () = sleep_until(hear_at) => {
                hear_at = Instant::now() + HEAR_EVERY;
                if !worker.hears_news().await {
                    continue;
                }
            }
        }
        let Some(regions) = watched.regions() else {
            next = Instant::now() + LOOK_EVERY;
            continue;
        };
        let work = worker.reconcile(regions);
        next = Instant::now()
            + match timed(KIND, &ctx.config.region, &ctx, work).await {
                Ok(look) => look,
                Err((_, again)) => again,
            };
        for &api in worker.usable.difference(&watched_apis) {
            for &kind in Kind::of_api(api) {
                watches.spawn(watch::objects(Arc::clone(&ctx), kind, Arc::clone(&watched)));
            }
        }
        watched_apis.extend(&worker.usable);
    }
    watches.abort_all();
    worker.leave().await;
    Ok(())
}

/// What a reconcile keeps from one time to the next.
struct Worker {
    ctx: Arc<Context>,
    owner: RegionOwner,
    applier: Applier,
    /// How many days ahead there are keys, while a Region is run.
    ring_days: Option<u16>,
    /// The Region that another release owns, if that was said.
    contested: Option<Arc<Region>>,
    /// The Region's uid, and what its status says of keys since this process wrote it.
    keys_told: Option<(String, KeysStatus)>,
    ring_trouble: String,
    /// APIs of others that are there and may be used.
    usable: BTreeSet<OptionalApi>,
    /// What the writers said last.
    told: Option<Vec<WriterTold>>,
}

/// What a reconcile starts from.
struct Found {
    region: Arc<Region>,
    others: Vec<Arc<Region>>,
}

/// How the part of a reconcile that may fail ended.
enum Ended {
    Invalid(Vec<Problem>),
    Error(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Worker {
    fn new(ctx: Arc<Context>, lease_uid: String) -> Self {
        let owner = RegionOwner {
            namespace: ctx.config.namespace.clone(),
            name: ctx.config.name.clone(),
            uid: lease_uid,
        };
        Self {
            ctx,
            owner,
            applier: Applier::default(),
            ring_days: None,
            contested: None,
            keys_told: None,
            ring_trouble: String::new(),
            usable: BTreeSet::new(),
            told: None,
        }
    }

    /// When to look again.
    async fn reconcile(&mut self, regions: Vec<Arc<Region>>) -> Result<Duration, Error> {
        let Some(found) = self.find(regions) else {
            self.let_go();
            return Ok(LOOK_EVERY);
        };
        let region = Arc::clone(&found.region);
        if !self.claim(&region).await? {
            return Ok(LOOK_EVERY);
        }
        let ctx = Arc::clone(&self.ctx);
        let owner = self.owner.clone();
        let (said, failed) = match self.make_so(&found).await {
            Ok(look) => return Ok(look),
            Err(Ended::Invalid(problems)) => {
                let why = problems.first().map(|problem| problem.message.clone());
                self.carry_on(&region, why).await;
                status::write(&ctx, &region, owner, &Outcome::Invalid(&problems)).await?;
                return Ok(LOOK_AGAIN);
            }
            Err(Ended::Error(error)) => {
                if ctx.active().is_none() {
                    self.carry_on(&region, None).await;
                }
                let mut said = error.to_string();
                for permission in ctx.missing.borrow().iter() {
                    said = format!("{said}; the operator {permission}");
                }
                (said, error)
            }
        };
        let outcome = match &failed {
            Error::Blocked(_) => Outcome::Blocked(&said),
            _ => Outcome::Failed(&said),
        };
        // What failed first is the news, also where this fails, too.
        if let Err(error) = status::write(&ctx, &region, owner, &outcome).await {
            tracing::warn!(%error, "the failure is not in the status");
        }
        Err(failed)
    }

    /// The Region, and all others.
    fn find(&self, regions: Vec<Arc<Region>>) -> Option<Found> {
        let name = &self.ctx.config.region;
        let (mut own, others): (Vec<_>, Vec<_>) =
            regions.into_iter().partition(|region| region.name_any() == *name);
        let Some(region) = own.pop() else {
            tracing::info!(region = name, "there is no such Region yet");
            return None;
        };
        // What it owns goes with it, and nobody makes it anew meanwhile.
        region.metadata.deletion_timestamp.is_none().then_some(Found { region, others })
    }

    /// The Secrets that a Region refers to, as far as they are there.
    async fn secrets(&self, region: &Region) -> Result<BTreeMap<String, Secret>, Error> {
        let api: Api<Secret> = Api::namespaced(self.ctx.client.clone(), &self.ctx.config.namespace);
        let mut secrets = BTreeMap::new();
        for name in validate::referred_secrets(region) {
            let found = api.get_opt(&name).await;
            if let Some(secret) = found.map_err(Error::api(format!("read the Secret {name}")))? {
                secrets.insert(name, secret);
            }
        }
        Ok(secrets)
    }

    /// The uid may change: a Lease that somebody deletes is made anew.
    fn is_me(&self, owner: &RegionOwner) -> bool {
        owner.namespace == self.owner.namespace && owner.name == self.owner.name
    }

    /// Whether this release may work on the Region. Who comes first is its owner; the status is
    /// written only over the version that was read, so that two cannot both be first.
    async fn claim(&mut self, region: &Arc<Region>) -> Result<bool, Error> {
        let owner = region.status.as_ref().and_then(|status| status.owner.as_ref());
        match owner {
            Some(owner) if self.is_me(owner) => {
                if let Some(region) = self.contested.take() {
                    status::contest(&self.ctx, &region, None).await?;
                }
                Ok(true)
            }
            Some(owner) => {
                if self.contested.is_none() {
                    tracing::error!(
                        region = region.name_any(),
                        namespace = owner.namespace,
                        release = owner.name,
                        "another release owns the Region: this one keeps its hands off"
                    );
                }
                self.let_go();
                self.contested = Some(Arc::clone(region));
                status::contest(&self.ctx, region, Some(owner)).await?;
                Ok(false)
            }
            None => {
                // What was known stays known: that there were keys, above all.
                let known = region.status.clone().unwrap_or_default();
                let owner = Some(self.owner.clone());
                let claimed = RegionStatus {
                    owner,
                    refusal_log: None,
                    audit_log: None,
                    log_key: None,
                    ..known
                };
                let version = region.resource_version();
                status::patch(&self.ctx, region, &claimed, version.as_deref()).await?;
                tracing::info!(region = region.name_any(), "claimed");
                // The watch brings the Region as it is now.
                Ok(false)
            }
        }
    }

    /// Fetch, validate, keys, build, apply, status. When to look again.
    async fn make_so(&mut self, found: &Found) -> Result<Duration, Ended> {
        let ctx = Arc::clone(&self.ctx);
        let Found { region, others } = found;
        let secrets = self.secrets(region).await?;
        self.usable = optional::usable(&ctx).await?;
        let around = Around { others, secrets: &secrets, usable: &self.usable };
        let validated = validate(region, &ctx.config, &around).map_err(Ended::Invalid)?;
        let today = Day::of_unix_ms(context::now_ms());
        let known = self.known_keys(region);
        let mut keys = keys::ensure(&ctx, &validated, region.status.as_ref(), today).await?;
        self.activate(region, Some(&keys.log_access), None).await;
        let class = encryption::class(&ctx, &validated).await?;
        let encryption = encryption::judge(&validated, class.as_ref());
        if let Some(why) = encryption::forbids(&validated, &encryption) {
            return Err(Error::Blocked(why).into());
        }
        let (wanted, unwanted) = build::build(&validated, &keys.versions).into_objects(&validated);
        let applied = self.applier.apply(&ctx, &wanted, &unwanted).await?;
        ctx.metrics.field_conflicts(applied.conflicts.len());
        let health = Health::of(&applied, &ctx.config.name);
        let desired = health.replicas("edge").map(|edges| edges.desired);
        let generation = health.generation("edge");
        let edges = Edges::look(&ctx, &validated, desired, generation).await?;
        replay::replay(&ctx, &validated, &edges).await?;
        keys.rotate(&ctx, &validated, known.as_ref(), &edges).await?;
        let reached = reached::ask(&ctx, &validated).await;
        let facts = residency::facts(&ctx, &validated).await?;
        let asked = Asked::of(&validated, &wanted);
        let probes = region.status.as_ref().map_or(&[][..], |status| &status.egress_probes);
        let probed = probing::step(&ctx, &validated, asked.as_ref(), &facts, probes).await?;
        let case = Case {
            selector: &validated.node_selector,
            facts: &facts,
            open: status::left_open(&validated, &applied),
            asked: asked.as_ref(),
            probes: &probed.known,
            trouble: probed.trouble.as_deref(),
        };
        let missing = Arc::clone(&ctx.missing.borrow());
        if let Some(told) = writers::ask(&ctx).await {
            self.told = Some(told);
        }
        let told = self.told.as_deref();
        let before = region.status.clone().unwrap_or_default();
        let done = Done {
            region: &validated,
            keys: &keys,
            applied: &applied,
            health: &health,
            edges: &edges,
            residency: residency::judge(&case),
            encryption,
            reached: reached.clone(),
            schema: writers::schema_in_sync(told, &before),
            clickhouse: writers::clickhouse_trouble(told.unwrap_or_default(), &validated),
            probes: &probed.known,
            missing: &missing,
        };
        status::write(&ctx, region, self.owner.clone(), &Outcome::Done(&done)).await?;
        self.keys_told = keys.status().map(|keys| (validated.uid.clone(), keys));
        // Nothing tells when somebody installs it.
        let lacks_a_kind = !validated.missing_apis().is_empty();
        let longest = if keys.rotation.waits.is_some() {
            LOOK_FOR_KEYS
        } else if edges.replays() {
            replay::LOOK_AGAIN
        } else if lacks_a_kind || reached.status != Status::True {
            LOOK_AGAIN
        } else {
            LOOK_EVERY
        };
        Ok(probed.again.map_or(longest, |again| again.min(longest)))
    }

    /// What is known of keys. The watch tells of a write only after it was answered: a key that
    /// seals since then is not let seal a second time.
    fn known_keys(&self, region: &Region) -> Option<KeysStatus> {
        let seen = region.status.as_ref().and_then(|status| status.keys.clone());
        let uid = region.uid().unwrap_or_default();
        let told =
            self.keys_told.as_ref().filter(|(of, _)| *of == uid).map(|(_, keys)| keys.clone());
        let sealing = |keys: &Option<KeysStatus>| keys.as_ref().and_then(|keys| keys.sealing);
        if sealing(&told) > sealing(&seen) { told } else { seen }
    }

    /// Tells tenants and the refusal log's appender that they may work, with what stands or with
    /// what they had.
    async fn activate(
        &mut self,
        region: &Arc<Region>,
        access: Option<&LogAccess>,
        invalid: Option<String>,
    ) {
        let uid = region.uid().unwrap_or_default();
        let had = self.ctx.active().filter(|old| old.uid == uid);
        let had = had.map(|old| Arc::clone(&old.signing_key));
        let Some(signing_key) = access.map(|it| Arc::clone(&it.signing)).or(had) else { return };
        if let Some(access) = access {
            self.ctx.redis.is_at(access.redis.clone()).await;
        }
        self.ring_days = Some(validate::ring_days(region));
        self.ctx.tell.active.send_if_modified(|active| {
            let same = active.as_ref().is_some_and(|old| {
                old.uid == uid && old.invalid == invalid && Arc::ptr_eq(&old.region, region)
            });
            if !same {
                let region = Arc::clone(region);
                *active = Some(Arc::new(ActiveRegion { region, uid, signing_key, invalid }));
            }
            !same
        });
    }

    /// A Region that cannot be made so now goes on as it stands, after a restart, too: kill switches,
    /// takedowns and the day rings must not wait for a person. Its tenants say why nothing else
    /// changes.
    async fn carry_on(&mut self, region: &Arc<Region>, invalid: Option<String>) {
        let stands = match self.secrets(region).await {
            Ok(secrets) => log_access(&self.ctx, region, &secrets).await,
            Err(error) => Err(error),
        };
        let stands = stands.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known what stands of the Region");
            None
        });
        self.activate(region, stands.as_ref(), invalid).await;
    }

    /// There is nothing to work on.
    fn let_go(&mut self) {
        self.ring_days = None;
        self.ctx.tell.active.send_if_modified(|active| active.take().is_some());
    }

    /// The end of the process: a second release takes its objection back.
    async fn leave(&mut self) {
        if let Some(region) = self.contested.take()
            && let Err(error) = status::contest(&self.ctx, &region, None).await
        {
            tracing::warn!(%error, "the condition Contested stays behind");
        }
    }

    /// Whether the writers say something else than they did.
    async fn hears_news(&mut self) -> bool {
        if self.ctx.active().is_none() {
            return false;
        }
        let told = timeout(PATIENCE, writers::ask(&self.ctx)).await.unwrap_or_default();
        told.is_some_and(|told| self.told.as_ref() != Some(&told))
    }

    /// Closes days that are over and makes keys for those to come. What fails is said once.
    async fn turn_rings(&mut self) {
        let Some(ring_days) = self.ring_days else { return };
        let today = Day::of_unix_ms(context::now_ms());
        // An API server that falls silent must not stop what is looked at otherwise.
        let turned = timeout(PATIENCE, keys::turn_rings(&self.ctx, ring_days, today)).await;
        match turned.unwrap_or(Err(Error::Late(PATIENCE))) {
            Ok(()) => self.ring_trouble.clear(),
            Err(error) => {
                let text = error.to_string();
                if text != self.ring_trouble {
                    tracing::warn!(%error, "the day rings were not looked at");
                }
                self.ring_trouble = text;
            }
        }
    }
}
