//! What epochs published of campaigns, for their status.
//!
//! The operator may not ask ClickHouse and shall not: the writer puts the totals of each epoch into
//! Redis, with the minimum group applied, and nothing else reaches a status. A number there changes
//! when a published one does, so that a status tells no more than a report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hushmark_crds::{CountsStatus, PublishedStatus};
use hushmark_event::redis_keys::{PUBLISHED, PUBLISHED_EPOCH};
use hushmark_event::{Total, Totals};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use redis::cmd;
use tokio_util::sync::CancellationToken;

use crate::{Context, Error};

/// How often it is asked whether there was another epoch.
const EVERY: Duration = Duration::from_secs(5);

/// How long one look may take: 100,000 totals are read in a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Totals that are asked for at once.
const AT_ONCE: usize = 500;

/// Totals by campaign, its id in hex as Redis and status have it.
pub type Counts = BTreeMap<String, Totals>;

/// Follows the epochs until `shutdown`.
///
/// # Errors
/// None: whatever fails is said once, and tried again.
pub async fn run(ctx: Arc<Context>, shutdown: CancellationToken) -> Result<(), Error> {
    let (mut seen, mut said) = (None, String::new());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        if ctx.active().is_none() {
            continue;
        }
        let looked = tokio::time::timeout(PATIENCE, look(&ctx, seen));
        match looked.await.unwrap_or(Err(Error::Late(PATIENCE))) {
            Ok(Some((epoch, counts))) => {
                said.clear();
                seen = Some(epoch);
                ctx.tell.counts.send_replace(Arc::new(counts));
            }
            Ok(None) => said.clear(),
            Err(error) => {
                if matches!(error, Error::Redis { .. }) {
                    ctx.redis.failed().await;
                }
                let text = error.to_string();
                if text != said {
                    tracing::warn!(%error, "what epochs published is not known");
                }
                said = text;
            }
        }
    }
}

/// Everything, if the epoch is another one than was seen.
async fn look(ctx: &Context, seen: Option<u32>) -> Result<Option<(u32, Counts)>, Error> {
    let mut redis = ctx.redis.connection().await?;
    let epoch = cmd("GET").arg(PUBLISHED_EPOCH).query_async(&mut redis).await;
    let epoch: Option<u32> = epoch.map_err(Error::redis("ask for the last epoch"))?;
    let Some(epoch) = epoch.filter(|epoch| Some(*epoch) != seen) else { return Ok(None) };
    let (mut counts, mut cursor) = (Counts::new(), 0u64);
    loop {
        let mut scan = cmd("HSCAN");
        scan.arg(PUBLISHED).arg(cursor).arg("COUNT").arg(AT_ONCE);
        let found = scan.query_async(&mut redis).await;
        let (next, found): (u64, Vec<(String, Vec<u8>)>) =
            found.map_err(Error::redis("read what epochs published"))?;
        let read = found.into_iter().filter_map(|(id, text)| Some((id, Totals::parse(&text)?)));
        counts.extend(read);
        if next == 0 {
            return Ok(Some((epoch, counts)));
        }
        cursor = next;
    }
}

/// The campaigns of which something else is shown now.
pub(crate) fn changed<'a>(old: &Counts, new: &'a Counts) -> BTreeSet<&'a str> {
    let differs = |id: &str, new: &Totals| old.get(id).is_none_or(|old| !old.shows_the_same(new));
    new.iter().filter(|(id, new)| differs(id, new)).map(|(id, _)| id.as_str()).collect()
}

/// What the status says, once this was published. Where it shows what it showed, it stays as it is.
pub(crate) fn status(old: Option<&CountsStatus>, totals: &Totals) -> Option<CountsStatus> {
    let shown = |total: Option<Total>| total.as_ref().map(published);
    let (opens, clicks) = (shown(totals.opens), shown(totals.clicks));
    if opens.is_none() && clicks.is_none() {
        return None;
    }
    let as_of = match old.filter(|old| old.opens == opens && old.clicks == clicks) {
        Some(old) => old.as_of.clone(),
        None => Time(Timestamp::from_second(totals.epoch.into()).unwrap_or_default()),
    };
    Some(CountsStatus { as_of, opens, clicks })
}

fn published(total: &Total) -> PublishedStatus {
    let number = |n: Option<u64>| n.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    PublishedStatus {
        shown: total.raw.map_or_else(|| "withheld".to_owned(), |raw| raw.to_string()),
        raw: number(total.raw),
        human: number(total.human),
        messages: number(total.messages),
        human_messages: number(total.human_messages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(epoch: u32, raw: Option<u64>) -> Totals {
        Totals { epoch, opens: Some(Total { raw, ..Total::default() }), clicks: None }
    }

    #[test]
    fn a_status_changes_when_what_is_shown_does_and_not_with_every_epoch() {
        let first = status(None, &opens(1_000, Some(60))).unwrap();
        assert_eq!(first.opens.as_ref().unwrap().shown, "60");
        assert_eq!(status(Some(&first), &opens(2_000, Some(60))), Some(first.clone()));
        let later = status(Some(&first), &opens(2_000, Some(70))).unwrap();
        assert_eq!(later.as_of.0.as_second(), 2_000);
    }

    #[test]
    fn what_is_withheld_is_told_as_such_and_what_is_not_tracked_is_not_told() {
        let withheld = status(None, &opens(1_000, None)).unwrap();
        let opens = withheld.opens.unwrap();
        assert_eq!((opens.shown.as_str(), opens.raw), ("withheld", None));
        assert_eq!(withheld.clicks, None);
        assert_eq!(status(None, &Totals { epoch: 1, opens: None, clicks: None }), None);
    }

    #[test]
    fn only_those_are_looked_at_of_which_something_else_is_shown() {
        let of = |all: &[(&str, u32, u64)]| -> Counts {
            all.iter().map(|(id, epoch, raw)| ((*id).into(), opens(*epoch, Some(*raw)))).collect()
        };
        let (old, new) =
            (of(&[("a", 1, 60), ("b", 1, 60)]), of(&[("a", 2, 60), ("b", 2, 61), ("c", 2, 9)]));
        assert_eq!(changed(&old, &new).into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }
}
