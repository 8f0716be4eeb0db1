//! NetworkPolicies enforced on the node, by one table of its packet filter. No published enforcer
//! can be had from package registries; what is not enforced proves nothing.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::machine::Door;
use super::rules;
use crate::cluster::Cluster;
use crate::figure::progress;
use crate::process::{Process, Recipe};
use crate::{http, ports};

/// How often pods, namespaces and policies are looked at.
const EVERY: Duration = Duration::from_millis(300);

const PATIENCE: Duration = Duration::from_secs(5);

/// The thread that enforces. Dropped, it ends; the rules go with the node.
pub(super) struct Enforcer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The API server without TLS, on loopback.
    _proxy: Process,
}

impl Enforcer {
    pub(super) fn start(cluster: &Cluster, door: Door) -> Result<Self> {
        let address = ports::free()?;
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let recipe = Recipe {
            name: "kubectl-proxy".into(),
            program: cluster.tools.cluster_program("kubectl")?,
            args: vec![
                "proxy".into(),
                format!("--kubeconfig={kubeconfig}"),
                format!("--port={}", address.port()),
            ],
            env: [].into(),
        };
        let proxy = Process::new(recipe, &cluster.folder().join("logs"));
        proxy.start()?;
        let look = move || -> Result<String> {
            let list = |path: &str| -> Result<Vec<Value>> {
                let answer = http::get(address, path, PATIENCE)?;
                let list: Value = serde_json::from_slice(&answer.body)
                    .with_context(|| format!("{path} was answered {}", answer.status))?;
                Ok(list["items"].as_array().cloned().unwrap_or_default())
            };
            Ok(rules::render(
                &list("/api/v1/pods")?,
                &list("/api/v1/namespaces")?,
                &list("/apis/networking.k8s.io/v1/networkpolicies")?,
            ))
        };
        let write = move |rules: &str| -> Result<()> {
            let input = Stdio::from(crate::cluster::file_of(rules)?);
            door.run(&["nft", "-f", "-"], input).map(drop)
        };
        cluster.wait("NetworkPolicies are enforced", || {
            Ok(look().is_ok_and(|rules| write(&rules).is_ok()))
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut last = String::new();
            while !ends.load(Ordering::Relaxed) {
                sleep(EVERY);
                // An API server that is away changes nothing of what holds.
                let Ok(now) = look() else { continue };
                if now == last {
                    continue;
                }
                match write(&now) {
                    Ok(()) => last = now,
                    Err(error) => progress(&format!("NetworkPolicies: {error:#}")),
                }
            }
        });
        Ok(Self { stop, thread: Some(thread), _proxy: proxy })
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
