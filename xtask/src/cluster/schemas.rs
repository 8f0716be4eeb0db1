//! JSON schemas for kubeconform, from the OpenAPI file inside the Kubernetes module: what a
//! manifest may hold in each release that the chart names, checked without a network.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::tree;

/// Releases beside the one that is built, each with the checksum of its module as `go.sum` has it.
pub(super) const FURTHER: &[(&str, &str)] = &[
    ("v1.33.0", "h1:BP5Y5yIzUZVeBuE/ESZvnw6TNxjXbLsCckIkljE+R0U="),
    ("v1.34.0", "h1:NvUrwPAVB4W3mSOpJ/RtNGHWWYyUP/xPaX5rUSpzA0w="),
    ("v1.35.0", "h1:PUOojD8c8E3csMP5NX+nLLne6SGqZjrYCscptyBfWMY="),
];

/// Makes `v1.MINOR` in `links` lead to the schemas of the release that is built and of the further
/// ones, which lie in `store` by their whole version and are fetched once.
pub(super) fn write(
    go: &Path,
    built: &str,
    swagger: &Path,
    store: &Path,
    links: &Path,
) -> Result<()> {
    render(swagger, &store.join(built))?;
    for (version, sum) in FURTHER {
        let into = store.join(version);
        if into.is_dir() {
            continue;
        }
        println!("   schemas of Kubernetes {version}");
        // A module cache of its own, thrown away after: one file of each is wanted.
        let scratch = store.join("partial-module");
        fs::create_dir_all(&scratch)?;
        let fetched = fetch(go, version, sum, &scratch).and_then(|swagger| render(&swagger, &into));
        fs::remove_dir_all(&scratch)?;
        fetched.with_context(|| format!("the schemas of Kubernetes {version}"))?;
    }
    fs::create_dir_all(links)?;
    for version in FURTHER.iter().map(|(version, _)| *version).chain([built]) {
        let link = links.join(minor(version));
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(store.join(version), link)?;
    }
    Ok(())
}

/// `v1.36.3` is `v1.36`.
fn minor(version: &str) -> String {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor).to_owned()
}

/// What `go mod download -json` says.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Download {
    dir: PathBuf,
    sum: String,
}

fn fetch(go: &Path, version: &str, sum: &str, scratch: &Path) -> Result<PathBuf> {
    let mut command = Command::new(go);
    command.current_dir(scratch).env("GOMODCACHE", scratch.join("modules"));
    command.env("GOFLAGS", "-modcacherw").env("GOWORK", "off");
    command.args(["mod", "download", "-json", &format!("k8s.io/kubernetes@{version}")]);
    let printed = tree::output(&mut command)?;
    let download: Download =
        serde_json::from_str(&printed).context("go printed something unexpected")?;
    if download.sum != sum {
        bail!("the module has the checksum {}, and {sum} is pinned", download.sum);
    }
    Ok(download.dir.join("api/openapi-spec/swagger.json"))
}

fn render(swagger: &Path, into: &Path) -> Result<()> {
    let text = fs::read_to_string(swagger)
        .with_context(|| format!("cannot read {}", swagger.display()))?;
    let mut swagger: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not JSON", swagger.display()))?;
    let Some(Value::Object(definitions)) = swagger.get_mut("definitions").map(Value::take) else {
        bail!("the OpenAPI file has no definitions");
    };
    let files = schemas(definitions);
    let parent = into.parent().context("schemas lie in a folder")?;
    fs::create_dir_all(parent)?;
    let partial = parent.join("partial");
    fs::create_dir_all(&partial)?;
    for (name, schema) in files {
        fs::write(partial.join(name), schema.to_string())?;
    }
    if into.is_dir() {
        fs::remove_dir_all(into)?;
    }
    fs::rename(&partial, into)?;
    Ok(())
}

/// One file of all definitions, and one a kind that refers into it, named as kubeconform's template
/// `{{.ResourceKind}}{{.KindSuffix}}.json` asks for it.
fn schemas(definitions: Map<String, Value>) -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    for (name, definition) in &definitions {
        if definition.get("properties").is_none() {
            continue;
        }
        let kinds = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        for kind in kinds.into_iter().flatten() {
            let word = |key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default();
            let group = word("group").split('.').next().unwrap_or_default();
            let name_of_kind = word("kind").to_lowercase();
            let parts = [name_of_kind.as_str(), group, word("version")];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let refers = json!({"$ref": format!("_definitions.json#/definitions/{name}")});
            files.insert(format!("{}.json", parts.join("-")), refers);
        }
    }
    let mut strict: Map<String, Value> =
        definitions.into_iter().map(|(name, definition)| (name, tighten(definition))).collect();
    // Published as strings, and numbers are taken as well.
    let number_or_text = |number: &str| json!({"oneOf": [{"type": "string"}, {"type": number}]});
    strict.insert(
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString".into(),
        number_or_text("integer"),
    );
    strict.insert("io.k8s.apimachinery.pkg.api.resource.Quantity".into(), number_or_text("number"));
    files.insert("_definitions.json".into(), json!({"definitions": strict}));
    files
}

/// The same schema, in which a field that nobody declared is an error, and references lead into
/// the file of definitions.
fn tighten(schema: Value) -> Value {
    match schema {
        Value::Array(items) => items.into_iter().map(tighten).collect(),
        // Only a text is a reference: the schema of schemas has a property of that name.
        Value::Object(fields) => match fields.get("$ref").and_then(Value::as_str) {
            Some(to) => json!({"$ref": format!("_definitions.json{to}")}),
            None => {
                let mut fields: Map<String, Value> =
                    fields.into_iter().map(|(key, value)| (key, tighten(value))).collect();
                if fields.get("properties").is_some_and(Value::is_object) {
                    fields.entry("additionalProperties").or_insert(Value::Bool(false));
                }
                if fields.get("format").is_some_and(|format| format == "int-or-string") {
                    fields.remove("format");
                }
                Value::Object(fields)
            }
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_a_file_and_an_undeclared_field_is_an_error() {
        let definitions = json!({
            "io.k8s.api.apps.v1.Deployment": {
                "properties": {
                    "spec": {"$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentSpec"},
                    "$ref": {"type": "string"},
                },
                "x-kubernetes-group-version-kind":
                    [{"group": "apps", "kind": "Deployment", "version": "v1"}],
            },
            "io.k8s.api.apps.v1.DeploymentSpec": {
                "properties": {"replicas": {"type": "integer", "format": "int32"}},
            },
        });
        let Value::Object(definitions) = definitions else { unreachable!("it is an object") };
        let files = schemas(definitions);
        let name = "io.k8s.api.apps.v1.Deployment";
        let refers = json!({"$ref": format!("_definitions.json#/definitions/{name}")});
        assert_eq!(files["deployment-apps-v1.json"], refers);
        let deployment = &files["_definitions.json"]["definitions"][name];
        assert_eq!(deployment["additionalProperties"], false);
        let spec = "_definitions.json#/definitions/io.k8s.api.apps.v1.DeploymentSpec";
        assert_eq!(deployment["properties"]["spec"]["$ref"], spec);
        assert_eq!(deployment["properties"]["$ref"]["type"], "string");
    }

    #[test]
    fn a_release_is_named_by_its_minor_version() {
        assert_eq!(minor("v1.36.3"), "v1.36");
    }
}
