//! The raw counters, below any minimum group. For operators who hold the key ring, on one machine.

use clickhouse::Row;
use hushmark_policy::{CampaignId, TenantId};
use serde::{Deserialize, Serialize};

use crate::read::{ClickHouse, ReadError};

/// What stands above the raw counters wherever they are printed.
pub const WARNING: &str = "raw counters: below any minimum group, for operators alone; they can \
    single people out, so they are not a report and leave this machine at your own risk";

/// One stored cell, all months together.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Counter {
    /// `open` or `click`.
    pub kind: String,
    /// The dimension.
    pub dimension: String,
    /// Its value.
    pub value: String,
    /// All hits.
    pub raw: u64,
    /// Hits that no machine made.
    pub human: u64,
    /// Distinct messages with a hit, from the sketch; 0 where the mode has none.
    pub uniq_raw: u64,
    /// Distinct messages with a human hit, from the sketch; 0 where the mode has none.
    pub uniq_human: u64,
}

const COUNTERS: &str = "SELECT toString(kind) AS kind, toString(dimension) AS dimension, value, \
    sum(c.raw) AS raw, sum(c.human) AS human, \
    uniqCombined64ArrayMerge(14)(c.uniq_raw) AS uniq_raw, \
    uniqCombined64ArrayMerge(14)(c.uniq_human) AS uniq_human \
    FROM counters AS c WHERE tenant = ? AND campaign = ? \
    GROUP BY kind, dimension, value ORDER BY kind, dimension, value";

/// Reads every counter of a campaign.
///
/// # Errors
/// [`ReadError::ClickHouse`].
pub async fn read(
    clickhouse: &ClickHouse,
    tenant: TenantId,
    campaign: CampaignId,
) -> Result<Vec<Counter>, ReadError> {
    clickhouse
        .client()
        .query(COUNTERS)
        .bind(tenant.0)
        .bind(campaign.0)
        .fetch_all()
        .await
        .map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })
}
