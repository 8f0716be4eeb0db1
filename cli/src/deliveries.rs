//! Whom a message was made for and what the receiving server said of it, in every mode; and
//! `hushmark delivered`, by which who sends the mail says the latter.
//!
//! What is written has the contact and the day and nothing of the message: no mark, no moment, and
//! no order but that of the contacts' random ids.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clickhouse::Row;
use hushmark_event::audit::{Target, Write};
use hushmark_policy::{CampaignId, Day, TenantId};
use hushmark_report::deliveries::{self, Event};
use hushmark_report::{ClickHouse, completed};
use serde::Serialize;

use crate::asks::{addresses, persons};
use crate::contacts::Contacts;
use crate::data::DataFolder;
use crate::erase::Log;
use crate::report::print;
use crate::stamp::plural;
use crate::up::now_ms;
use crate::{args, campaigns, keys, known};

#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize)]
struct DeliveryRow {
    tenant: u64,
    campaign: u64,
    contact: u64,
    event: i8,
    day: u16,
}

/// The rows of contacts in an order that nothing of the messages has. Pure.
fn rows(
    (tenant, campaign): (TenantId, CampaignId),
    event: Event,
    day: Day,
    mut contacts: Vec<u64>,
) -> Vec<DeliveryRow> {
    contacts.sort_unstable();
    contacts.dedup();
    let row = |contact| {
        let (tenant, campaign, event) = (tenant.0, campaign.0, event as i8);
        DeliveryRow { tenant, campaign, contact, event, day: day.0 }
    };
    contacts.into_iter().map(row).collect()
}

/// Writes down what happened to messages of a campaign. Durable when it returns.
pub(crate) async fn record(
    clickhouse: &ClickHouse,
    of: (TenantId, CampaignId),
    event: Event,
    today: Day,
    contacts: Vec<u64>,
) -> Result<()> {
    if contacts.is_empty() {
        return Ok(());
    }
    let client = clickhouse.client().with_setting("async_insert", "0");
    let write = async {
        let mut insert = client.insert::<DeliveryRow>("deliveries").await?;
        for row in rows(of, event, today, contacts) {
            insert.write(&row).await?;
        }
        insert.end().await
    };
    write.await.context("cannot write down in ClickHouse whom messages were made for")
}

/// `hushmark delivered`.
pub(crate) async fn delivered(data: &Path, options: &args::Delivered) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (name, tenant, campaign) = state.campaign(&options.campaign)?;
    campaigns::known(&state, &options.campaign, campaign).await?;
    let people = addresses(&options.people)?;
    let log = Log::read(&folder)?;
    log.campaign(tenant, campaign, &name)?;
    log.is_obeyed(&state.clickhouse()?).await?;
    let key = keys::known_tenant_key(&folder, tenant)?;
    let contacts = Contacts::read((&folder, &log.0), &state.clickhouse()?, tenant, key).await?;
    let mut sent = deliveries::sent(&state.clickhouse()?, (tenant, campaign)).await?;
    sent.sort_unstable();
    let had_one = |id: &u64| sent.binary_search(id).is_ok();
    let contact = |person| contacts.known(person).map(|mark| mark.expose()).filter(had_one);
    let found: Vec<Option<u64>> = people.iter().map(contact).collect();
    let strangers = found.iter().filter(|contact| contact.is_none()).count();
    if strangers > 0 {
        let gone = completed::of(&state.clickhouse()?, tenant, std::iter::once(campaign)).await?;
        if let Some(completed) = gone.get(&campaign).filter(|_| sent.is_empty()) {
            bail!("{}; nothing was changed", completed.told());
        }
        bail!(
            "{strangers} of {} had no message of {name}, so nothing was changed: `hushmark segment \
             --campaign {} --sent` says who had one",
            persons(people.len()),
            options.campaign
        );
    }
    let named: BTreeSet<u64> = found.into_iter().flatten().collect();
    let of = Target::Campaign { tenant, id: campaign };
    known::audit_write(&folder, Write::Deliveries, of).await?;
    let event = if options.failed { Event::Failed } else { Event::Delivered };
    let today = Day::of_unix_ms(now_ms());
    let n = named.len() as u64;
    record(&state.clickhouse()?, (tenant, campaign), event, today, named.into_iter().collect())
        .await?;
    print(&format!("{name}: {} {} on {today}\n", plural(n, "message"), event.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever order a list has, in which messages are made and files are named, what is
        /// written of it is the same: rows of contacts by their random ids.
        #[test]
        fn rows_tell_nothing_of_the_order_of_messages(
            (list, shuffled) in prop::collection::vec(any::<u64>(), 0..50)
                .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        ) {
            let of = (TenantId(1), CampaignId(2));
            let written = rows(of, Event::Sent, Day(20_000), shuffled);
            prop_assert_eq!(&written, &rows(of, Event::Sent, Day(20_000), list));
            prop_assert!(written.windows(2).all(|pair| pair[0].contact < pair[1].contact));
        }
    }
}
