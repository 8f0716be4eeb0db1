//! The data folder: everything a stack on one machine keeps, and what commands need to find it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hushmark_hop::PasswordFile;
use hushmark_policy::{CampaignId, TenantId};
use hushmark_report::ClickHouse;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::files;

/// The folder and the names in it.
#[derive(Clone)]
pub(crate) struct DataFolder {
    root: PathBuf,
}

/// What a running `up` tells the other commands, and the next `up`.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) region: String,
    pub(crate) manifests: PathBuf,
    pub(crate) base_url: String,
    /// Namespaces that have a tenant.
    pub(crate) namespaces: Vec<String>,
    /// Ids of the campaigns that have a manifest.
    #[serde(default)]
    pub(crate) campaigns: Vec<String>,
    pub(crate) clickhouse: String,
    #[serde(default)]
    pub(crate) clickhouse_user: Option<String>,
    /// Where the password is: the file, never what it holds.
    #[serde(default)]
    pub(crate) clickhouse_password_file: Option<PathBuf>,
    pub(crate) edge: String,
    pub(crate) edge_admin: String,
    pub(crate) writer_admin: String,
    pub(crate) epoch_seconds: u64,
    pub(crate) children: Vec<ChildRecord>,
}

/// A child process by what no later process can share: its number and when it started.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChildRecord {
    pub(crate) name: String,
    pub(crate) pid: i32,
    /// Clock ticks since boot, from `/proc/PID/stat`.
    pub(crate) started: u64,
}

impl DataFolder {
    /// The folder as a command finds it. Absolute where it is there: Redis's socket is named in a
    /// URL, which has no place for a relative path.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.canonicalize().unwrap_or_else(|_| root.to_owned()) }
    }

    /// Makes the folder ready for `up`, and holds it until the returned file is dropped.
    pub(crate) fn claim(root: &Path) -> Result<(Self, File)> {
        files::private_folder(root)?;
        let root =
            root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
        let folder = Self { root };
        let path = folder.root.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if !is_free(&lock, FlockOperation::NonBlockingLockExclusive) {
            let mut pid = String::new();
            lock.read_to_string(&mut pid).context("cannot read the lock file")?;
            bail!(
                "{} is in use by `hushmark up` with process id {}: stop that one first, or give \
                 another folder with --data",
                folder.root.display(),
                pid.trim()
            );
        }
        lock.set_len(0).context("cannot write the lock file")?;
        write!(lock, "{}", std::process::id()).context("cannot write the lock file")?;
        for sub in [
            "redis",
            "clickhouse",
            "edge",
            "writer",
            "logs",
            "refusals",
            "audit",
            "stamps",
            "receipts",
        ] {
            files::private_folder(&folder.root.join(sub))?;
        }
        Ok((folder, lock))
    }

    /// Whether `up` works on this folder now, and not only the Redis that a killed one left behind.
    pub(crate) fn is_claimed(&self) -> bool {
        let lock = File::open(self.path("lock"));
        lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
    }

    /// Room that is left on the folder's disk, where the system tells.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(self.root.as_path()).ok()?;
        disk.f_bavail.checked_mul(disk.f_frsize)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn redis_socket(&self) -> PathBuf {
        self.path("redis/redis.sock")
    }

    pub(crate) fn redis_url(&self) -> String {
        format!("unix://{}", self.redis_socket().display())
    }

    pub(crate) fn state(&self) -> Result<State> {
        let path = self.path("state.json");
        let Some(bytes) = files::read_if_there(&path)? else {
            bail!(
                "nothing has run in {} yet: start `hushmark up DIR` first, or name its folder with \
                 --data",
                self.root.display()
            );
        };
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    pub(crate) fn save(&self, state: &State) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(state).context("cannot write the state down")?;
        files::replace(&self.path("state.json"), &bytes)
    }
}

/// Takes the lock, unless another `up` has it. Whoever only looks has it for a moment, too.
fn is_free(lock: &File, how: FlockOperation) -> bool {
    (0..5_u32).any(|again| {
        thread::sleep(again * Duration::from_millis(20));
        flock(lock, how).is_ok()
    })
}

impl State {
    /// ClickHouse, with the password as its file says it now.
    pub(crate) fn clickhouse(&self) -> Result<ClickHouse> {
        let read = |file: &PathBuf| PasswordFile::new(file)?.read();
        let password = self.clickhouse_password_file.as_ref().map(read).transpose()?;
        Ok(ClickHouse {
            url: self.clickhouse.clone(),
            user: self.clickhouse_user.clone(),
            password,
        })
    }

    /// The ids and the full name of a campaign given as NAME or NAMESPACE/NAME, or as reports name
    /// it, with the region before. Ids follow from names, so that a report needs no manifest.
    pub(crate) fn campaign(&self, asked: &str) -> Result<(String, TenantId, CampaignId)> {
        let in_region = asked.strip_prefix(&self.region).and_then(|rest| rest.strip_prefix('/'));
        let asked = in_region.filter(|rest| rest.contains('/')).unwrap_or(asked);
        let (namespace, name) = match (asked.split_once('/'), self.namespaces.as_slice()) {
            (Some(parts), _) => parts,
            (None, [only]) => (only.as_str(), asked),
            (None, several) => bail!(
                "say which tenant's campaign {asked} is meant: NAMESPACE/{asked}, with one of {}",
                several.join(", ")
            ),
        };
        if !self.namespaces.iter().any(|known| known == namespace) {
            bail!("no tenant in namespace {namespace}; there are {}", self.namespaces.join(", "));
        }
        let full = format!("{}/{namespace}/{name}", self.region);
        let tenant = TenantId::derive(&self.region, namespace);
        Ok((full, tenant, CampaignId::derive(&self.region, namespace, name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_claimed_while_up_lives_and_whoever_looks_does_not_hold_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(root.path());
        assert!(!folder.is_claimed(), "nothing ran here");
        for _ in 0..2 {
            let (_, lock) = DataFolder::claim(root.path()).unwrap();
            assert!(folder.is_claimed());
            assert!(DataFolder::claim(root.path()).is_err());
            drop(lock);
            assert!(!folder.is_claimed());
        }
    }
}
