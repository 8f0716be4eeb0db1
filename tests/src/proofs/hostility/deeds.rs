//! What is done to the stack's objects, and what has to be the same afterwards.

use std::fmt;

use anyhow::Result;
use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::cluster::{Call, Scene};

/// A kind of child, and what somebody may do to one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// As the API server's audit log has it.
    plural: &'static str,
    /// JSON patches, each of a field that is ours.
    edits: &'static [&'static str],
}

/// Fields of every object.
const EDITS_OF_ALL: [&str; 3] = [
    r#"[{"op":"replace","path":"/metadata/labels/app.kubernetes.io~1component","value":"x"}]"#,
    r#"[{"op":"remove","path":"/metadata/labels/app.kubernetes.io~1managed-by"}]"#,
    r#"[{"op":"remove","path":"/metadata/ownerReferences"}]"#,
];

const IMAGE: &str =
    r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"evil/x"}]"#;
const SELECTOR: &str = r#"[{"op":"remove","path":"/spec/template/spec/nodeSelector"}]"#;
const PROBE: &str = r#"[{"op":"remove","path":"/spec/template/spec/containers/0/readinessProbe"}]"#;

static KINDS: [Kind; 8] = [
    Kind {
        name: "serviceaccount",
        plural: "serviceaccounts",
        edits: &[r#"[{"op":"replace","path":"/automountServiceAccountToken","value":true}]"#],
    },
    Kind {
        name: "networkpolicy",
        plural: "networkpolicies",
        edits: &[
            r#"[{"op":"add","path":"/spec/egress","value":[{}]}]"#,
            r#"[{"op":"add","path":"/spec/podSelector/matchLabels","value":{"x":"y"}}]"#,
        ],
    },
    Kind {
        name: "service",
        plural: "services",
        edits: &[
            r#"[{"op":"replace","path":"/spec/ports/0/targetPort","value":9}]"#,
            r#"[{"op":"add","path":"/spec/selector/x","value":"y"}]"#,
        ],
    },
    Kind { name: "statefulset", plural: "statefulsets", edits: &[IMAGE, SELECTOR, PROBE] },
    Kind {
        name: "deployment",
        plural: "deployments",
        edits: &[
            IMAGE,
            SELECTOR,
            PROBE,
            r#"[{"op":"replace","path":"/spec/replicas","value":7}]"#,
            r#"[{"op":"remove","path":"/spec/template/spec/containers/0/args"}]"#,
        ],
    },
    Kind {
        name: "poddisruptionbudget",
        plural: "poddisruptionbudgets",
        edits: &[r#"[{"op":"replace","path":"/spec/maxUnavailable","value":2}]"#],
    },
    Kind {
        name: "horizontalpodautoscaler",
        plural: "horizontalpodautoscalers",
        edits: &[r#"[{"op":"replace","path":"/spec/maxReplicas","value":50}]"#],
    },
    Kind {
        name: "ingress",
        plural: "ingresses",
        edits: &[r#"[{"op":"replace","path":"/spec/rules/0/host","value":"evil.example"}]"#],
    },
];

/// Secrets that can be made again, and an entry of each.
static SECRETS: [(&str, Kind); 2] = [
    (
        "refusal-pub",
        Kind {
            name: "secret",
            plural: "secrets",
            edits: &[r#"[{"op":"replace","path":"/data/refusal.pub","value":"AAAA"}]"#],
        },
    ),
    (
        "clickhouse-auth",
        Kind {
            name: "secret",
            plural: "secrets",
            edits: &[r#"[{"op":"replace","path":"/data/users.xml","value":"AAAA"}]"#],
        },
    ),
];

/// One object that the operator made.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Child {
    pub(super) kind: &'static Kind,
    name: String,
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name, self.name)
    }
}

impl Child {
    pub(super) fn get(&self, scene: &Scene) -> Result<Value> {
        scene.get(&[self.kind.name, &self.name])
    }

    pub(super) fn is_meant_by(&self, call: &Call) -> bool {
        call.resource == self.kind.plural && call.name == self.name
    }

    /// Whether a call gives reason to write this child: one that is about it, or about the Secret
    /// whose password its pods read at their start.
    pub(super) fn is_moved_by(&self, call: &Call) -> bool {
        let is_store = self.kind.name == "statefulset" && self.name.ends_with("-clickhouse");
        let is_password = call.resource == "secrets" && call.name == format!("{}-auth", self.name);
        self.is_meant_by(call) || (is_store && is_password)
    }

    fn is_secret(&self) -> bool {
        self.kind.name == "secret"
    }
}

/// Everything that was made and can be made again.
pub(super) fn children(scene: &Scene) -> Result<Vec<Child>> {
    let mut all = Vec::new();
    for kind in &KINDS {
        let list =
            scene.get(&[kind.name, "-l", "app.kubernetes.io/managed-by=hushmark-operator"])?;
        let items = list["items"].as_array().into_iter().flatten();
        let names = items.filter_map(|item| item["metadata"]["name"].as_str());
        all.extend(names.map(|name| Child { kind, name: name.to_owned() }));
    }
    all.extend(SECRETS.iter().map(|(part, kind)| Child { kind, name: scene.named(part) }));
    Ok(all)
}

/// Something that somebody does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Delete,
    Edit(&'static str),
}

impl Deed {
    /// One in three is a deletion.
    pub(super) fn draw(child: &Child, random: &mut Rng) -> Self {
        if random.u8(..3) == 0 {
            return Self::Delete;
        }
        let own = child.kind.edits;
        // Labels of a Secret are set when it is made; what it holds is what is kept.
        let common: &[&'static str] = if child.is_secret() { &[] } else { &EDITS_OF_ALL };
        let at = random.usize(..own.len() + common.len());
        Self::Edit(own.get(at).copied().unwrap_or_else(|| common[at - own.len()]))
    }

    pub(super) fn is_done_to(&self, child: &Child, scene: &Scene) -> Result<()> {
        let (kind, name) = (child.kind.name, child.name.as_str());
        match self {
            Self::Delete => scene.kubectl(&["delete", kind, name, "--wait=false"]),
            Self::Edit(patch) => scene.kubectl(&[
                "patch",
                kind,
                name,
                "--type=json",
                "--field-manager=kubectl-edit",
                "-p",
                patch,
            ]),
        }
        .map(drop)
    }
}

/// Of a hash over something that holds a password it matters that it is there: a password that is
/// made anew has another one.
fn present(annotations: &mut Map<String, Value>, name: &str) {
    annotations.entry(name).and_modify(|hash| *hash = "a hash".into());
}

/// What of an object has to be the same again: all but what the cluster itself writes.
pub(super) fn shape(child: &Child, object: &Value) -> Value {
    let mut shape = object.clone();
    let metadata = &object["metadata"];
    let mut annotations = metadata["annotations"].clone();
    if let Some(all) = annotations.as_object_mut() {
        all.retain(|name, _| name.starts_with("hushmark.io/"));
        present(all, "hushmark.io/rendered");
    }
    shape["metadata"] = json!({
        "labels": metadata["labels"],
        "annotations": annotations,
        "ownerReferences": metadata["ownerReferences"],
        "deletionTimestamp": metadata["deletionTimestamp"],
    });
    let Some(fields) = shape.as_object_mut() else { return shape };
    fields.remove("status");
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        // A Service that is made anew gets another address.
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
        // An autoscaler holds the edge's number.
        if child.kind.name == "statefulset" {
            spec.remove("replicas");
        }
        let annotations = spec.get_mut("template").map(|it| &mut it["metadata"]["annotations"]);
        if let Some(all) = annotations.and_then(Value::as_object_mut) {
            present(all, "hushmark.io/users");
        }
    }
    // A password that is made anew is another one.
    if child.is_secret() && child.name.ends_with("-auth") {
        let names = object["data"].as_object().into_iter().flatten();
        let held = names.map(|(name, value)| (name, value.as_str().map_or(0, str::len) > 10));
        fields.insert("data".into(), json!(held.collect::<Vec<_>>()));
    }
    shape
}
