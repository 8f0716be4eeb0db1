//! `withdraw` and `takedown`: entries of the refusal log. Only the operator that works appends
//! them, and it says at which place.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use hushmark_crds::{Campaign, Region, Tenant};
use hushmark_event::ask::{self, Answer, Ask};
use hushmark_event::refusal::{Refuses, Takedown};
use hushmark_policy::{CampaignId, TenantId};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::args::{self, Sure};
use super::connect::{Connected, said};
use super::operator::{To, who_asks};
use super::world::{get, one_region};
use crate::args::TakenDown;
use crate::report::print;
use crate::withdrawal::Withdrawal;

/// What is asked for, and how it is said to people.
struct Wanted {
    region: Region,
    /// Whose mail it is: a tenant's namespace, or NAMESPACE/NAME of a campaign.
    of: Option<String>,
    refuses: Vec<Refuses>,
    text: String,
}

pub(crate) async fn withdraw(options: &args::Withdraw) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let what = &options.what;
    let (region, of, withdrawal) = match (&what.whose.campaign, &what.whose.tenant) {
        (Some(campaign), _) => {
            let (region, id, name) = campaign_meant(&at, campaign, &options.sure).await?;
            let withdrawal = what.of_campaign(id, &name);
            (region, Some(name), withdrawal)
        }
        (None, Some(tenant)) => {
            let (region, id) = tenant_meant(&at, tenant, &options.sure).await?;
            (region, Some(tenant.clone()), what.of_tenant(id, tenant))
        }
        (None, None) => {
            let region = one_region(&at.client, options.sure.region.as_deref()).await?;
            let withdrawal = what.of_all(&region.name_any());
            (region, None, withdrawal)
        }
    };
    let Withdrawal { refuses, text } = withdrawal;
    carry_out(&at, Wanted { region, of, refuses, text }, &options.sure).await
}

pub(crate) async fn takedown(options: &args::Takedown) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let sure = &options.sure;
    let named = sure.region.as_deref();
    let (region, of, what, which) = match &options.what {
        TakenDown { tenant: Some(tenant), .. } => {
            let (region, id) = tenant_meant(&at, tenant, sure).await?;
            let which = format!("every link of tenant {tenant}");
            (region, Some(tenant.clone()), Takedown::Tenant(id.to_string()), which)
        }
        TakenDown { campaign: Some(campaign), .. } => {
            let (region, id, name) = campaign_meant(&at, campaign, sure).await?;
            let which = format!("every link of campaign {name}");
            (region, Some(name), Takedown::Campaign(id.to_string()), which)
        }
        TakenDown { url: Some(url), .. } => {
            let region = one_region(&at.client, named).await?;
            let which = format!("every link to {url}, byte for byte,");
            (region, None, Takedown::Url(url.clone()), which)
        }
        TakenDown { kid: Some(kid), .. } => {
            let region = one_region(&at.client, named).await?;
            (region, None, Takedown::Kid(*kid), format!("every token under key {kid}"))
        }
        _ => bail!("say what to take down: --tenant, --campaign, --url or --kid"),
    };
    let text = format!("{which} is answered with a plain 404");
    let refuses = vec![Refuses::Takedown(what)];
    carry_out(&at, Wanted { region, of, refuses, text }, sure).await
}

/// The campaign that is meant, in its Region. A typing error must not pass for what cannot be
/// undone, so that the cluster has to have it, unless the person says that it is gone.
pub(super) async fn campaign_meant(
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

pub(super) async fn tenant_meant(
    at: &Connected,
    namespace: &str,
    sure: &Sure,
) -> Result<(Region, TenantId)> {
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
    let Wanted { region, of, refuses, text } = wanted;
    let name = region.name_any();
    if !sure.yes {
        confirm(&format!("From now on {text}, in Region {name}, for good."))?;
    }
    let to = To::find(at, &region, sure.operator).await?;
    let by = who_asks(&at.client).await;
    let mut answers = Vec::<Answer>::new();
    for refuses in refuses {
        let ask = Ask { region: name.clone(), by: by.clone(), of: of.clone(), refuses };
        answers.push(to.post(at, ask::PATH, &ask).await?);
    }
    if sure.json {
        let text = serde_json::to_string_pretty(&json!({ "region": name, "entries": answers }));
        print(&(text.context("cannot write JSON")? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = format!("{text}; edges and writers know within a second\n");
    for Answer { position, audited, appended, length, hash } in &answers {
        let when = if *appended { "appended now" } else { "there already" };
        out += &format!(
            "entry {position} of the refusal log of Region {name}, {when}; head at {length}: {hash}\n\
             entry {audited} of the audit log says that {} asked for it\n",
            by.as_str()
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
