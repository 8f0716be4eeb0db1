//! Plans between the moment at which they are announced and the one at which they are carried out:
//! one file a plan, named by its hash, that its owner alone can read.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use hushmark_event::plans::Plan;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::data::DataFolder;
use crate::files;

/// Plans that are kept; beyond it the oldest go. Who finds none makes one.
const MOST: usize = 64;

/// A plan, and what became of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When it was made, in milliseconds since 1970.
    pub(crate) made_ms: u64,
    /// When carrying it out began: from then on less may be due than was announced.
    pub(crate) begun_ms: Option<u64>,
    /// When it was carried out.
    pub(crate) enforced_ms: Option<u64>,
    pub(crate) plan: Plan,
}

/// The folder of plans. One command at a time carries one out.
pub(crate) struct Plans {
    folder: PathBuf,
}

impl Plans {
    pub(crate) fn open(data: &DataFolder) -> Result<Self> {
        let folder = data.path("plans");
        files::private_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Held until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another `hushmark enforce` is under way on this folder: wait until it ends");
        }
        Ok(lock)
    }

    pub(crate) fn keep(&self, kept: &Kept) -> Result<()> {
        let path = self.folder.join(format!("{}.json", kept.plan.hash()));
        let bytes = serde_json::to_vec_pretty(kept).context("cannot write the plan")?;
        files::replace(&path, &bytes)?;
        let mut all = self.all()?;
        all.sort_by_key(|(_, kept)| kept.made_ms);
        let superfluous = all.len().saturating_sub(MOST);
        for (path, _) in all.into_iter().take(superfluous) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// The plan of a hash.
    pub(crate) fn find(&self, hash: &str) -> Result<Kept> {
        let is_it = |(_, kept): &(PathBuf, Kept)| kept.plan.hash().to_string() == hash;
        let Some((_, kept)) = self.all()?.into_iter().find(is_it) else {
            bail!("no plan has the hash {hash}: make one with `hushmark plan POLICY`");
        };
        Ok(kept)
    }

    /// Fails unless a plan is the newest of its policy and was not carried out.
    pub(crate) fn is_current(&self, kept: &Kept) -> Result<()> {
        let all = self.all()?;
        let name = &kept.plan.policy;
        if kept.enforced_ms.is_some() {
            bail!("this plan was carried out: see what is due now with `hushmark plan {name}`");
        }
        let newer = all.iter().map(|(_, other)| other).find(|other| {
            (other.plan.kind, &other.plan.policy) == (kept.plan.kind, name)
                && other.plan.hash() != kept.plan.hash()
                && other.made_ms >= kept.made_ms
        });
        if let Some(newer) = newer {
            bail!(
                "this plan is an old one: a newer plan of {name} has the hash {}; look at it with \
                 `hushmark plan {name}`, and give its hash",
                newer.plan.hash()
            );
        }
        Ok(())
    }

    /// Every plan that can be read and is what its name says.
    fn all(&self) -> Result<Vec<(PathBuf, Kept)>> {
        let mut all = Vec::new();
        let entries = fs::read_dir(&self.folder)
            .with_context(|| format!("cannot read {}", self.folder.display()))?;
        for entry in entries {
            let path = entry.context("cannot read the folder of plans")?.path();
            let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
            if path.extension().is_none_or(|end| end != "json") || name.starts_with('.') {
                continue;
            }
            let bytes = files::read_if_there(&path)?.unwrap_or_default();
            let damaged = || format!("{} is damaged: remove it, and plan anew", path.display());
            let kept: Kept = serde_json::from_slice(&bytes).with_context(damaged)?;
            if kept.plan.hash().to_string() != name {
                bail!("{}", damaged());
            }
            all.push((path, kept));
        }
        Ok(all)
    }
}

/// A hash as it is typed.
pub(crate) fn hash(text: &str) -> Result<String, String> {
    let is_hash = text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    match is_hash {
        true => Ok(text.to_owned()),
        false => Err("give the 64 hex digits that `hushmark plan` printed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use hushmark_event::plans::PolicyKind;

    use super::*;

    fn plan(policy: &str, spec: &str) -> Plan {
        Plan {
            schema: 1,
            region: "eu".into(),
            kind: PolicyKind::Retention,
            policy: policy.into(),
            spec: spec.into(),
            campaigns: Vec::new(),
            held: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn kept(plan: &Plan, made_ms: u64) -> Kept {
        Kept { made_ms, begun_ms: None, enforced_ms: None, plan: plan.clone() }
    }

    fn said(plans: &Plans, plan: &Plan) -> String {
        let found = plans.find(&plan.hash().to_string()).and_then(|it| plans.is_current(&it));
        found.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn only_the_newest_plan_of_a_policy_can_be_carried_out_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let plans = Plans::open(&DataFolder::new(folder.path())).unwrap();
        let (first, other) = (plan("acme/keep", "1"), plan("acme/other", "1"));
        assert!(said(&plans, &first).contains("no plan has the hash"));
        plans.keep(&kept(&first, 1)).unwrap();
        plans.keep(&kept(&other, 2)).unwrap();
        assert_eq!(said(&plans, &first), "", "another policy's plan is no newer one");
        let second = plan("acme/keep", "2");
        plans.keep(&kept(&second, 3)).unwrap();
        let old = said(&plans, &first);
        assert!(old.contains("an old one") && old.contains(&second.hash().to_string()), "{old}");
        plans.keep(&Kept { enforced_ms: Some(4), ..kept(&second, 3) }).unwrap();
        assert!(said(&plans, &second).contains("was carried out"));
        plans.keep(&kept(&first, 5)).unwrap();
        assert_eq!(said(&plans, &first), "", "made again, it is the newest");
    }

    #[test]
    fn a_plan_that_was_changed_on_disk_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let plans = Plans::open(&DataFolder::new(folder.path())).unwrap();
        let plan = plan("acme/keep", "1");
        plans.keep(&kept(&plan, 1)).unwrap();
        let path = plans.folder.join(format!("{}.json", plan.hash()));
        let text = fs::read_to_string(&path).unwrap().replace("acme/keep", "acme/lose");
        fs::write(&path, text).unwrap();
        assert!(said(&plans, &plan).contains("is damaged"));
    }

    #[test]
    fn only_so_many_plans_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let plans = Plans::open(&DataFolder::new(folder.path())).unwrap();
        for n in 0..MOST as u64 + 3 {
            plans.keep(&kept(&plan("acme/keep", &n.to_string()), n)).unwrap();
        }
        let oldest = plans.all().unwrap().into_iter().map(|(_, kept)| kept.made_ms).min();
        assert_eq!(oldest, Some(3));
    }

    #[test]
    fn one_at_a_time_carries_out_a_plan() {
        let folder = tempfile::tempdir().unwrap();
        let plans = Plans::open(&DataFolder::new(folder.path())).unwrap();
        let held = plans.lock().unwrap();
        assert!(plans.lock().unwrap_err().to_string().contains("is under way"));
        drop(held);
        plans.lock().unwrap();
    }
}
