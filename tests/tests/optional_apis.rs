//! Kinds of others: made where they are there and the chart gave rights, told where not. The
//! definitions here have the names of the real ones and take everything.

use anyhow::{Context, Result, bail, ensure};
use hushmark_tests::cluster::{Cluster, Deployed, Release, condition};
use hushmark_tests::tools::Tools;
use serde_json::{Value, json};

/// Group, version, kind, plural.
const KINDS: [[&str; 4]; 4] = [
    ["gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"],
    ["cert-manager.io", "v1", "Certificate", "certificates"],
    ["clickhouse.com", "v1alpha1", "ClickHouseCluster", "clickhouseclusters"],
    ["clickhouse.com", "v1alpha1", "KeeperCluster", "keeperclusters"],
];

fn definition([group, version, kind, plural]: [&str; 4]) -> String {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            // Names under k8s.io want a word of who approved them; this is none.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": version, "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
    .to_string()
}

struct Scene {
    cluster: Cluster,
    release: Release,
    operator: Deployed,
}

impl Scene {
    /// `spec` is what the Region asks for beside what every one does.
    fn start(values: &[&str], spec: &str) -> Result<Self> {
        let tools = Tools::from_env()?;
        let cluster = Cluster::start(&tools)?;
        Release::install_crds(&cluster)?;
        let release = Release::install_with(&cluster, "eu", "eu-central", values)?;
        let program = tools.program("hushmark-operator")?;
        cluster.apply(&format!("{}{spec}", release.region()))?;
        let operator = release.operator(&cluster, &program, "operator-first")?;
        operator.process.start()?;
        Ok(Self { cluster, release, operator })
    }

    fn says(&self, name: &str) -> Result<String> {
        let region = &self.cluster.get(&["region", &self.release.name])?;
        Ok(condition(region, name).unwrap_or_default())
    }

    fn wait(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        self.cluster.wait(what, || {
            if !self.operator.process.is_running() {
                bail!("the operator ended:\n{}", self.operator.process.last_words());
            }
            done()
        })
    }

    fn wait_until(&self, name: &str, begins: &str) -> Result<()> {
        let waited = self
            .wait(&format!("{name} says {begins}"), || Ok(self.says(name)?.starts_with(begins)));
        waited.with_context(|| self.says(name).unwrap_or_default())
    }

    fn spec(&self, spec: &Value) -> Result<()> {
        let patch = json!({"spec": spec}).to_string();
        let region = ["patch", "region", &self.release.name, "--type=merge", "-p", &patch];
        self.cluster.kubectl(&region).map(drop)
    }

    fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.cluster.get(&[kind, name, "-n", &self.release.namespace])
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[arguments, &["-n", &self.release.namespace]].concat())
    }
}

const EVERYTHING: &str = "
  gateway: {name: public, namespace: gateways}
  certificate: {secret: tracking-tls, issuer: {name: letsencrypt}}
  clickhouse: {cluster: {keeperReplicas: 1}}
";

#[test]
fn without_rights_the_chart_is_named_and_the_stack_goes_on() -> Result<()> {
    let scene = Scene::start(&[], "")?;
    scene.wait_until("Ready", "True")?;
    scene.spec(&json!({"gateway": {"name": "public"}}))?;
    scene.wait_until("ApisAvailable", "False ApiMissing")?;
    let told = scene.says("ApisAvailable")?;
    ensure!(told.contains("operator.optionalApis.gateway to true"), "{told}");
    scene.wait_until("Ready", "False ApiMissing")?;
    scene.spec(&json!({"gateway": null}))?;
    scene.wait_until("Ready", "True")
}

#[test]
fn kinds_of_others_are_made_once_they_are_there_and_data_is_never_deleted() -> Result<()> {
    let values = ["gateway", "certManager", "clickhouse"];
    let values = values.map(|api| format!("operator.optionalApis.{api}=true"));
    let scene = Scene::start(&values.each_ref().map(String::as_str), EVERYTHING)?;
    scene.wait_until("ApisAvailable", "False ApiMissing")?;
    let told = scene.says("ApisAvailable")?;
    for asked in ["HTTPRoute", "Certificate", "ClickHouseCluster"] {
        ensure!(told.contains(asked), "{told}");
    }
    for kind in KINDS {
        scene.cluster.apply(&definition(kind))?;
    }
    scene.wait_until("ApisAvailable", "True")?;

    let route = scene.get("httproute", "eu-edge")?;
    assert_eq!(route["spec"]["parentRefs"][0]["name"], "public");
    assert_eq!(route["spec"]["hostnames"], json!(["eu.track.example"]));
    assert_eq!(scene.get("certificate", "eu-edge")?["spec"]["secretName"], "tracking-tls");
    scene.get("clickhousecluster", "eu")?;
    scene.get("keepercluster", "eu")?;
    scene.wait_until("AccessLogsOff", "Unknown")?;
    let writer = scene.get("deployment", "eu-writer")?;
    let arguments = writer["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    ensure!(arguments.contains("eu-clickhouse-0-0-0.eu-clickhouse-headless.hush-eu.svc:8123"));

    // What is there is watched, and put right again.
    let gone = r#"{"spec":{"hostnames":["elsewhere.example"]}}"#;
    scene.kubectl(&["patch", "httproute", "eu-edge", "--type=merge", "-p", gone])?;
    scene.wait("the route is put right", || {
        Ok(scene.get("httproute", "eu-edge")?["spec"]["hostnames"] == json!(["eu.track.example"]))
    })?;

    scene.spec(&json!({"gateway": null, "certificate": null}))?;
    scene.wait("what is not wanted is gone", || {
        Ok(scene.get("httproute", "eu-edge").is_err()
            && scene.get("certificate", "eu-edge").is_err())
    })?;
    scene.cluster.kubectl(&["delete", "region", "eu"])?;
    scene.wait("the stack is gone", || Ok(scene.get("statefulset", "eu-edge").is_err()))?;
    for holds_data in ["clickhousecluster", "keepercluster"] {
        scene.get(holds_data, "eu").context("it holds data")?;
    }
    Ok(())
}
