//! `erase`: a campaign or a tenant goes from every store, and whoever asked gets the receipt.
//!
//! The operator appends the erasure to the refusal log, the writer carries it out by that log alone
//! and says so, and the operator makes the receipt: an entry of its audit log.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hushmark_event::ask::look::{RECEIPT_PATH, ReceiptAnswer, ReceiptQuestion};
use hushmark_event::ask::{self, Answer, Ask};
use hushmark_event::audit::verify::{VerifiedReceipt, receipt};
use hushmark_event::refusal::{Erased, Refuses};
use kube::ResourceExt as _;
use serde_json::json;

use super::args;
use super::ask::{campaign_meant, confirm, tenant_meant};
use super::connect::Connected;
use super::operator::{To, log_key, who_asks};
use crate::receipts::say;
use crate::report::print;

/// How often it is asked whether it is done.
const EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn run(options: &args::Erase) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let sure = &options.sure;
    let (region, of, erased, what) = match (&options.campaign, &options.tenant) {
        (Some(typed), _) => {
            let (region, id, name) = campaign_meant(&at, typed, sure).await?;
            let namespace = name.split('/').next().unwrap_or_default();
            let tenant = hushmark_policy::TenantId::derive(&region.name_any(), namespace);
            let erased = Erased::Campaign { tenant: tenant.to_string(), id: id.to_string() };
            let what = format!("campaign {name}");
            (region, name, erased, what)
        }
        (None, Some(namespace)) => {
            whole_tenant(options, namespace)?;
            let (region, id) = tenant_meant(&at, namespace, sure).await?;
            let what = format!("tenant {namespace} with all of its campaigns");
            (region, namespace.clone(), Erased::Tenant(id.to_string()), what)
        }
        (None, None) => bail!("say whose data goes: --campaign or --tenant"),
    };
    let (name, key) = (region.name_any(), log_key(&region)?);
    if !sure.yes {
        confirm(&format!(
            "Everything that Region {name} stores of {what} goes, and nothing of it is ever stored \
             again under its name."
        ))?;
    }
    let to = To::find(&at, &region, sure.operator).await?;
    let by = who_asks(&at.client).await;
    let refuses = Refuses::Erase(erased);
    let ask = Ask { region: name.clone(), by, of: Some(of), refuses };
    let answer: Answer = to.post(&at, ask::PATH, &ask).await?;
    let position = answer.position;
    eprintln!(
        "refused from now on, by entry {position} of the refusal log; waiting for the writer to \
         remove what is stored"
    );
    let question = ReceiptQuestion { region: name, position };
    let until = Instant::now() + Duration::from_secs(options.timeout);
    let text = wait(&at, &region, options, (to, &question), until).await?;
    let verified = receipt(text.as_bytes(), &key).context("the receipt does not verify")?;
    ensure!(
        verified.receipt.position == position,
        "the operator sent another erasure's receipt, by entry {} of the refusal log and not \
         {position}: ask again",
        verified.receipt.position
    );
    tell(options, &text, &verified)
}

/// What of a tenant can be erased in a cluster.
fn whole_tenant(options: &args::Erase, namespace: &str) -> Result<()> {
    if options.people.is_some() {
        bail!(
            "people are found by a tenant's contacts, and a cluster has none yet: on one machine \
             `hushmark erase --tenant {namespace} --people FILE` erases them; nothing was changed"
        );
    }
    ensure!(
        options.all,
        "say what of tenant {namespace} goes: --all for everything; nothing was changed"
    );
    Ok(())
}

/// The receipt, once there is one.
async fn wait(
    at: &Connected,
    region: &hushmark_crds::Region,
    options: &args::Erase,
    (mut to, question): (To, &ReceiptQuestion),
    until: Instant,
) -> Result<String> {
    let mut said = String::new();
    loop {
        let trouble = match to.post::<ReceiptAnswer>(at, RECEIPT_PATH, question).await {
            Ok(ReceiptAnswer { file: Some(text) }) => return Ok(text),
            Ok(ReceiptAnswer { file: None }) => String::new(),
            // Another pod may work by now.
            Err(error) => {
                if let Ok(found) = To::find(at, region, options.sure.operator).await {
                    to = found;
                }
                format!("asking again: {error:#}")
            }
        };
        if Instant::now() > until {
            bail!(
                "it is asked for and goes on by itself, but has not ended within {} s: the log of \
                 the writer that works says what it waits for; run the same command again for the \
                 receipt. {trouble}",
                options.timeout
            );
        }
        if !trouble.is_empty() && trouble != said {
            eprintln!("{trouble}");
        }
        said = trouble;
        tokio::time::sleep(EVERY).await;
    }
}

fn tell(options: &args::Erase, text: &str, verified: &VerifiedReceipt) -> Result<ExitCode> {
    let name = match &options.out {
        Some(out) => {
            let name = out.display().to_string();
            std::fs::write(out, text).with_context(|| format!("cannot write {name}"))?;
            name
        }
        None => format!("receipt {}", verified.pin.n),
    };
    if options.sure.json {
        let all = json!({ "receipts": [say::receipt_json(&name, verified)] });
        let all = serde_json::to_string_pretty(&all).context("cannot write JSON")?;
        print(&(all + "\n"))?;
    } else {
        print(&say::receipt(&name, verified))?;
    }
    Ok(ExitCode::SUCCESS)
}
