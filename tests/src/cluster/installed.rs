//! A region as its user installs it on a real node: everything of it in pods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hushmark_hop::Pem;
use hushmark_token::{Kid, RegionKey};
use rustls::ClientConfig;

use super::{CHARTS, Cluster};
use crate::http;
use crate::ports;
use crate::process::{Process, Recipe};

/// A release of the chart `hushmark` whose stores are pods as well.
pub struct Installed {
    /// Its name, which is the Region's as well.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

impl Installed {
    /// Installs a release in a namespace of its own that restricts its pods, and waits until its
    /// operator is ready. The Region is for the caller to apply.
    ///
    /// # Errors
    /// What helm or the API server says against it, with what its pods say.
    pub fn install(cluster: &Cluster, name: &str, values: &[&str]) -> Result<Self> {
        let release = Self { name: name.into(), namespace: format!("hushmark-{name}") };
        cluster.apply(&format!(
            "apiVersion: v1
kind: Namespace
metadata:
  name: {}
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
",
            release.namespace
        ))?;
        release.helm(cluster, "install", values)?;
        Ok(release)
    }

    /// Upgrades it.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub fn upgrade(&self, cluster: &Cluster, values: &[&str]) -> Result<()> {
        self.helm(cluster, "upgrade", values)
    }

    fn helm(&self, cluster: &Cluster, verb: &str, values: &[&str]) -> Result<()> {
        let chart = format!("{CHARTS}/hushmark");
        let into = ["--namespace", &self.namespace, "--wait", "--timeout=120s"];
        let set: Vec<&str> = values.iter().flat_map(|value| ["--set", *value]).collect();
        let done = cluster.helm(&[&[verb, &self.name, &chart][..], &into, &set[..]].concat());
        done.map(drop).with_context(|| cluster.pods_report(&self.namespace))
    }

    /// Uninstalls the release; the Region goes when it is deleted.
    ///
    /// # Errors
    /// What helm says against it.
    pub fn uninstall(&self, cluster: &Cluster) -> Result<()> {
        let words = ["uninstall", &self.name, "--namespace", &self.namespace, "--wait"];
        cluster.helm(&words).map(drop)
    }

    /// Waits until the Region says that it is Ready.
    ///
    /// # Errors
    /// What its pods say when it is not in time.
    pub fn wait_ready(&self, cluster: &Cluster) -> Result<()> {
        let region = format!("region/{}", self.name);
        let ready = ["wait", &region, "--for=condition=Ready", "--timeout=120s"];
        cluster.kubectl(&ready).map(drop).with_context(|| {
            let conditions = cluster.kubectl(&["describe", "region", &self.name]);
            format!("{}\n{}", conditions.unwrap_or_default(), cluster.pods_report(&self.namespace))
        })
    }

    /// The name of a part of the stack.
    #[must_use]
    pub fn named(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    /// Where mail clients reach the edge.
    ///
    /// # Errors
    /// As [`Cluster::service`].
    pub fn edge(&self, cluster: &Cluster) -> Result<SocketAddr> {
        cluster.service(&self.namespace, &self.named("edge"), "http")
    }

    /// The newest of the keys that tokens are sealed under, as the sender reads it.
    ///
    /// # Errors
    /// When there is none.
    pub fn region_key(&self, cluster: &Cluster) -> Result<(Kid, RegionKey)> {
        let name = self.named("region-keys");
        let secret = cluster.get(&["secret", &name, "-n", &self.namespace])?;
        let entries = secret["data"].as_object().context("the Secret of region keys is empty")?;
        let kid = entries.keys().filter_map(|entry| entry.strip_suffix(".key")?.parse().ok()).max();
        let kid: u16 = kid.context("the Secret of region keys has no entry like 1.key")?;
        let bytes = cluster.secret(&self.namespace, &name, &format!("{kid}.key"))?;
        let Ok(key) = <[u8; 32]>::try_from(bytes) else { bail!("a region key has 32 bytes") };
        Ok((Kid(kid), RegionKey::new(key)))
    }

    /// The writer's end of its hops, because ClickHouse takes no other.
    fn shown_by_the_writer(&self, cluster: &Cluster) -> Result<Arc<ClientConfig>> {
        let name = self.named("writer-tls");
        let entry = |entry: &str| -> Result<(String, Vec<u8>)> {
            Ok((entry.to_owned(), cluster.secret(&self.namespace, &name, entry)?))
        };
        let pem = Pem::parse(entry("ca.crt")?, Some((entry("tls.crt")?, entry("tls.key")?)))?;
        Ok(pem.client()?)
    }

    /// A way to the region's ClickHouse, which nobody but the writer reaches over the network.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn clickhouse(&self, cluster: &Cluster) -> Result<Forward> {
        let pod = self.named("clickhouse-0");
        let mut forward = Forward::open(cluster, &self.namespace, &pod, 8443)?;
        let host = format!("{}.{}.svc", self.named("clickhouse"), self.namespace);
        forward.tls = Some((self.shown_by_the_writer(cluster)?, host));
        cluster.wait("ClickHouse answers", || Ok(forward.query("SELECT 1").is_ok()))?;
        Ok(forward)
    }
}

/// `kubectl port-forward` to a pod.
pub struct Forward {
    /// Where it is reached on this machine.
    pub address: SocketAddr,
    /// What is shown there, and the name that has to be shown in return.
    tls: Option<(Arc<ClientConfig>, String)>,
    _process: Process,
}

impl Forward {
    /// Opens it.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub fn open(cluster: &Cluster, namespace: &str, pod: &str, port: u16) -> Result<Self> {
        let address = ports::free()?;
        let words = [
            "port-forward".to_owned(),
            format!("--kubeconfig={}", cluster.kubeconfig().display()),
            format!("--namespace={namespace}"),
            format!("pod/{pod}"),
            format!("{}:{port}", address.port()),
        ];
        let recipe = Recipe {
            name: format!("forward-{pod}"),
            program: cluster.tools.cluster_program("kubectl")?,
            args: words.into(),
            env: [].into(),
        };
        let process = Process::new(recipe, &cluster.folder().join("logs"));
        process.start()?;
        Ok(Self { address, tls: None, _process: process })
    }

    /// What ClickHouse answers to a statement.
    ///
    /// # Errors
    /// When it cannot be reached or refuses.
    pub fn query(&self, sql: &str) -> Result<String> {
        let (body, patience) = (sql.as_bytes(), Duration::from_secs(30));
        let answer = match &self.tls {
            None => http::post(self.address, "/", body, patience)?,
            Some((config, host)) => {
                let shown = (Arc::clone(config), host.as_str());
                http::post_by_tls(self.address, shown, "/", body, patience)?
            }
        };
        if answer.status != 200 {
            bail!("the engine refuses `{sql}`: {}", answer.text());
        }
        Ok(answer.text())
    }
}
