//! What is known of deliveries, in every mode: whom a message was made for, and what the receiving
//! server said of it. Nothing here tells one message's hits from another's.

use clickhouse::Row;
use hushmark_policy::{CampaignId, Day, TenantId};
use serde::{Deserialize, Serialize};

use crate::read::{ClickHouse, ReadError};

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It was made.
    Sent = 0,
    /// The receiving server took it.
    Delivered = 1,
    /// The receiving server refused it, or nobody could be reached.
    Failed = 2,
}

impl Event {
    /// All, in the order in which they happen.
    pub const ALL: [Self; 3] = [Self::Sent, Self::Delivered, Self::Failed];

    /// The event as tables and exports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn from_u8(n: u8) -> Result<Self, ReadError> {
        let known = Self::ALL.into_iter().find(|event| *event as u8 == n);
        known.ok_or_else(|| ReadError::Unknown(format!("delivery event {n}")))
    }
}

/// One row: what happened to a contact's message of one campaign on one day.
pub(crate) struct Delivery {
    pub(crate) contact: u64,
    pub(crate) event: Event,
    pub(crate) day: Day,
}

/// All deliveries of a campaign, by day.
pub(crate) async fn of_campaign(
    clickhouse: &ClickHouse,
    (tenant, campaign): (TenantId, CampaignId),
) -> Result<Vec<Delivery>, ReadError> {
    #[derive(Row, Deserialize)]
    struct Stored {
        contact: u64,
        event: u8,
        day: u16,
    }
    let query = "SELECT contact, toUInt8(event) AS event, toUInt16(day) AS day \
        FROM deliveries FINAL WHERE tenant = ? AND campaign = ? ORDER BY day, event, contact";
    let ask = clickhouse.client().query(query).bind(tenant.0).bind(campaign.0);
    let rows = ask.fetch_all::<Stored>().await;
    let rows =
        rows.map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })?;
    let of = |row: Stored| {
        let (event, day) = (Event::from_u8(row.event)?, Day(row.day));
        Ok(Delivery { contact: row.contact, event, day })
    };
    rows.into_iter().map(of).collect()
}

/// Every contact that a message of a campaign was made for.
///
/// # Errors
/// [`ReadError::ClickHouse`].
pub async fn sent(
    clickhouse: &ClickHouse,
    (tenant, campaign): (TenantId, CampaignId),
) -> Result<Vec<u64>, ReadError> {
    let query = "SELECT DISTINCT contact FROM deliveries \
        WHERE tenant = ? AND campaign = ? AND event = 'sent'";
    let ask = clickhouse.client().query(query).bind(tenant.0).bind(campaign.0);
    let rows = ask.fetch_all::<u64>().await;
    rows.map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })
}
