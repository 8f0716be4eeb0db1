//! What commands about people need: which campaigns may tell of them, by everything that was ever
//! decided, and the key that opens addresses. Whoever looks is written into the audit log.

use std::collections::HashMap;

use anyhow::{Context, Result};
use hushmark_event::audit::{Action, Read, Target, Write};
use hushmark_event::refusal::{Allowed, Entry, Mail, RefusalLog, Refuses};
use hushmark_policy::{CampaignId, Day, Place, TenantId};
use hushmark_report::{Ended, Known, Person};

use crate::data::{DataFolder, State};
use crate::erase::Log;
use crate::keys::REFUSAL_LOG;
use crate::{asks, contacts, files, keys, stamp};

/// The campaigns of a tenant, once ClickHouse obeys every erasure. The refusal log has the last word
/// of what may be told of each: it knows kill switches, withdrawals and policies that became
/// stricter.
pub(crate) async fn campaigns(
    folder: &DataFolder,
    state: &State,
    tenant: TenantId,
) -> Result<HashMap<CampaignId, Known>> {
    let log = Log::read(folder)?;
    let is_its = |namespace: &&String| TenantId::derive(&state.region, namespace) == tenant;
    let namespace = state.namespaces.iter().find(is_its);
    log.tenant(tenant, namespace.map_or("", String::as_str))?;
    log.is_obeyed(&state.clickhouse()?).await?;
    let mut all = hushmark_report::people::campaigns(&state.clickhouse()?, tenant).await?;
    for known in all.values_mut() {
        lower(known, tenant, &log.0, stamp::generation(folder, known.id)?);
    }
    Ok(all)
}

fn lower(known: &mut Known, tenant: TenantId, refused: &RefusalLog, generation: u32) {
    let mail = Mail { tenant, mail_type: known.mail_type, campaign: Some(known.id) };
    let allowed = Allowed { tracking: known.tracking, place: Place::City };
    known.tracking = allowed.strictest(&mail.capped(refused.caps(), generation)).tracking;
}

/// One of them.
pub(crate) fn one(all: HashMap<CampaignId, Known>, id: CampaignId, name: &str) -> Result<Known> {
    let found = all.into_values().find(|known| known.id == id);
    found.with_context(|| format!("no manifest ever named {name}: check its name"))
}

/// Opens addresses of a tenant's contacts.
pub(crate) fn unseal(
    folder: &DataFolder,
    tenant: TenantId,
) -> Result<impl Fn(u64, &[u8]) -> Option<Person> + use<>> {
    // Looking makes no key: that of an erased tenant would come back.
    let key = keys::tenant_key_if_there(folder, tenant)?;
    let open = key.map(|key| contacts::unseal(tenant, &key));
    Ok(move |contact, sealed: &[u8]| open.as_ref()?(contact, sealed))
}

/// Contacts of a tenant whose tracking the refusal log ended.
pub(crate) fn ended(folder: &DataFolder, tenant: TenantId) -> Result<Ended> {
    let path = folder.path(REFUSAL_LOG);
    let mut ended = Ended::new();
    for line in files::lines(&path)? {
        let entry: Entry = serde_json::from_slice(&line)
            .with_context(|| format!("{} is damaged: restore it", path.display()))?;
        if let Refuses::Contact { tenant: of, id } = entry.refuses
            && of == tenant.to_string()
        {
            let id = u64::from_str_radix(&id, 16).context("the refusal log names no contact")?;
            ended.entry(id).or_insert(Day::of_unix_ms(entry.at_ms));
        }
    }
    Ok(ended)
}

/// Writes into the audit log who looks at what, before it is shown.
pub(crate) async fn audit(folder: &DataFolder, what: Read, of: Target) -> Result<()> {
    asks::ask_for(folder, vec![(None, Action::Read { what, of })])
        .await
        .context("nothing is shown before the audit log says who looked")
}

/// Writes into the audit log who writes what down, before it is written.
pub(crate) async fn audit_write(folder: &DataFolder, what: Write, of: Target) -> Result<()> {
    asks::ask_for(folder, vec![(None, Action::Write { what, of })]).await.context(
        "who writes something down about people is in the audit log first, which may tell of it later: \
         nothing was written, run the same command again",
    )
}
