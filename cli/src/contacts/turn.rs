//! One command at a time draws ids for a tenant's contacts, or erases some of them. Two stampings at
//! once would draw two for whoever is new to both; of an id that is drawn during an erasure nobody
//! would know whose it was.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_policy::TenantId;
use rustix::fs::{FlockOperation, flock};

use crate::data::DataFolder;

/// How long a stamping may take before nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often is looked.
const EVERY: Duration = Duration::from_millis(50);

/// Waits until no other command draws ids of the tenant's. Held until the file is dropped: of a
/// command that was killed the system drops it.
pub(crate) async fn turn(folder: &DataFolder, tenant: TenantId) -> Result<File> {
    turn_within(&folder.path(&format!("stamps/contacts-{tenant}.lock")), PATIENCE).await
}

async fn turn_within(path: &Path, patience: Duration) -> Result<File> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
    let until = Instant::now() + patience;
    let mut is_said = false;
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= until {
            bail!(
                "another `hushmark stamp` or `hushmark erase` of this tenant has been under way for \
                 {} s, and nothing was changed: wait until it ends, or stop it, and run this again",
                patience.as_secs()
            );
        }
        if !is_said {
            eprintln!("waiting for another `hushmark stamp` or `hushmark erase` of this tenant");
            is_said = true;
        }
        tokio::time::sleep(EVERY).await;
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_its_turn_and_the_other_says_what_it_waits_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = turn_within(&path, Duration::ZERO).await.unwrap();
        let refused = turn_within(&path, Duration::ZERO).await.unwrap_err().to_string();
        assert!(refused.contains("another `hushmark stamp`"), "{refused}");
        drop(first);
        turn_within(&path, Duration::ZERO).await.unwrap();
    }
}
