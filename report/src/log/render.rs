//! The log as text, JSON and CSV.

use std::io::{self, Write};

use super::{Bucket, Log};
use crate::days::date;
use crate::export;
use crate::people::{ANONYMIZED, Person};
use crate::text::Moment;

const COLUMNS: [&str; 9] = [
    "schema",
    "epoch",
    "minimum_group",
    "type",
    "date",
    "template",
    "contact",
    "message_id",
    "link",
];

/// The events of buckets, each by its bucket's place, in an order that tells nothing (Fisher and
/// Yates). `below` draws a number below the one given.
pub fn shuffled(buckets: &[Bucket], below: &mut dyn FnMut(usize) -> usize) -> Vec<u32> {
    let places = (0..).zip(buckets);
    let mut all: Vec<u32> = places
        .flat_map(|(place, bucket): (u32, _)| (0..bucket.count).map(move |_| place))
        .collect();
    for last in (1..all.len()).rev() {
        all.swap(last, below(last + 1));
    }
    all
}

fn address(person: Option<&Person>) -> &str {
    person.map_or(ANONYMIZED, Person::expose)
}

impl Log {
    /// For people: how many, by template, type and day, and the rows of `individual`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{}, transactional mail\n", self.tenant);
        if let Some((epoch, k)) = self.published {
            out += &format!("as of {}; minimum group {k}\n", Moment(epoch));
        }
        if !self.buckets.is_empty() {
            out += &format!("\n{:<17}{:<12}{:>10}  {}\n", "type", "date", "events", "template");
        }
        for bucket in &self.buckets {
            let (event, day, n) = (bucket.event.name(), date(bucket.day), bucket.count);
            out += &format!("{event:<17}{day:<12}{n:>10}  {}\n", bucket.template);
        }
        if !self.rows.is_empty() {
            out += &format!("\n{:<17}{:<25}{:<30} {}\n", "type", "date", "contact", "template");
        }
        for row in &self.rows {
            let (event, at) = (row.event.name(), Moment(row.at).to_string());
            let link = if row.link == 0 { String::new() } else { format!(", link {}", row.link) };
            let address = address(row.person.as_ref());
            out += &format!("{event:<17}{at:<25}{address:<30} {}{link}\n", row.template);
        }
        if !self.notes.is_empty() {
            out.push('\n');
        }
        self.notes.iter().for_each(|note| out += &format!("{note}\n"));
        out
    }

    /// For programs. A date that is null is not told.
    #[must_use]
    pub fn json(&self) -> String {
        let anonymized = self.buckets.iter().map(|it| {
            let date = it.day.map(|day| day.to_string());
            serde_json::json!({
                "type": it.event.name(), "date": date, "template": it.template, "events": it.count
            })
        });
        let rows = self.rows.iter().map(|row| {
            serde_json::json!({
                "type": row.event.name(), "at": row.at, "template": row.template,
                "contact": row.person.as_ref().map(Person::expose), "link": row.link,
            })
        });
        let value = serde_json::json!({
            "schema": self.schema,
            "tenant": self.tenant,
            "epoch": self.published.map(|(epoch, _)| epoch),
            "minimum_group": self.published.map(|(_, k)| k),
            "notes": self.notes,
            "anonymized": anonymized.collect::<Vec<_>>(),
            "individual": rows.collect::<Vec<_>>(),
        });
        format!("{value:#}\n")
    }

    /// For spreadsheets: notes first, then a row an event; those that name nobody come in random
    /// order. `below` draws a number below the one given.
    ///
    /// # Errors
    /// What `out` says.
    pub fn csv(&self, out: impl Write, below: &mut dyn FnMut(usize) -> usize) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        let (epoch, k) = match self.published {
            Some((epoch, k)) => (Moment(epoch).to_string(), k.to_string()),
            None => (String::new(), String::new()),
        };
        let schema = self.schema.to_string();
        let mut row = |[kind, date, template, contact, message, link]: [&str; 6]| {
            writer.write_record([&schema, &epoch, &k, kind, date, template, contact, message, link])
        };
        for note in &self.notes {
            row(["note", "", "", note, "", ""])?;
        }
        for it in &self.rows {
            let (at, link) = (Moment(it.at).to_string(), it.link.to_string());
            let link = if it.link == 0 { "" } else { link.as_str() };
            let (template, contact) =
                (export::inert(&it.template), export::inert(address(it.person.as_ref())));
            row([it.event.name(), &at, &template, &contact, ANONYMIZED, link])?;
        }
        for place in shuffled(&self.buckets, below) {
            let Some(it) = self.buckets.get(place as usize) else { continue };
            let (day, template) = (date(it.day), export::inert(&it.template));
            row([it.event.name(), &day, &template, ANONYMIZED, ANONYMIZED, ANONYMIZED])?;
        }
        writer.flush()
    }
}
