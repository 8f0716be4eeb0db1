//! Which region key seals on one machine: the newest one that the edge says it has.

use anyhow::{Context, Result, bail};
use hushmark_event::Heartbeat;
use hushmark_event::heartbeat::{HEARTBEATS, lacking};
use hushmark_token::{Kid, RegionKeys};

use crate::data::DataFolder;
use crate::up::refusals;

/// The key for new links. A key that was just made waits until the edge has read it, so that no
/// link is sealed that leads nowhere.
pub(crate) async fn kid(folder: &DataFolder, keys: &RegionKeys) -> Result<Kid> {
    let mut kids = keys.kids().rev();
    let newest = kids.next().context("there is no region key")?;
    if keys.kids().count() == 1 {
        return Ok(newest);
    }
    let beats = heartbeats(folder).await?;
    if beats.iter().all(|beat| beat.kids.is_empty()) {
        bail!("no edge says which region keys it has: see that `hushmark up` runs, and try again");
    }
    let has_it = |kid: &Kid| lacking(&beats, [], kid.0).is_empty();
    std::iter::once(newest).chain(kids).find(has_it).context(
        "the edge has none of the region keys in this folder: give the folder that `hushmark up` \
         runs on",
    )
}

async fn heartbeats(folder: &DataFolder) -> Result<Vec<Heartbeat>> {
    let mut redis = refusals::connect(folder).await?;
    let (mut beats, mut cursor) = (Vec::new(), 0u64);
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(HEARTBEATS).arg("COUNT").arg(1_000);
        let (next, found): (u64, Vec<String>) =
            scan.query_async(&mut redis).await.context("cannot look for the edge's heartbeat")?;
        for key in found {
            let beat: Option<Vec<u8>> = redis::cmd("GET")
                .arg(&key)
                .query_async(&mut redis)
                .await
                .context("cannot read the edge's heartbeat")?;
            let Some(beat) = beat else { continue };
            beats.push(serde_json::from_slice(&beat).with_context(|| {
                format!("the edge's heartbeat {key} is of another version: restart `hushmark up`")
            })?);
        }
        if next == 0 {
            return Ok(beats);
        }
        cursor = next;
    }
}
