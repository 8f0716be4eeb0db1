//! Another region key in two steps: it is distributed, and it seals once every edge has it.
//!
//! Where a rotation is stands in two places: the Secret holds the keys and the last request that
//! was obeyed, the Region's status names the key that seals. A key above that one *is* a rotation
//! under way, so that whoever comes after a crash goes on where it stopped. What seals reads the
//! status alone. Keys are never taken out: a redirect works for as long as its key is there.

use std::collections::{BTreeMap, BTreeSet};

use hushmark_event::Heartbeat;
use hushmark_event::ask::Question;
use hushmark_event::audit::{Action, Name, Outcome, Principal};
use hushmark_event::heartbeat::{HEARTBEATS, Lacks, lacking};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use redis::cmd;

use super::vault::{Changes, Stored, Vault};
use super::{KEY_LEN, gone, random};
use crate::region::edges::Edges;
use crate::region::validate::ValidatedRegion;
use crate::{Context, Error, context};
use hushmark_crds::KeysStatus;
use hushmark_crds::region::ROTATE_KEYS;

/// Characters of a request that are remembered: who writes more into an annotation means the same
/// by its beginning.
const ASKED_LEN: usize = 200;

/// Edges that a condition names at most.
const NAMED: usize = 8;

/// Heartbeats that are read at most, twice as many as a Region may have edges.
const MOST_BEATS: usize = 2_000;

/// The region keys that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::region) struct Held {
    /// Their numbers.
    pub(in crate::region) kids: BTreeSet<u16>,
    /// The request that the last of them was made for.
    obeyed: Option<String>,
}

/// What decides about the next step.
struct Facts<'a> {
    kids: &'a BTreeSet<u16>,
    /// The key that seals, and since when.
    sealing: Option<(u16, Timestamp)>,
    /// What Secret and status remember of requests.
    obeyed: [Option<&'a str>; 2],
    /// What is asked for now.
    asked: Option<&'a str>,
    /// Days between two rotations.
    every: Option<u16>,
    now: Timestamp,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The key that seals goes on.
    Rest,
    /// There was never another key, and no edge starts without one: it seals.
    First(u16),
    /// A key of this number is made.
    Distribute(u16),
    /// This key seals as soon as every edge has it.
    Confirm(u16),
    /// Every number was used.
    NoNumberLeft,
}

/// Who set the annotation: the API server alone knows, and its own audit log tells.
const SOMEBODY: &str = "unknown: who set hushmark.io/rotate-keys";

/// Writes down that a key was asked for.
async fn note(ctx: &Context) -> Result<(), Error> {
    let active = ctx.active().ok_or_else(|| Error::Audit("the Region is gone".into()))?;
    let mut redis = ctx.redis.connection().await?;
    let by = Principal::Kubernetes(Name::of(SOMEBODY));
    let question = Question { by, action: Action::RotateKeys };
    let what = (question, Outcome::Allowed { position: None });
    ctx.refusals.note(&mut redis, &active.signing_key, what, context::now_ms()).await.map(drop)
}

impl Facts<'_> {
    /// Whether somebody asks for another key.
    fn is_asked(&self) -> bool {
        self.asked.is_some() && !self.obeyed.contains(&self.asked)
    }

    fn next(&self) -> Next {
        let newest = self.kids.last().copied().unwrap_or(0);
        let Some((sealing, since)) = self.sealing else {
            return if self.kids.len() == 1 { Next::First(newest) } else { Next::Confirm(newest) };
        };
        if newest > sealing {
            return Next::Confirm(newest);
        }
        let is_due = self.every.is_some_and(|days| {
            let due = since.saturating_add(SignedDuration::from_hours(24 * i64::from(days)));
            due.is_ok_and(|due| due <= self.now)
        });
        if !self.is_asked() && !is_due {
            return Next::Rest;
        }
        newest.checked_add(1).map_or(Next::NoNumberLeft, Next::Distribute)
    }
}

/// Where the keys are after a look at them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::region) struct Rotation {
    /// The key that seals, and since when.
    pub(in crate::region) sealing: Option<(u16, Time)>,
    /// The last request that was obeyed.
    pub(in crate::region) asked: Option<String>,
    /// Why a newer key does not seal yet.
    pub(in crate::region) waits: Option<Waits>,
    /// What happened just now, for people: reason and text.
    pub(in crate::region) news: Vec<(&'static str, String)>,
}

/// Why a key does not seal yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::region) struct Waits {
    /// The key.
    pub(in crate::region) kid: u16,
    /// In one word.
    pub(in crate::region) reason: &'static str,
    /// In words, with what to do.
    pub(in crate::region) text: String,
}

/// The request that an annotation holds, if it holds one.
fn asked(annotations: &BTreeMap<String, String>) -> Option<String> {
    let asked = annotations.get(ROTATE_KEYS)?.trim();
    (!asked.is_empty()).then(|| asked.chars().take(ASKED_LEN).collect())
}

/// The region keys, made where there were never any.
pub(super) async fn hold(
    vault: &Vault<'_>,
    region: &ValidatedRegion,
    known: Option<&KeysStatus>,
) -> Result<Held, Error> {
    let name = region.named("region-keys");
    let held = match vault.stored(&name).await? {
        Some(stored) => read(&stored),
        None if known.is_some() => {
            return Err(gone(&name, "every link in sent mail needs its keys"));
        }
        None => {
            // A key that is new already was made for whatever is asked.
            let notes = asked(&region.annotations).map(|asked| (ROTATE_KEYS.to_owned(), asked));
            let data = [("1.key".into(), random()?.to_vec())].into();
            read(&vault.create_noted(&name, data, notes.into_iter().collect()).await?)
        }
    };
    if held.kids.is_empty() {
        return Err(gone(&name, "it has no entry like 1.key with 32 bytes any more"));
    }
    let named = known.into_iter().flat_map(|known| known.kids.iter().copied().chain(known.sealing));
    let lost = named.filter_map(|kid| u16::try_from(kid).ok()).find(|kid| !held.kids.contains(kid));
    match lost {
        Some(kid) => Err(Error::Blocked(format!(
            "the Secret {name} has no {kid}.key any more, and mail was sealed under it, whose \
             links lead nowhere now. Restore the entry from a backup. To refuse a key that leaked, \
             leave it there and ask for a takedown of it"
        ))),
        None => Ok(held),
    }
}

fn read(stored: &Stored) -> Held {
    let keys = stored.data.iter().filter(|(_, key)| key.len() == KEY_LEN);
    let kids = keys.filter_map(|(name, _)| name.strip_suffix(".key")?.parse().ok()).collect();
    Held { kids, obeyed: stored.annotations.get(ROTATE_KEYS).cloned() }
}

/// One look: the next step is taken, if there is one.
pub(super) async fn turn(
    ctx: &Context,
    region: &ValidatedRegion,
    held: &mut Held,
    known: Option<&KeysStatus>,
    edges: &Edges,
    now: Timestamp,
) -> Result<Rotation, Error> {
    // Kubernetes keeps whole seconds; finer ones would differ from what is read back.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let since = known.and_then(|known| known.sealing_since.as_ref()).map_or(now, |since| since.0);
    let sealing = known.and_then(|known| u16::try_from(known.sealing?).ok());
    let asked = asked(&region.annotations);
    let facts = Facts {
        kids: &held.kids,
        sealing: sealing.map(|kid| (kid, since)),
        obeyed: [held.obeyed.as_deref(), known.and_then(|known| known.asked.as_deref())],
        asked: asked.as_deref(),
        every: region.rotate_keys_every,
        now,
    };
    let mut next = facts.next();
    let mut rotation = Rotation {
        sealing: sealing.map(|kid| (kid, Time(since))),
        asked: known.and_then(|known| known.asked.clone()),
        ..Rotation::default()
    };
    if let Next::Distribute(kid) = next
        && facts.is_asked()
        && let Err(error) = note(ctx).await
    {
        // Nothing that somebody asked for is done without an entry in the audit log.
        let text = format!("who asked for it is to be written down first: {error}");
        rotation.waits = Some(Waits { kid, reason: "AuditLog", text });
        next = Next::Rest;
    }
    if let Next::Distribute(kid) = next {
        distribute(&Vault::new(ctx), region, kid, asked).await?;
        let text = format!("key {kid} was made; it seals once every edge has it");
        rotation.news.push(("KeyMade", text));
        *held = Held { kids: held.kids.iter().copied().chain([kid]).collect(), ..held.clone() };
        held.obeyed = self::asked(&region.annotations).or(held.obeyed.take());
        next = Next::Confirm(kid);
    }
    rotation.asked = held.obeyed.clone().or(rotation.asked);
    match next {
        Next::Rest | Next::Distribute(_) => {}
        Next::First(kid) => rotation.sealing = Some((kid, Time(now))),
        Next::NoNumberLeft => rotation.waits = Some(no_number(&held.kids)),
        Next::Confirm(kid) => match confirm(ctx, kid, edges).await {
            Some(waits) => rotation.waits = Some(waits),
            None => {
                let text = format!("key {kid} seals new links; links under older keys go on");
                rotation.news.push(("KeySeals", text));
                rotation.sealing = Some((kid, Time(now)));
            }
        },
    }
    Ok(rotation)
}

fn no_number(kids: &BTreeSet<u16>) -> Waits {
    let kid = kids.last().copied().unwrap_or_default();
    let text = format!(
        "key {kid} has the last number that there is, so no other can be made: take \
         spec.keys.rotateEvery away"
    );
    Waits { kid, reason: "NoNumberLeft", text }
}

/// Step one: the key and the request that it was made for, in one write over what was read.
async fn distribute(
    vault: &Vault<'_>,
    region: &ValidatedRegion,
    kid: u16,
    asked: Option<String>,
) -> Result<(), Error> {
    let name = region.named("region-keys");
    let Some(stored) = vault.stored(&name).await? else {
        return Err(gone(&name, "every link in sent mail needs its keys"));
    };
    let entry = format!("{kid}.key");
    if stored.data.contains_key(&entry) {
        return Err(Error::Blocked(format!(
            "the Secret {name} has an entry {entry} that is no key of {KEY_LEN} bytes: take it out"
        )));
    }
    let changes = Changes::from([(entry, Some(random()?.to_vec()))]);
    let notes = asked.map(|asked| (ROTATE_KEYS.to_owned(), asked)).into_iter().collect();
    vault.change_noted(&name, &changes, &notes, &stored.version).await?;
    tracing::info!(secret = name, kid, "a region key was made");
    Ok(())
}

/// Step two: why the key may not seal yet, or nothing when every edge has it.
async fn confirm(ctx: &Context, kid: u16, edges: &Edges) -> Option<Waits> {
    let waits = |reason, text| Some(Waits { kid, reason, text });
    let wanted = match edges.expected() {
        Some(wanted) => wanted,
        None => return waits("NoEdges", "the edge's StatefulSet is not there yet".to_owned()),
    };
    let beats = match heartbeats(ctx).await {
        Ok(beats) => beats,
        Err(error) => {
            let text = format!("which edges have it is not known: {error}. It is asked again");
            return waits("RedisAway", text);
        }
    };
    let lacking = lacking(&beats, wanted.iter().map(String::as_str), kid);
    if lacking.is_empty() { None } else { waits("WaitsForEdges", told(&lacking)) }
}

fn told(lacking: &BTreeMap<String, Lacks>) -> String {
    let mut each: Vec<String> = lacking
        .iter()
        .take(NAMED)
        .map(|(pod, lacks)| match lacks {
            Lacks::Heartbeat => format!("{pod} (no heartbeat)"),
            Lacks::Key(has) => {
                let has: Vec<String> = has.iter().map(ToString::to_string).collect();
                format!("{pod} (has {})", has.join(", "))
            }
        })
        .collect();
    let more = lacking.len().saturating_sub(NAMED);
    if more > 0 {
        each.push(format!("{more} more"));
    }
    format!(
        "waits for {}. A changed Secret reaches a pod within two minutes; where it does not, look \
         at the pod's log, and delete the pod if need be",
        each.join(", ")
    )
}

/// What every edge says of itself.
async fn heartbeats(ctx: &Context) -> Result<Vec<Heartbeat>, Error> {
    let read = read_heartbeats(ctx).await;
    if matches!(read, Err(Error::Redis { .. })) {
        ctx.redis.failed().await;
    }
    read
}

async fn read_heartbeats(ctx: &Context) -> Result<Vec<Heartbeat>, Error> {
    let failed = Error::redis;
    let mut redis = ctx.redis.connection().await?;
    let (mut beats, mut cursor) = (BTreeMap::new(), 0u64);
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(HEARTBEATS).arg("COUNT").arg(1_000);
        let found = scan.query_async(&mut redis).await;
        let (next, keys): (u64, Vec<String>) = found.map_err(failed("look for heartbeats"))?;
        for key in keys {
            let beat = cmd("GET").arg(&key).query_async(&mut redis).await;
            let beat: Option<Vec<u8>> = beat.map_err(failed("read a heartbeat"))?;
            // It may have ended meanwhile. One that cannot be read is an edge of another version:
            // it has what nobody knows.
            let Some(beat) = beat else { continue };
            let beat = serde_json::from_slice(&beat).map_err(|error| {
                Error::Blocked(format!("the heartbeat {key} cannot be read: {error}"))
            })?;
            beats.insert(key, beat);
        }
        if next == 0 {
            return Ok(beats.into_values().collect());
        }
        if beats.len() > MOST_BEATS {
            return Err(Error::Blocked(format!("there are more than {MOST_BEATS} heartbeats")));
        }
        cursor = next;
    }
}

#[cfg(test)]
mod tests;
