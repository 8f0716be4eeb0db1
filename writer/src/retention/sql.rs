//! Which rows a step is due for, as conditions of SQL. Pure.
//!
//! Architecture invariant: no condition matches a ledger row. They are nobody's (tenant 0, campaign
//! 0), and every condition names a tenant and campaigns; what rides beside them is named as well.

use std::fmt::Write as _;

use hushmark_policy::retention::{Due, Step};
use hushmark_policy::{CampaignId, Day, TenantId};

/// In `last` of a hit's row: as it came. Only ledger rows use the column for more.
pub(super) const WHOLE: u64 = 0;
/// In `last` of a hit's row: of its time only the day is left.
pub(super) const DAY_ONLY: u64 = 1;
/// In `last` of a hit's row: a copy with the day alone, whose original is not deleted yet.
pub(super) const DRAFT: u64 = 2;

/// The campaigns that a step reaches, and when it is due there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Whose.
    pub tenant: TenantId,
    /// Which. None is held.
    pub campaigns: Vec<CampaignId>,
    /// What is due.
    pub due: Due,
}

impl Reach {
    /// Rows of these campaigns and nobody's. Without campaigns it is no row at all.
    pub(super) fn scope(&self) -> String {
        let mut ids = self.campaigns.iter().map(|id| id.0.to_string()).collect::<Vec<_>>();
        if ids.is_empty() {
            ids.push("0".to_owned());
        }
        format!("tenant = {} AND tenant != 0 AND campaign IN ({})", self.tenant.0, ids.join(","))
    }

    /// Rows of `hits` that the step is due for; `None` where it reaches none.
    pub(super) fn hits(&self) -> Option<String> {
        let due = &self.due;
        let what = match due.step {
            Step::Rows => String::new(),
            Step::Place => " AND country != ''".to_owned(),
            Step::Hour => format!(" AND last = {WHOLE}"),
            Step::Client => " AND (device != '' OR client != '' OR system != '')".to_owned(),
            Step::Counters => return None,
        };
        let mut time = format!("at < toDateTime({}, 'UTC')", seconds(due.before));
        if due.gone_before > Day(0) {
            _ = write!(time, " AND at >= toDateTime({}, 'UTC')", seconds(due.gone_before));
        }
        Some(format!("{} AND lane = '' AND {time}{what}", self.scope()))
    }

    /// The dimensions whose counters the step removes, as a condition; `None` where it removes none.
    pub(super) fn dimensions(&self) -> Option<&'static str> {
        Some(match self.due.step {
            Step::Rows => return None,
            Step::Place => "dimension = 'country'",
            Step::Hour => "dimension = 'hour'",
            Step::Client => "dimension IN ('device', 'client', 'system')",
            Step::Counters => "dimension != 'lane'",
        })
    }

    /// Which rows of these dimensions are due. An hour's counters say themselves when they are of.
    pub(super) fn is_due(&self) -> String {
        match self.due.step {
            Step::Hour => format!("value < '{}'", self.due.before),
            _ => format!("month < '{}'", self.due.month()),
        }
    }

    /// Rows of `counters` that the step is due for.
    pub(super) fn counters(&self) -> Option<String> {
        Some(format!("{} AND {} AND {}", self.scope(), self.dimensions()?, self.is_due()))
    }

    /// Published cells of which no counter is left. The empty total of a campaign without a hit
    /// tells nothing and stays, and so does what a table added up to, which is no cell.
    pub(super) fn published_gone(&self) -> Option<String> {
        let (scope, dimensions) = (self.scope(), self.dimensions()?);
        Some(format!(
            "{scope} AND {dimensions} AND if(dimension = 'total', at_raw > 0 OR ifNull(raw, 0) > 0, value != '') AND \
             (tenant, campaign, kind, dimension, value) NOT IN \
             (SELECT tenant, campaign, kind, dimension, value FROM counters \
             WHERE {scope} AND {dimensions} AND NOT ({}))",
            self.is_due()
        ))
    }

    /// Asks for the published cells that show more than the counters that stay: they lost a part.
    pub(super) fn published_less(&self) -> Option<String> {
        let (scope, dimensions) = (self.scope(), self.dimensions()?);
        Some(format!(
            "SELECT p.campaign AS campaign, toString(p.kind) AS kind, \
             toString(p.dimension) AS dimension, p.value AS value FROM \
             (SELECT tenant, campaign, kind, dimension, value, raw FROM published FINAL \
             WHERE {scope} AND {dimensions} AND raw IS NOT NULL) AS p INNER JOIN \
             (SELECT tenant, campaign, kind, dimension, value, sumIf(c.raw, NOT ({due})) AS now, \
             countIf(NOT ({due})) AS kept FROM counters AS c WHERE {scope} AND {dimensions} \
             GROUP BY tenant, campaign, kind, dimension, value) AS c \
             USING (tenant, campaign, kind, dimension, value) WHERE p.raw > c.now AND c.kept > 0 \
             ORDER BY campaign, kind, dimension, value",
            due = self.is_due()
        ))
    }
}

/// A day's begin, in seconds since 1970.
const fn seconds(day: Day) -> u64 {
    day.start_ms() / 1_000
}

/// A text between quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(step: Step) -> Reach {
        let (before, gone_before) = (Day(20_000), Day(19_000));
        let campaigns = vec![CampaignId(7), CampaignId(9)];
        Reach { tenant: TenantId(5), campaigns, due: Due { step, before, gone_before } }
    }

    #[test]
    fn every_condition_names_a_tenant_and_campaigns_and_no_ledger_row() {
        for reach in Step::ALL.map(reach) {
            let all = [reach.hits(), reach.counters(), reach.published_gone()];
            assert!(all.iter().any(Option::is_some));
            for condition in all.into_iter().flatten() {
                assert!(condition.starts_with("tenant = 5 AND tenant != 0 AND campaign IN (7,9)"));
                assert!(!condition.contains("'lane'") || condition.contains("!= 'lane'"));
            }
            if let Some(hits) = reach.hits() {
                assert!(hits.contains("AND lane = ''"), "{hits}");
            }
        }
    }

    #[test]
    fn without_campaigns_no_row_is_meant() {
        let nobody = Reach { campaigns: Vec::new(), ..reach(Step::Rows) };
        assert_eq!(nobody.scope(), "tenant = 5 AND tenant != 0 AND campaign IN (0)");
    }

    #[test]
    fn what_goes_altogether_is_not_changed_first() {
        let hour = reach(Step::Hour).hits().unwrap();
        assert!(
            hour.contains("at < toDateTime(1728000000, 'UTC') AND at >= toDateTime(1641600000")
        );
    }

    #[test]
    fn quotes_hold_what_is_between_them() {
        assert_eq!(quoted(r"a'b\c"), r"'a\'b\\c'");
    }
}
