//! `hushmark takedown`: asks for an entry in the refusal log, and waits until it is there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_event::redis_keys::{ASKS, REFUSAL_FIELD};
use hushmark_event::refusal::{Refuses, Takedown};
use hushmark_policy::TenantId;

use crate::data::{DataFolder, State};
use crate::up::refusals::connect;
use crate::{args, campaigns};

/// How long `up` may take to append what was asked.
const APPENDED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn run(data: &Path, options: &args::TakenDown) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (what, said) = what(&folder, &state, options).await?;
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
            println!("taken down: {said}; edges answer 404 within a second");
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

/// What is to be refused, for the log and for people. It cannot be undone, so that a typing error
/// must not pass for it.
async fn what(
    folder: &DataFolder,
    state: &State,
    options: &args::TakenDown,
) -> Result<(Takedown, String)> {
    Ok(match options {
        args::TakenDown { tenant: Some(namespace), .. } => {
            if !state.namespaces.contains(namespace) {
                bail!(
                    "no tenant in namespace {namespace}; there are {}",
                    state.namespaces.join(", ")
                );
            }
            let id = TenantId::derive(&state.region, namespace);
            (Takedown::Tenant(id.to_string()), format!("every link of tenant {namespace}"))
        }
        args::TakenDown { campaign: Some(campaign), .. } => {
            let (name, _, id) = state.campaign(campaign)?;
            campaigns::known(state, campaign, id).await?;
            (Takedown::Campaign(id.to_string()), format!("every link of {name}"))
        }
        args::TakenDown { url: Some(url), .. } => {
            let to = url.as_str();
            (Takedown::Url(to.to_owned()), format!("every link to {to}, byte for byte"))
        }
        args::TakenDown { kid: Some(kid), .. } => {
            if !folder.path("keys").join(format!("{kid}.key")).exists() {
                bail!("there is no region key {kid} in {}", folder.path("keys").display());
            }
            (Takedown::Kid(*kid), format!("every token under key {kid}"))
        }
        _ => bail!("say what to take down: --tenant, --campaign, --url or --kid"),
    })
}
