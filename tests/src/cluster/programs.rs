//! How each part of a control plane is started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::identity::Identities;
use super::node::SERVICES;
use crate::ports;
use crate::process::Recipe;
use crate::tools::Tools;

/// What all parts have in common.
pub(super) struct Plan<'a> {
    pub(super) tools: &'a Tools,
    pub(super) identities: &'a Identities,
    pub(super) folder: &'a Path,
    /// Where the API server listens.
    pub(super) address: SocketAddr,
    /// Whether there is a real node.
    pub(super) real_node: bool,
}

impl Plan<'_> {
    pub(super) fn etcd(&self, address: SocketAddr) -> Result<Recipe> {
        let (client, peer) = (format!("http://{address}"), format!("http://{}", ports::free()?));
        self.recipe(
            "etcd",
            [
                ("--data-dir", self.path("etcd")?),
                // What it stores dies with the test: a disk that syncs would be all that it waits for.
                ("--unsafe-no-fsync", "true".into()),
                ("--log-level", "warn".into()),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client),
                ("--listen-peer-urls", peer.clone()),
                ("--initial-advertise-peer-urls", peer.clone()),
                ("--initial-cluster", format!("default={peer}")),
            ],
        )
    }

    pub(super) fn api(&self, etcd: SocketAddr) -> Result<Recipe> {
        let Identities { ca, server, server_key, accounts_key, tokens, .. } = self.identities;
        let Identities { client, client_key, .. } = self.identities;
        let issuer = "https://kubernetes.default.svc.cluster.local";
        // Pods find it by its Service; a loopback address is none that they could reach, and where
        // no node is real there are none.
        let endpoint = if self.real_node { "lease" } else { "none" };
        let mut recipe = self.recipe(
            "kube-apiserver",
            [
                ("--etcd-servers", format!("http://{etcd}")),
                ("--bind-address", self.address.ip().to_string()),
                ("--advertise-address", self.address.ip().to_string()),
                ("--secure-port", self.address.port().to_string()),
                ("--endpoint-reconciler-type", endpoint.into()),
                ("--tls-cert-file", text(server)?),
                ("--tls-private-key-file", text(server_key)?),
                ("--client-ca-file", text(ca)?),
                ("--token-auth-file", text(tokens)?),
                ("--authorization-mode", "Node,RBAC".into()),
                ("--enable-admission-plugins", "NodeRestriction".into()),
                ("--allow-privileged", "true".into()),
                ("--service-cluster-ip-range", SERVICES.into()),
                ("--service-account-issuer", issuer.into()),
                ("--service-account-key-file", text(accounts_key)?),
                ("--service-account-signing-key-file", text(accounts_key)?),
                ("--audit-policy-file", self.path("audit-policy.yaml")?),
                ("--audit-log-path", self.path("audit.log")?),
                // Never cut in two: a mark is a place in one file.
                ("--audit-log-maxsize", "0".into()),
                ("--profiling", "false".into()),
            ],
        )?;
        if self.real_node {
            recipe.args.extend([
                format!("--kubelet-certificate-authority={}", text(ca)?),
                format!("--kubelet-client-certificate={}", text(client)?),
                format!("--kubelet-client-key={}", text(client_key)?),
                "--kubelet-preferred-address-types=InternalIP".into(),
            ]);
        }
        Ok(recipe)
    }

    pub(super) fn controllers(&self) -> Result<Recipe> {
        let Identities { ca, ca_key, accounts_key, .. } = self.identities;
        self.recipe(
            "kube-controller-manager",
            [
                ("--kubeconfig", self.path("controller-manager.kubeconfig")?),
                ("--use-service-account-credentials", "true".into()),
                ("--service-account-private-key-file", text(accounts_key)?),
                ("--root-ca-file", text(ca)?),
                ("--cluster-signing-cert-file", text(ca)?),
                ("--cluster-signing-key-file", text(ca_key)?),
                // It would make a folder under /usr.
                ("--flex-volume-plugin-dir", self.path("flex")?),
                ("--bind-address", "127.0.0.1".into()),
                ("--secure-port", "0".into()),
                ("--leader-elect", "false".into()),
                ("--profiling", "false".into()),
                // With the default of 20 a second it takes four seconds more to start.
                ("--kube-api-qps", "1000".into()),
                ("--kube-api-burst", "1000".into()),
            ],
        )
    }

    pub(super) fn scheduler(&self) -> Result<Recipe> {
        self.recipe(
            "kube-scheduler",
            [
                ("--kubeconfig", self.path("scheduler.kubeconfig")?),
                ("--bind-address", "127.0.0.1".into()),
                ("--secure-port", "0".into()),
                ("--leader-elect", "false".into()),
                ("--profiling", "false".into()),
            ],
        )
    }

    pub(super) fn kwok(&self) -> Result<Recipe> {
        self.recipe(
            "kwok",
            [
                ("--kubeconfig", self.path("kwok.kubeconfig")?),
                ("--config", text(&self.tools.cluster_file("kwok-stages.yaml")?)?),
                ("--manage-all-nodes", "false".into()),
                ("--manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake".into()),
                // It renews no Leases unless it is told how long they last, and a node without one
                // counts as dead after 50 s, and all pods on it as not ready.
                ("--node-lease-duration-seconds", "40".into()),
                // No kubelet's port to listen on: several of them are on one machine.
                ("--node-port", "0".into()),
            ],
        )
    }

    fn recipe<const N: usize>(&self, name: &str, flags: [(&str, String); N]) -> Result<Recipe> {
        Ok(Recipe {
            name: name.into(),
            program: self.tools.cluster_program(name)?,
            args: flags.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect(),
            env: BTreeMap::new(),
        })
    }

    fn path(&self, name: &str) -> Result<String> {
        text(&self.folder.join(name))
    }
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("the folder's name is not text")?.to_owned())
}
