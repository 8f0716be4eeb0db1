//! Waiting for receipts, and saying meanwhile how far it is.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ed25519_dalek::VerifyingKey;
use hushmark_event::audit::verify::{VerifiedReceipt, receipt};

use super::Log;
use super::whose::Whose;
use crate::data::{DataFolder, State};
use crate::keys;
use crate::up::RECEIPTS;

/// How long one waits at the terminal. It goes on without.
const PATIENCE: Duration = Duration::from_secs(900);

/// How often is looked.
const EVERY: Duration = Duration::from_millis(500);

/// A receipt as it lies in the data folder.
pub(super) struct Received {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) verified: VerifiedReceipt,
}

/// Waits for the receipt of each. Each was verified.
pub(super) async fn receipts(
    folder: &DataFolder,
    state: &State,
    whose: &[Whose],
) -> Result<Vec<Received>> {
    let key = keys::signing_key(folder)?.verifying_key();
    let log = Log::read(folder)?;
    let positions: BTreeSet<u64> = whose
        .iter()
        .filter_map(|one| Some(log.0.erasures().last_of(&one.erased.parse()?)?.n))
        .collect();
    if positions.len() != whose.len() {
        bail!("what was asked for did not get into the refusal log: `hushmark up` says why");
    }
    let until = Instant::now() + PATIENCE;
    let (mut said, mut furthest) = (String::new(), (0, None));
    loop {
        let mut found = read(folder, &key)?;
        found.retain(|it| positions.contains(&it.verified.receipt.position));
        if found.len() == whose.len() {
            return Ok(found);
        }
        if !folder.is_claimed() {
            bail!(
                "it is asked for, and from now on refused, but `hushmark up` has ended: start it \
                 again and it goes on by itself; run the same command again for the receipt"
            );
        }
        if Instant::now() > until {
            bail!(
                "it is asked for and goes on while `hushmark up` runs, but has not ended within {} \
                 minutes: the writer's log says what it waits for; run the same command again for \
                 the receipt",
                PATIENCE.as_secs() / 60
            );
        }
        let (stage, now) = progress(state, whose.len(), found.len()).await;
        // A look that falls between two steps sees the one before again.
        let is_further = stage.is_none() || (found.len(), stage) >= furthest;
        if now != said && is_further {
            eprintln!("{now}");
            said = now;
            furthest = furthest.max((found.len(), stage));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Every receipt in the folder, in the audit log's order.
fn read(folder: &DataFolder, key: &VerifyingKey) -> Result<Vec<Received>> {
    let root = folder.path(RECEIPTS);
    let mut all = Vec::new();
    for entry in fs::read_dir(&root).with_context(|| format!("cannot read {}", root.display()))? {
        let path = entry.with_context(|| format!("cannot read {}", root.display()))?.path();
        let name = path.display().to_string();
        // A draft is one that is being written.
        if !path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("receipt-")) {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        let verified = receipt(&bytes, key)
            .with_context(|| format!("{name} does not verify: it was changed"))?;
        all.push(Received { name, bytes, verified });
    }
    all.sort_by_key(|it| it.verified.pin.n);
    Ok(all)
}

/// The steps, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Refused,
    Removing,
    OldParts,
}

/// How far it is, as far as ClickHouse tells; no step while something is in the way.
async fn progress(state: &State, asked: usize, done: usize) -> (Option<Step>, String) {
    let query = "SELECT \
                 assumeNotNull((SELECT count() FROM system.mutations WHERE NOT is_done)), \
                 assumeNotNull((SELECT uniqExact(n) FROM (SELECT n FROM erased GROUP BY n \
                 HAVING countIf(name = '') = 0))), \
                 assumeNotNull((SELECT arrayStringConcat(groupArray(table || '/' || name), ', ') \
                 FROM system.detached_parts WHERE database = currentDatabase()))";
    let told = match state.clickhouse() {
        Ok(clickhouse) => {
            clickhouse.client().query_raw(query).fetch_one::<(u64, u64, String)>().await.ok()
        }
        Err(_) => None,
    };
    let (stage, text) = match told {
        None => (None, "waiting for ClickHouse".to_owned()),
        Some((0, 0, _)) => {
            (Some(Step::Refused), "refused from now on; waiting for the writer".to_owned())
        }
        Some((0, _, detached)) if !detached.is_empty() => {
            let why = "nobody can see what is in detached parts, attach or drop them";
            (None, format!("waiting: {why}: {detached}"))
        }
        Some((0, ..)) => {
            let text = "rows are removed; waiting until their old parts are gone from the disk";
            (Some(Step::OldParts), text.to_owned())
        }
        Some(_) => (Some(Step::Removing), "rows are being removed".to_owned()),
    };
    let of = if asked > 1 { format!("{done} of {asked} receipts; ") } else { String::new() };
    (stage, format!("{of}{text}"))
}
