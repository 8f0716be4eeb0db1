//! `withdraw` and `takedown`: entries of the refusal log. Only the operator that works appends
//! them, and it says at which place.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hushmark_crds::{Campaign, Region, Tenant};
use hushmark_event::ask::{self, Answer, Ask, Declined};
use hushmark_event::refusal::{Refuses, Takedown};
use hushmark_policy::{CampaignId, TenantId};
use hyper::{Request, header};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::args::{self, Sure};
use super::connect::{Connected, said};
use super::port::{to_address, to_pod};
use super::world::{get, one_region};
use crate::args::TakenDown;
use crate::report::print;
use crate::withdrawal::Withdrawal;

/// What is asked for, and how it is said to people.
struct Wanted {
    region: Region,
    refuses: Vec<Refuses>,
    text: String,
}

pub(crate) async fn withdraw(options: &args::Withdraw) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let what = &options.what;
    let (region, withdrawal) = match (&what.whose.campaign, &what.whose.tenant) {
        (Some(campaign), _) => {
            let (region, id, name) = campaign_meant(&at, campaign, &options.sure).await?;
            (region, what.of_campaign(id, &name))
        }
        (None, Some(tenant)) => {
            let (region, id) = tenant_meant(&at, tenant, &options.sure).await?;
            (region, what.of_tenant(id, tenant))
        }
        (None, None) => {
            let region = one_region(&at.client, options.sure.region.as_deref()).await?;
            let withdrawal = what.of_all(&region.name_any());
            (region, withdrawal)
        }
    };
    let Withdrawal { refuses, text } = withdrawal;
    carry_out(&at, Wanted { region, refuses, text }, &options.sure).await
}

pub(crate) async fn takedown(options: &args::Takedown) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let sure = &options.sure;
    let named = sure.region.as_deref();
    let (region, what, which) = match &options.what {
        TakenDown { tenant: Some(tenant), .. } => {
            let (region, id) = tenant_meant(&at, tenant, sure).await?;
            (region, Takedown::Tenant(id.to_string()), format!("every link of tenant {tenant}"))
        }
        TakenDown { campaign: Some(campaign), .. } => {
            let (region, id, name) = campaign_meant(&at, campaign, sure).await?;
            (region, Takedown::Campaign(id.to_string()), format!("every link of campaign {name}"))
        }
        TakenDown { url: Some(url), .. } => {
            let region = one_region(&at.client, named).await?;
            (region, Takedown::Url(url.clone()), format!("every link to {url}, byte for byte,"))
        }
        TakenDown { kid: Some(kid), .. } => {
            let region = one_region(&at.client, named).await?;
            (region, Takedown::Kid(*kid), format!("every token under key {kid}"))
        }
        _ => bail!("say what to take down: --tenant, --campaign, --url or --kid"),
    };
    let text = format!("{which} is answered with a plain 404");
    let refuses = vec![Refuses::Takedown(what)];
    carry_out(&at, Wanted { region, refuses, text }, sure).await
}

/// The campaign that is meant, in its Region. A typing error must not pass for what cannot be
/// undone, so that the cluster has to have it, unless the person says that it is gone.
async fn campaign_meant(
    at: &Connected,
    typed: &str,
    sure: &Sure,
) -> Result<(Region, CampaignId, String)> {
    let (namespace, name) = at.named(typed);
    if !sure.deleted && get::<Campaign>(&at.client, namespace, name).await?.is_none() {
        bail!(
            "there is no campaign {namespace}/{name}. If it was deleted and its mail is meant: \
             --deleted --region NAME"
        );
    }
    let region = region_meant(at, namespace, sure).await?;
    let id = CampaignId::derive(&region.name_any(), namespace, name);
    Ok((region, id, format!("{namespace}/{name}")))
}

async fn tenant_meant(at: &Connected, namespace: &str, sure: &Sure) -> Result<(Region, TenantId)> {
    let region = region_meant(at, namespace, sure).await?;
    let id = TenantId::derive(&region.name_any(), namespace);
    Ok((region, id))
}

/// The Region of a namespace's tenant.
async fn region_meant(at: &Connected, namespace: &str, sure: &Sure) -> Result<Region> {
    if sure.deleted {
        return one_region(&at.client, sure.region.as_deref()).await;
    }
    let tenants: Api<Tenant> = Api::namespaced(at.client.clone(), namespace);
    let here = tenants.list(&ListParams::default()).await;
    let here = here.map_err(|error| said(format!("list tenants of {namespace}"), error))?.items;
    let Some(tenant) = Tenant::that_counts(&here) else {
        bail!(
            "namespace {namespace} has no Tenant. If it was deleted and its mail is meant: \
             --deleted --region NAME"
        )
    };
    let region = &tenant.spec.region;
    match sure.region.as_deref() {
        Some(named) if named != region => {
            bail!("the Tenant of {namespace} is in Region {region}, not {named}")
        }
        _ => one_region(&at.client, Some(region)).await,
    }
}

async fn carry_out(at: &Connected, wanted: Wanted, sure: &Sure) -> Result<ExitCode> {
    let Wanted { region, refuses, text } = wanted;
    let name = region.name_any();
    if !sure.yes {
        confirm(&format!("From now on {text}, in Region {name}, for good."))?;
    }
    let to = match sure.operator {
        Some(address) => To::Address(address),
        None => working_operator(at, &region).await?,
    };
    let mut answers = Vec::new();
    for refuses in refuses {
        answers.push(post(at, &to, &Ask { region: name.clone(), refuses }).await?);
    }
    if sure.json {
        let text = serde_json::to_string_pretty(&json!({ "region": name, "entries": answers }));
        print(&(text.context("cannot write JSON")? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = format!("{text}; edges and writers know within a second\n");
    for Answer { position, appended, length, hash } in &answers {
        let when = if *appended { "appended now" } else { "there already" };
        out += &format!(
            "entry {position} of the refusal log of Region {name}, {when}; head at {length}: {hash}\n"
        );
    }
    print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the person who sits there; nobody sits at a pipe.
pub(crate) fn confirm(text: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("this cannot be undone: say --yes where nobody can be asked");
    }
    let mut terminal = std::io::stderr();
    write!(terminal, "{text}\nThis cannot be undone. Type yes to go on: ")?;
    terminal.flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).context("cannot read the answer")?;
    if typed.trim() == "yes" { Ok(()) } else { bail!("nothing was done") }
}

/// Where the operator is reached.
enum To {
    Address(std::net::SocketAddr),
    Pod { namespace: String, name: String },
}

/// The pod that holds the Lease of a Region's release.
async fn working_operator(at: &Connected, region: &Region) -> Result<To> {
    let name = region.name_any();
    let owner = region.status.as_ref().and_then(|status| status.owner.as_ref());
    let owner = owner.with_context(|| {
        format!("no release runs Region {name} yet, so nobody can append to its refusal log")
    })?;
    let lease = format!("hushmark-region-{name}");
    let lease: Option<Lease> = get(&at.client, &owner.namespace, &lease).await?;
    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
    let holder = holder.filter(|holder| !holder.is_empty()).with_context(|| {
        format!("no operator of Region {name} works: see `kubectl hushmark status {name}`")
    })?;
    Ok(To::Pod { namespace: owner.namespace.clone(), name: holder })
}

async fn post(at: &Connected, to: &To, ask: &Ask) -> Result<Answer> {
    let body = serde_json::to_vec(ask).context("cannot write the request")?;
    let request = Request::post(ask::PATH)
        .header(header::HOST, "hushmark-operator")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .context("cannot write the request")?;
    let answer = match to {
        To::Address(address) => to_address(*address, request).await?,
        To::Pod { namespace, name } => {
            to_pod(&at.client, (namespace, name), ask::PORT, request).await?
        }
    };
    if answer.status.is_success() {
        return serde_json::from_slice(&answer.body).context("the operator's answer is none");
    }
    match serde_json::from_slice::<Declined>(&answer.body) {
        Ok(Declined { error }) => bail!("the operator says: {error}"),
        Err(_) => bail!("the operator answers {}: is it of this version?", answer.status),
    }
}
