//! Making a plan of a policy, and carrying one out, step by step. On one machine a command does it,
//! in a cluster the writer that works; what may be done meanwhile is theirs to say.

use clickhouse::{Client, Row};
use hushmark_event::chain::Hash32;
use hushmark_event::plans::{Found, Plan, Planned, Policy, Unfit};
use hushmark_policy::Day;
use hushmark_policy::retention::due;
use serde::Serialize;

use super::{Reach, carry_out, found};
use crate::store::StoreError;

/// How often rows are counted again: those that came in meanwhile are older than the plan's days,
/// and come from what an edge kept while a store was away.
const ROUNDS: usize = 5;

/// Why a plan was not carried out, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum EnforceError {
    /// It is not the plan any more of what is due.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// ClickHouse did not tell.
    #[error("cannot count what is due")]
    Count(#[source] StoreError),
    /// ClickHouse did not remove.
    #[error("ClickHouse did not do it")]
    CarryOut(#[source] StoreError),
    /// Hits come in that are older than the plan's days.
    #[error("rows that are due came in as fast as they were removed, {ROUNDS} times")]
    TooFast,
    /// ClickHouse did not take it down.
    #[error("cannot write down in ClickHouse what was removed")]
    Record(#[source] clickhouse::error::Error),
}

/// Counts what a policy is due for today.
///
/// # Errors
/// [`EnforceError::Count`].
pub async fn announce(client: &Client, policy: &Policy, today: Day) -> Result<Plan, EnforceError> {
    let campaigns: Vec<_> = policy.campaigns.iter().map(|campaign| campaign.id).collect();
    let mut steps = Vec::new();
    for due in due(&policy.limits, today) {
        let reach = Reach { tenant: policy.tenant(), campaigns: campaigns.clone(), due };
        steps.push((due, found(client, &reach).await.map_err(EnforceError::Count)?));
    }
    Ok(Plan::new(policy, steps))
}

/// A plan's steps, if as much is due as was announced. Of one that was begun a part may be done.
///
/// # Errors
/// [`EnforceError::Unfit`], [`EnforceError::Count`].
pub async fn check_drift(
    client: &Client,
    plan: &Plan,
    (percent, is_begun): (u8, bool),
    again: &str,
) -> Result<Vec<Reach>, EnforceError> {
    let mut steps = Vec::new();
    for step in &plan.steps {
        steps.push(check_step(client, (plan, step), (percent, is_begun), again).await?);
    }
    Ok(steps)
}

/// The same for one step.
///
/// # Errors
/// As [`check_drift`].
pub async fn check_step(
    client: &Client,
    (plan, step): (&Plan, &Planned),
    (percent, is_begun): (u8, bool),
    again: &str,
) -> Result<Reach, EnforceError> {
    let due = step.due().ok_or_else(|| Unfit::Unreadable(plan.policy.clone()))?;
    let reach = Reach { tenant: plan.tenant(), campaigns: plan.campaign_ids(), due };
    let now = found(client, &reach).await.map_err(EnforceError::Count)?;
    step.check_drift(&now, (percent, is_begun), again)?;
    Ok(reach)
}

/// Does a step again and again until a count finds nothing, writes down that it is done, and says
/// what was there.
///
/// # Errors
/// [`EnforceError`]; doing it again goes on with it.
pub async fn enforce_step(
    client: &Client,
    reach: &Reach,
    plan: Hash32,
    now_ms: u64,
) -> Result<Vec<Found>, EnforceError> {
    let done = until_nothing_is_left(client, reach).await?;
    record(client, reach, plan, now_ms).await.map_err(EnforceError::Record)?;
    Ok(done)
}

async fn until_nothing_is_left(client: &Client, reach: &Reach) -> Result<Vec<Found>, EnforceError> {
    let mut done: Vec<Found> = Vec::new();
    for _ in 0..ROUNDS {
        let now = found(client, reach).await.map_err(EnforceError::Count)?;
        if now.is_empty() {
            return Ok(done);
        }
        for found in now {
            let same = |one: &&mut Found| (&one.table, &one.part) == (&found.table, &found.part);
            match done.iter_mut().find(same) {
                Some(before) => before.rows += found.rows,
                None => done.push(found),
            }
        }
        carry_out(client, reach).await.map_err(EnforceError::CarryOut)?;
    }
    Err(EnforceError::TooFast)
}

#[derive(Row, Serialize)]
struct EnforcedRow {
    tenant: u64,
    campaign: u64,
    plan: [u8; 32],
    step: &'static str,
    at: i64,
}

/// Writes down what was enforced: the writer publishes these campaigns anew.
async fn record(
    client: &Client,
    reach: &Reach,
    plan: Hash32,
    now_ms: u64,
) -> Result<(), clickhouse::error::Error> {
    let insert = client.insert::<EnforcedRow>("enforced").await?;
    let mut insert = insert.with_setting("async_insert", "0");
    for campaign in &reach.campaigns {
        let at = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let (tenant, step) = (reach.tenant.0, reach.due.step.name());
        insert.write(&EnforcedRow { tenant, campaign: campaign.0, plan: plan.0, step, at }).await?;
    }
    insert.end().await
}
