//! The counters as they are, and where they are not what was sent.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use hushmark_event::cell::Dimension;
use hushmark_policy::{CampaignId, Kind, TenantId};
use hushmark_report::{ClickHouse, counters};

use super::expect::{Cells, Numbers, Place};

/// Differences that are printed; the rest is only counted.
const LINES: usize = 40;

/// Reads every counter of a campaign.
pub(super) async fn read(
    clickhouse: &ClickHouse,
    (tenant, campaign): (TenantId, CampaignId),
) -> Result<Cells> {
    let mut cells = Cells::new();
    for row in counters::read(clickhouse, tenant, campaign).await? {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == row.kind);
        let kind = kind.with_context(|| format!("a counter of kind {:?}", row.kind))?;
        let dimension = Dimension::from_name(&row.dimension)
            .with_context(|| format!("a counter of dimension {:?}", row.dimension))?;
        let counters::Counter { raw, human, uniq_raw, uniq_human, .. } = row;
        cells.insert((kind, dimension, row.value), Numbers { raw, human, uniq_raw, uniq_human });
    }
    Ok(cells)
}

/// What the writer counts for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) voids: u64,
    pub(super) drops: u64,
}

/// Reads what the writer counts for itself: it has no tenant and no campaign.
pub(super) async fn read_own(clickhouse: &ClickHouse) -> Result<Own> {
    let rows = counters::read(clickhouse, TenantId(0), CampaignId(0)).await?;
    let sum = |dimension: &str| {
        rows.iter().filter(|row| row.dimension == dimension).map(|row| row.raw).sum()
    };
    Ok(Own { voids: sum("void"), drops: sum("drop") })
}

/// All hits of a kind.
pub(super) fn total(cells: &Cells, kind: Kind) -> u64 {
    cells.get(&(kind, Dimension::Total, String::new())).map_or(0, |cell| cell.raw)
}

/// The version of the rules by which hits came in between, if it was one.
pub(super) fn rules(before: &Cells, after: &Cells) -> Option<String> {
    let mut found = after.iter().filter(|(place, cell)| {
        place.1 == Dimension::Rules && cell.raw > before.get(*place).map_or(0, |b| b.raw)
    });
    let ((kind, _, value), _) = found.next()?;
    found.all(|((other, _, same), _)| other != kind && same == value).then(|| value.clone())
}

/// A cell that is not what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    place: Place,
    before: Numbers,
    sent: Numbers,
    after: Numbers,
}

/// Every cell that did not grow by what was sent. Distinct messages are known exactly where
/// nothing was counted before: else some of them may have been counted already.
pub(super) fn differences(before: &Cells, sent: &Cells, after: &Cells) -> Vec<Difference> {
    let mut places: Vec<&Place> = after.keys().chain(sent.keys()).chain(before.keys()).collect();
    places.sort();
    places.dedup();
    let of = |cells: &Cells, place: &Place| cells.get(place).copied().unwrap_or_default();
    let all = places.into_iter().map(|place| Difference {
        place: place.clone(),
        before: of(before, place),
        sent: of(sent, place),
        after: of(after, place),
    });
    all.filter(|cell| !cell.adds_up()).collect()
}

impl Difference {
    fn adds_up(&self) -> bool {
        let Self { before, sent, after, .. } = self;
        let joins = |before: u64, sent: u64, after: u64| {
            (before.max(sent)..=before + sent).contains(&after)
        };
        after.raw == before.raw + sent.raw
            && after.human == before.human + sent.human
            && joins(before.uniq_raw, sent.uniq_raw, after.uniq_raw)
            && joins(before.uniq_human, sent.uniq_human, after.uniq_human)
    }
}

/// A table for people: what was there, what was sent, what is there now.
pub(super) fn table(campaign: &str, differences: &[Difference]) -> String {
    let mut out = format!(
        "{campaign}: {} cells are not what was sent (raw/human, unique raw/human)\n\
         {:<6} {:<10} {:<20} {:>22} {:>22} {:>22}\n",
        differences.len(),
        "kind",
        "dimension",
        "value",
        "before",
        "sent",
        "after"
    );
    let say = |n: &Numbers| format!("{}/{}, {}/{}", n.raw, n.human, n.uniq_raw, n.uniq_human);
    for Difference { place: (kind, dimension, value), before, sent, after } in
        differences.iter().take(LINES)
    {
        writeln!(
            out,
            "{:<6} {:<10} {value:<20} {:>22} {:>22} {:>22}",
            kind.name(),
            dimension.name(),
            say(before),
            say(sent),
            say(after)
        )
        .expect("a string takes any text");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(raw: u64, human: u64, uniq: u64) -> Cells {
        let place = (Kind::Open, Dimension::Client, "Gmail".to_owned());
        let numbers = Numbers { raw, human, uniq_raw: uniq, uniq_human: uniq.min(human) };
        Cells::from([(place, numbers)])
    }

    fn adds_up(before: &Cells, sent: &Cells, after: &Cells) -> bool {
        differences(before, sent, after).is_empty()
    }

    #[test]
    fn one_hit_too_many_too_few_or_elsewhere_shows() {
        let (none, sent) = (Cells::new(), cells(5, 3, 2));
        assert!(adds_up(&none, &sent, &cells(5, 3, 2)));
        assert!(!adds_up(&none, &sent, &cells(6, 3, 2)));
        assert!(!adds_up(&none, &sent, &cells(5, 2, 2)));
        assert!(!adds_up(&none, &sent, &cells(5, 3, 1)));
        assert!(!adds_up(&none, &sent, &none));
        assert!(!adds_up(&none, &none, &sent));
    }

    #[test]
    fn readers_who_were_counted_before_may_come_again() {
        let (before, sent) = (cells(5, 3, 2), cells(5, 3, 2));
        assert!(adds_up(&before, &sent, &cells(10, 6, 2)));
        assert!(adds_up(&before, &sent, &cells(10, 6, 4)));
        assert!(!adds_up(&before, &sent, &cells(10, 6, 5)));
        assert!(!adds_up(&before, &sent, &cells(10, 6, 1)));
        assert!(!adds_up(&before, &sent, &cells(9, 6, 2)));
    }

    #[test]
    fn the_version_of_the_rules_is_told_when_it_is_one() {
        let at = |kind, rules: &str, raw| {
            let numbers = Numbers { raw, ..Numbers::default() };
            ((kind, Dimension::Rules, rules.to_owned()), numbers)
        };
        let before = Cells::from([at(Kind::Open, "1", 4)]);
        let mut after = before.clone();
        assert_eq!(rules(&before, &after), None);
        after.extend([at(Kind::Open, "2", 4), at(Kind::Click, "2", 1)]);
        assert_eq!(rules(&before, &after).as_deref(), Some("2"));
        after.extend([at(Kind::Open, "3", 1)]);
        assert_eq!(rules(&before, &after), None);
    }
}
