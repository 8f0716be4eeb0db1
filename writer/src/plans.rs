//! Plans of retention and anonymization policies in a cluster: made of what the operator hands over,
//! told to it, and carried out once the audit log demands it. On one machine nothing is handed over,
//! and commands do it.
//!
//! A plan is made when what its policy says or reaches changed, and once a day. The newest one of a
//! policy is in Redis, in [`PLANS`], and none but it can be carried out: by an entry of the audit log
//! that names its hash and came after it was made. That entry is in the copy in ClickHouse before
//! anything is removed. Before each step the policy is read again, and rows are counted again.
//! Where this is cut short, whoever works next goes on: every step can be done again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use hushmark_event::audit::Reason;
use hushmark_event::chain::Hash32;
use hushmark_event::plans::{Begun, Done, Past, Policy, Stopped, Told, Unfit};
use hushmark_event::redis_keys::{PLANS, POLICIES};
use hushmark_policy::Day;
use redis::aio::MultiplexedConnection;
use redis::cmd;
use serde::de::DeserializeOwned;

use crate::lease::Lease;
use crate::retention::{EnforceError, announce, check_drift, check_step, enforce_step, record};
use crate::scripts::{Fenced, ScriptError};
use crate::session::now_ms;
use crate::shared::Shared;
use crate::store::StoreError;

/// How often policies, plans and demands are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// The wait after something failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Makes plans, and carries them out.
pub struct Planner {
    /// ClickHouse, with an ordinary pool: everything here may be repeated.
    pub client: Client,
    /// A connection for reads.
    pub redis: MultiplexedConnection,
    /// A connection for changes, under the lease.
    pub fenced: Fenced,
    /// The working writer's lease.
    pub lease: Arc<Lease>,
    /// What the session tells.
    pub shared: Arc<Shared>,
    /// Policies as they were last written down.
    pub recorded: BTreeMap<String, Policy>,
}

#[derive(Debug, thiserror::Error)]
enum PlanError {
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}", whole(.0))]
    Enforce(#[from] EnforceError),
    #[error("the lease is lost")]
    LeaseLost,
}

/// A plan that is demanded by an entry of the audit log.
struct Demanded {
    told: Told,
    entry: u64,
}

impl Planner {
    /// Plans until it is dropped.
    pub async fn run(mut self) {
        let mut said = String::new();
        loop {
            tokio::time::sleep(EVERY).await;
            // Rows that have to be erased are nothing that a policy removes.
            if !self.lease.is_valid() || !self.shared.is_open() || self.shared.is_behind() {
                continue;
            }
            match self.round().await {
                Ok(()) => said.clear(),
                Err(error) => {
                    let text = error.to_string();
                    if text != said {
                        tracing::warn!(%error, "policies are not looked after");
                    }
                    said = text;
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Looks at every policy. One that fails keeps no other from its turn.
    async fn round(&mut self) -> Result<(), PlanError> {
        let Some(audited) = self.shared.audited() else { return Ok(()) };
        let policies = self.read::<Policy>(POLICIES).await?;
        let mut told = self.read::<Told>(PLANS).await?;
        for field in told.keys().filter(|field| !policies.contains_key(*field)) {
            tracing::info!(policy = field, "a policy is gone, and its plan with it");
            self.fenced.take_field(PLANS, field).await?;
        }
        // On one machine `up` writes them down.
        if !policies.is_empty() && policies != self.recorded {
            record(&self.client, policies.values(), now_ms()).await?;
            self.recorded.clone_from(&policies);
        }
        let (today, mut ended) = (Day::of_unix_ms(now_ms()), Ok(()));
        for (field, policy) in policies {
            let done = match told.remove(&field) {
                None => self.announce(&policy, audited.length, (None, None)).await,
                Some(told) => {
                    let begun = told.begun.as_ref().map(|begun| begun.entry);
                    let demand = || audited.demand(told.plan.hash(), told.after);
                    let too_late = || audited.demand(told.replaced?, told.after);
                    match begun.or_else(demand) {
                        Some(entry) => self.carry_out(policy, Demanded { told, entry }).await,
                        None => match too_late() {
                            Some(entry) => self.tell(&was_replaced(told, entry)).await,
                            None if told.is_of(&policy, today) => Ok(()),
                            None => {
                                let replaced = Some(told.plan.hash());
                                self.announce(&policy, audited.length, (told.last, replaced)).await
                            }
                        },
                    }
                }
            };
            ended = ended.and(done);
        }
        ended
    }

    /// Makes a plan, and tells it.
    async fn announce(
        &mut self,
        policy: &Policy,
        after: u64,
        (last, replaced): (Option<Past>, Option<Hash32>),
    ) -> Result<(), PlanError> {
        let made_ms = now_ms();
        let plan = announce(&self.client, policy, Day::of_unix_ms(made_ms)).await?;
        tracing::info!(policy = policy.field(), plan = %plan.hash(), "a plan was made");
        // The same plan made again is none that was replaced.
        let replaced = replaced.filter(|before| *before != plan.hash());
        self.tell(&Told { plan, made_ms, after, begun: None, last, replaced }).await
    }

    async fn tell(&mut self, told: &Told) -> Result<(), PlanError> {
        let text = serde_json::to_string(told).expect("text and numbers always serialise");
        Ok(self.fenced.remember(PLANS, &told.plan.field(), &text).await?)
    }

    /// Carries a plan out, or goes on with it; what it was announced for decides whether.
    async fn carry_out(
        &mut self,
        policy: Policy,
        Demanded { mut told, entry }: Demanded,
    ) -> Result<(), PlanError> {
        let (is_begun, again) = (told.begun.is_some(), told.plan.again());
        let today = Day::of_unix_ms(now_ms());
        let checked = match told.plan.still_holds(&policy, today, &again) {
            Ok(()) => {
                let guard = (policy.drift_percent, is_begun);
                check_drift(&self.client, &told.plan, guard, &again).await.map(drop)
            }
            Err(unfit) => Err(unfit.into()),
        };
        if let Err(unfit) = unfit(checked)? {
            return self.end(policy, told, entry, Some(unfit)).await;
        }
        let begun = Begun { entry, at_ms: now_ms(), done: Vec::new() };
        let mut begun = told.begun.take().unwrap_or(begun);
        tracing::info!(policy = told.plan.field(), entry, "a plan is carried out");
        let (plan, hash) = (told.plan.clone(), told.plan.hash());
        for step in plan.steps.iter().skip(begun.done.len()) {
            told.begun = Some(begun.clone());
            self.tell(&told).await?;
            // A step takes hours where there is much, and whoever sets a hold does not wait for it.
            let now = self.read_one(&policy.field()).await?;
            let Some(now) = now else { return Ok(()) };
            let checked = match plan.still_holds(&now, today, &again) {
                Ok(()) => {
                    let guard = (now.drift_percent, true);
                    check_step(&self.client, (&plan, step), guard, &again).await
                }
                Err(unfit) => Err(unfit.into()),
            };
            let reach = match unfit(checked)? {
                Ok(reach) => reach,
                Err(unfit) => return self.end(now, told, entry, Some(unfit)).await,
            };
            if !self.lease.is_valid() {
                return Err(PlanError::LeaseLost);
            }
            let removed = enforce_step(&self.client, &reach, hash, begun.at_ms).await?;
            begun.done.push(Done::new(reach.due, removed));
        }
        told.begun = Some(begun);
        self.tell(&told).await?;
        self.end(policy, told, entry, None).await
    }

    /// Says what became of a plan, and what is due after it.
    async fn end(
        &mut self,
        policy: Policy,
        told: Told,
        entry: u64,
        unfit: Option<Unfit>,
    ) -> Result<(), PlanError> {
        let done = told.begun.map(|begun| begun.done).unwrap_or_default();
        let stopped = unfit.map(|unfit| {
            let left = told.plan.steps.get(done.len()).filter(|_| !done.is_empty());
            let left =
                left.map(|step| format!("step {} and what follows were not done: ", step.step));
            let said = left.unwrap_or_default() + &unfit.to_string();
            Stopped { reason: unfit.reason(), said }
        });
        match &stopped {
            None => tracing::info!(policy = policy.field(), entry, "a plan was carried out"),
            Some(Stopped { said, .. }) => {
                tracing::warn!(policy = policy.field(), entry, said, "a plan was not carried out");
            }
        }
        let plan = told.plan.hash();
        let last = Past { entry, plan, ended_ms: now_ms(), done, stopped };
        let read = self.shared.audited().map_or(0, |audited| audited.length);
        self.announce(&policy, read.max(entry), (Some(last), None)).await
    }

    /// A hash in Redis. What cannot be read is of another version, and is as good as not there.
    async fn read<T: DeserializeOwned>(
        &mut self,
        hash: &str,
    ) -> Result<BTreeMap<String, T>, PlanError> {
        let all: Vec<(String, Vec<u8>)> =
            cmd("HGETALL").arg(hash).query_async(&mut self.redis).await?;
        let read =
            |(field, text): (String, Vec<u8>)| Some((field, serde_json::from_slice(&text).ok()?));
        Ok(all.into_iter().filter_map(read).collect())
    }

    /// A policy as it is now.
    async fn read_one(&mut self, field: &str) -> Result<Option<Policy>, PlanError> {
        let text: Option<Vec<u8>> =
            cmd("HGET").arg(POLICIES).arg(field).query_async(&mut self.redis).await?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }
}

/// Tells of a plan that was demanded when another one had taken its place.
fn was_replaced(told: Told, entry: u64) -> Told {
    let Some(plan) = told.replaced else { return told };
    let said = format!("it was made anew before it was begun: `{}` shows it", told.plan.again());
    let stopped = Some(Stopped { reason: Reason::PlanChanged, said });
    let last = Past { entry, plan, ended_ms: now_ms(), done: Vec::new(), stopped };
    Told { last: Some(last), replaced: None, ..told }
}

/// An error and its cause.
fn whole(error: &EnforceError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    error.to_string() + &cause.unwrap_or_default()
}

/// What a person has to look at, apart from what is tried again.
fn unfit<T>(checked: Result<T, EnforceError>) -> Result<Result<T, Unfit>, PlanError> {
    match checked {
        Ok(done) => Ok(Ok(done)),
        Err(EnforceError::Unfit(unfit)) => Ok(Err(unfit)),
        Err(error) => Err(error.into()),
    }
}
