//! `hushmark plan POLICY` and `hushmark enforce`: what a policy would remove, announced with a hash,
//! and then removed under that hash, and nothing else.
//!
//! In reading order: [`kept`] is where a plan lies until it is carried out, [`stores`] what no policy
//! reaches, [`completed`] how a recipient list goes, [`say`] how it reads. [`crate::policies`] finds
//! the policy; what a plan says is `hushmark_event::plans`, which rows are meant and how they go is
//! the writer's (`hushmark_writer::retention`). In a cluster it is [`crate::cluster`]'s.

mod completed;
mod kept;
pub(crate) mod say;
pub(crate) mod stores;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clickhouse::Client;
use hushmark_event::audit::{Action, Reason};
use hushmark_event::plans::{Done, Plan, Policy, PolicyKind, Unfit};
use hushmark_policy::Day;
use hushmark_writer::retention::{Reach, announce, check_drift, enforce_step};

use crate::data::{DataFolder, State};
use crate::erase::Log;
use crate::policies::{manifests, policy};
use crate::report::print;
use crate::up::now_ms;
use crate::{args, asks};
pub(crate) use completed::complete;
pub(crate) use kept::hash;
use kept::{Kept, Plans};

/// Something is due: the exit status that `plan` of manifests has for changes.
pub(crate) const DUE: u8 = 3;

/// Announces what is due.
pub(crate) async fn plan(data: &Path, options: &args::PlanPolicy) -> Result<ExitCode> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let policy = chosen(&state, &options.policy, options.kind.map(Into::into))?;
    Log::read(&folder)?.is_obeyed(&state.clickhouse()?).await?;
    let client = state.clickhouse()?.client();
    let now = now_ms();
    let today = Day::of_unix_ms(now);
    let plan = announce(&client, &policy, today).await?;
    let beyond = stores::beyond(&folder, &client, policy.tenant()).await?;
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
        let way =
            say::Way { tool: "hushmark", policy: plan.policy.clone(), enforces: policy.enforces };
        say::plan(&plan, &beyond, today, &way)
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
        if let Err(error) = free.and_then(|policy| Ok(begun.plan.no_hold(&policy)?)) {
            let error =
                error.context(format!("step {} and what follows were not done", reach.due.step));
            return Err(refused(&folder, &state, &begun.plan, action, error).await);
        }
        let found = enforce_step(&client, &reach, hash, now).await.with_context(|| {
            format!(
                "step {} was cut short; `hushmark enforce` with the same hash goes on with it",
                reach.due.step
            )
        })?;
        done.push(Done::new(reach.due, found));
    }
    plans.keep(&Kept { enforced_ms: Some(now_ms()), ..begun.clone() })?;
    let text = if options.json {
        let whole = say::JsonDone { plan: hash, policy: &begun.plan.policy, steps: &done };
        serde_json::to_string_pretty(&whole).context("cannot write JSON")? + "\n"
    } else {
        say::done((begun.plan.kind, &begun.plan.policy), &done)
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
    let guard = (policy.drift_percent, kept.begun_ms.is_some());
    Ok(check_drift(client, &kept.plan, guard, &again(&kept.plan)).await?)
}

/// The command that plans anew.
fn again(plan: &Plan) -> String {
    format!("hushmark plan {}", plan.policy)
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
    let reason = if matches!(error.downcast_ref(), Some(Unfit::OnHold { .. })) {
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

fn chosen(state: &State, asked: &str, kind: Option<PolicyKind>) -> Result<Policy> {
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
    is_of(plan, &options.policy)?;
    let policy = chosen(state, name, Some(plan.kind))?;
    plan.still_holds(&policy, today, &again(plan))?;
    Ok(policy)
}

/// Fails for the plan of another policy than a person names, by NAME or NAMESPACE/NAME.
fn is_of(plan: &Plan, asked: &str) -> Result<()> {
    let name = plan.policy.split_once('/').map_or("", |(_, name)| name);
    ensure!(
        asked == plan.policy || asked == name,
        "this plan is of {} {}, and not of {asked}: give the hash that `hushmark plan {asked}` \
         prints",
        plan.kind.name(),
        plan.policy
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_another_policy_is_said_to_be_one() {
        let plan = Plan {
            schema: 1,
            region: "eu".into(),
            kind: PolicyKind::Anonymization,
            policy: "acme/fade".into(),
            spec: "{}".into(),
            campaigns: Vec::new(),
            held: Vec::new(),
            steps: Vec::new(),
        };
        assert!(is_of(&plan, "fade").is_ok() && is_of(&plan, "acme/fade").is_ok());
        for other in ["two-years", "beta/fade", "acme/", ""] {
            let said = is_of(&plan, other).unwrap_err().to_string();
            assert!(said.starts_with("this plan is of AnonymizationPolicy acme/fade, and not of"));
        }
    }
}
