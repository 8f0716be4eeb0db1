//! What is left of recipient lists that went when their campaigns were completed: how many messages,
//! by what happened and on which day.

use std::collections::BTreeMap;

use clickhouse::Row;
use hushmark_policy::{CampaignId, Day, TenantId};
use serde::Deserialize;

use crate::deliveries::Event;
use crate::people;
use crate::read::{ClickHouse, ReadError};

/// A list that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The last day on which one went.
    pub day: Day,
    /// How many people were on it.
    pub people: u64,
    /// Messages, by what happened and when.
    pub messages: BTreeMap<(Event, Day), u64>,
}

impl Completed {
    /// As part of a sentence: why nobody of that list is told of.
    #[must_use]
    pub fn told(&self) -> String {
        let mut by_event = BTreeMap::<Event, u64>::new();
        self.messages.iter().for_each(|((event, _), n)| *by_event.entry(*event).or_default() += n);
        let counts: Vec<String> =
            by_event.iter().map(|(event, n)| format!("{n} {}", event.name())).collect();
        format!(
            "the campaign was completed on {}, and its recipient list went; counts stay: {}",
            self.day,
            counts.join(", ")
        )
    }
}

/// Of some campaigns those that were completed.
///
/// # Errors
/// [`ReadError`].
pub async fn of(
    clickhouse: &ClickHouse,
    tenant: TenantId,
    campaigns: impl Iterator<Item = CampaignId>,
) -> Result<BTreeMap<CampaignId, Completed>, ReadError> {
    #[derive(Row, Deserialize)]
    struct Stored {
        campaign: u64,
        event: String,
        day: u16,
        messages: u64,
    }
    let ids = people::list(campaigns.map(|id| id.0));
    // A run that was cut short has its list still, or most of it: it is told once it has ended.
    let query = format!(
        "SELECT campaign, event, toUInt16(day) AS day, sum(most) AS messages FROM \
         (SELECT campaign, run, event, day, max(messages) AS most FROM completed \
          WHERE tenant = {t} AND campaign IN ({ids}) AND run IN \
          (SELECT run FROM completed WHERE tenant = {t} AND event = '') \
          GROUP BY campaign, run, event, day) GROUP BY campaign, event, day",
        t = tenant.0
    );
    let rows = clickhouse.client().query_raw(&query).fetch_all::<Stored>().await;
    let rows =
        rows.map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })?;
    let mut all = BTreeMap::<CampaignId, Completed>::new();
    for row in rows {
        let completed = all.entry(CampaignId(row.campaign));
        let completed = completed.or_insert_with(|| Completed {
            day: Day(0),
            people: 0,
            messages: BTreeMap::new(),
        });
        let day = Day(row.day);
        if row.event == "people" {
            continue;
        }
        if row.event.is_empty() {
            completed.day = completed.day.max(day);
            completed.people += row.messages;
            continue;
        }
        let event = Event::ALL.into_iter().find(|event| event.name() == row.event);
        let event = event.ok_or(ReadError::Unknown(format!("delivery event {}", row.event)))?;
        *completed.messages.entry((event, day)).or_default() += row.messages;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_list_reads_as_counts() {
        let (monday, tuesday) = (Day(20_409), Day(20_410));
        let messages = BTreeMap::from([
            ((Event::Sent, monday), 30),
            ((Event::Sent, tuesday), 10),
            ((Event::Delivered, tuesday), 38),
        ]);
        insta::assert_snapshot!(Completed { day: tuesday, people: 40, messages }.told(), @"the campaign was completed on 2025-11-18, and its recipient list went; counts stay: 40 sent, 38 delivered");
    }
}
