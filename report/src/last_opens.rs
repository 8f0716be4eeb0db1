//! The day of a contact's last open, where opens are `lastOpenDay`: what a sender needs who stops
//! writing to whoever no longer reads. It is of no campaign, and no figure comes of it.

use hushmark_policy::{CampaignId, Day, TenantId};

use crate::people;
use crate::read::{ClickHouse, ReadError};

/// The day of a contact's last open.
pub(crate) async fn of(
    clickhouse: &ClickHouse,
    tenant: TenantId,
    contact: u64,
) -> Result<Option<Day>, ReadError> {
    let query = "SELECT toUInt16(max(day)) FROM last_opens WHERE tenant = ? AND contact = ? \
                 HAVING count() > 0";
    let ask = clickhouse.client().query(query).bind(tenant.0).bind(contact);
    let day = ask.fetch_optional::<u16>().await;
    let day =
        day.map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })?;
    Ok(day.map(Day))
}

/// The query of contacts who opened on a day or later.
pub(crate) fn since(tenant: TenantId, day: Day) -> String {
    format!(
        "SELECT contact FROM last_opens WHERE tenant = {} AND day >= toDate({})",
        tenant.0, day.0
    )
}

/// The query of contacts whom mail of these campaigns was made for on a day or later, with a pixel of
/// this mode, and who did not open since. Whoever had no such mail could not be seen opening it.
pub(crate) fn not_since(tenant: TenantId, campaigns: &[CampaignId], day: Day) -> String {
    let (t, ids) = (tenant.0, people::list(campaigns.iter().map(|id| id.0)));
    format!(
        "SELECT contact FROM deliveries WHERE tenant = {t} AND campaign IN ({ids}) \
         AND event = 'sent' AND day >= toDate({day}) AND (campaign, day) IN \
         (SELECT campaign, toDate(at) FROM sends WHERE tenant = {t} AND opens = 'lastOpenDay') \
         AND contact NOT IN ({opened})",
        day = day.0,
        opened = since(tenant, day)
    )
}
