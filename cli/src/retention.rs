//! `hushmark plan POLICY` and `hushmark enforce`: what a policy would remove, announced with a hash,
//! and then removed under that hash, and nothing else.
//!
//! In reading order: [`mod@plan`] is what is announced, [`kept`] where it lies until it is carried out,
//! [`stores`] what no policy reaches, [`completed`] how a recipient list goes, [`say`] how it reads. [`crate::policies`] finds the policy;
//! which rows are meant and how they go is the writer's (`hushmark_writer::retention`).

mod completed;
mod kept;
mod plan;
mod say;
mod stores;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clickhouse::{Client, Row};
use hushmark_crds::field::PolicyMode;
use hushmark_event::audit::{Action, Reason};
use hushmark_policy::Day;
use hushmark_policy::retention::{due, has_drifted};
use hushmark_writer::retention::{Found, Reach, carry_out, found};
use serde::Serialize;

use crate::data::{DataFolder, State};
use crate::erase::Log;
use crate::policies::{Policy, manifests, policy};
use crate::report::print;
use crate::up::now_ms;
use crate::{args, asks};
pub(crate) use completed::complete;
pub(crate) use kept::hash;
use kept::{Kept, Plans};
use plan::{Plan, rows};

/// Something is due: the exit status that `plan` of manifests has for changes.
const DUE: u8 = 3;

/// How often rows are counted again: those that came in meanwhile are older than the plan's days,
/// and come from what an edge kept while a store was away.
const ROUNDS: usize = 5;

/// Announces what is due.
pub(crate) async fn plan(data: &Path, options: &args::PlanPolicy) -> Result<ExitCode> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let policy = chosen(&state, &options.policy, options.kind)?;
    Log::read(&folder)?.is_obeyed(&state.clickhouse()?).await?;
    let client = state.clickhouse()?.client();
    let now = now_ms();
    let mut steps = Vec::new();
    for due in due(&policy.limits, Day::of_unix_ms(now)) {
        let reach = reach(&policy, due);
        let found = found(&client, &reach).await.context("cannot count what is due")?;
        steps.push((due, found));
    }
    let plan = Plan::new(&state.region, &policy, steps);
    let beyond = stores::beyond(&folder, &client, policy.tenant).await?;
    Plans::open(&folder)?.keep(&Kept {
        made_ms: now,
        begun_ms: None,
        enforced_ms: None,
        plan: plan.clone(),
    })?;
    let said = if options.json {
        let hash = plan.hash();
        let whole = say::Json { hash, made_ms: now, plan: &plan, beyond: &beyond };
        serde_json::to_string_pretty(&whole).context("cannot write JSON")? + "\n"
    } else {
        say::plan(&plan, &beyond, Day::of_unix_ms(now), policy.mode)
    };
    print(&said)?;
    Ok(if plan.is_empty() { ExitCode::SUCCESS } else { DUE.into() })
}

/// Carries out what was announced.
pub(crate) async fn enforce(data: &Path, options: &args::Enforce) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let plans = Plans::open(&folder)?;
    let _one_at_a_time = plans.lock()?;
    let kept = plans.find(&options.plan)?;
    let now = now_ms();
    let client = state.clickhouse()?.client().with_setting("async_insert", "0");
    let hash = kept.plan.hash();
    let action = Action::EnforcePlan { tenant: kept.plan.tenant(), plan: hash };
    let today = Day::of_unix_ms(now);
    let steps = match still_holds((&plans, &state, &client), &kept, options, today).await {
        Ok(steps) => steps,
        Err(error) => return Err(refused(&folder, &state, &kept.plan, action, error).await),
    };
    if kept.plan.is_empty() {
        return print("nothing is due by this plan, and nothing was changed\n");
    }
    asks::ask_for(&folder, vec![(None, action.clone())]).await.context(
        "who removes what is in the audit log before anything is removed, and it cannot be \
         written, so nothing was changed",
    )?;
    let begun = Kept { begun_ms: kept.begun_ms.or(Some(now)), ..kept };
    plans.keep(&begun)?;
    let mut done = Vec::new();
    for reach in steps {
        // A step takes hours where there is much, and whoever sets a hold does not wait for it.
        let free = chosen(&state, &begun.plan.policy, Some(begun.plan.kind));
        if let Err(error) = free.and_then(|policy| Ok(no_hold(&policy, &begun.plan)?)) {
            let error =
                error.context(format!("step {} and what follows were not done", reach.due.step));
            return Err(refused(&folder, &state, &begun.plan, action, error).await);
        }
        let found = until_nothing_is_left(&client, &reach).await.with_context(|| {
            format!(
                "step {} was cut short; `hushmark enforce` with the same hash goes on with it",
                reach.due.step
            )
        })?;
        record(&client, &reach, hash.0, now).await?;
        done.push((reach.due, found));
    }
    plans.keep(&Kept { enforced_ms: Some(now_ms()), ..begun.clone() })?;
    let text = if options.json {
        let done = done.into_iter().map(|(due, removed)| say::DoneStep::new(due, removed));
        let whole = say::Done { plan: hash, policy: &begun.plan.policy, steps: done.collect() };
        serde_json::to_string_pretty(&whole).context("cannot write JSON")? + "\n"
    } else {
        say::done(&begun.plan, &done)
    };
    print(&text)
}

/// A plan's steps, if all still is as it was announced; none where nothing is due.
async fn still_holds(
    (plans, state, client): (&Plans, &State, &Client),
    kept: &Kept,
    options: &args::Enforce,
    today: Day,
) -> Result<Vec<Reach>> {
    plans.is_current(kept)?;
    let policy = held_against(state, &kept.plan, options, today)?;
    if kept.plan.is_empty() {
        return Ok(Vec::new());
    }
    check_drift(client, kept, &policy).await
}

/// Tells the audit log that a plan is not carried out.
async fn refused(
    folder: &DataFolder,
    state: &State,
    plan: &Plan,
    action: Action,
    error: anyhow::Error,
) -> anyhow::Error {
    let is_store =
        |cause: &(dyn std::error::Error + 'static)| cause.is::<clickhouse::error::Error>();
    let reason = if error.is::<OnHold>() {
        Reason::LegalHold
    } else if plan.region != state.region {
        Reason::AnotherRegion
    } else if error.chain().any(is_store) {
        Reason::NotNow
    } else {
        Reason::PlanChanged
    };
    asks::decline(folder, vec![action], reason).await;
    error
}

/// A legal hold came after the plan.
#[derive(Debug, thiserror::Error)]
#[error(
    "a legal hold keeps {campaign} since this plan was made ({reason}): nothing of it was changed; \
     plan anew to see what is left"
)]
struct OnHold {
    campaign: String,
    reason: String,
}

fn no_hold(policy: &Policy, plan: &Plan) -> Result<(), OnHold> {
    let of_plan = |name: &str| plan.campaigns.iter().any(|campaign| campaign.name == name);
    match policy.held.iter().find(|(name, _)| of_plan(name)) {
        Some((campaign, reason)) => {
            Err(OnHold { campaign: campaign.clone(), reason: reason.clone() })
        }
        None => Ok(()),
    }
}

fn chosen(state: &State, asked: &str, kind: Option<crate::policies::PolicyKind>) -> Result<Policy> {
    policy(&manifests(state)?, asked, kind)
}

/// The policy of a plan, if all still is as it was announced.
fn held_against(state: &State, plan: &Plan, options: &args::Enforce, today: Day) -> Result<Policy> {
    let name = &plan.policy;
    ensure!(
        plan.region == state.region,
        "this plan is of region {}, and this is {}: plan anew with `hushmark plan {name}`",
        plan.region,
        state.region
    );
    plan.is_of(&options.policy)?;
    let policy = chosen(state, name, Some(plan.kind))?;
    no_hold(&policy, plan)?;
    ensure!(
        policy.mode == PolicyMode::Enforce,
        "{name} has mode: plan, so nothing was changed: write mode: enforce into it, and plan anew"
    );
    let plan_anew = format!("see what it comes to with `hushmark plan {name}`, and give its hash");
    ensure!(
        policy.spec == plan.spec,
        "{name} says something else since this plan was made, so nothing was changed: {plan_anew}"
    );
    let same = policy.campaigns.iter().map(|(name, _)| name.as_str());
    ensure!(
        same.eq(plan.campaigns.iter().map(|campaign| campaign.name.as_str())),
        "other campaigns name {name} since this plan was made, so nothing was changed: {plan_anew}"
    );
    for step in &plan.steps {
        let announced = step.due()?;
        let now = due(&policy.limits, today).into_iter().find(|due| due.step == announced.step);
        ensure!(
            now.is_some_and(|now| announced.before <= now.before),
            "this plan removes what is younger than {name} says today: is the clock right?"
        );
    }
    Ok(policy)
}

fn reach(policy: &Policy, due: hushmark_policy::retention::Due) -> Reach {
    let campaigns = policy.campaigns.iter().map(|(_, id)| *id).collect();
    Reach { tenant: policy.tenant, campaigns, due }
}

/// The plan's steps, if as much is due as was announced. Of one that was cut short a part is done.
async fn check_drift(client: &Client, kept: &Kept, policy: &Policy) -> Result<Vec<Reach>> {
    let plan = &kept.plan;
    let mut steps = Vec::new();
    for step in &plan.steps {
        let reach = reach(policy, step.due()?);
        let now = found(client, &reach).await.context("cannot count what is due")?;
        for table in ["hits", "counters"] {
            let (announced, found) = (step.rows(table), rows(&now, table));
            let is_done_in_part = kept.begun_ms.is_some() && found <= announced;
            if !is_done_in_part && has_drifted(announced, found, policy.drift_percent) {
                bail!(
                    "step {} was announced for {announced} rows of {table}, and {found} are due, \
                     more than {} % apart (guard.driftPercent): nothing was changed; find out why, \
                     then plan anew with `hushmark plan {}`",
                    step.step,
                    policy.drift_percent,
                    plan.policy
                );
            }
        }
        steps.push(reach);
    }
    Ok(steps)
}

/// Does a step again and again until a count finds nothing, and says what was there.
async fn until_nothing_is_left(client: &Client, reach: &Reach) -> Result<Vec<Found>> {
    let mut done: Vec<Found> = Vec::new();
    for _ in 0..ROUNDS {
        let now = found(client, reach).await.context("cannot count what is due")?;
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
        carry_out(client, reach).await.context("ClickHouse did not do it")?;
    }
    bail!("rows that are due came in as fast as they were removed, {ROUNDS} times")
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
async fn record(client: &Client, reach: &Reach, plan: [u8; 32], now_ms: u64) -> Result<()> {
    let write = async {
        let mut insert = client.insert::<EnforcedRow>("enforced").await?;
        for campaign in &reach.campaigns {
            let at = i64::try_from(now_ms).unwrap_or(i64::MAX);
            let (tenant, step) = (reach.tenant.0, reach.due.step.name());
            insert.write(&EnforcedRow { tenant, campaign: campaign.0, plan, step, at }).await?;
        }
        insert.end().await
    };
    write.await.context("cannot write down in ClickHouse what was removed")
}
