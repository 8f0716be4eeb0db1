//! The log of transactional mail: what happened, on which day, to mail of which template.
//!
//! Path: what an epoch published of each template → [`released`] (pure: how many events of which
//! kind may be told, by day) → rows in random order, a row an event. In `individual`, rows of hits
//! give time, address and link instead.

mod render;

use std::collections::HashMap;

use clickhouse::Row;
use hushmark_event::Verdict;
use hushmark_policy::{Day, Kind, MailType, Mode, TenantId};
use serde::Deserialize;

use crate::days;
use crate::model::Report;
use crate::people::{self, Known, Person, Whom};
use crate::read::{ClickHouse, ReadError};

pub use render::shuffled;

/// Rows of `individual` that are read at most, the newest: some 200 MB.
const ROWS_MAX: u64 = 1_000_000;

/// What can happen to transactional mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// It was opened; by a machine or a proxy as well.
    Opened,
    /// It was opened for the first time.
    FirstOpening,
    /// A mail provider's proxy loaded it before anybody looked.
    LoadedByProxy,
    /// A link was followed.
    Clicked,
}

impl Event {
    /// As people know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "Opened",
            Self::FirstOpening => "First opening",
            Self::LoadedByProxy => "Loaded by proxy",
            Self::Clicked => "Clicked",
        }
    }
}

/// Events of one kind on one day, of which nothing else is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The campaign's name.
    pub template: String,
    /// What happened.
    pub event: Event,
    /// The day; nothing where it is not told.
    pub day: Option<Day>,
    /// How often.
    pub count: u64,
}

/// One event of `individual` mail.
pub struct Exact {
    /// The campaign's name.
    pub template: String,
    /// What happened.
    pub event: Event,
    /// When, in seconds since 1970.
    pub at: u32,
    /// Who it was; nothing where the tenant's key does not open the address.
    pub person: Option<Person>,
    /// The link's position in the template; 0 for opens.
    pub link: u16,
}

/// The log.
pub struct Log {
    /// The version of this form; a field is never given another meaning.
    pub schema: u32,
    /// Region and namespace.
    pub tenant: String,
    /// The last epoch and the minimum group; nothing where none has published any template.
    pub published: Option<(u32, u32)>,
    /// What is told of mail whose readers are not known.
    pub buckets: Vec<Bucket>,
    /// What happened to mail of `individual`, by time.
    pub rows: Vec<Exact>,
    /// What a reader has to know of it.
    pub notes: Vec<String>,
}

/// What may be told of one template's mail, whose kinds are kept to the modes of `known`.
#[must_use]
pub fn released(known: &Known, report: &Report) -> Vec<Bucket> {
    let k = u64::from(report.minimum_group);
    let mut buckets = Vec::new();
    let mut add = |event, day, count| {
        let template = known.name.clone();
        buckets.push(Bucket { template, event, day, count });
    };
    for kind in &report.kinds {
        let mode = known.mode(kind.kind);
        // Of `individual` there are rows.
        if mode == Mode::Individual || !days::may_tell(kind, mode) {
            continue;
        }
        let event = if kind.kind == Kind::Open { Event::Opened } else { Event::Clicked };
        for (day, count) in days::hits(kind, k) {
            add(event, day, count);
        }
        if let Some(count) = days::first_openings(kind, k) {
            add(Event::FirstOpening, None, count);
        }
        if let Some(count) = days::by_proxy(kind, k) {
            add(Event::LoadedByProxy, None, count);
        }
    }
    buckets
}

/// Reads a tenant's log. `templates` are its campaigns with what the last epoch published of each;
/// those of other mail than transactional are passed over.
///
/// # Errors
/// [`ReadError`].
pub async fn read(
    clickhouse: &ClickHouse,
    (name, tenant): (String, TenantId),
    templates: &[(Known, Option<Report>)],
    whom: Whom<'_>,
) -> Result<Log, ReadError> {
    let transactional = |(known, _): &&(Known, _)| known.mail_type == MailType::Transactional;
    let templates: Vec<_> = templates.iter().filter(transactional).collect();
    let reports = || templates.iter().filter_map(|(known, report)| Some((known, report.as_ref()?)));
    let buckets = reports().flat_map(|(known, report)| released(known, report)).collect();
    let published = reports().map(|(_, report)| (report.epoch, report.minimum_group)).max();
    let mut log =
        Log { schema: 1, tenant: name, published, buckets, rows: Vec::new(), notes: Vec::new() };
    let individual = templates.iter().map(|(known, _)| known);
    let individual: Vec<&Known> = individual
        .filter(|known| Kind::ALL.iter().any(|kind| known.mode(*kind) == Mode::Individual))
        .collect();
    if !individual.is_empty() {
        log.rows = rows(clickhouse, tenant, &individual, whom).await?;
        if log.rows.len() as u64 >= ROWS_MAX {
            log.notes.push(format!("of individual mail the newest {ROWS_MAX} hits are here"));
        }
    }
    if reports().any(|(known, _)| Kind::ALL.iter().any(|kind| is_anonymized(known.mode(*kind)))) {
        log.notes.extend(notes(published.map_or(0, |(_, k)| k)));
    }
    if templates.is_empty() {
        log.notes.push("the tenant has no campaign of type transactional".to_owned());
    }
    Ok(log)
}

const fn is_anonymized(mode: Mode) -> bool {
    matches!(mode, Mode::Overall | Mode::Anonymous)
}

/// What is to be said of rows that name nobody.
fn notes(k: u32) -> Vec<String> {
    vec![
        format!(
            "Anonymized: rows are in random order, and there as soon as {k} messages of a template \
             stand behind them; a day's are at least so many, from its hours that stand for {k} \
             people or more each, and the rest has no day"
        ),
        "First opening and Loaded by proxy are told without a day: on which day it was is kept \
         nowhere"
            .to_owned(),
        "Opened counts machines and proxies too: by day they are not told apart".to_owned(),
    ]
}

/// The hits of those whose tracking did not end.
async fn rows(
    clickhouse: &ClickHouse,
    tenant: TenantId,
    templates: &[&Known],
    whom: Whom<'_>,
) -> Result<Vec<Exact>, ReadError> {
    #[derive(Row, Deserialize)]
    struct Hit {
        campaign: u64,
        contact: u64,
        at: u32,
        of_kind: u8,
        link: u16,
        by_proxy: bool,
        first: bool,
    }
    let ids = people::list(templates.iter().map(|known| known.id.0));
    let (t, proxy) = (tenant.0, Verdict::AppleProxy.name());
    let among = format!("tenant = {t} AND campaign IN ({ids})");
    let query = format!(
        "SELECT campaign, contact, toUnixTimestamp(at) AS at, toUInt8(kind) AS of_kind, link, \
         toBool(verdict = '{proxy}') AS by_proxy, toBool(kind = 'open' AND row_number() OVER \
         (PARTITION BY campaign, contact, kind ORDER BY at) = 1) AS first \
         FROM hits WHERE {among} AND contact NOT IN \
         (SELECT contact FROM contacts FINAL WHERE tenant = {t} AND lookup IN \
          (SELECT lookup FROM withdrawals WHERE tenant = {t})) \
         ORDER BY at DESC LIMIT {ROWS_MAX}"
    );
    let hits = clickhouse.client().query_raw(&query).fetch_all::<Hit>().await;
    let hits =
        hits.map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })?;
    let contacts = format!("SELECT contact FROM hits WHERE {among}");
    let people = people::addresses(clickhouse, tenant, &contacts, false, whom).await?;
    let names: HashMap<u64, &Known> = templates.iter().map(|known| (known.id.0, *known)).collect();
    let mut rows = Vec::with_capacity(hits.len());
    for hit in hits.into_iter().rev().filter(|hit| !whom.ended.contains_key(&hit.contact)) {
        let kind = if hit.of_kind == 0 { Kind::Open } else { Kind::Click };
        let known = names.get(&hit.campaign).filter(|it| it.mode(kind) == Mode::Individual);
        let Some(known) = known else { continue };
        let mut add = |event| {
            let (template, person) =
                (known.name.clone(), people.get(&hit.contact).cloned().flatten());
            rows.push(Exact { template, event, at: hit.at, person, link: hit.link });
        };
        add(if kind == Kind::Open { Event::Opened } else { Event::Clicked });
        if hit.first {
            add(Event::FirstOpening);
        }
        if hit.by_proxy && kind == Kind::Open {
            add(Event::LoadedByProxy);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
