//! A campaign's export as lists of messages have one: a row a message that was sent or delivered,
//! and, apart from them and not joined, hits by day.
//!
//! Where hits are counted for people who were promised not to be known, no row names anybody. Of a
//! campaign of `individual` alone rows name people.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Row;
use hushmark_policy::{Day, Kind, Mode, TenantId};
use serde::Deserialize;

use crate::completed::{self, Completed};
use crate::days;
use crate::deliveries::{self, Event};
use crate::export;
use crate::model::{KindReport, Report};
use crate::people::{self, ANONYMIZED_CONTACT, ANONYMIZED_DATA, Ended, Known, Person, Whom};
use crate::read::{ClickHouse, ReadError};
use crate::text::Moment;

/// Everything in the file.
pub struct Mailing {
    /// The version of this form; a field is never given another meaning.
    pub schema: u32,
    /// Region, namespace and name.
    pub campaign: String,
    /// The last epoch and the minimum group; nothing where none has published the campaign.
    pub published: Option<(u32, u32)>,
    /// How many messages, by what happened, on which day, to whom. Nobody is named where nobody may
    /// be known.
    pub deliveries: BTreeMap<(Event, Day, Option<Person>), u64>,
    /// Hits by kind, day and who it was. Those of no day are what no day tells of the total.
    pub hits: BTreeMap<(Kind, Option<Day>, Option<Person>), u64>,
    /// What a reader has to know of it.
    pub notes: Vec<String>,
}

/// Reads a campaign's export. `report` is what the last epoch published of it.
///
/// # Errors
/// [`ReadError`].
pub async fn read(
    clickhouse: &ClickHouse,
    campaign: String,
    (tenant, known): (TenantId, &Known),
    report: Option<&Report>,
    whom: Whom<'_>,
) -> Result<Mailing, ReadError> {
    let names_people = known.tells_of_people();
    let mut people = HashMap::new();
    if names_people {
        let (t, id) = (tenant.0, known.id.0);
        let among =
            |table| format!("SELECT contact FROM {table} WHERE tenant = {t} AND campaign = {id}");
        let contacts = format!("{} UNION DISTINCT {}", among("deliveries"), among("hits"));
        people = people::addresses(clickhouse, tenant, &contacts, true, whom).await?;
    }
    let person = |contact| people.get(&contact).cloned().flatten();
    let mut all = BTreeMap::new();
    for row in deliveries::of_campaign(clickhouse, (tenant, known.id)).await? {
        *all.entry((row.event, row.day, person(row.contact))).or_default() += 1;
    }
    let completed = completed::of(clickhouse, tenant, std::iter::once(known.id)).await?;
    let completed = completed.get(&known.id);
    for ((event, day), n) in completed.into_iter().flat_map(|it| &it.messages) {
        *all.entry((*event, *day, None)).or_default() += n;
    }
    let mut mailing = Mailing {
        schema: 1,
        campaign,
        published: report.map(|report| (report.epoch, report.minimum_group)),
        deliveries: all,
        hits: BTreeMap::new(),
        notes: Vec::new(),
    };
    if names_people {
        mailing.hits = rows(clickhouse, (tenant, known), &people, whom.ended).await?;
    } else {
        mailing.add_published(known, report);
    }
    mailing.notes.extend(notes(known, report));
    mailing.notes.extend(completed.map(Completed::told));
    Ok(mailing)
}

/// Hits of those whose tracking did not end, from rows.
async fn rows(
    clickhouse: &ClickHouse,
    (tenant, known): (TenantId, &Known),
    people: &HashMap<u64, Option<Person>>,
    ended: &Ended,
) -> Result<BTreeMap<(Kind, Option<Day>, Option<Person>), u64>, ReadError> {
    #[derive(Row, Deserialize)]
    struct Hits {
        contact: u64,
        kind: u8,
        day: u16,
        raw: u64,
    }
    let query = "SELECT contact, toUInt8(kind) AS kind, toUInt16(toDate(at)) AS day, \
        count() AS raw FROM hits WHERE tenant = ? AND campaign = ? AND contact NOT IN \
        (SELECT contact FROM contacts FINAL WHERE tenant = ? AND lookup IN \
         (SELECT lookup FROM withdrawals WHERE tenant = ?)) GROUP BY contact, kind, day";
    let (client, t) = (clickhouse.client(), tenant.0);
    let ask = client.query(query).bind(t).bind(known.id.0).bind(t).bind(t);
    let rows = ask.fetch_all::<Hits>().await;
    let rows =
        rows.map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })?;
    let mut all = BTreeMap::new();
    for row in rows.into_iter().filter(|row| !ended.contains_key(&row.contact)) {
        let kind = if row.kind == 0 { Kind::Open } else { Kind::Click };
        if known.mode(kind) == Mode::Individual {
            let person = people.get(&row.contact).cloned().flatten();
            *all.entry((kind, Some(Day(row.day)), person)).or_default() += row.raw;
        }
    }
    Ok(all)
}

/// What is to be said of a file that names nobody.
fn notes(known: &Known, report: Option<&Report>) -> Vec<String> {
    if known.tells_of_people() {
        let said = "individual: hits by contact and day, without those who ended their tracking";
        return vec![said.to_owned()];
    }
    let modes = format!("opens are {}, clicks {}", known.tracking.opens, known.tracking.clicks);
    let mut notes = vec![format!(
        "{modes}: no row names anybody, and hits are not joined with the rows of messages"
    )];
    match report {
        None => notes.push("no epoch has published hits of this campaign yet".to_owned()),
        Some(report) => notes.push(format!(
            "a day's hits are at least so many: the sum of its hours that stand for {} people or \
             more each; the rest has no day, and only if it stands for as many",
            report.minimum_group
        )),
    }
    notes
}

impl Mailing {
    fn add_published(&mut self, known: &Known, report: Option<&Report>) {
        let Some(report) = report else { return };
        let told = |kind: &&KindReport| days::may_tell(kind, known.mode(kind.kind));
        for kind in report.kinds.iter().filter(told) {
            let days = days::hits(kind, u64::from(report.minimum_group));
            self.hits.extend(days.into_iter().map(|(day, n)| ((kind.kind, day, None), n)));
        }
    }

    /// For people: how many, by day.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.campaign);
        if let Some((epoch, k)) = self.published {
            out += &format!("as of {}; minimum group {k}\n", Moment(epoch));
        }
        let deliveries = self
            .deliveries
            .iter()
            .map(|((event, day, _), n)| ((0, *event as u8), event.name(), day.to_string(), *n));
        let hits = self
            .hits
            .iter()
            .map(|((kind, day, _), n)| ((1, *kind as u8), happened(*kind), days::date(*day), *n));
        let mut by_day = BTreeMap::<_, u64>::new();
        for (order, name, date, n) in deliveries.chain(hits) {
            *by_day.entry((order, name, date)).or_default() += n;
        }
        for ((_, name, date), n) in by_day {
            out += &format!("{name:<10}{date:<12}{n:>10}\n");
        }
        self.notes.iter().for_each(|note| out += &format!("{note}\n"));
        out
    }

    /// For programs. A contact that is null is not told.
    #[must_use]
    pub fn json(&self) -> String {
        let person = |person: &Option<Person>| person.as_ref().map(|it| it.expose().to_owned());
        let deliveries = self.deliveries.iter().map(|((event, day, who), n)| {
            serde_json::json!({"event": event, "date": day.to_string(), "contact": person(who), "messages": n})
        });
        let hits = self.hits.iter().map(|((kind, day, who), n)| {
            serde_json::json!({"event": happened(*kind), "date": day.map(|day| day.to_string()), "contact": person(who), "hits": n})
        });
        let value = serde_json::json!({
            "schema": self.schema,
            "campaign": self.campaign,
            "epoch": self.published.map(|(epoch, _)| epoch),
            "minimum_group": self.published.map(|(_, k)| k),
            "notes": self.notes,
            "deliveries": deliveries.collect::<Vec<_>>(),
            "hits": hits.collect::<Vec<_>>(),
        });
        format!("{value:#}\n")
    }

    /// For spreadsheets: notes first, then a row a message, then hits by day.
    ///
    /// # Errors
    /// As [`crate::export::csv`].
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let columns = [
            "schema",
            "campaign",
            "epoch",
            "minimum_group",
            "event",
            "date",
            "contact",
            "data",
            "count",
        ];
        writer.write_record(columns)?;
        let (epoch, k) = match self.published {
            Some((epoch, k)) => (Moment(epoch).to_string(), k.to_string()),
            None => (String::new(), String::new()),
        };
        let (schema, campaign) = (self.schema.to_string(), export::inert(&self.campaign));
        let mut row = |event: &str, day: &str, contact: &str, data: &str, n: &str| {
            writer.write_record([&schema, &campaign, &epoch, &k, event, day, contact, data, n])
        };
        for note in &self.notes {
            row("note", "", "", note, "")?;
        }
        let contact = |person: &Option<Person>| {
            person.as_ref().map_or(ANONYMIZED_CONTACT.to_owned(), |it| export::inert(it.expose()))
        };
        for ((event, day, who), n) in &self.deliveries {
            for _ in 0..*n {
                row(event.name(), &day.to_string(), &contact(who), ANONYMIZED_DATA, "1")?;
            }
        }
        for ((kind, day, who), n) in &self.hits {
            let (day, n) = (days::date(*day), n.to_string());
            row(happened(*kind), &day, &contact(who), ANONYMIZED_DATA, &n)?;
        }
        export::finish(writer)
    }
}

const fn happened(kind: Kind) -> &'static str {
    match kind {
        Kind::Open => "opened",
        Kind::Click => "clicked",
    }
}

#[cfg(test)]
mod tests;
