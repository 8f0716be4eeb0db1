//! Waits for what was sent to be counted, and for what was counted to be shown, and compares.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hushmark_crds::Manifests;
use hushmark_event::Verdict;
use hushmark_event::cell::Dimension;
use hushmark_policy::Kind;
use hushmark_report::{ReadError, Report};

use super::expect::{self, Cells};
use super::mailing::Mailing;
use super::{COUNTED_WITHIN, Counters, LOOK_EVERY, Morning, compare, send, shown};
use crate::up::now_ms;

/// A demo does not wait for epochs that are longer.
const EPOCH_MAX: Duration = Duration::from_secs(60);

impl Morning<'_> {
    /// What has to be counted of a campaign.
    fn expected(&self, n: usize, sent: &send::Sent, before: &Cells, after: &Cells) -> Cells {
        let hits = sent.hits.get(&n).map_or(&[][..], Vec::as_slice);
        let rules = compare::rules(before, after).unwrap_or_else(|| "?".to_owned());
        expect::cells(self.mailings[n].tracking, hits, &rules)
    }

    /// Waits until as much is counted as was sent, and compares every cell.
    pub(super) async fn compare(&self, before: &Counters, sent: &send::Sent) -> Result<Counters> {
        said!("  waiting    ten seconds, in which a message's other clicks tell who made it");
        let begun = Instant::now();
        let after = loop {
            let read = self.read().await;
            let there = read.as_ref().is_ok_and(|after| self.is_all_there(before, sent, after));
            if there || begun.elapsed() > COUNTED_WITHIN {
                break read?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let (mut faults, mut cells, mut by_verdict) = (String::new(), 0, Cells::new());
        for (n, mailing) in self.mailings.iter().enumerate() {
            let (was, is) = (&before.campaigns[n], &after.campaigns[n]);
            let expected = self.expected(n, sent, was, is);
            cells += expected.len();
            for (place, numbers) in &expected {
                if place.1 == Dimension::Verdict {
                    by_verdict.entry(place.clone()).or_default().raw += numbers.raw;
                }
            }
            let differences = compare::differences(was, &expected, is);
            if !differences.is_empty() {
                faults += &compare::table(&mailing.name, &differences);
            }
        }
        let voids = after.own.voids - before.own.voids;
        if voids != sent.voids || after.own.drops != before.own.drops {
            writeln!(
                faults,
                "voids: {} sent, {voids} counted; drops: {} before, {} now",
                sent.voids, before.own.drops, after.own.drops
            )?;
        }
        if !faults.is_empty() {
            bail!("what was counted is not what was sent\n{faults}");
        }
        let seconds = begun.elapsed().as_secs_f64();
        said!(
            "  counted    after {seconds:.1} s: all {cells} counters are what was sent, to the hit"
        );
        say_verdicts(&by_verdict);
        said!(
            "    {} more left nothing: HEAD, prefetched pixels, opens objected to by GPC",
            sent.voids
        );
        Ok(after)
    }

    fn is_all_there(&self, before: &Counters, sent: &send::Sent, after: &Counters) -> bool {
        let voids = after.own.voids >= before.own.voids + sent.voids;
        voids
            && (0..self.mailings.len()).all(|n| {
                let (was, is) = (&before.campaigns[n], &after.campaigns[n]);
                let hits = sent.hits.get(&n).map_or(&[][..], Vec::as_slice);
                Kind::ALL.into_iter().all(|kind| {
                    let sent = hits.iter().filter(|hit| hit.kind == kind).count() as u64;
                    compare::total(is, kind) >= compare::total(was, kind) + sent
                })
            })
    }

    /// Waits for an epoch that has seen all of it, and checks what it shows.
    pub(super) async fn reports(
        &self,
        manifests: &Manifests,
        actual: &Counters,
    ) -> Result<Vec<Report>> {
        let epoch = manifests.region.epoch;
        if epoch > EPOCH_MAX {
            said!(
                "  shown      not before an epoch ends, and one lasts {} s: see `hushmark report`",
                epoch.as_secs()
            );
            return Ok(Vec::new());
        }
        said!("  waiting    for the end of an epoch, which lasts {} s", epoch.as_secs());
        let (mut reports, mut faults) = (Vec::new(), Vec::new());
        let counted_at = now_ms().div_ceil(1_000);
        let begun = Instant::now();
        for (mailing, actual) in self.mailings.iter().zip(&actual.campaigns) {
            let within = epoch * 2 + COUNTED_WITHIN;
            let Some(report) = self.report(mailing, counted_at, begun + within).await? else {
                continue;
            };
            faults.extend(shown::faults(&report, actual));
            if u64::from(report.minimum_group) != manifests.region.minimum_group {
                faults.push(format!("{}: another minimum group", mailing.name));
            }
            reports.push(report);
        }
        if !faults.is_empty() {
            bail!("what is shown is not what may be shown:\n  {}", faults.join("\n  "));
        }
        let seconds = begun.elapsed().as_secs_f64();
        said!(
            "  shown      after {seconds:.1} s: all that may be, and but for individual nothing of \
             fewer than {} people",
            manifests.region.minimum_group
        );
        Ok(reports)
    }

    /// The campaign's report as of an epoch after `since`, in seconds since 1970; `None` for a
    /// campaign that tracks nothing and of which nothing is published.
    async fn report(
        &self,
        mailing: &Mailing,
        since: u64,
        until: Instant,
    ) -> Result<Option<Report>> {
        loop {
            let read =
                hushmark_report::campaign(&self.state.clickhouse()?, &mailing.name, mailing.ids)
                    .await;
            match read {
                Ok(report) if u64::from(report.epoch) > since => return Ok(Some(report)),
                Err(ReadError::NotPublished(_)) if mailing.is_off() => return Ok(None),
                // An engine that died is started again.
                _ if Instant::now() < until => {}
                Ok(_) => bail!("{}: no epoch was published in time", mailing.name),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether nothing was added since, as a hit that is stored twice would be.
    pub(super) async fn is_still(&self, counted: &Counters) -> Result<()> {
        let now = self.read().await?;
        for (n, mailing) in self.mailings.iter().enumerate() {
            let differences =
                compare::differences(&counted.campaigns[n], &Cells::new(), &now.campaigns[n]);
            if !differences.is_empty() {
                bail!(
                    "something was counted that nobody sent\n{}",
                    compare::table(&mailing.name, &differences)
                );
            }
        }
        Ok(())
    }
}

/// What came, by who made the request.
fn say_verdicts(by_verdict: &Cells) {
    said!("    {:<14} {:>6} {:>6}", "", "opens", "clicks");
    for verdict in Verdict::ALL {
        let of = |kind| {
            let place = (kind, Dimension::Verdict, verdict.name().to_owned());
            by_verdict.get(&place).map_or(0, |cell| cell.raw)
        };
        let (opens, clicks) = (of(Kind::Open), of(Kind::Click));
        if opens + clicks > 0 {
            said!("    {:<14} {opens:>6} {clicks:>6}", verdict.name());
        }
    }
}
