//! `hushmark takedown` and `hushmark withdraw`: each asks for entries in the refusal log of the
//! stack on this machine, and waits until they are there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_event::ask::Question;
use hushmark_event::audit::entry::TakenDown;
use hushmark_event::audit::{Action, Name, Principal, Target};
use hushmark_event::redis_keys::{ASKS, QUESTION_FIELD, REFUSAL_FIELD};
use hushmark_event::refusal::{Refuses, Takedown};
use hushmark_policy::TenantId;
use redis::aio::MultiplexedConnection;

use crate::data::{DataFolder, State};
use crate::report::print;
use crate::up::refusals::connect;
use crate::withdrawal::Withdrawal;
use crate::{args, campaigns};

/// How long `up` may take to append what was asked.
const APPENDED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn takedown(data: &Path, options: &args::TakenDown) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (what, action, said) = what(&folder, &state, options).await?;
    append(&folder, &[Refuses::Takedown(what)], Action::Takedown(action)).await?;
    print(&format!("taken down: {said}; edges answer 404 within a second\n"))
}

pub(crate) async fn withdraw(data: &Path, options: &args::Withdrawn) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (whose, withdrawal) = match (&options.whose.campaign, &options.whose.tenant) {
        (Some(campaign), _) => {
            let (name, tenant, id) = state.campaign(campaign)?;
            campaigns::known(&state, campaign, id).await?;
            (Target::Campaign { tenant, id }, options.of_campaign(id, &name))
        }
        (None, Some(namespace)) => {
            let id = tenant(&state, namespace)?;
            (Target::Tenant(id), options.of_tenant(id, namespace))
        }
        (None, None) => bail!("say whose tracking ends: --campaign or --tenant"),
    };
    let Withdrawal { refuses, text } = withdrawal;
    append(&folder, &refuses, Action::Withdraw(whose)).await?;
    print(&format!("withdrawn: {text}; edges obey within a second\n"))
}

/// Asks for entries, and waits until the log has them.
async fn append(folder: &DataFolder, refuses: &[Refuses], action: Action) -> Result<()> {
    let mut redis = connect(folder).await.context("is `hushmark up` running?")?;
    let question = Question { by: this_user(), action };
    let question = serde_json::to_string(&question).context("cannot write who asks")?;
    let mut waiting = Vec::new();
    for refuses in refuses {
        let text = serde_json::to_string(refuses).context("cannot write the request")?;
        let id: String = redis::cmd("XADD")
            .arg(ASKS)
            .arg(&["*", REFUSAL_FIELD, &text, QUESTION_FIELD, &question])
            .query_async(&mut redis)
            .await
            .context("cannot ask for an entry in the refusal log")?;
        waiting.push(id);
    }
    let until = Instant::now() + APPENDED_WITHIN;
    for id in waiting {
        while is_waiting(&mut redis, &id).await? {
            if Instant::now() > until {
                bail!(
                    "it is asked for, but nobody appended it within {} s: it holds as soon as \
                     `hushmark up` runs",
                    APPENDED_WITHIN.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// The number is the system's word, the name this person's.
fn this_user() -> Principal {
    let id = rustix::process::getuid().as_raw();
    let name = std::env::var("USER").ok().filter(|name| !name.is_empty());
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    Principal::Local(Name::of(&format!("uid {id}{name}")))
}

async fn is_waiting(redis: &mut MultiplexedConnection, id: &str) -> Result<bool> {
    let mut range = redis::cmd("XRANGE");
    let waiting: Vec<redis::Value> = range
        .arg(ASKS)
        .arg(&[id, id])
        .query_async(redis)
        .await
        .context("cannot see whether what was asked for was taken")?;
    Ok(!waiting.is_empty())
}

/// What is to be refused, for the log and for people. It cannot be undone, so that a typing error
/// must not pass for it.
async fn what(
    folder: &DataFolder,
    state: &State,
    options: &args::TakenDown,
) -> Result<(Takedown, TakenDown, String)> {
    Ok(match options {
        args::TakenDown { tenant: Some(namespace), .. } => {
            let id = tenant(state, namespace)?;
            let said = format!("every link of tenant {namespace}");
            (Takedown::Tenant(id.to_string()), TakenDown::Tenant(id), said)
        }
        args::TakenDown { campaign: Some(campaign), .. } => {
            let (name, tenant, id) = state.campaign(campaign)?;
            campaigns::known(state, campaign, id).await?;
            let action = TakenDown::Campaign { tenant, id };
            (Takedown::Campaign(id.to_string()), action, format!("every link of {name}"))
        }
        args::TakenDown { url: Some(url), .. } => {
            let to = url.as_str();
            let said = format!("every link to {to}, byte for byte");
            (Takedown::Url(to.to_owned()), TakenDown::Url, said)
        }
        args::TakenDown { kid: Some(kid), .. } => {
            if !folder.path("keys").join(format!("{kid}.key")).exists() {
                bail!("there is no region key {kid} in {}", folder.path("keys").display());
            }
            (Takedown::Kid(*kid), TakenDown::Kid(*kid), format!("every token under key {kid}"))
        }
        _ => bail!("say what to take down: --tenant, --campaign, --url or --kid"),
    })
}

/// A tenant by its namespace.
fn tenant(state: &State, namespace: &str) -> Result<TenantId> {
    if !state.namespaces.iter().any(|known| known == namespace) {
        bail!("no tenant in namespace {namespace}; there are {}", state.namespaces.join(", "));
    }
    Ok(TenantId::derive(&state.region, namespace))
}
