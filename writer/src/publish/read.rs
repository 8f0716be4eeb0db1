//! What the publisher reads: counters, rows, manifests, and what it published before.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::error::Result;
use clickhouse::{Client, Row};
use hushmark_event::Verdict;
use hushmark_event::cell::Dimension;
use hushmark_policy::shown::{Count, Measure, People, Shown};
use hushmark_policy::{Kind, Mode};
use serde::Deserialize;

use super::rules::{Counted, Place};

/// Tenant and campaign.
pub(super) type Id = (u64, u64);

/// What manifests and stampings say of a campaign, opens and clicks apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// The mode by kind, if a manifest names the campaign.
    pub(super) modes: Option<[u8; 2]>,
    /// Messages that left with the kind tracked.
    pub(super) messages: [u64; 2],
    /// Of these, those that no two people share.
    pub(super) own: [u64; 2],
    /// Recipients declared where the mail goes to a list address.
    pub(super) declared: u64,
    /// When a policy last removed something of it, in milliseconds since 1970.
    pub(super) enforced: i64,
}

impl Sent {
    /// The manifest's mode for a kind.
    #[must_use]
    pub(super) fn mode(&self, kind: Kind) -> Mode {
        self.modes.and_then(|modes| Mode::from_u8(modes[kind as usize])).unwrap_or(Mode::Off)
    }

    /// How many people a campaign's total is a part of. What a manifest declares is believed only
    /// where no messages of people's own were stamped: else who declares many could learn what a
    /// few did.
    #[must_use]
    pub(super) fn recipients(&self, kind: Kind) -> u64 {
        match self.own[kind as usize] {
            0 => self.messages[kind as usize].max(self.declared),
            own => own,
        }
    }
}

/// Manifests and stampings of all campaigns.
pub(super) async fn sent(client: &Client) -> Result<BTreeMap<Id, Sent>> {
    #[derive(Row, Deserialize)]
    struct Manifest {
        tenant: u64,
        campaign: u64,
        opens: u8,
        clicks: u8,
        declared: u64,
    }
    #[derive(Row, Deserialize)]
    struct Stamped {
        tenant: u64,
        campaign: u64,
        opens: u64,
        clicks: u64,
        own_opens: u64,
        own_clicks: u64,
    }
    let mut all = BTreeMap::<Id, Sent>::new();
    let manifests = "SELECT tenant, campaign, toUInt8(opens) AS opens, toUInt8(clicks) AS clicks, \
                     assumeNotNull(ifNull(declared, 0)) AS declared FROM campaigns FINAL";
    for row in client.query_raw(manifests).fetch_all::<Manifest>().await? {
        let sent = all.entry((row.tenant, row.campaign)).or_default();
        sent.modes = Some([row.opens, row.clicks]);
        sent.declared = row.declared;
    }
    let stamped = "SELECT tenant, campaign, sumIf(messages, s.opens != 'off') AS opens, \
                   sumIf(messages, s.clicks != 'off') AS clicks, \
                   sumIf(messages, s.opens IN ('anonymous', 'individual')) AS own_opens, \
                   sumIf(messages, s.clicks IN ('anonymous', 'individual')) AS own_clicks \
                   FROM sends AS s FINAL GROUP BY tenant, campaign";
    for row in client.query_raw(stamped).fetch_all::<Stamped>().await? {
        let sent = all.entry((row.tenant, row.campaign)).or_default();
        sent.messages = [row.opens, row.clicks];
        sent.own = [row.own_opens, row.own_clicks];
    }
    let enforced = "SELECT tenant, campaign, toUnixTimestamp64Milli(max(at)) AS at FROM enforced \
                    GROUP BY tenant, campaign";
    for (tenant, campaign, at) in client.query_raw(enforced).fetch_all::<(u64, u64, i64)>().await? {
        all.entry((tenant, campaign)).or_default().enforced = at;
    }
    Ok(all)
}

/// Every campaign that has a counter.
pub(super) async fn counted_campaigns(client: &Client) -> Result<BTreeSet<Id>> {
    let query = "SELECT DISTINCT tenant, campaign FROM counters WHERE tenant != 0";
    Ok(client.query_raw(query).fetch_all::<Id>().await?.into_iter().collect())
}

/// When the last epoch was, in seconds since 1970, and on which length of the refusal log.
pub(super) async fn last_epoch(client: &Client) -> Result<(u32, u64)> {
    let query = "SELECT toUnixTimestamp(max(epoch)), max(position) FROM published_campaigns \
                 WHERE tenant = 0 AND campaign = 0";
    client.query_raw(query).fetch_one::<(u32, u64)>().await
}

fn among(ids: &[Id]) -> String {
    let list: Vec<String> =
        ids.iter().map(|(tenant, campaign)| format!("({tenant},{campaign})")).collect();
    format!("(tenant, campaign) IN ({})", list.join(","))
}

fn place(dimension: &str, value: String) -> Option<Place> {
    Some((Dimension::from_name(dimension)?, value))
}

/// Counters and, where asked for, rows of some campaigns, by kind.
pub(super) async fn counted(
    client: &Client,
    ids: &[Id],
    with_rows: &[Id],
) -> Result<BTreeMap<Id, [Counted; 2]>> {
    #[derive(Row, Deserialize)]
    struct CellRow {
        tenant: u64,
        campaign: u64,
        kind: u8,
        dimension: String,
        value: String,
        raw: u64,
        human: u64,
        people: u64,
        people_human: u64,
    }
    let mut all: BTreeMap<Id, [Counted; 2]> =
        ids.iter().map(|id| (*id, [Counted::default(), Counted::default()])).collect();
    let cells = format!(
        "SELECT tenant, campaign, toUInt8(kind) AS kind, toString(dimension) AS dimension, value, \
         sum(c.raw) AS raw, sum(c.human) AS human, \
         uniqCombined64ArrayMerge(14)(uniq_raw) AS people, \
         uniqCombined64ArrayMerge(14)(uniq_human) AS people_human \
         FROM counters AS c WHERE {} GROUP BY tenant, campaign, kind, dimension, value",
        among(ids)
    );
    for row in client.query_raw(&cells).fetch_all::<CellRow>().await? {
        let kinds = all.entry((row.tenant, row.campaign)).or_default();
        let (Some(counted), Some(place)) =
            (kinds.get_mut(usize::from(row.kind)), place(&row.dimension, row.value))
        else {
            continue;
        };
        let (uniq_raw, uniq_human) = (Some(row.people), Some(row.people_human));
        let count = Count { raw: row.raw, human: row.human, uniq_raw, uniq_human };
        counted.cells.insert(place, count);
    }
    if with_rows.is_empty() {
        return Ok(all);
    }
    let human: Vec<String> = Verdict::ALL
        .iter()
        .filter(|verdict| verdict.is_human())
        .map(|verdict| format!("'{}'", verdict.name()))
        .collect();
    let rows = rows_query(&human.join(","), &among(with_rows));
    for row in client.query_raw(&rows).fetch_all::<CellRow>().await? {
        let kinds = all.entry((row.tenant, row.campaign)).or_default();
        if let (Some(counted), Some(place)) =
            (kinds.get_mut(usize::from(row.kind)), place(&row.dimension, row.value))
        {
            counted.rows.insert(place, (row.raw, row.people, row.people_human));
        }
    }
    Ok(all)
}

/// A query a dimension: name, value, key, and which rows have a value. Each aggregates by the bare
/// column, which costs a quarter of building all values of every row.
fn rows_query(human: &str, among: &str) -> String {
    let hour = "formatDateTime(toStartOfHour(at), '%Y-%m-%dT%H')";
    let parts = [
        ("total", "''", "", ""),
        ("verdict", "toString(verdict)", ", verdict", ""),
        ("link", "toString(link)", ", link", " AND link != 0"),
        ("device", "toString(device)", ", device", ""),
        ("client", "toString(client)", ", client", ""),
        ("system", "toString(system)", ", system", ""),
        ("country", "toString(country)", ", country", " AND country != ''"),
        ("hour", hour, ", toStartOfHour(at)", ""),
    ];
    let queries = parts.map(|(name, value, key, only)| {
        format!(
            "SELECT tenant, campaign, toUInt8(kind) AS kind, '{name}' AS dimension, \
             {value} AS value, count() AS raw, toUInt64(0) AS human, \
             uniqExact(contact) AS people, \
             uniqExactIf(contact, verdict IN ({human})) AS people_human \
             FROM hits WHERE {among}{only} GROUP BY tenant, campaign, kind{key}"
        )
    });
    queries.join(" UNION ALL ")
}

/// What was published, by campaign and kind.
#[derive(Default)]
pub(super) struct Before {
    pub(super) cells: BTreeMap<(Id, u8), BTreeMap<Place, Shown>>,
    /// Versions of the rules.
    pub(super) rules: BTreeMap<(Id, u8), Vec<u16>>,
}

/// What was published before.
pub(super) async fn before(client: &Client, ids: &[Id]) -> Result<Before> {
    #[derive(Row, Deserialize)]
    struct Told {
        tenant: u64,
        campaign: u64,
        kind: u8,
        rules: Vec<u16>,
    }
    #[derive(Row, Deserialize)]
    struct Published {
        tenant: u64,
        campaign: u64,
        kind: u8,
        dimension: String,
        value: String,
        raw: Option<u64>,
        human: Option<u64>,
        uniq_raw: Option<u64>,
        uniq_human: Option<u64>,
        at_raw: u64,
        at_human: u64,
        at_between: u64,
    }
    let query = format!(
        "SELECT tenant, campaign, toUInt8(kind) AS kind, toString(dimension) AS dimension, value, \
         raw, human, uniq_raw, uniq_human, at_raw, at_human, at_between \
         FROM published FINAL WHERE {}",
        among(ids)
    );
    let mut before = Before::default();
    for row in client.query_raw(&query).fetch_all::<Published>().await? {
        let Some(place) = place(&row.dimension, row.value) else { continue };
        let measure = |hits: Option<u64>, uniq| hits.map(|hits| Measure { hits, uniq });
        let shown = Shown {
            raw: measure(row.raw, row.uniq_raw),
            human: measure(row.human, row.uniq_human),
            at: People { raw: row.at_raw, human: row.at_human, between: row.at_between },
        };
        let cells = before.cells.entry(((row.tenant, row.campaign), row.kind)).or_default();
        cells.insert(place, shown);
    }
    let query = format!(
        "SELECT tenant, campaign, toUInt8(kind) AS kind, rules FROM published_campaigns FINAL \
         WHERE {}",
        among(ids)
    );
    for row in client.query_raw(&query).fetch_all::<Told>().await? {
        before.rules.insert(((row.tenant, row.campaign), row.kind), row.rules);
    }
    Ok(before)
}
