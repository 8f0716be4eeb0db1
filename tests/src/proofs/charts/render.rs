//! The charts as text: lint, and the schemas of every release that they are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::{CHARTS, Cluster, file_of};
use crate::figure::{Figures, progress};
use crate::tools::Tools;

/// Kinds of the Prometheus operator, which is not here.
const NOT_OURS: &str = "PodMonitor,ServiceMonitor,PrometheusRule";

/// A chart and what it is rendered with.
struct Rendering {
    chart: &'static str,
    values: Option<PathBuf>,
}

impl Rendering {
    /// helm's arguments after the subcommand.
    fn arguments(&self) -> Result<Vec<String>> {
        let mut arguments = vec![format!("{CHARTS}/{}", self.chart)];
        if let Some(values) = &self.values {
            let values = values.to_str().context("the values' path is not text")?;
            arguments.extend(["--values".into(), values.into()]);
        }
        Ok(arguments)
    }
}

/// Every chart without values, and with each file of its folder `ci`.
fn renderings() -> Result<Vec<Rendering>> {
    let mut all = Vec::new();
    for chart in ["hushmark-crds", "hushmark"] {
        all.push(Rendering { chart, values: None });
        let folder = Path::new(CHARTS).join(chart).join("ci");
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            files.push(entry?.path());
        }
        files.sort();
        all.extend(files.into_iter().map(|file| Rendering { chart, values: Some(file) }));
    }
    Ok(all)
}

/// `helm lint --strict` of every rendering.
pub(super) fn lint(figures: &mut Figures, cluster: &Cluster) -> Result<()> {
    let renderings = renderings()?;
    figures.tell("charts with values", renderings.len(), "renderings");
    let mut refused = 0;
    for rendering in &renderings {
        let arguments = rendering.arguments()?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if let Err(error) = cluster.helm(&[&["lint", "--strict"][..], &arguments].concat()) {
            progress(&format!("{error:#}"));
            refused += 1;
        }
    }
    figures.exactly("renderings that lint refuses", refused, 0, "renderings");
    Ok(())
}

/// What kubeconform counted.
#[derive(Clone, Copy, Default, Deserialize)]
struct Summary {
    valid: u64,
    invalid: u64,
    errors: u64,
    skipped: u64,
}

/// Every rendering against the schemas of every release.
pub(super) fn conform(figures: &mut Figures, tools: &Tools, cluster: &Cluster) -> Result<()> {
    let schemas = tools.cluster_file("schemas")?;
    let mut releases = Vec::new();
    for entry in fs::read_dir(&schemas)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('v') {
            releases.push(name);
        }
    }
    releases.sort();
    let ours = own_schemas(cluster)?;
    for release in &releases {
        let mut total = Summary::default();
        for rendering in renderings()? {
            let arguments = rendering.arguments()?;
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let version = format!("{release}.0");
            let render = ["template", "demo", "--namespace", "demo", "--kube-version", &version];
            let manifests = cluster.helm(&[&render[..], &arguments].concat())?;
            let summary = kubeconform(tools, &[&schemas.join(release), &ours], &manifests)?;
            total.valid += summary.valid;
            total.invalid += summary.invalid;
            total.errors += summary.errors;
            total.skipped += summary.skipped;
        }
        let Summary { valid, invalid, errors, skipped } = total;
        figures.at_least(&format!("manifests valid in {release}"), valid, 10, "manifests");
        let refused = invalid + errors;
        figures.exactly(&format!("manifests refused in {release}"), refused, 0, "manifests");
        figures.tell(format!("manifests of others' kinds in {release}"), skipped, "manifests");
    }
    Ok(())
}

fn kubeconform(tools: &Tools, schemas: &[&PathBuf], manifests: &str) -> Result<Summary> {
    #[derive(Deserialize)]
    struct Report {
        resources: Vec<Value>,
        summary: Summary,
    }
    let mut command = Command::new(tools.cluster_program("kubeconform")?);
    command.args(["-strict", "-summary", "-output", "json", "-skip", NOT_OURS]);
    for folder in schemas {
        let template = "{{ .ResourceKind }}{{ .KindSuffix }}.json";
        command.arg("-schema-location").arg(format!("{}/{template}", folder.display()));
    }
    let output = command.arg("-").stdin(Stdio::from(file_of(manifests)?)).output()?;
    let report: Report = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("kubeconform said: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    let Report { resources, summary } = report;
    for refused in &resources {
        progress(&refused.to_string());
    }
    Ok(summary)
}

/// The schemas of our own kinds, from the CRDs as the API server has them.
fn own_schemas(cluster: &Cluster) -> Result<PathBuf> {
    let folder = cluster.folder().join("own-schemas");
    fs::create_dir_all(&folder)?;
    let list = cluster.get(&["customresourcedefinitions"])?;
    let crds = list["items"].as_array().context("kubectl printed no list")?;
    ensure!(!crds.is_empty(), "there is no CRD");
    for crd in crds {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
        let group = word(&crd["spec"]["group"]);
        let group = group.split('.').next().unwrap_or_default();
        let kind = word(&crd["spec"]["names"]["kind"]);
        for version in crd["spec"]["versions"].as_array().into_iter().flatten() {
            let name = format!("{kind}-{group}-{}.json", word(&version["name"]));
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            // The API server sees to these of every kind itself.
            for own in ["apiVersion", "kind", "metadata"] {
                schema["properties"][own] = json!({});
            }
            fs::write(folder.join(name), tighten(schema).to_string())?;
        }
    }
    Ok(folder)
}

/// The same schema, in which a field that nobody declared is an error.
fn tighten(schema: Value) -> Value {
    match schema {
        Value::Array(items) => items.into_iter().map(tighten).collect(),
        Value::Object(fields) => {
            let mut fields: serde_json::Map<String, Value> =
                fields.into_iter().map(|(key, value)| (key, tighten(value))).collect();
            if fields.get("properties").is_some_and(Value::is_object)
                && !fields.contains_key("additionalProperties")
            {
                fields.insert("additionalProperties".into(), Value::Bool(false));
            }
            Value::Object(fields)
        }
        other => other,
    }
}
