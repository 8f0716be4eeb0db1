//! Documents to typed resources: kind, metadata, schema, then the CEL rules.

use std::path::{Path, PathBuf};

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::ManifestError;
use super::schema::{self, Fault, quoted};
use super::tree::{self, Node, Value};
use crate::{AnonymizationPolicy, Campaign, GROUP, Region, RetentionPolicy, Tenant, VERSION};

/// A resource and where each part of it was written.
pub struct Found<T> {
    pub(super) file: PathBuf,
    pub(super) node: Node,
    /// Its name.
    pub name: String,
    /// Its namespace; empty for a resource of the cluster.
    pub namespace: String,
    /// What it says.
    pub object: T,
}

impl<T> Found<T> {
    /// What was written, as an API server is sent it.
    #[must_use]
    pub fn manifest(&self) -> Json {
        self.node.to_json()
    }

    /// A fault at one of its fields.
    pub fn fault(&self, field: &str, message: impl Into<String>) -> ManifestError {
        ManifestError {
            file: self.file.clone(),
            line: Some(self.node.line_of(field)),
            field: Some(field.to_owned()),
            message: message.into(),
        }
    }

    /// Where it is, for a fault of another one that has to name it.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.node.line_of("metadata.name"))
    }
}

/// Everything that was read.
#[derive(Default)]
pub struct Resources {
    /// Every Region.
    pub regions: Vec<Found<Region>>,
    /// Every Tenant.
    pub tenants: Vec<Found<Tenant>>,
    /// Every Campaign.
    pub campaigns: Vec<Found<Campaign>>,
    /// Every RetentionPolicy.
    pub retention: Vec<Found<RetentionPolicy>>,
    /// Every AnonymizationPolicy.
    pub anonymization: Vec<Found<AnonymizationPolicy>>,
    /// Resources of other groups, which are nothing to us. On one machine there is nobody who would
    /// take them, so that they are faults there: `None`.
    pub others: Option<Vec<Other>>,
}

/// A resource of another group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A kind and all that is known of it, compiled once.
struct Kind {
    name: String,
    schema: Json,
    rules: CompiledSchema,
    metadata: Json,
}

/// Every kind that a manifest may have.
pub(super) struct Kinds {
    kinds: Vec<Kind>,
    validator: Validator,
}

impl Kinds {
    pub(super) fn new() -> Self {
        let kinds = crate::crds().into_iter().map(|crd| {
            let version = crd.spec.versions.into_iter().next();
            let schema = version.and_then(|v| v.schema).and_then(|s| s.open_api_v3_schema);
            let schema = serde_json::to_value(schema).expect("a schema is JSON");
            Kind {
                name: crd.spec.names.kind,
                rules: compile_schema(&schema),
                schema,
                metadata: metadata(crd.spec.scope == "Namespaced"),
            }
        });
        Self { kinds: kinds.collect(), validator: Validator::new() }
    }

    /// Reads one file's documents into `found`, and what is wrong with them into `faults`.
    pub(super) fn read_file(
        &self,
        file: &Path,
        text: &str,
        found: &mut Resources,
        faults: &mut Vec<ManifestError>,
    ) {
        let documents = match tree::parse(text) {
            Ok(documents) => documents,
            Err(e) => {
                let mut fault = ManifestError::of_file(file, e.message);
                fault.line = e.line;
                return faults.push(fault);
            }
        };
        for node in documents {
            let mut wrong = Vec::new();
            self.read_document(file, node, found, &mut wrong);
            faults.extend(wrong.into_iter().map(|fault| ManifestError {
                file: file.to_owned(),
                line: Some(fault.line),
                field: Some(fault.field).filter(|field| !field.is_empty()),
                message: fault.message,
            }));
        }
    }

    fn read_document(
        &self,
        file: &Path,
        node: Node,
        found: &mut Resources,
        faults: &mut Vec<Fault>,
    ) {
        if let (Some(others), Some(other)) = (&mut found.others, other(&node)) {
            return others.push(other);
        }
        let Some(kind) = self.kind(&node, faults) else { return };
        let document = json!({
            "type": "object",
            "required": ["metadata", "spec"],
            "properties": {
                "apiVersion": { "type": "string" },
                "kind": { "type": "string" },
                "metadata": kind.metadata,
                "spec": kind.schema["properties"]["spec"],
            },
        });
        let before = faults.len();
        schema::check(&document, &node, "", node.line, faults);
        check_names(&node, faults);
        // A rule may rely on what the schema promises, so an API server runs none before it holds.
        if faults.len() == before {
            self.check_rules(kind, &node, faults);
        }
        if faults.len() > before {
            return;
        }
        let place = (file, node);
        match kind.name.as_str() {
            "Region" => typed(place, &mut found.regions, faults),
            "Tenant" => typed(place, &mut found.tenants, faults),
            "Campaign" => typed(place, &mut found.campaigns, faults),
            "RetentionPolicy" => typed(place, &mut found.retention, faults),
            "AnonymizationPolicy" => typed(place, &mut found.anonymization, faults),
            other => unreachable!("every kind of crds() is named here, and {other} is not"),
        }
    }

    fn kind(&self, node: &Node, faults: &mut Vec<Fault>) -> Option<&Kind> {
        if !matches!(node.value, Value::Map(_)) {
            let message = format!(
                "expected a resource with apiVersion, kind, metadata and spec, found {}",
                schema::describe(&node.value)
            );
            faults.push(Fault { line: node.line, field: String::new(), message });
            return None;
        }
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name.as_str()).collect();
        let version = format!("{GROUP}/{VERSION}");
        let mut refuse = |field: &str, what: Option<&str>, allowed: &str| {
            let what =
                what.map_or("missing".to_owned(), |w| format!("unknown {field} {}", quoted(w)));
            let message = format!("{what}; allowed: {allowed}");
            faults.push(Fault { line: node.line_of(field), field: field.to_owned(), message });
        };
        let kind = node.text("kind");
        let known = self.kinds.iter().find(|k| Some(k.name.as_str()) == kind);
        if known.is_none() {
            refuse("kind", kind, &names.join(", "));
        }
        let asked = node.text("apiVersion");
        if asked != Some(&version) {
            refuse("apiVersion", asked, &version);
            return None;
        }
        known
    }

    fn check_rules(&self, kind: &Kind, node: &Node, faults: &mut Vec<Fault>) {
        let object = node.to_json();
        let broken = self.validator.validate_compiled(&kind.rules, &object, None).err();
        for error in broken.into_iter().flatten() {
            faults.push(Fault {
                line: node.line_of(&error.field_path),
                field: error.field_path,
                message: error.message,
            });
        }
    }
}

/// The resource of another group that a document is, if it is one.
fn other(node: &Node) -> Option<Other> {
    let (version, kind) = (node.text("apiVersion")?, node.text("kind")?);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let name = node.entry("metadata").and_then(|metadata| metadata.node.text("name"));
    let name = name.unwrap_or_default().to_owned();
    (group != GROUP).then(|| Other { kind: kind.to_owned(), name })
}

/// The part of `metadata` that a manifest may have. An API server knows more of it, all of which
/// it writes itself.
fn metadata(namespaced: bool) -> Json {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let mut schema = json!({
        "type": "object",
        "required": ["name"],
        "description": "Names the resource.",
        "properties": {
            "name": { "type": "string", "description": "The resource's name." },
            "labels": texts,
            "annotations": texts,
        },
    });
    if namespaced {
        schema["required"] = json!(["name", "namespace"]);
        schema["properties"]["namespace"] =
            json!({ "type": "string", "description": "Its tenant's namespace." });
    }
    schema
}

fn check_names(node: &Node, faults: &mut Vec<Fault>) {
    let Some(metadata) = node.entry("metadata") else { return };
    let label = |part: &str| {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().last())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let name_is_good = |name: &str| name.len() <= 253 && name.split('.').all(label);
    let namespace_is_good = |name: &str| name.len() <= 63 && label(name);
    let mut refuse = |key: &str, text: &str, rule: &str| {
        let field = format!("metadata.{key}");
        let message = format!("{} must be {rule}", quoted(text));
        faults.push(Fault { line: node.line_of(&field), field, message });
    };
    if let Some(name) = metadata.node.text("name").filter(|name| !name_is_good(name)) {
        refuse(
            "name",
            name,
            "at most 253 lower-case letters, digits, - and ., no - or . at an end",
        );
    }
    if let Some(name) = metadata.node.text("namespace").filter(|name| !namespace_is_good(name)) {
        refuse("namespace", name, "at most 63 lower-case letters, digits and -, no - at an end");
    }
}

fn typed<T: DeserializeOwned>(
    (file, node): (&Path, Node),
    found: &mut Vec<Found<T>>,
    faults: &mut Vec<Fault>,
) {
    // The schema was made from the type, so this fails only where the two contradict each other.
    match serde_json::from_value(node.to_json()) {
        Ok(object) => {
            let metadata = node.entry("metadata").map(|entry| &entry.node);
            let text = |key| metadata.and_then(|m| m.text(key)).unwrap_or_default().to_owned();
            let (name, namespace) = (text("name"), text("namespace"));
            found.push(Found { file: file.to_owned(), node, name, namespace, object });
        }
        Err(e) => {
            faults.push(Fault { line: node.line, field: String::new(), message: e.to_string() });
        }
    }
}
