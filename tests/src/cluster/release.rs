//! A region as its user installs it: the charts, a Region, and a Redis that the operator reaches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Cluster, Deployed, FAKE_CLASS};
use crate::ports;
use crate::process::{Process, Recipe};
use crate::stack::Authority;

/// The folder of our charts.
pub const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");

/// The Secret that tells the operator where Redis is.
pub const REDIS_SECRET: &str = "redis-outside";

/// A release of the chart `hushmark` and what is beside it.
pub struct Release {
    /// Its name, which is the Region's as well.
    pub name: String,
    /// Its namespace, which is the stack's as well.
    pub namespace: String,
    /// The nodes' region that keeps all of it in one place.
    pub place: String,
    /// A real Redis on this machine: in a pod that kwok plays there is none.
    pub redis: Process,
    redis_address: SocketAddr,
    /// Where the same Redis takes connections by mutual TLS alone.
    pub redis_by_tls: SocketAddr,
    /// Who signed its certificate there, and whose certificates it takes.
    pub authority: Authority,
}

impl Release {
    /// Installs the CRDs, once a cluster.
    ///
    /// # Errors
    /// What helm says against it.
    pub fn install_crds(cluster: &Cluster) -> Result<()> {
        let chart = format!("{CHARTS}/hushmark-crds");
        let into = ["--namespace", "hushmark-crds", "--create-namespace"];
        cluster.helm(&[&["install", "hushmark-crds", &chart][..], &into].concat())?;
        // `kubectl wait` fails on a definition that has no conditions yet.
        cluster.wait("the definitions to be established", || {
            ["regions.hushmark.io", "tenants.hushmark.io", "campaigns.hushmark.io"].iter().try_fold(
                true,
                |all, name| Ok(all && is_established(&cluster.get(&["crd", name])?)),
            )
        })
    }

    /// Installs a release in a namespace of its own, on the nodes of a place, starts a Redis, and
    /// says where it is. The Region itself is for the caller to apply.
    ///
    /// # Errors
    /// What helm or the API server says against it.
    pub fn install(cluster: &Cluster, name: &str, place: &str) -> Result<Self> {
        Self::install_with(cluster, name, place, &[])
    }

    /// The same with values of the chart, like `operator.replicas=2`.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub fn install_with(
        cluster: &Cluster,
        name: &str,
        place: &str,
        values: &[&str],
    ) -> Result<Self> {
        let namespace = format!("hush-{name}");
        let chart = format!("{CHARTS}/hushmark");
        // As docs/install.md has it: no pod may ask for more than it needs.
        cluster.apply(&format!(
            "apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
"
        ))?;
        let into = ["--namespace", &namespace, "--wait", "--timeout=120s"];
        let pin = format!(r"operator.nodeSelector.topology\.kubernetes\.io/region={place}");
        let pinned = ["install", name, &chart, "--set-string", &pin];
        let values: Vec<&str> = values.iter().flat_map(|value| ["--set", *value]).collect();
        cluster.helm(&[&pinned[..], &values, &into].concat())?;
        let redis_address = ports::free()?;
        let password = super::identity::random()?;
        let (redis_by_tls, authority) = (ports::free()?, Authority::new(name)?);
        let listens = (redis_address, redis_by_tls);
        let redis = redis(cluster, name, listens, &password, &authority)?;
        redis.start()?;
        let release = Self {
            name: name.into(),
            namespace,
            place: place.into(),
            redis,
            redis_address,
            redis_by_tls,
            authority,
        };
        cluster.wait("Redis answers", || release.redis_answers(&password))?;
        cluster.apply(&format!(
            "apiVersion: v1
kind: Secret
metadata: {{name: {REDIS_SECRET}, namespace: {}}}
stringData: {{url: \"redis://{redis_address}\", user: default, password: \"{password}\"}}
",
            release.namespace
        ))?;
        Ok(release)
    }

    fn redis_answers(&self, password: &str) -> Result<bool> {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &self.redis_address.port().to_string(), "PING"]);
        let output = client.env("REDISCLI_AUTH", password).output();
        Ok(output.context("cannot start redis-cli")?.stdout.starts_with(b"PONG"))
    }

    /// A Region of this release that its nodes' labels keep in its place.
    #[must_use]
    pub fn region(&self) -> String {
        let Self { name, place, .. } = self;
        format!(
            "apiVersion: hushmark.io/v1alpha1
kind: Region
metadata: {{name: {name}}}
spec:
  jurisdiction: EU
  baseUrl: https://{name}.track.example
  ceilings: {{opens: individual, clicks: individual}}
  edge: {{replicas: 2}}
  redis: {{external: {{secret: {REDIS_SECRET}}}}}
  storage: {{className: {FAKE_CLASS}}}
  nodeSelector: {{topology.kubernetes.io/region: {place}}}
"
        )
    }

    /// A tenant in a namespace of its own, with campaigns.
    #[must_use]
    pub fn tenant(&self, namespace: &str, campaigns: usize) -> String {
        let region = &self.name;
        let mut yaml = format!(
            "apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: hushmark.io/v1alpha1
kind: Tenant
metadata: {{name: {namespace}, namespace: {namespace}}}
spec:
  region: {region}
  defaults: {{campaign: {{opens: anonymous, clicks: anonymous}}}}
"
        );
        for number in 1..=campaigns {
            yaml += &format!(
                "---
apiVersion: hushmark.io/v1alpha1
kind: Campaign
metadata: {{name: letter-{number}, namespace: {namespace}}}
spec:
  type: campaign
  subject: A letter
  from: News <news@{namespace}.example>
  content: {{path: letter.html}}
  list: {{path: recipients.csv}}
  tracking: {{opens: overall, clicks: overall}}
"
            );
        }
        yaml
    }

    /// One replica of the operator, as the chart deploys it, to be started with `process.start()`.
    ///
    /// # Errors
    /// As [`Deployed::new`].
    pub fn operator(&self, cluster: &Cluster, program: &Path, pod: &str) -> Result<Deployed> {
        let deployment = format!("{}-operator", self.name);
        Deployed::new(cluster, program, (&self.namespace, &deployment), pod, "--admin")
    }

    /// The Region's conditions: type and status.
    ///
    /// # Errors
    /// When there is no such Region.
    pub fn conditions(&self, cluster: &Cluster) -> Result<BTreeMap<String, String>> {
        let region = cluster.get(&["region", &self.name])?;
        let conditions = region["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = conditions.iter().map(|one| (word(&one["type"]), word(&one["status"])));
        Ok(pairs.collect())
    }
}

fn redis(
    cluster: &Cluster,
    name: &str,
    (address, by_tls): (SocketAddr, SocketAddr),
    password: &str,
    authority: &Authority,
) -> Result<Process> {
    let folder = cluster.folder().join(format!("redis-{name}"));
    std::fs::create_dir_all(&folder)?;
    authority.issue(&folder.join("tls"), &[authority])?;
    // In a file: what is in an argument, everyone on the machine can read.
    let settings = folder.join("redis.conf");
    let dir = folder.display();
    super::identity::write_secret(
        &settings,
        &format!(
            "bind 127.0.0.1\nport {}\nrequirepass {password}\ndir {dir}\nsave \"\"\nappendonly yes\n\
             tls-port {}\ntls-auth-clients yes\ntls-ca-cert-file {dir}/tls/ca.crt\n\
             tls-cert-file {dir}/tls/tls.crt\ntls-key-file {dir}/tls/tls.key\n",
            address.port(),
            by_tls.port()
        ),
    )?;
    let settings = settings.to_str().context("the folder's name is not text")?.to_owned();
    let recipe = Recipe {
        name: format!("redis-{name}"),
        program: "redis-server".into(),
        args: vec![settings],
        env: BTreeMap::new(),
    };
    Ok(Process::new(recipe, &cluster.folder().join("logs")))
}

fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|it| it["type"] == "Established" && it["status"] == "True")
}
