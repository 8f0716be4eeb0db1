//! What ClickHouse holds: hits a cell in the counters, rows a cell of `individual`.

use std::collections::HashMap;

use anyhow::{Context, Result};
use hushmark_policy::CampaignId;

use crate::plan::{Cell, tenant};
use crate::stack::ClickHouse;

/// Hits a cell.
#[derive(Debug, Default)]
pub struct Stored {
    /// The sums of `raw`: clicks by link, opens by campaign.
    pub counters: HashMap<Cell, u64>,
    /// Rows of `individual`.
    pub rows: HashMap<Cell, u64>,
    /// Dimensions that do not sum to the total, which would be half a hit.
    pub uneven: Vec<String>,
}

/// Dimensions in which every hit has a value.
const WHOLE: [&str; 7] = ["mode", "rules", "verdict", "device", "client", "system", "hour"];

impl Stored {
    /// Reads all cells of the proofs' tenant.
    ///
    /// # Errors
    /// What the engine says.
    pub fn read(clickhouse: &ClickHouse) -> Result<Self> {
        let tenant = tenant().0;
        let counters = cells(&clickhouse.query(&format!(
            "SELECT campaign, if(dimension = 'link', toUInt16(value), 0) AS number, sum(raw) \
             FROM counters WHERE tenant = {tenant} \
             AND (dimension = 'link' OR (dimension = 'total' AND kind = 'open')) \
             GROUP BY campaign, number"
        ))?)?;
        let rows = cells(&clickhouse.query(&format!(
            "SELECT campaign, link, count() FROM hits WHERE tenant = {tenant} \
             GROUP BY campaign, link"
        ))?)?;
        let uneven = uneven(&clickhouse.query(&format!(
            "SELECT kind, dimension, sum(raw) FROM counters WHERE tenant = {tenant} \
             GROUP BY kind, dimension"
        ))?)?;
        Ok(Self { counters, rows, uneven })
    }
}

fn cells(text: &str) -> Result<HashMap<Cell, u64>> {
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t');
            let mut number = || -> Result<u64> {
                Ok(fields.next().with_context(|| format!("short line {line:?}"))?.parse()?)
            };
            let campaign = CampaignId(number()?);
            let link = u16::try_from(number()?)?;
            Ok((Cell { campaign, link }, number()?))
        })
        .collect()
}

fn uneven(text: &str) -> Result<Vec<String>> {
    let mut sums: HashMap<(&str, &str), u64> = HashMap::new();
    for line in text.lines() {
        let [kind, dimension, sum] = line.split('\t').collect::<Vec<_>>()[..] else {
            anyhow::bail!("the engine answered {line:?}, not a kind, a dimension and a sum");
        };
        sums.insert((kind, dimension), sum.parse()?);
    }
    let mut uneven = Vec::new();
    for kind in ["open", "click"] {
        let of = |dimension| sums.get(&(kind, dimension)).copied().unwrap_or(0);
        let link = if kind == "click" { of("link") } else { of("total") };
        let all = WHOLE.map(|dimension| (dimension, of(dimension)));
        for (dimension, sum) in all.into_iter().chain([("link", link)]) {
            if sum != of("total") {
                let total = of("total");
                uneven.push(format!("{kind}s by {dimension} sum to {sum}, the total to {total}"));
            }
        }
    }
    Ok(uneven)
}
