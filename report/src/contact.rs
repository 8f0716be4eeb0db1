//! One contact's page: which mail was made for them, what became of it, and what may be told of
//! their opens and clicks.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Row;
use hushmark_policy::{CampaignId, Day, Kind, MailType, Mode, TenantId};
use serde::{Deserialize, Serialize};

use crate::deliveries::Event;
use crate::export;
use crate::last_opens;
use crate::people::{self, Bytes, Known, Person, Whom, leads_to_nobody};
use crate::read::{ClickHouse, ReadError};
use crate::text::Moment;

/// What is known of a contact.
pub struct Page {
    /// The version of this form; a field is never given another meaning.
    pub schema: u32,
    /// Region and namespace.
    pub tenant: String,
    /// Their address; nothing where the tenant's key does not open it.
    pub person: Option<Person>,
    /// Since when there is this contact.
    pub since: Day,
    /// When they ended their tracking.
    pub withdrawn: Option<Day>,
    /// The day of their last open, where it is kept (`lastOpenDay`).
    pub last_open: Option<Day>,
    /// Their mail by campaign, in the order of names.
    pub mail: Vec<Mail>,
}

/// One campaign's mail to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The campaign's name.
    pub campaign: String,
    /// Its type.
    pub mail_type: MailType,
    /// What happened on which days.
    pub events: BTreeMap<Event, Vec<Day>>,
    /// Their opens.
    pub opens: Hits,
    /// Their clicks.
    pub clicks: Hits,
}

/// What is told of one kind of hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// All; 0 where nobody may know.
    pub raw: u64,
    /// Those that no machine made.
    pub human: u64,
    /// When the first was, in seconds since 1970.
    pub first: Option<u32>,
    /// Why it is 0, where that says nothing about them.
    pub because: Option<String>,
}

#[derive(Row, Deserialize)]
struct ContactRow {
    contact: u64,
    sealed: Bytes,
    since: u16,
}

#[derive(Row, Deserialize)]
struct EventRow {
    campaign: u64,
    event: u8,
    day: u16,
}

#[derive(Row, Deserialize)]
struct HitsRow {
    campaign: u64,
    kind: u8,
    raw: u64,
    human: u64,
    first: u32,
}

/// Reads the page of the contact that a keyed hash finds; nothing where there is none.
///
/// # Errors
/// [`ReadError`].
pub async fn read(
    clickhouse: &ClickHouse,
    (name, tenant): (String, TenantId),
    lookup: &[u8; 32],
    known: &HashMap<CampaignId, Known>,
    whom: Whom<'_>,
) -> Result<Option<Page>, ReadError> {
    let client = clickhouse.client();
    let failed = |source| ReadError::ClickHouse { url: clickhouse.url.clone(), source };
    let lookup: String = lookup.iter().map(|byte| format!("{byte:02x}")).collect();
    let query = "SELECT contact, sealed, toUInt16(toDate(at)) AS since \
        FROM contacts FINAL WHERE tenant = ? AND lookup = unhex(?)";
    let ask = client.query(query).bind(tenant.0).bind(&lookup);
    let Some(row) = ask.fetch_optional::<ContactRow>().await.map_err(failed)? else {
        return Ok(None);
    };
    let query = "SELECT toUInt16(toDate(min(at))) FROM withdrawals \
        WHERE tenant = ? AND lookup = unhex(?) HAVING count() > 0";
    let ask = client.query(query).bind(tenant.0).bind(&lookup);
    let noted = ask.fetch_optional::<u16>().await.map_err(failed)?.map(Day);
    let withdrawn = noted.into_iter().chain(whom.ended.get(&row.contact).copied()).min();
    // Who ended it appears nowhere, also while the row is about to go.
    let last_open = match withdrawn {
        None => last_opens::of(clickhouse, tenant, row.contact).await?,
        Some(_) => None,
    };
    let query = "SELECT campaign, toUInt8(event) AS event, toUInt16(day) AS day \
        FROM deliveries FINAL WHERE tenant = ? AND contact = ? ORDER BY day";
    let ask = client.query(query).bind(tenant.0).bind(row.contact);
    let events = ask.fetch_all::<EventRow>().await.map_err(failed)?;
    let query = format!(
        "SELECT campaign, toUInt8(kind) AS kind, count() AS raw, \
         countIf(verdict IN ({})) AS human, toUnixTimestamp(min(at)) AS first \
         FROM hits WHERE tenant = ? AND contact = ? GROUP BY campaign, kind",
        people::human()
    );
    let ask = client.query(&query).bind(tenant.0).bind(row.contact);
    let hits = ask.fetch_all::<HitsRow>().await.map_err(failed)?;
    Ok(Some(Page {
        schema: 1,
        tenant: name,
        person: (whom.unseal)(row.contact, &row.sealed.0),
        since: Day(row.since),
        withdrawn,
        last_open,
        mail: mail(known, &events, &hits, withdrawn.is_some())?,
    }))
}

/// Their mail, by what is stored of it. Rows that a campaign may not tell of are passed over.
fn mail(
    known: &HashMap<CampaignId, Known>,
    events: &[EventRow],
    hits: &[HitsRow],
    withdrawn: bool,
) -> Result<Vec<Mail>, ReadError> {
    let named = events.iter().map(|row| row.campaign).chain(hits.iter().map(|row| row.campaign));
    let mut all = BTreeMap::new();
    for id in named {
        let Some(known) = known.get(&CampaignId(id)) else { continue };
        let of = |kind| told(known.mode(kind), withdrawn);
        let (campaign, mail_type) = (known.name.clone(), known.mail_type);
        let (opens, clicks) = (of(Kind::Open), of(Kind::Click));
        let events = BTreeMap::new();
        all.entry(id).or_insert(Mail { campaign, mail_type, events, opens, clicks });
    }
    for row in events {
        if let Some(mail) = all.get_mut(&row.campaign) {
            mail.events.entry(Event::from_u8(row.event)?).or_default().push(Day(row.day));
        }
    }
    for row in hits {
        let Some(mail) = all.get_mut(&row.campaign) else { continue };
        let of = if row.kind == 0 { &mut mail.opens } else { &mut mail.clicks };
        if of.because.is_none() {
            (of.raw, of.human, of.first) = (row.raw, row.human, Some(row.first));
        }
    }
    let mut mail: Vec<Mail> = all.into_values().collect();
    mail.sort_by(|a, b| a.campaign.cmp(&b.campaign));
    Ok(mail)
}

/// No hits, and why there cannot be any.
fn told(mode: Mode, withdrawn: bool) -> Hits {
    let because = match leads_to_nobody(mode) {
        Some(why) => Some(format!("{mode}: {why}")),
        None => withdrawn.then(|| "they ended their tracking".to_owned()),
    };
    Hits { because, ..Hits::default() }
}

impl Mail {
    fn days(&self, event: Event) -> Vec<String> {
        self.events.get(&event).into_iter().flatten().map(Day::to_string).collect()
    }

    fn hits(&self) -> [(Kind, &Hits); 2] {
        [(Kind::Open, &self.opens), (Kind::Click, &self.clicks)]
    }
}

impl Page {
    fn address(&self) -> &str {
        self.person
            .as_ref()
            .map_or("an address that the tenant's key does not open", Person::expose)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out =
            format!("{}\ncontact of {} since {}\n", self.address(), self.tenant, self.since);
        if let Some(day) = self.withdrawn {
            out += &format!("ended their tracking on {day}: their mail carries none\n");
        }
        if let Some(day) = self.last_open {
            out += &format!("last open on {day}, and nothing else of it is kept\n");
        }
        if self.mail.is_empty() {
            out += "no mail\n";
        }
        for mail in &self.mail {
            out += &format!("\n{} ({})\n", mail.campaign, mail.mail_type.name());
            let is_forgotten = mail.events.is_empty();
            if is_forgotten {
                // There are rows of hits alone.
                out += "  its recipient list went when the campaign was completed\n";
            }
            for event in Event::ALL.into_iter().filter(|_| !is_forgotten) {
                let days = mail.days(event);
                if event == Event::Sent || !days.is_empty() {
                    let on = if days.is_empty() { String::new() } else { " on ".to_owned() };
                    let (n, name) = (days.len(), event.name());
                    out += &format!("  {name:<10}{n}{on}{}\n", days.join(", "));
                }
            }
            let nobody_said = [Event::Delivered, Event::Failed].map(|it| mail.days(it).is_empty());
            if !is_forgotten && nobody_said == [true, true] {
                out += "  delivered 0: nobody has said so\n";
            }
            for (kind, hits) in mail.hits() {
                let name = format!("{}s", kind.name());
                let said = match (&hits.because, hits.first) {
                    (Some(why), _) => format!("0, because {why}"),
                    (None, None) => "0".to_owned(),
                    (None, Some(first)) => {
                        format!("{}, {} human; first {}", hits.raw, hits.human, Moment(first))
                    }
                };
                out += &format!("  {name:<10}{said}\n");
            }
        }
        out
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        let mail: Vec<serde_json::Value> = self
            .mail
            .iter()
            .map(|mail| {
                serde_json::json!({
                    "campaign": mail.campaign,
                    "type": mail.mail_type.name(),
                    "sent": mail.days(Event::Sent),
                    "delivered": mail.days(Event::Delivered),
                    "failed": mail.days(Event::Failed),
                    "opens": mail.opens,
                    "clicks": mail.clicks,
                })
            })
            .collect();
        let value = serde_json::json!({
            "schema": self.schema,
            "tenant": self.tenant,
            "address": self.person.as_ref().map(Person::expose),
            "since": self.since.to_string(),
            "withdrawn": self.withdrawn.map(|day| day.to_string()),
            "lastOpen": self.last_open.map(|day| day.to_string()),
            "mail": mail,
        });
        format!("{value:#}\n")
    }

    /// For spreadsheets: one row a campaign.
    ///
    /// # Errors
    /// As [`crate::export::csv`].
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([
            "schema",
            "tenant",
            "address",
            "since",
            "withdrawn",
            "campaign",
            "type",
            "sent",
            "delivered",
            "failed",
            "opens",
            "opens_human",
            "opens_because",
            "clicks",
            "clicks_human",
            "clicks_because",
            "last_open",
        ])?;
        for mail in &self.mail {
            let days = |event| mail.days(event).join(" ");
            let mut row = vec![
                self.schema.to_string(),
                export::inert(&self.tenant),
                export::inert(self.person.as_ref().map_or("", Person::expose)),
                self.since.to_string(),
                self.withdrawn.map(|day| day.to_string()).unwrap_or_default(),
                export::inert(&mail.campaign),
                mail.mail_type.name().to_owned(),
                days(Event::Sent),
                days(Event::Delivered),
                days(Event::Failed),
            ];
            for (_, hits) in mail.hits() {
                let because = hits.because.clone().unwrap_or_default();
                row.extend([hits.raw.to_string(), hits.human.to_string(), because]);
            }
            row.push(self.last_open.map(|day| day.to_string()).unwrap_or_default());
            writer.write_record(row)?;
        }
        export::finish(writer)
    }
}

#[cfg(test)]
mod tests;
