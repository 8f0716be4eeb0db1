//! Pods that run: where their Services are, and what they said when something failed.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::Cluster;

impl Cluster {
    /// Gives the images of a real node a second tag, to upgrade to.
    ///
    /// # Errors
    /// When there is no real node, or containerd refuses.
    pub fn tag_images(&self, tag: &str) -> Result<()> {
        self.node.as_ref().context("there is no real node")?.tag(tag)
    }

    /// Where a Service of a real node is reached from this machine.
    ///
    /// # Errors
    /// When there is no such Service, or it has no address or no such port.
    pub fn service(&self, namespace: &str, name: &str, port: &str) -> Result<SocketAddr> {
        let service = self.get(&["service", name, "-n", namespace])?;
        let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        let ports = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let found = ports.iter().find(|it| it["name"] == *port);
        let number = found.and_then(|port| port["port"].as_u64());
        let number = number.with_context(|| format!("the Service {name} has no port {port}"))?;
        let address = address.parse().with_context(|| format!("{name} has no address"))?;
        Ok(SocketAddr::new(address, u16::try_from(number)?))
    }

    /// The address of a pod.
    ///
    /// # Errors
    /// When there is no such pod, or it has none.
    pub fn pod_address(&self, namespace: &str, name: &str) -> Result<std::net::IpAddr> {
        let pod = self.get(&["pod", name, "-n", namespace])?;
        let address = pod["status"]["podIP"].as_str().unwrap_or_default();
        address.parse().with_context(|| format!("the pod {name} has no address"))
    }

    /// Whether a command in a pod ended well, and what it printed.
    ///
    /// # Errors
    /// What it, or kubectl, says when it fails.
    pub fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<String> {
        self.kubectl(&[&["exec", pod, "-n", namespace, "--"], command].concat())
    }

    /// How the pods of a namespace are, what happened to them and what they said last, for a
    /// message about a failure.
    #[must_use]
    pub fn pods_report(&self, namespace: &str) -> String {
        let ask = |words: &[&str]| {
            let said = self.kubectl(&[words, &["-n", namespace]].concat());
            said.unwrap_or_else(|error| format!("{error:#}\n"))
        };
        let mut report = ask(&["get", "pods", "-o", "wide"]);
        report += &ask(&["get", "events", "--sort-by=.lastTimestamp"]);
        let names = ask(&["get", "pods", "-o", "name"]);
        for name in names.lines() {
            report += &format!("--- {name}\n");
            report += &ask(&["logs", name, "--all-containers", "--tail=15", "--ignore-errors"]);
        }
        report
    }
}
