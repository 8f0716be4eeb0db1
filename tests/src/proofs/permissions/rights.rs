//! The chart's roles, verb by verb, and the same without one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Scene;

/// Whether a right is for the cluster or for the release's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Cluster,
    Namespace,
}

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) reach: Reach,
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) verb: String,
    /// The only objects that it is for; all where none is named.
    pub(super) names: Vec<String>,
}

impl Right {
    pub(super) fn is_wild(&self) -> bool {
        [&self.group, &self.resource, &self.verb].iter().any(|part| part.contains('*'))
    }

    /// How the operator has to name it.
    pub(super) fn told(&self) -> String {
        let group = if self.group.is_empty() { "the core group" } else { &self.group };
        format!("may not {} {} ({group})", self.verb, self.resource)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, verb, .. } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")
    }
}

/// Both roles of a release.
pub(super) struct Roles {
    pub(super) rights: BTreeSet<Right>,
    cluster: String,
    namespaced: String,
}

impl Roles {
    /// As the chart made them.
    pub(super) fn read(scene: &Scene) -> Result<Self> {
        let selector = format!("app.kubernetes.io/instance={}", scene.release.name);
        let only = |list: Value| -> Result<Value> {
            let items = list["items"].as_array().context("no list")?;
            anyhow::ensure!(items.len() == 1, "not one role but {}", items.len());
            Ok(items[0].clone())
        };
        let cluster = only(scene.cluster.get(&["clusterrole", "-l", &selector])?)?;
        let namespaced = only(scene.get(&["role", "-l", &selector])?)?;
        let name = |role: &Value| role["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut rights = BTreeSet::new();
        for (reach, role) in [(Reach::Cluster, &cluster), (Reach::Namespace, &namespaced)] {
            for rule in role["rules"].as_array().into_iter().flatten() {
                let words = |field: &str| -> Vec<String> {
                    let all = rule[field].as_array().into_iter().flatten();
                    all.filter_map(|word| Some(word.as_str()?.to_owned())).collect()
                };
                let names = words("resourceNames");
                for group in words("apiGroups") {
                    for resource in words("resources") {
                        rights.extend(words("verbs").into_iter().map(|verb| {
                            let (group, resource) = (group.clone(), resource.clone());
                            Right { reach, group, resource, verb, names: names.clone() }
                        }));
                    }
                }
            }
        }
        Ok(Self { rights, cluster: name(&cluster), namespaced: name(&namespaced) })
    }

    /// Takes one away, and gives back the one before where that is in the other role.
    pub(super) fn without(
        &self,
        scene: &Scene,
        right: &Right,
        before: Option<&Right>,
    ) -> Result<()> {
        self.write(scene, right.reach, Some(right))?;
        match before {
            Some(before) if before.reach != right.reach => self.write(scene, before.reach, None),
            _ => Ok(()),
        }
    }

    /// Gives everything back.
    pub(super) fn whole(&self, scene: &Scene) -> Result<()> {
        self.write(scene, Reach::Cluster, None)?;
        self.write(scene, Reach::Namespace, None)
    }

    fn write(&self, scene: &Scene, reach: Reach, without: Option<&Right>) -> Result<()> {
        let mut rules: BTreeMap<(&str, &str, &[String]), Vec<&str>> = BTreeMap::new();
        for right in &self.rights {
            if right.reach == reach && Some(right) != without {
                let what = (right.group.as_str(), right.resource.as_str(), &right.names[..]);
                rules.entry(what).or_default().push(&right.verb);
            }
        }
        let rules: Vec<Value> = rules
            .into_iter()
            .map(|((group, resource, names), verbs)| {
                let mut rule =
                    json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
                if !names.is_empty() {
                    rule["resourceNames"] = json!(names);
                }
                rule
            })
            .collect();
        let patch = json!({"rules": rules}).to_string();
        let end = ["--type=merge", "-p", &patch];
        match reach {
            Reach::Cluster => scene
                .cluster
                .kubectl(&[&["patch", "clusterrole", &self.cluster][..], &end].concat()),
            Reach::Namespace => {
                scene.kubectl(&[&["patch", "role", &self.namespaced][..], &end].concat())
            }
        }
        .map(drop)
    }
}
