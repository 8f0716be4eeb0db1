//! A legal hold wins over every erasure: of a held campaign, of a tenant that has one, and of whoever
//! has a row in one.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use hushmark_event::refusal::Whose as Erased;
use hushmark_policy::{CampaignId, Mark, TenantId};

use super::whose::Whose;
use crate::data::State;
use crate::policies;

/// Ids that one query names: each takes 21 bytes at most, and ClickHouse reads 256 KiB.
const NAMED_AT_ONCE: usize = 5_000;

/// Why nothing may be erased of what is asked for, if a hold keeps any of it.
pub(super) async fn keeps(
    state: &State,
    tenant: TenantId,
    due: &[&Whose],
) -> Result<Option<String>> {
    let held = policies::on_hold(state, tenant).await?;
    if held.is_empty() {
        return Ok(None);
    }
    let (mut kept, mut contacts) = (BTreeSet::new(), Vec::new());
    for one in due {
        match one.erased.parse().context("an erasure names what cannot be")? {
            Erased::Campaign(_, id) => kept.extend(held.contains_key(&id).then_some(id)),
            Erased::Tenant(_) => kept.extend(held.keys().copied()),
            Erased::Person { contacts: ids, .. } => contacts.extend(ids.iter().map(Mark::expose)),
        }
    }
    let ids: Vec<String> = held.keys().map(|id| id.0.to_string()).collect();
    for some in contacts.chunks(NAMED_AT_ONCE) {
        kept.extend(with_rows(state, tenant, &ids.join(","), some).await?);
    }
    if kept.is_empty() {
        return Ok(None);
    }
    let said: Vec<&str> = kept.iter().filter_map(|id| held.get(id)).map(String::as_str).collect();
    Ok(Some(format!(
        "a legal hold keeps some of it, and wins over every erasure, so nothing was changed: {}. Once \
         the hold is lifted take spec.legalHold out, and run this again",
        said.join("; ")
    )))
}

/// Which of some campaigns have a row of some contacts.
async fn with_rows(
    state: &State,
    tenant: TenantId,
    campaigns: &str,
    contacts: &[u64],
) -> Result<Vec<CampaignId>> {
    let contacts: Vec<String> = contacts.iter().map(ToString::to_string).collect();
    let of = |table: &str| {
        format!(
            "SELECT DISTINCT campaign FROM {table} WHERE tenant = {} AND campaign IN ({campaigns}) \
             AND contact IN ({})",
            tenant.0,
            contacts.join(",")
        )
    };
    let query = format!("{} UNION DISTINCT {}", of("hits"), of("deliveries"));
    let found = state.clickhouse()?.client().query_raw(&query).fetch_all::<u64>().await;
    let found = found.context("cannot read from ClickHouse what a legal hold keeps")?;
    Ok(found.into_iter().map(CampaignId).collect())
}
