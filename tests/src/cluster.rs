//! A real Kubernetes control plane on this machine: etcd, API server, controllers, scheduler, and
//! nodes that kwok plays. As many side by side as memory allows (about 560 MiB each).
//!
//! Everything is real but the nodes: schemas and their rules, RBAC, admission, garbage collection,
//! Deployments and StatefulSets. A pod on a node that kwok plays is Ready at once and runs nothing.
//! Tests do their work as a ServiceAccount ([`Cluster::kubeconfig_of`]): an administrator may do
//! everything, which hides what a role lacks. The audit log counts what each user asked for
//! ([`Cluster::writes_since`]).
//!
//! With [`Shape::real`] there is one real node instead, and pods run.
//!
//! The programs come from the cache: `cargo xtask cluster build` puts them there.

mod audit;
mod command;
mod deployed;
mod identity;
mod installed;
mod kubelet;
mod node;
mod nodes;
mod played;
mod pods;
mod programs;
mod readers;
mod release;
mod scene;

pub use audit::{Call, Mark, account};
pub use command::Refusal;
pub(crate) use command::file_of;
pub use deployed::Deployed;
pub use installed::{Forward, Installed};
pub use node::NODE_REGION;
pub use nodes::{FAKE_CLASS, Shape};
pub use played::Played;
pub use readers::{Campaign, Hit, Reader};
pub use release::{CHARTS, REDIS_SECRET, Release};
pub use scene::{Scene, condition};

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports;
use crate::process::{Process, Recipe};
use crate::tools::Tools;
use identity::Identities;
use node::Node;
use programs::Plan;

/// How long a part may take on a machine that is busy with builds and other control planes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the API server listens for pods: the usual port, which charts' policies let through.
const API_PORT: u16 = 6443;

/// The running control plane. Dropped, it is killed, and its folder removed.
pub struct Cluster {
    /// Its pods go first.
    node: Option<Node>,
    /// kube-scheduler.
    pub scheduler: Process,
    /// kube-controller-manager.
    pub controllers: Process,
    /// kwok, which plays the nodes.
    pub kwok: Process,
    /// kube-apiserver.
    pub api: Process,
    /// etcd.
    pub etcd: Process,
    /// How long it took from nothing to a Ready node.
    pub started_in: Duration,
    tools: Tools,
    address: SocketAddr,
    folder: PathBuf,
    temporary: Option<TempDir>,
}

impl Cluster {
    /// Starts a control plane with nodes in two regions, and waits until they are Ready.
    ///
    /// # Errors
    /// Which program is missing and how to build it, or which did not start, with the end of its
    /// log.
    pub fn start(tools: &Tools) -> Result<Self> {
        Self::start_as(tools, &Shape::default())
    }

    /// Starts a control plane with nodes of one's own choice.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_as(tools: &Tools, shape: &Shape) -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("hushmark-cluster-").tempdir()?;
        let folder = temporary.path().to_owned();
        Self::start_in(tools, shape, folder, Some(temporary))
    }

    /// Starts one whose folder has a name that a person knows, and stays.
    ///
    /// # Errors
    /// As [`Self::start`], and when the folder is not empty.
    pub fn start_at(tools: &Tools, shape: &Shape, folder: &Path) -> Result<Self> {
        Self::start_in(tools, shape, folder.to_owned(), None)
    }

    fn start_in(
        tools: &Tools,
        shape: &Shape,
        folder: PathBuf,
        temporary: Option<TempDir>,
    ) -> Result<Self> {
        let began = Instant::now();
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)?;
        fs::create_dir_all(folder.join("home"))?;
        // Where pods reach it, on a port that NetworkPolicies know, or else anywhere on loopback.
        let real_node = shape.real_node;
        let address =
            if real_node { SocketAddr::from((node::HERE, API_PORT)) } else { ports::free()? };
        let own = folder.join("identities");
        let identities = Identities::create(&own, &folder, address)?;
        let node = if real_node {
            identities.add_node(&own, node::NODE, node::THERE.into())?;
            Some(Node::prepare(tools, &folder, &logs)?)
        } else {
            None
        };
        fs::write(folder.join("audit-policy.yaml"), audit::POLICY)?;
        let plan = Plan { tools, identities: &identities, folder: &folder, address, real_node };
        let process = |recipe: Result<Recipe>| Ok::<_, anyhow::Error>(Process::new(recipe?, &logs));
        let etcd_address = ports::free()?;
        let mut cluster = Self {
            node,
            scheduler: process(plan.scheduler())?,
            controllers: process(plan.controllers())?,
            kwok: process(plan.kwok())?,
            api: process(plan.api(etcd_address))?,
            etcd: process(plan.etcd(etcd_address))?,
            started_in: Duration::ZERO,
            tools: tools.clone(),
            address,
            folder,
            temporary,
        };
        cluster.bring_up(shape)?;
        cluster.started_in = began.elapsed();
        Ok(cluster)
    }

    fn bring_up(&mut self, shape: &Shape) -> Result<()> {
        self.etcd.start()?;
        self.api.start()?;
        self.wait_api()?;
        for process in [&self.controllers, &self.scheduler] {
            process.start()?;
        }
        if !shape.real_node {
            self.kwok.start()?;
        }
        let yaml = shape.manifests();
        if !yaml.is_empty() {
            self.apply(&yaml)?;
        }
        // Without it no pod can be made; the controllers make it once they run.
        self.wait("the default ServiceAccount is there", || {
            Ok(self.kubectl(&["get", "serviceaccount", "default"]).is_ok())
        })?;
        if !shape.nodes.is_empty() {
            let wait = ["wait", "--for=condition=Ready", "node", "--all", "--timeout=60s"];
            self.kubectl(&wait).with_context(|| self.last_words())?;
        }
        // Taken out, so that it can ask the rest for what it needs.
        if let Some(mut node) = self.node.take() {
            let up = node.bring_up(self, shape.volumes);
            let up = up.with_context(|| node.parts().map(Process::last_words).join("\n"));
            self.node = Some(node);
            up?;
        }
        Ok(())
    }

    /// Waits until the API server says that it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready in time, with the end of its log.
    pub fn wait_api(&self) -> Result<()> {
        self.wait("the API server is ready", || {
            // Everyone may ask for that. curl starts in a tenth of the time that kubectl takes.
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--fail", "--max-time", "5", "--cacert"]);
            curl.arg(self.folder.join("identities/ca.crt"));
            let output = curl.arg(format!("https://{}/readyz", self.address)).output();
            Ok(output.context("cannot start curl")?.status.success())
        })
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// What `done` returns, or when a part of the control plane that was started has ended, or when
    /// it does not hold in time; with the ends of all logs.
    pub fn wait(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            if done()? {
                return Ok(());
            }
            for process in self.parts() {
                if process.pid().is_ok() && !process.is_running() {
                    bail!("{} ended:\n{}", process.name(), process.last_words());
                }
            }
            if Instant::now() > until {
                bail!("waited {PATIENCE:?} in vain until {what}:\n{}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the API server with -9; requests are refused until [`Self::restart_api`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_api(&self) -> Result<()> {
        self.api.kill9()
    }

    /// Starts the API server again where it was, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::wait_api`].
    pub fn restart_api(&self) -> Result<()> {
        self.api.start()?;
        self.wait_api()
    }

    /// Stops the API server so that requests hang, until [`Self::continue_api`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop_api(&self) -> Result<()> {
        self.api.signal(Signal::STOP)
    }

    /// Lets the API server go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn continue_api(&self) -> Result<()> {
        self.api.signal(Signal::CONT)?;
        self.wait_api()
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// A kubeconfig for a ServiceAccount, with a token that the API server issued for it.
    ///
    /// # Errors
    /// When there is no such ServiceAccount.
    pub fn kubeconfig_of(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let create = ["create", "token", name, "--namespace", namespace, "--duration=12h"];
        let token = self.kubectl(&create)?;
        let path = self.folder.join(format!("{namespace}.{name}.kubeconfig"));
        let ca = self.folder.join("identities/ca.crt");
        identity::write_kubeconfig(&path, self.address, &ca, name, token.trim())?;
        Ok(path)
    }

    /// The folder that holds all of it; `logs/` has what each part printed.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What all parts have in memory together, in bytes.
    ///
    /// # Errors
    /// When one of them does not run.
    pub fn resident(&self) -> Result<u64> {
        let running = self.parts().into_iter().filter(|part| part.pid().is_ok());
        running.map(|part| Ok(part.usage()?.resident)).sum()
    }

    /// The ends of all logs, for a message about a failure.
    #[must_use]
    pub fn last_words(&self) -> String {
        let words: Vec<String> = self.parts().iter().map(|part| part.last_words()).collect();
        words.join("\n")
    }

    fn parts(&self) -> Vec<&Process> {
        let mut parts = vec![&self.etcd, &self.api, &self.controllers, &self.scheduler, &self.kwok];
        parts.extend(self.node.iter().flat_map(Node::parts));
        parts
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Set it to look at what a failed test left behind.
        if let Some(temporary) = &mut self.temporary
            && std::env::var_os("HUSHMARK_KEEP").is_some()
        {
            temporary.disable_cleanup(true);
            crate::figure::progress(&format!("kept {}", self.folder.display()));
        }
    }
}
