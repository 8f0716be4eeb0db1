//! `hushmark takedown`: asks for an entry in the refusal log, and waits until it is there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_event::redis_keys::{ASKS, REFUSAL_FIELD};
use hushmark_event::refusal::{Refuses, Takedown};
use hushmark_policy::TenantId;

use crate::args;
use crate::data::{DataFolder, State};
use crate::up::refusals::connect;

/// How long `up` may take to append what was asked.
const APPENDED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn run(data: &Path, options: &args::Takedown) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let what = what(&state, options)?;
    let ask =
        serde_json::to_string(&Refuses::Takedown(what)).context("cannot write the request")?;
    let mut redis = connect(&folder).await.context("is `hushmark up` running?")?;
    let id: String = redis::cmd("XADD")
        .arg(ASKS)
        .arg("*")
        .arg(REFUSAL_FIELD)
        .arg(ask)
        .query_async(&mut redis)
        .await
        .context("cannot ask for the takedown")?;
    let until = Instant::now() + APPENDED_WITHIN;
    loop {
        let waiting: Vec<redis::Value> = redis::cmd("XRANGE")
            .arg(ASKS)
            .arg(&id)
            .arg(&id)
            .query_async(&mut redis)
            .await
            .context("cannot see whether the takedown was taken")?;
        if waiting.is_empty() {
            println!("taken down: edges answer 404 within a second");
            return Ok(());
        }
        if Instant::now() > until {
            bail!(
                "the takedown is asked for, but nobody appended it within {} s: it holds as soon \
                 as `hushmark up` runs",
                APPENDED_WITHIN.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn what(state: &State, options: &args::Takedown) -> Result<Takedown> {
    Ok(match options {
        args::Takedown { tenant: Some(namespace), .. } => {
            if !state.namespaces.contains(namespace) {
                bail!(
                    "no tenant in namespace {namespace}; there are {}",
                    state.namespaces.join(", ")
                );
            }
            Takedown::Tenant(TenantId::derive(&state.region, namespace).to_string())
        }
        args::Takedown { campaign: Some(campaign), .. } => {
            Takedown::Campaign(state.campaign(campaign)?.2.to_string())
        }
        args::Takedown { url: Some(url), .. } => Takedown::Url(url.clone()),
        args::Takedown { kid: Some(kid), .. } => Takedown::Kid(*kid),
        _ => bail!("say what to take down: --tenant, --campaign, --url or --kid"),
    })
}
