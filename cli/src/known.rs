//! What commands about people need: which campaigns may tell of them, by everything that was ever
//! decided, and the key that opens addresses. Whoever looks is written into the audit log.

use std::collections::HashMap;

use anyhow::{Context, Result};
use hushmark_event::audit::{Action, Read, Target};
use hushmark_event::refusal::{Allowed, Mail, RefusalLog};
use hushmark_policy::{CampaignId, Place, TenantId};
use hushmark_report::{Known, Person};

use crate::data::{DataFolder, State};
use crate::erase::Log;
use crate::{asks, contacts, keys, stamp};

/// The campaigns of a tenant. The refusal log has the last word of what may be told of each: it
/// knows kill switches, withdrawals and policies that became stricter.
pub(crate) async fn campaigns(
    folder: &DataFolder,
    state: &State,
    tenant: TenantId,
) -> Result<HashMap<CampaignId, Known>> {
    let mut all = hushmark_report::people::campaigns(&state.clickhouse()?, tenant).await?;
    let refused = Log::read(folder)?.0;
    for known in all.values_mut() {
        lower(known, tenant, &refused, stamp::generation(folder, known.id)?);
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
    Ok(contacts::unseal(tenant, &*keys::tenant_key(folder, tenant)?))
}

/// Writes into the audit log who looks at what, before it is shown.
pub(crate) async fn audit(folder: &DataFolder, what: Read, of: Target) -> Result<()> {
    asks::ask_for(folder, vec![(None, Action::Read { what, of })])
        .await
        .context("nothing is shown before the audit log says who looked")
}
