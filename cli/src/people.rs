//! `hushmark segment`, `contact`, `export` and `log`: what may be told of people's mail. Their
//! answers come from [`hushmark_report`]; here are the key, the refusal log and the audit log.

use std::io::{BufWriter, ErrorKind};
use std::path::Path;

use anyhow::{Context, Result, bail};
use hushmark_event::audit::{Read, Target};
use hushmark_policy::{CampaignId, TenantId};
use hushmark_report::segment::{self, By};
use hushmark_report::{Known, ReadError, Report, Whom, contact, log, mailing};

use crate::asks::{addresses, source, tenant};
use crate::contacts::Contacts;
use crate::data::{DataFolder, State};
use crate::erase::Log;
use crate::keys::random64;
use crate::report::print;
use crate::{args, campaigns, keys, known};

/// `hushmark segment`.
pub(crate) async fn segment(data: &Path, options: &args::Segment) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (name, tenant, one) = match (&options.whose.campaign, &options.whose.tenant) {
        (Some(campaign), _) => {
            let (name, tenant, id) = state.campaign(campaign)?;
            campaigns::known(&state, campaign, id).await?;
            (name, tenant, Some(id))
        }
        (None, Some(namespace)) => {
            (format!("{}/{namespace}", state.region), tenant(&state, namespace)?, None)
        }
        (None, None) => bail!("say whose contacts: --campaign or --tenant"),
    };
    let all = known::campaigns(&folder, &state, tenant).await?;
    let (asked, target) = match one {
        Some(id) => (vec![known::one(all, id, &name)?], Target::Campaign { tenant, id }),
        None => (all.into_values().collect(), Target::Tenant(tenant)),
    };
    known::audit(&folder, Read::Segment, target).await?;
    let (unseal, ended) = (known::unseal(&folder, tenant)?, known::ended(&folder, tenant)?);
    let whom = Whom { unseal: &unseal, ended: &ended };
    let (clickhouse, asked) = (state.clickhouse()?, (&asked[..], by(&options.by)));
    let found = segment::read(&clickhouse, name, tenant, asked, whom).await?;
    match options.format {
        args::Format { json: true, .. } => print(&found.json()),
        args::Format { csv: true, .. } => {
            // A list has no room for them.
            found.reasons().for_each(|line| eprintln!("{line}"));
            print(&found.csv().context("cannot write CSV")?)
        }
        _ => print(&found.text()),
    }
}

const fn by(asked: &args::By) -> By {
    match asked {
        args::By { sent: true, .. } => By::Sent,
        args::By { delivered: true, .. } => By::Delivered,
        args::By { opened: true, .. } => By::Opened,
        args::By { clicked: true, .. } => By::Clicked,
        args::By { opened_since: Some(day), .. } => By::OpenedSince(*day),
        args::By { not_opened_since: Some(day), .. } => By::NotOpenedSince(*day),
        args::By { .. } => By::NotDelivered,
    }
}

/// `hushmark contact`.
pub(crate) async fn contact(data: &Path, options: &args::Contact) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let tenant = tenant(&state, &options.tenant)?;
    let people = addresses(&options.person)?;
    let [person] = people.as_slice() else {
        bail!("{} names {} people: give one address", source(&options.person), people.len());
    };
    let all = known::campaigns(&folder, &state, tenant).await?;
    let key = keys::known_tenant_key(&folder, tenant)?;
    let log = Log::read(&folder)?.0;
    let contacts = Contacts::read((&folder, &log), &state.clickhouse()?, tenant, key).await?;
    let tombstone = contacts.tombstone(person);
    known::audit(&folder, Read::Contact, Target::Person { tenant, tombstone }).await?;
    let (unseal, ended) = (known::unseal(&folder, tenant)?, known::ended(&folder, tenant)?);
    let whom = Whom { unseal: &unseal, ended: &ended };
    let name = format!("{}/{}", state.region, options.tenant);
    let lookup = contacts.lookup(person);
    let page = contact::read(&state.clickhouse()?, (name, tenant), &lookup, &all, whom).await?;
    let page = page.with_context(|| {
        format!(
            "tenant {} has no contact with this address: no mail was stamped for it; check its \
             spelling",
            options.tenant
        )
    })?;
    match options.format {
        args::Format { json: true, .. } => print(&page.json()),
        args::Format { csv: true, .. } => print(&page.csv().context("cannot write CSV")?),
        _ => print(&page.text()),
    }
}

/// `hushmark export`.
pub(crate) async fn export(data: &Path, options: &args::Export) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (name, tenant, id) = state.campaign(&options.campaign)?;
    campaigns::known(&state, &options.campaign, id).await?;
    let one = known::one(known::campaigns(&folder, &state, tenant).await?, id, &name)?;
    known::audit(&folder, Read::Export, Target::Campaign { tenant, id }).await?;
    let report = published(&state, &name, (tenant, id)).await?;
    let (unseal, ended) = (known::unseal(&folder, tenant)?, known::ended(&folder, tenant)?);
    let whom = Whom { unseal: &unseal, ended: &ended };
    let of = (tenant, &one);
    let export = mailing::read(&state.clickhouse()?, name, of, report.as_ref(), whom).await?;
    match options.format {
        args::Format { json: true, .. } => print(&export.json()),
        args::Format { csv: true, .. } => print(&export.csv().context("cannot write CSV")?),
        _ => print(&export.text()),
    }
}

/// What the last epoch published of a campaign, if any did.
async fn published(
    state: &State,
    name: &str,
    of: (TenantId, CampaignId),
) -> Result<Option<Report>> {
    match hushmark_report::campaign(&state.clickhouse()?, name, of).await {
        Ok(report) => Ok(Some(report)),
        Err(ReadError::NotPublished(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `hushmark log`.
pub(crate) async fn log(data: &Path, options: &args::Log) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let tenant = tenant(&state, &options.tenant)?;
    let mut all: Vec<Known> =
        known::campaigns(&folder, &state, tenant).await?.into_values().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    known::audit(&folder, Read::Log, Target::Tenant(tenant)).await?;
    let mut templates = Vec::new();
    for known in all {
        let report = published(&state, &known.name, (tenant, known.id)).await?;
        templates.push((known, report));
    }
    let (unseal, ended) = (known::unseal(&folder, tenant)?, known::ended(&folder, tenant)?);
    let whom = Whom { unseal: &unseal, ended: &ended };
    let name = format!("{}/{}", state.region, options.tenant);
    let log = log::read(&state.clickhouse()?, (name, tenant), &templates, whom).await?;
    match options.format {
        args::Format { json: true, .. } => print(&log.json()),
        args::Format { csv: true, .. } => {
            let out = BufWriter::new(std::io::stdout().lock());
            match log.csv(out, &mut below) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                    Err(error).context("cannot write CSV")
                }
                _ => Ok(()),
            }
        }
        _ => print(&log.text()),
    }
}

/// A random number below `n`, each as likely as the others to one in 2^32 at the least.
fn below(n: usize) -> usize {
    let drawn = u128::from(random64()) * n as u128;
    usize::try_from(drawn >> 64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn a_random_place_is_one_that_there_is() {
        assert_eq!(below(1), 0);
        assert!((1..2_000).all(|n| below(n) < n));
        let seen: std::collections::HashSet<usize> = (0..1_000).map(|_| below(3)).collect();
        assert_eq!(seen.len(), 3);
    }
}
