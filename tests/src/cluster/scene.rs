//! A region whose operator is at work: what most proofs of the control plane begin with.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Call, Cluster, Deployed, Mark, Release};
use crate::tools::Tools;

/// How long an operator may take to come to rest.
const RESTS_WITHIN: Duration = Duration::from_secs(180);

/// A release, its Region, and the operator that makes it so.
pub struct Scene {
    /// The operator.
    pub operator: Deployed,
    /// The operator's program, for further replicas.
    pub program: PathBuf,
    /// The release.
    pub release: Release,
    /// The control plane.
    pub cluster: Cluster,
}

impl Scene {
    /// Installs a release, applies its Region, starts its operator, and waits until the Region is
    /// Ready. `more` is what the Region's spec has beside what every region here has.
    ///
    /// # Errors
    /// What did not start, with the end of its log.
    pub fn start(tools: &Tools, more: &str) -> Result<Self> {
        let scene = Self::prepare(tools)?;
        scene.cluster.apply(&format!("{}{more}", scene.release.region()))?;
        scene.operator.process.start()?;
        scene.wait_condition("Ready", "True")?;
        Ok(scene)
    }

    /// The same with no Region applied and no operator started.
    ///
    /// # Errors
    /// What did not start, with the end of its log.
    pub fn prepare(tools: &Tools) -> Result<Self> {
        let program = tools.program("hushmark-operator")?;
        let cluster = Cluster::start(tools)?;
        Release::install_crds(&cluster)?;
        let release = Release::install(&cluster, "eu", "eu-central")?;
        let operator = release.operator(&cluster, &program, "eu-operator-0")?;
        Ok(Self { operator, program, release, cluster })
    }

    /// Waits until something holds, as long as the operator lives.
    ///
    /// # Errors
    /// As [`Cluster::wait`], with the end of the operator's log.
    pub fn wait(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let waited = self.cluster.wait(what, || {
            if !self.operator.process.is_running() {
                bail!("the operator ended");
            }
            done()
        });
        waited.with_context(|| self.operator.process.last_words())
    }

    /// Waits until a condition of the Region has a status.
    ///
    /// # Errors
    /// As [`Self::wait`], with the Region's status.
    pub fn wait_condition(&self, name: &str, status: &str) -> Result<()> {
        let has = || {
            let conditions = self.release.conditions(&self.cluster)?;
            Ok(conditions.get(name).is_some_and(|found| found == status))
        };
        let waited = self.wait(&format!("{name} is {status}"), has);
        waited.with_context(|| format!("{:#}", self.region().unwrap_or_default()["status"]))
    }

    /// Waits until a condition of the Region says something.
    ///
    /// # Errors
    /// As [`Self::wait_condition`].
    pub fn wait_says(&self, name: &str, text: &str) -> Result<()> {
        let says = || Ok(self.says(name).is_ok_and(|said| said.contains(text)));
        let waited = self.wait(&format!("{name} says {text:?}"), says);
        waited.with_context(|| format!("{:#}", self.region().unwrap_or_default()["status"]))
    }

    /// The Region as it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn region(&self) -> Result<Value> {
        self.cluster.get(&["region", &self.release.name])
    }

    /// Status, reason and message of a condition of the Region.
    ///
    /// # Errors
    /// When it has no such condition.
    pub fn says(&self, name: &str) -> Result<String> {
        condition(&self.region()?, name).with_context(|| format!("no condition {name}"))
    }

    /// An object of the release's namespace.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, what: &[&str]) -> Result<Value> {
        self.cluster.get(&[what, &["-n", &self.release.namespace]].concat())
    }

    /// Runs kubectl in the release's namespace.
    ///
    /// # Errors
    /// What it says when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[arguments, &["-n", &self.release.namespace]].concat())
    }

    /// A name of the release: `eu-edge`.
    #[must_use]
    pub fn named(&self, part: &str) -> String {
        format!("{}-{part}", self.release.name)
    }

    /// Waits until the operator has written nothing but Leases for so long.
    ///
    /// # Errors
    /// When it goes on writing.
    pub fn settle(&self, quiet: Duration) -> Result<()> {
        let until = Instant::now() + RESTS_WITHIN;
        loop {
            let mark = self.cluster.mark()?;
            sleep(quiet);
            let written = self.writes(&mark)?;
            if written.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                let words = self.operator.process.last_words();
                bail!("it goes on writing after {RESTS_WITHIN:?}: {written:?}\n{words}");
            }
        }
    }

    /// What the operator asked to change since a mark, Leases apart.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn writes(&self, mark: &Mark) -> Result<Vec<Call>> {
        let writes = self.cluster.writes_since(mark, &self.operator.user)?;
        Ok(writes.into_iter().filter(|call| !call.is_lease()).collect())
    }
}

/// Status, reason and message of a condition of any object.
#[must_use]
pub fn condition(object: &Value, name: &str) -> Option<String> {
    let all = object["status"]["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == name)?;
    let word = |field: &str| found[field].as_str().unwrap_or_default();
    Some(format!("{} {}: {}", word("status"), word("reason"), word("message")))
}
