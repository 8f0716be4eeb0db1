//! Policies on their way to the writer, and its plans on their way back.
//!
//! The operator may not ask ClickHouse, and the writer may not ask the API server: each puts what it
//! knows into Redis. What is there already is not written again, and what Redis lost is put back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hushmark_event::ask::Question;
use hushmark_event::ask::enforce::{
    EnforceAnswer, EnforceAsk, NotEnforceable, PlanAnswer, PlanQuestion, may_enforce,
};
use hushmark_event::audit::{Action, Outcome, Principal};
use hushmark_event::plans::{Held, Policy, Told, field};
use hushmark_event::redis_keys::{PLANS, POLICIES};
use hushmark_policy::{CampaignId, Day, TenantId};
use redis::aio::MultiplexedConnection;
use redis::cmd;
use tokio_util::sync::CancellationToken;

use crate::context::{ActiveRegion, now_ms};
use crate::{Context, Error};

/// How often Redis is looked at, though no policy changed.
const EVERY: Duration = Duration::from_secs(5);

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Policies for the writer, by field.
pub type Policies = BTreeMap<String, Policy>;

/// What the writer tells of them, by field.
pub type Plans = BTreeMap<String, Told>;

/// A campaign that a legal hold keeps, or could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub campaign: CampaignId,
    /// Its name, and why.
    pub held: Held,
}

/// Hands over policies and takes plans until `shutdown`.
///
/// # Errors
/// None: whatever fails is said once, and tried again.
pub async fn run(ctx: Arc<Context>, shutdown: CancellationToken) -> Result<(), Error> {
    let (mut said, mut policies) = (String::new(), ctx.policies.clone());
    let mut noted = BTreeSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
            Ok(()) = policies.changed() => {}
        }
        let wanted = policies.borrow_and_update().clone();
        let (Some(wanted), Some(active)) = (wanted, ctx.active()) else { continue };
        let looked = tokio::time::timeout(PATIENCE, look(&ctx, &wanted)).await;
        let done = match looked.unwrap_or(Err(Error::Late(PATIENCE))) {
            Ok(plans) => {
                let plans = Arc::new(plans);
                ctx.tell.plans.send_if_modified(|shown| {
                    let is_new = shown.as_ref() != Some(&plans);
                    if is_new {
                        *shown = Some(Arc::clone(&plans));
                    }
                    is_new
                });
                note(&ctx, &active, &plans, &mut noted).await
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => said.clear(),
            // The Region has not said it yet, as at every start.
            Err(Error::RedisUnknown) => {}
            Err(error) => {
                if matches!(error, Error::Redis { .. } | Error::Late(_)) {
                    ctx.redis.failed().await;
                }
                let text = error.to_string();
                if text != said {
                    tracing::warn!(%error, "policies and plans are not exchanged with the writer");
                }
                said = text;
            }
        }
    }
}

async fn look(ctx: &Context, wanted: &Policies) -> Result<Plans, Error> {
    let mut redis = ctx.redis.connection().await?;
    let there: BTreeMap<String, String> = all(&mut redis, POLICIES).await?;
    let wanted: BTreeMap<&String, String> = wanted
        .iter()
        .map(|(field, policy)| {
            (field, serde_json::to_string(policy).expect("text and numbers always serialise"))
        })
        .collect();
    for field in there.keys().filter(|field| !wanted.contains_key(field)) {
        let gone = cmd("HDEL").arg(POLICIES).arg(field).query_async::<()>(&mut redis).await;
        gone.map_err(Error::redis("take a policy from the writer"))?;
    }
    for (field, text) in wanted {
        if there.get(field) != Some(&text) {
            let set =
                cmd("HSET").arg(POLICIES).arg(field).arg(text).query_async::<()>(&mut redis).await;
            set.map_err(Error::redis("hand a policy to the writer"))?;
        }
    }
    let told = all(&mut redis, PLANS).await?.into_iter();
    Ok(told.filter_map(|(field, text)| Some((field, serde_json::from_str(&text).ok()?))).collect())
}

/// Tells the audit log of plans that the writer did not carry out, each once. `noted` are entries
/// that need not be looked for again.
async fn note(
    ctx: &Context,
    active: &ActiveRegion,
    plans: &Plans,
    noted: &mut BTreeSet<u64>,
) -> Result<(), Error> {
    let last = plans.values().filter_map(|told| told.last.as_ref());
    for past in last.filter(|last| last.stopped.is_some()) {
        if !noted.contains(&past.entry) {
            let mut redis = ctx.redis.connection().await?;
            ctx.refusals.stopped(&mut redis, &active.signing_key, past, now_ms()).await?;
            noted.insert(past.entry);
        }
    }
    Ok(())
}

async fn all(
    redis: &mut MultiplexedConnection,
    hash: &str,
) -> Result<BTreeMap<String, String>, Error> {
    let all = cmd("HGETALL").arg(hash).query_async(redis).await;
    all.map_err(Error::redis("read policies and plans"))
}

/// What is known of a policy and its plan, now.
///
/// # Errors
/// [`Error::Blocked`] before all policies were seen; [`Error::Redis`].
async fn known(ctx: &Context, of: &PlanQuestion) -> Result<(Option<Policy>, Option<Told>), Error> {
    let field = field(of.kind, &of.policy);
    let unread = || Error::Blocked("policies are not read yet: ask again in a minute".into());
    let policies = ctx.policies.borrow().clone().ok_or_else(unread)?;
    let policy = policies.get(&field).cloned();
    let mut redis = ctx.redis.connection().await?;
    let told: Option<String> = cmd("HGET")
        .arg(PLANS)
        .arg(&field)
        .query_async(&mut redis)
        .await
        .map_err(Error::redis("read a plan"))?;
    Ok((policy, told.and_then(|text| serde_json::from_str(&text).ok())))
}

/// The plan that a person looks at: of what the policy says now.
///
/// # Errors
/// [`NotEnforceable`] where there is no policy; [`Error::Redis`].
pub async fn show(
    ctx: &Context,
    of: &PlanQuestion,
) -> Result<Result<PlanAnswer, NotEnforceable>, Error> {
    let (policy, told) = known(ctx, of).await?;
    let Some(policy) = policy else {
        return Ok(Err(NotEnforceable::NoPolicy(format!("{} {}", of.kind.name(), of.policy))));
    };
    let today = Day::of_unix_ms(now_ms());
    let told = told.filter(|told| told.begun.is_some() || told.is_of(&policy, today));
    Ok(Ok(PlanAnswer { enforces: policy.enforces, told }))
}

/// Demands that a plan is carried out, in the audit log: that entry is what the writer obeys. What
/// may not be is told of there, too.
///
/// # Errors
/// [`NotEnforceable`]; [`Error::Audit`] while the log is not known, [`Error::Redis`].
pub async fn enforce(
    ctx: &Context,
    active: &ActiveRegion,
    ask: EnforceAsk,
) -> Result<Result<EnforceAnswer, NotEnforceable>, Error> {
    let EnforceAsk { of, by, plan } = ask;
    let (policy, told) = known(ctx, &of).await?;
    let today = Day::of_unix_ms(now_ms());
    let may = may_enforce(policy.as_ref(), told.as_ref(), (&of, plan), today);
    let outcome = match &may {
        Ok(Some(entry)) => return Ok(Ok(EnforceAnswer { entry: *entry })),
        Ok(None) => Some(Outcome::Allowed { position: None }),
        Err(no) => no.reason().map(Outcome::Refused),
    };
    let mut entry = 0;
    if let Some(outcome) = outcome {
        let namespace = of.policy.split('/').next().unwrap_or_default();
        let tenant = TenantId::derive(&of.region, namespace);
        let action = Action::EnforcePlan { tenant, plan };
        let question = Question { by: Principal::Kubernetes(by), action };
        let mut redis = ctx.redis.connection().await?;
        let what = (question, outcome);
        entry = ctx.refusals.note(&mut redis, &active.signing_key, what, now_ms()).await?;
    }
    Ok(may.map(|_| EnforceAnswer { entry }))
}
