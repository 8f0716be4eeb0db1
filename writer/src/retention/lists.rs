//! A campaign's recipient list as it is stored: the rows that say whom its messages were made for,
//! and what became of them. They go as a whole when the campaign is completed.
//!
//! `deliveries` is the one table that names contacts beside a campaign in every mode; `hits` does so
//! for those who hit, in `individual` alone, and goes by its policies.

use clickhouse::{Client, Row};
use hushmark_policy::{CampaignId, TenantId};
use serde::{Deserialize, Serialize};

use super::mutate;
use crate::store::StoreError;

/// How many messages had an event on a day.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Messages {
    /// `sent`, `delivered` or `failed`.
    pub event: String,
    /// Days since 1970.
    pub day: u16,
    /// How many.
    pub messages: u64,
}

/// A recipient list, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// People on it.
    pub people: u64,
    /// Their messages by event and day: a row of the table each.
    pub messages: Vec<Messages>,
}

impl List {
    /// Rows of the table.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.messages.iter().map(|of| of.messages).sum()
    }
}

/// Counts a campaign's recipient list.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    client: &Client,
    (tenant, campaign): (TenantId, CampaignId),
) -> Result<List, StoreError> {
    let query = "SELECT uniqExact(contact) FROM deliveries WHERE tenant = ? AND campaign = ?";
    let ask = client.query(query).bind(tenant.0).bind(campaign.0);
    let people = ask.fetch_one::<u64>().await?;
    let query = "SELECT toString(d.event) AS event, toUInt16(d.day) AS day, count() AS messages \
         FROM deliveries AS d FINAL WHERE d.tenant = ? AND d.campaign = ? \
         GROUP BY event, day ORDER BY event, day";
    let ask = client.query(query).bind(tenant.0).bind(campaign.0);
    Ok(List { people, messages: ask.fetch_all::<Messages>().await? })
}

/// Removes it, and returns when every part was changed. The old parts leave the disk within two
/// minutes: `old_parts_lifetime` in the table's settings.
///
/// # Errors
/// [`StoreError`]; saying it again goes on.
pub async fn forget(
    client: &Client,
    (tenant, campaign): (TenantId, CampaignId),
) -> Result<(), StoreError> {
    let which = format!("tenant = {} AND campaign = {}", tenant.0, campaign.0);
    mutate(client, &format!("deliveries DELETE WHERE {which}")).await
}
