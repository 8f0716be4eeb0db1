//! What is due by the policies that manifests name, and was not removed.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use hushmark_event::plans::Policy;
use hushmark_policy::retention::{Limit, Step, due};
use hushmark_policy::{CampaignId, Day, TenantId};
use serde::{Deserialize, Serialize};

use super::{Reach, found};
use crate::store::StoreError;

/// Rows by step.
pub type Overdue = BTreeMap<&'static str, u64>;

/// A row as it is written.
#[derive(Row, Serialize)]
struct PolicyRow {
    tenant: u64,
    campaign: u64,
    rows_days: u16,
    place_days: u16,
    hour_days: u16,
    client_days: u16,
    counters_days: u16,
    held: bool,
    at: i64,
}

/// What the policies of one campaign come to; 0 days are no limit.
#[derive(Row, Deserialize)]
struct Known {
    tenant: u64,
    campaign: u64,
    rows_days: u16,
    place_days: u16,
    hour_days: u16,
    client_days: u16,
    counters_days: u16,
}

/// What is written down of a campaign: days by step, in the order of [`Step::ALL`], and whether a
/// legal hold keeps it.
type Comes = BTreeMap<(TenantId, CampaignId), ([u16; 5], bool)>;

/// What policies come to, by campaign: of two limits the shorter one.
fn comes_to<'a>(policies: impl Iterator<Item = &'a Policy>) -> Comes {
    let mut all = Comes::new();
    for policy in policies {
        let tenant = policy.tenant();
        let held = policy.held.iter().filter_map(|held| held.name.split_once('/'));
        let held = held.map(|(space, name)| CampaignId::derive(&policy.region, space, name));
        let free = policy.campaigns.iter().map(|campaign| (campaign.id, false));
        for (id, is_held) in free.chain(held.map(|id| (id, true))) {
            let (days, held) = all.entry((tenant, id)).or_default();
            *held |= is_held;
            for (days, step) in days.iter_mut().zip(Step::ALL) {
                let limits = policy.limits.iter().filter(|limit| limit.step == step);
                let known = Some(*days).filter(|days| *days > 0);
                *days = limits.map(|limit| limit.days).chain(known).min().unwrap_or(0);
            }
        }
    }
    all
}

/// Writes down what a cluster's policies come to, for [`overdue`]. Campaigns that no policy reaches
/// any more have no limit.
///
/// # Errors
/// [`StoreError`].
pub async fn record(
    client: &Client,
    policies: impl Iterator<Item = &Policy>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut all = comes_to(policies);
    let known = "SELECT tenant, campaign FROM policies FINAL WHERE held OR rows_days + place_days + \
                 hour_days + client_days + counters_days > 0";
    for (tenant, campaign) in client.query_raw(known).fetch_all::<(u64, u64)>().await? {
        all.entry((TenantId(tenant), CampaignId(campaign))).or_default();
    }
    let insert = client.insert::<PolicyRow>("policies").await?;
    let mut insert = insert.with_setting("async_insert", "0");
    for ((tenant, campaign), (days, held)) in all {
        let [rows_days, place_days, hour_days, client_days, counters_days] = days;
        let (tenant, campaign) = (tenant.0, campaign.0);
        let at = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let row = PolicyRow {
            tenant,
            campaign,
            rows_days,
            place_days,
            hour_days,
            client_days,
            counters_days,
            held,
            at,
        };
        insert.write(&row).await?;
    }
    Ok(insert.end().await?)
}

/// Counts the rows of `hits` and of `counters` that are due today, of all campaigns that no legal
/// hold keeps.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(client: &Client, today: Day) -> Result<Overdue, StoreError> {
    let query = "SELECT tenant, campaign, rows_days, place_days, hour_days, client_days, \
                 counters_days FROM policies FINAL WHERE NOT held";
    let policies: Vec<Known> = client.query_raw(query).fetch_all().await?;
    let mut alike = BTreeMap::<(u64, [u16; 5]), Vec<CampaignId>>::new();
    for policy in policies {
        let Known { rows_days, place_days, hour_days, client_days, counters_days, .. } = policy;
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

#[cfg(test)]
mod tests {
    use hushmark_event::plans::{Held, PolicyKind, Reached};

    use super::*;

    #[test]
    fn of_two_policies_the_shorter_limit_counts_and_a_hold_of_either() {
        let policy = |limits: &[(Step, u16)], campaigns: &[&str], held: &[&str]| Policy {
            region: "eu".into(),
            kind: PolicyKind::Retention,
            namespace: "acme".into(),
            name: "short".into(),
            spec: "{}".into(),
            enforces: true,
            limits: limits.iter().map(|(step, days)| Limit { step: *step, days: *days }).collect(),
            drift_percent: 5,
            campaigns: campaigns
                .iter()
                .map(|name| Reached {
                    name: format!("acme/{name}"),
                    id: CampaignId::derive("eu", "acme", name),
                })
                .collect(),
            held: held
                .iter()
                .map(|name| Held { name: format!("acme/{name}"), reason: "a court".into() })
                .collect(),
        };
        let kept = policy(&[(Step::Rows, 90), (Step::Counters, 730)], &["spring"], &["autumn"]);
        let faded = policy(&[(Step::Rows, 30), (Step::Hour, 60)], &["spring"], &[]);
        let all = comes_to([&kept, &faded].into_iter());
        let of = |name| all[&(kept.tenant(), CampaignId::derive("eu", "acme", name))];
        assert_eq!(of("spring"), ([30, 0, 60, 0, 730], false));
        assert_eq!(of("autumn"), ([90, 0, 0, 0, 730], true));
    }
}
