//! From ClickHouse to a [`Report`].

use std::collections::BTreeMap;

use clickhouse::{Client, Compression, Row};
use hushmark_event::cell::Dimension;
use hushmark_policy::{CampaignId, Kind, Mode, TenantId};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::model::{Cell, KindReport, Report, Uniques, sort};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// ClickHouse did not answer, or refused.
    #[error("cannot read from ClickHouse at {url}: {source}; is `hushmark up` running?")]
    ClickHouse {
        /// Where it was asked.
        url: String,
        /// What it said.
        source: clickhouse::error::Error,
    },
    /// No epoch has published this campaign.
    #[error(
        "nothing is published of campaign {0} yet: check its name, and wait for the end of the \
         epoch after it was stamped"
    )]
    NotPublished(String),
    /// ClickHouse does not show that something is gone that has to be.
    #[error(
        "entry {0} of the refusal log demands an erasure that ClickHouse does not show: it is under \
         way, or an older backup was restored. Nothing is shown before the writer has erased it, \
         which it does by itself: try again in some minutes; its log says what it waits for"
    )]
    Behind(u64),
    /// The tables hold what this program does not know.
    #[error("the published tables hold {0}, which this program does not know: upgrade it")]
    Unknown(String),
}

/// Where ClickHouse is and who asks.
pub struct ClickHouse {
    /// `http://host:port`.
    pub url: String,
    /// The user, where one is needed.
    pub user: Option<String>,
    /// The password, where one is needed.
    pub password: Option<Zeroizing<String>>,
}

impl ClickHouse {
    /// A client for the tables. Answers are small and local, so they are not compressed.
    #[must_use]
    pub fn client(&self) -> Client {
        let mut client = Client::default().with_url(&self.url).with_compression(Compression::None);
        if let Some(user) = &self.user {
            client = client.with_user(user);
        }
        if let Some(password) = &self.password {
            client = client.with_password(password.as_str());
        }
        client
    }
}

#[derive(Row, Deserialize)]
struct KindRow {
    kind: String,
    epoch_seconds: u32,
    mode: String,
    uniques: String,
    k: u32,
    sent: u64,
    rules: Vec<u16>,
    last_epoch: u32,
}

#[derive(Row, Deserialize)]
struct CellRow {
    kind: String,
    dimension: String,
    value: String,
    raw: Option<u64>,
    human: Option<u64>,
    uniq_raw: Option<u64>,
    uniq_human: Option<u64>,
}

const KINDS: &str = "SELECT toString(kind) AS kind, epoch_seconds, toString(mode) AS mode, \
    toString(uniques) AS uniques, k, sent, rules, \
    assumeNotNull((SELECT toUnixTimestamp(max(epoch)) FROM published_campaigns \
     WHERE tenant = 0 AND campaign = 0)) AS last_epoch \
    FROM published_campaigns FINAL WHERE tenant = ? AND campaign = ?";

const CELLS: &str = "SELECT toString(kind) AS kind, toString(dimension) AS dimension, value, raw, \
    human, uniq_raw, uniq_human \
    FROM published FINAL WHERE tenant = ? AND campaign = ?";

/// Reads what the last epoch published of one campaign.
///
/// # Errors
/// [`ReadError`] when ClickHouse cannot be asked, or nothing was published yet.
pub async fn campaign(
    clickhouse: &ClickHouse,
    name: &str,
    (tenant, campaign): (TenantId, CampaignId),
) -> Result<Report, ReadError> {
    let client = clickhouse.client();
    let failed = |source| ReadError::ClickHouse { url: clickhouse.url.clone(), source };
    let ask = |sql: &str| client.query(sql).bind(tenant.0).bind(campaign.0);
    let kinds = ask(KINDS).fetch_all::<KindRow>().await.map_err(failed)?;
    let cells = ask(CELLS).fetch_all::<CellRow>().await.map_err(failed)?;
    let Some(first) = kinds.first() else {
        return Err(ReadError::NotPublished(name.to_owned()));
    };
    let mut report = Report {
        schema: 1,
        campaign: name.to_owned(),
        epoch: first.last_epoch,
        epoch_seconds: first.epoch_seconds,
        minimum_group: first.k,
        kinds: Vec::new(),
    };
    for row in kinds {
        report.kinds.push(kind_report(row)?);
    }
    report.kinds.sort_by_key(|kind| kind.kind);
    for row in cells {
        place(&mut report, row)?;
    }
    for kind in &mut report.kinds {
        for (dimension, rows) in &mut kind.tables {
            sort(*dimension, rows);
        }
    }
    Ok(report)
}

/// Fails while ClickHouse does not show every erasure that the refusal log demands: its entries, each
/// with the moment of it in milliseconds since 1970. What ended before is another log's entry.
/// Whoever shows anything stored asks this first.
///
/// # Errors
/// [`ReadError::Behind`] names the first that is missing.
pub async fn erased(clickhouse: &ClickHouse, demanded: &[(u64, u64)]) -> Result<(), ReadError> {
    if demanded.is_empty() {
        return Ok(());
    }
    let query = "SELECT n, toUInt64(toUnixTimestamp64Milli(max(at))) FROM erased WHERE name = '' \
                 GROUP BY n";
    let ended: BTreeMap<u64, u64> = clickhouse
        .client()
        .query_raw(query)
        .fetch_all::<(u64, u64)>()
        .await
        .map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })?
        .into_iter()
        .collect();
    let is_due = |(n, at_ms): &&(u64, u64)| ended.get(n).is_none_or(|ended| ended < at_ms);
    match demanded.iter().find(is_due) {
        Some((n, _)) => Err(ReadError::Behind(*n)),
        None => Ok(()),
    }
}

fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, text: &str) -> Result<T, ReadError> {
    all.iter()
        .copied()
        .find(|value| name(*value) == text)
        .ok_or_else(|| ReadError::Unknown(format!("{text:?}")))
}

fn kind_report(row: KindRow) -> Result<KindReport, ReadError> {
    let uniques = match row.uniques.as_str() {
        "none" => Uniques::None,
        "sketch" => Uniques::Sketch,
        "exact" => Uniques::Exact,
        other => return Err(ReadError::Unknown(format!("uniques {other:?}"))),
    };
    Ok(KindReport {
        kind: named(&Kind::ALL, Kind::name, &row.kind)?,
        mode: named(&Mode::ALL, Mode::name, &row.mode)?,
        uniques,
        sent: row.sent,
        rules: row.rules,
        total: Cell::default(),
        tables: BTreeMap::new(),
    })
}

fn place(report: &mut Report, row: CellRow) -> Result<(), ReadError> {
    let kind = named(&Kind::ALL, Kind::name, &row.kind)?;
    let dimension = Dimension::from_name(&row.dimension)
        .ok_or_else(|| ReadError::Unknown(format!("dimension {:?}", row.dimension)))?;
    let CellRow { value, raw, human, uniq_raw, uniq_human, .. } = row;
    let cell = Cell { raw, human, uniq_raw, uniq_human };
    let Some(kind) = report.kinds.iter_mut().find(|k| k.kind == kind) else {
        return Ok(());
    };
    if dimension == Dimension::Total {
        kind.total = cell;
    } else if cell.raw.is_some() && !value.is_empty() {
        // A row of no name is the total that a guarded table added up to when it was released.
        kind.tables.entry(dimension).or_default().push((value, cell));
    }
    Ok(())
}
