//! Tenants, Campaigns and policies: what they say, held against their Region, becomes status and
//! entries of the refusal log.
//!
//! Path of a change: a watch (one a kind) → `world`, what is in the cluster, trimmed to what
//! matters → `queue`, tenants before everything else, because a kill switch waits there → a pure
//! verdict ([`tenant`], [`campaign`], [`policies`]) → `effect`: first the refusal log, then the
//! status, then events. A verdict that says nothing new ends before any of that.
//!
//! No object gets a finalizer: what has to outlast one is in the refusal log and in ClickHouse, so
//! that nothing here can keep a namespace from going.

mod effect;
mod queue;
mod seen;
pub(crate) mod world;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use hushmark_crds::{CampaignStatus, PolicyStatus, RegionSpec, TenantStatus};
use hushmark_event::refusal::Refuses;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, now};
use crate::counts::Counts;
use crate::plans::Plans;
use crate::{Error, campaign, conditions, counts, policies, tenant};
use effect::{Done, Effect};
use queue::Queue;
use seen::Seen;
use world::{Key, Kind, World};

pub(crate) use world::Around;

/// Objects that are written at once: enough to keep the API server busy, and few enough to leave
/// it to others.
const AT_ONCE: usize = 16;

/// Verdicts between two looks at what happened: some 20 ms.
const VERDICTS_AT_ONCE: usize = 500;

/// How long writes on their way may take once it is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// How long after the start a Region that is not seen counts as not there.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// What is to be done about an object.
pub(crate) struct Plan<S> {
    /// What its status says once everything is done.
    pub(crate) status: S,
    /// What the refusal log has to refuse first.
    pub(crate) append: Vec<Refuses>,
    /// What the status says while the log cannot be appended to.
    pub(crate) meanwhile: Option<S>,
    /// What people are told.
    pub(crate) events: Vec<Note>,
    /// When to look again, though nothing changed.
    pub(crate) again: Option<Duration>,
    /// It waits for something that usually comes at once, and is told only if it does not.
    pub(crate) waits: bool,
    /// The tenant has to raise its generation first.
    pub(crate) wake_tenant: bool,
}

/// An event in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) is_warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) text: String,
}

/// A plan for any kind of object.
enum AnyPlan {
    Tenant(Plan<TenantStatus>),
    Campaign(Box<Plan<CampaignStatus>>),
    Policy(Plan<PolicyStatus>),
}

/// How long changes are collected before the writer is told what policies ask for.
const HAND_OVER: Duration = Duration::from_millis(500);

/// How long something may be waited for before it is told.
const UNTOLD: Duration = Duration::from_secs(2);

/// Tells whoever listens, if it is something else than before.
fn tell_new<T: PartialEq>(to: &watch::Sender<Option<Arc<T>>>, new: T) {
    to.send_if_modified(|told| {
        let is_new = told.as_deref() != Some(&new);
        if is_new {
            *told = Some(Arc::new(new));
        }
        is_new
    });
}

/// Runs until it is told to stop.
///
/// # Errors
/// Never: what fails is told, and tried again.
pub async fn run(ctx: Arc<Context>, shutdown: CancellationToken) -> Result<(), Error> {
    let mut seen = seen::all(&ctx.client);
    let mut engine = Engine::new(ctx.clone());
    let mut running: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
    let (mut active, mut regions) = (ctx.active.clone(), ctx.regions.clone());
    let (mut log, mut counts) = (ctx.refusals.changes(), ctx.counts.clone());
    let mut plans = ctx.plans.clone();
    loop {
        engine.start(&mut running);
        engine.hand_over();
        let wake = tokio::time::Instant::from_std(engine.wake_at());
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(what) = seen.next() => engine.see(what),
            Some(done) = running.next(), if !running.is_empty() => engine.take(done),
            Ok(()) = active.changed() => engine.look_around(),
            Ok(()) = regions.changed() => engine.look_around(),
            Ok(()) = log.changed() => engine.log_changed(),
            Ok(()) = counts.changed() => {
                let counts = counts.borrow_and_update().clone();
                engine.count(counts);
            }
            Ok(()) = plans.changed() => {
                let plans = plans.borrow_and_update().clone();
                engine.plan(plans);
            }
            () = tokio::time::sleep_until(wake) => {}
        }
    }
    let drained = tokio::time::timeout(DRAIN, async { while running.next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(writes = running.len(), "writes on their way were left");
    }
    Ok(())
}

/// What a Region says that tenants depend on: its status changes far more often.
#[derive(Clone, PartialEq)]
struct RegionView {
    uid: String,
    spec: RegionSpec,
    invalid: Option<String>,
}

struct Engine {
    ctx: Arc<Context>,
    world: World,
    queue: Queue,
    region: Option<RegionView>,
    regions: Arc<BTreeSet<String>>,
    /// What epochs published.
    counts: Arc<Counts>,
    /// What the writer tells of policies.
    plans: Option<Arc<Plans>>,
    /// Since when something changed that the writer may have to know of.
    untold: Option<Instant>,
    /// Since when each object waits, or fails.
    waiting: HashMap<Key, Instant>,
    /// Withdrawals in the log as it was last looked at.
    withdrawals: u64,
    started: Instant,
}

impl Engine {
    fn new(ctx: Arc<Context>) -> Self {
        let started = Instant::now();
        let regions = ctx.regions.borrow().clone();
        let counts = ctx.counts.borrow().clone();
        let plans = ctx.plans.borrow().clone();
        let mut engine = Self {
            world: World::default(),
            queue: Queue::default(),
            region: None,
            regions,
            counts,
            plans,
            untold: Some(started),
            waiting: HashMap::new(),
            withdrawals: 0,
            started,
            ctx,
        };
        engine.look_around();
        engine
    }

    fn is_settled(&self) -> bool {
        self.started.elapsed() >= SETTLED_AFTER
    }

    fn wake_at(&self) -> Instant {
        let hour = Instant::now() + Duration::from_secs(3600);
        let settles = self.started + SETTLED_AFTER;
        let told = self.untold.filter(|_| self.world.is_complete());
        let told = told.map_or(hour, |since| since + HAND_OVER);
        let next = self.queue.next_at().unwrap_or(hour).min(told);
        if self.is_settled() { next } else { next.min(settles) }
    }

    /// The Region, or the set of Regions, may have changed.
    fn look_around(&mut self) {
        let region = self.ctx.active().map(|active| RegionView {
            uid: active.uid.clone(),
            spec: active.region.spec.clone(),
            invalid: active.invalid.clone(),
        });
        let regions = self.ctx.regions.borrow().clone();
        if region != self.region || regions != self.regions {
            (self.region, self.regions) = (region, regions);
            self.untold.get_or_insert_with(Instant::now);
            self.world.keys().for_each(|key| self.queue.add(key));
        }
    }

    /// Whoever waits for the log looks again; after a withdrawal everybody does, because nobody
    /// asked for it in a resource.
    fn log_changed(&mut self) {
        let log = self.ctx.refusals.shown().log;
        let withdrawals = log.map_or(0, |log| log.withdrawals());
        if std::mem::replace(&mut self.withdrawals, withdrawals) == withdrawals {
            self.waiting.keys().for_each(|key| self.queue.add(key.clone()));
        } else {
            self.world.keys().for_each(|key| self.queue.add(key));
        }
    }

    /// Another epoch: the campaigns of which it shows something else are looked at.
    fn count(&mut self, counts: Arc<Counts>) {
        let changed = counts::changed(&self.counts, &counts);
        self.world.campaigns_by_id(&changed).for_each(|key| self.queue.add(key));
        self.counts = counts;
    }

    /// Other plans: the policies of which something else is told are looked at.
    fn plan(&mut self, plans: Option<Arc<Plans>>) {
        let known = std::mem::replace(&mut self.plans, plans);
        let of = |plans: &Option<Arc<Plans>>, key: &Key| {
            plans.as_ref()?.get(&policies::field(key)?).cloned()
        };
        let keys = self.world.retention.keys().chain(self.world.anonymization.keys());
        let changed: Vec<Key> =
            keys.filter(|key| of(&known, key) != of(&self.plans, key)).collect();
        changed.into_iter().for_each(|key| self.queue.add(key));
    }

    /// Tells what policies ask for, soon after something changed: many objects change at once.
    fn hand_over(&mut self) {
        let is_due = self.untold.is_some_and(|since| since.elapsed() >= HAND_OVER);
        let Some(region) = self.region.as_ref().filter(|_| is_due && self.world.is_complete())
        else {
            return;
        };
        self.untold = None;
        let ours = &self.ctx.config.region;
        tell_new(&self.ctx.tell.holds, policies::holds(&self.world, ours));
        let wanted = policies::hand_over(&self.world, ours, &region.spec);
        tell_new(&self.ctx.tell.policies, wanted);
    }

    fn see(&mut self, what: Seen) {
        self.untold.get_or_insert_with(Instant::now);
        for key in self.world.take(what) {
            self.queue.add(key);
        }
    }

    fn take(&mut self, done: Done) {
        let Done { key, written, again, failed } = done;
        self.queue.ended(&key);
        let was_written = written.is_some();
        if let Some(written) = written {
            // Its echo from the watch is older news then.
            for other in self.world.take(Seen::Now(written)) {
                self.queue.add(other);
            }
        }
        match again {
            Some(again) => self.queue.add_later(key.clone(), Instant::now() + again),
            // What is in the log now lets the status say more.
            None if !was_written => self.queue.add(key.clone()),
            None => {}
        }
        if failed {
            self.waiting.entry(key).or_insert_with(Instant::now);
        }
    }

    /// Starts what is due, tenants first.
    fn start(&mut self, running: &mut FuturesUnordered<BoxFuture<'static, Done>>) {
        if !self.world.is_complete() {
            return;
        }
        let now = Instant::now();
        if self.is_settled() && self.queue.settle() && self.regions.is_empty() {
            // What was not told because it might still have come is told now.
            self.world.keys().for_each(|key| self.queue.add(key));
        }
        for _ in 0..VERDICTS_AT_ONCE {
            if running.len() >= AT_ONCE {
                break;
            }
            let Some(key) = self.queue.pop(now) else { break };
            if let Some(effect) = self.effect(&key) {
                self.queue.started(key);
                running.push(Box::pin(effect.carry_out(self.ctx.clone())));
            }
        }
        for (kind, depth) in self.queue.depths() {
            self.ctx.metrics.queue_depth(kind.name(), depth);
        }
    }

    /// What has to be done about an object; nothing, where everything is said already.
    fn effect(&mut self, key: &Key) -> Option<Effect> {
        let begun = Instant::now();
        let plan = self.verdict(key);
        let kind = key.kind.name();
        let Some(plan) = plan else {
            self.waiting.remove(key);
            return None;
        };
        let effect = match plan {
            AnyPlan::Tenant(plan) => {
                let old = self.world.tenants.get(key).and_then(|one| one.status.as_ref());
                Effect::new(key, plan, old)
            }
            AnyPlan::Campaign(plan) => {
                let old = self.world.campaigns.get(key).and_then(|one| one.status.as_ref());
                Effect::new(key, *plan, old)
            }
            AnyPlan::Policy(plan) => {
                let old = self.world.policy_status(key);
                Effect::new(key, plan, old)
            }
        };
        if effect.wake_tenant {
            let tenant = self.world.tenant_of(&key.namespace).map(world::key_of);
            tenant.into_iter().for_each(|tenant| self.queue.add(tenant));
        }
        if effect.waits {
            let since = *self.waiting.entry(key.clone()).or_insert(begun);
            let told_at = since + UNTOLD;
            if begun < told_at && effect.append.is_empty() {
                self.queue.add_later(key.clone(), told_at);
                return None;
            }
        } else {
            self.waiting.remove(key);
        }
        if effect.is_nothing() {
            if let Some(again) = effect.again {
                self.queue.add_later(key.clone(), begun + again);
            }
            self.ctx.metrics.reconciled(kind, "ok", begun.elapsed().as_secs_f64());
            return None;
        }
        Some(effect)
    }

    fn verdict(&self, key: &Key) -> Option<AnyPlan> {
        let shown = self.ctx.refusals.shown();
        let around = Around {
            ours: &self.ctx.config.region,
            region: self.region.as_ref().map(|view| (&view.spec, view.invalid.as_deref())),
            regions: &self.regions,
            is_settled: self.is_settled(),
            log: shown.log.as_deref(),
            problem: shown.problem.as_deref(),
            counts: &self.counts,
            plans: self.plans.as_deref(),
            now: now(),
        };
        let world = &self.world;
        match key.kind {
            Kind::Tenant => tenant::verdict(key, world, &around).map(AnyPlan::Tenant),
            Kind::Campaign => {
                campaign::verdict(key, world, &around).map(|plan| AnyPlan::Campaign(Box::new(plan)))
            }
            Kind::Retention | Kind::Anonymization => {
                policies::verdict(key, world, &around).map(AnyPlan::Policy)
            }
        }
    }
}

/// Whether a person asked that what loosens waits.
pub(crate) fn is_paused(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> bool {
    let annotations = meta.annotations.as_ref();
    annotations.and_then(|all| all.get(PAUSED)).is_some_and(|value| value != "false")
}

/// The annotation that pauses an object.
pub(crate) const PAUSED: &str = "hushmark.io/paused";

/// The event that tells of a change of the outcome, where people want to know.
pub(crate) fn note_of(
    old: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    outcome: &conditions::Outcome,
) -> Option<Note> {
    use conditions::Outcome::{Blocked, Ready, Refused, Waiting};
    let ready = old.iter().find(|condition| condition.type_ == conditions::READY);
    let was_bad = ready.is_some_and(|condition| condition.status == "False");
    let says = |text: &str| ready.is_some_and(|condition| condition.message == text);
    match outcome {
        Blocked(reason, text) | Refused(reason, text) if !says(text) => {
            Some(Note { is_warning: true, reason, text: text.clone() })
        }
        Ready(reason, text) if was_bad => {
            Some(Note { is_warning: false, reason, text: text.clone() })
        }
        Ready(..) | Waiting(..) | Blocked(..) | Refused(..) => None,
    }
}
