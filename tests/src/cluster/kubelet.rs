//! What a kubelet does for people: ports of pods and their logs, as far as kwok plays it. Behind
//! the API server it is the real path, with its rights and its protocol; only the pod is a process
//! of this machine.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::Cluster;
use crate::ports;

impl Cluster {
    /// Lets the port of every pod lead to an address of this machine, and shows one file, in the form
    /// that a container runtime writes, as the log of every pod's container of a name.
    ///
    /// # Errors
    /// When kwok does not start again, or a node cannot be told where its kubelet is.
    pub fn play_kubelet(
        &self,
        forwards: &[(u16, SocketAddr)],
        (container, log): (&str, &Path),
    ) -> Result<()> {
        let mut config = format!(
            "apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {{name: all}}
spec:
  logs: [{{containers: [{container}], logsFile: \"{}\"}}]
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterPortForward
metadata: {{name: all}}
spec:
  forwards:
",
            log.display()
        );
        for (port, to) in forwards {
            writeln!(
                config,
                "  - {{ports: [{port}], target: {{port: {}, address: \"{}\"}}}}",
                to.port(),
                to.ip()
            )?;
        }
        let path = self.folder().join("kubelet.yaml");
        fs::write(&path, config)?;
        let listen = ports::free()?;
        let file = |name: &str| -> Result<String> {
            let path = self.folder().join(name);
            Ok(path.to_str().context("the folder's name is not text")?.to_owned())
        };
        let more = [
            format!("--config={}", file("kubelet.yaml")?),
            format!("--server-address={listen}"),
            format!("--tls-cert-file={}", file("identities/apiserver.crt")?),
            format!("--tls-private-key-file={}", file("identities/apiserver.key")?),
        ];
        self.kwok.kill9()?;
        self.kwok.change(|recipe| recipe.args.extend(more));
        self.kwok.start()?;
        let nodes = self.get(&["nodes"])?;
        for node in nodes["items"].as_array().into_iter().flatten() {
            let name = node["metadata"]["name"].as_str().context("a node has no name")?;
            let status = serde_json::json!({"status": {
                "addresses": [{"type": "InternalIP", "address": listen.ip().to_string()}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": listen.port()}},
            }});
            let patch = ["patch", "node", name, "--subresource=status", "--type=merge", "-p"];
            self.kubectl(&[&patch[..], &[&status.to_string()]].concat())?;
        }
        Ok(())
    }
}
