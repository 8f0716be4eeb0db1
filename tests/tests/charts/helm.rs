//! Helm, found where `cargo xtask test` built it, with nothing of this machine's own settings.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of helm.
fn cluster_dir() -> Result<PathBuf> {
    env::var_os("HUSHMARK_CLUSTER_DIR").map(PathBuf::from).context(
        "HUSHMARK_CLUSTER_DIR is not set: run `cargo xtask test`, or set it to what \
         `cargo xtask cluster build` prints",
    )
}

/// One release as a person would install it.
#[derive(Clone, Copy)]
pub(crate) struct Release<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) values: &'a str,
    /// Kinds that the cluster has beside Kubernetes' own.
    pub(crate) kinds: &'a [&'a str],
}

/// What the Prometheus operator brings.
pub(crate) const MONITORING: &[&str] = &[
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
    "monitoring.coreos.com/v1/ServiceMonitor",
];

pub(crate) const MINIMAL: Release<'_> = Release {
    name: "eu",
    namespace: "hushmark-eu",
    values: include_str!("../../../charts/hushmark/ci/minimal.yaml"),
    kinds: &[],
};

pub(crate) const DEFAULT: Release<'_> =
    Release { name: "eu", namespace: "hushmark-eu", values: "{}", kinds: &[] };

pub(crate) const HA: Release<'_> = Release {
    name: "eu",
    namespace: "hushmark-eu",
    values: include_str!("../../../charts/hushmark/ci/ha.yaml"),
    kinds: MONITORING,
};

/// The second region of a cluster; it may even have the first one's release name.
pub(crate) const SECOND: Release<'_> =
    Release { name: "eu", namespace: "hushmark-ca", values: "region: {name: ca}", kinds: &[] };

/// Runs helm to its end.
fn helm(arguments: &[&str]) -> Result<Output> {
    let helm = cluster_dir()?.join("bin/helm");
    let home = TempDir::new()?;
    Command::new(&helm)
        .args(arguments)
        .current_dir(root())
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .env("KUBECONFIG", home.path().join("none"))
        .output()
        .with_context(|| format!("{} does not start", helm.display()))
}

/// Like `helm template`, with Helm's words as the error.
pub(crate) fn template(chart: &str, release: &Release<'_>) -> Result<String> {
    let folder = TempDir::new()?;
    let values = folder.path().join("values.yaml");
    fs::write(&values, release.values)?;
    let values = values.to_string_lossy().into_owned();
    let mut arguments = vec!["template", release.name, chart, "--namespace", release.namespace];
    arguments.extend(["--values", &values, "--kube-version", "1.33.0"]);
    arguments.extend(release.kinds.iter().flat_map(|kind| ["--api-versions", kind]));
    let output = helm(&arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm template: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The objects of a chart's release.
pub(crate) fn objects(chart: &str, release: &Release<'_>) -> Result<Vec<Value>> {
    parse(&template(chart, release)?)
}

/// Every document that is not empty.
pub(crate) fn parse(yaml: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The first object of a kind.
pub(crate) fn find<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.with_context(|| format!("no {kind} was rendered"))
}
