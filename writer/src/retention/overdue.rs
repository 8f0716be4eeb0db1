//! What is due by the policies that manifests name, and was not removed.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use hushmark_policy::retention::{Limit, Step, due};
use hushmark_policy::{CampaignId, Day, TenantId};
use serde::Deserialize;

use super::{Reach, found};
use crate::store::StoreError;

/// Rows by step.
pub type Overdue = BTreeMap<&'static str, u64>;

/// What the policies of one campaign come to; 0 days are no limit.
#[derive(Row, Deserialize)]
struct Policy {
    tenant: u64,
    campaign: u64,
    rows_days: u16,
    place_days: u16,
    hour_days: u16,
    client_days: u16,
    counters_days: u16,
}

/// Counts the rows of `hits` and of `counters` that are due today, of all campaigns that no legal
/// hold keeps.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(client: &Client, today: Day) -> Result<Overdue, StoreError> {
    let query = "SELECT tenant, campaign, rows_days, place_days, hour_days, client_days, \
                 counters_days FROM policies FINAL WHERE NOT held";
    let policies: Vec<Policy> = client.query_raw(query).fetch_all().await?;
    let mut alike = BTreeMap::<(u64, [u16; 5]), Vec<CampaignId>>::new();
    for policy in policies {
        let Policy { rows_days, place_days, hour_days, client_days, counters_days, .. } = policy;
        let days = [rows_days, place_days, hour_days, client_days, counters_days];
        alike.entry((policy.tenant, days)).or_default().push(CampaignId(policy.campaign));
    }
    let mut all: Overdue = Step::ALL.into_iter().map(|step| (step.name(), 0)).collect();
    for ((tenant, days), campaigns) in alike {
        let limits: Vec<Limit> = Step::ALL
            .into_iter()
            .zip(days)
            .filter(|(_, days)| *days > 0)
            .map(|(step, days)| Limit { step, days })
            .collect();
        for due in due(&limits, today) {
            let reach = Reach { tenant: TenantId(tenant), campaigns: campaigns.clone(), due };
            let rows = found(client, &reach).await?;
            let stored = rows.iter().filter(|found| found.table != "published");
            *all.entry(due.step.name()).or_default() += stored.map(|found| found.rows).sum::<u64>();
        }
    }
    Ok(all)
}
