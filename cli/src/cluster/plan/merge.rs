//! A manifest and what the cluster has, merged as `kubectl apply` merges: what the manifest says
//! holds, what it said the last time and says no more goes, and what others set stays. Pure.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

/// Where kubectl keeps what was applied the last time.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One resource that would change.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    pub(crate) kind: String,
    /// `NAMESPACE/NAME`, or the name alone for one of the cluster.
    pub(crate) name: String,
    /// Whether it is not there yet.
    pub(crate) created: bool,
    pub(crate) fields: Vec<Field>,
}

/// One field that would change.
#[derive(Serialize, PartialEq, Debug)]
pub(crate) struct Field {
    pub(crate) path: String,
    pub(crate) from: Option<Json>,
    pub(crate) to: Option<Json>,
}

/// `NAMESPACE/NAME`, or the name alone for what is of the cluster.
pub(super) fn name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

fn as_json(live: &impl Serialize) -> Json {
    serde_json::to_value(live).unwrap_or_default()
}

/// The merge patch that `kubectl apply` would send.
pub(super) fn patch(manifest: &Json, live: &impl Serialize) -> Json {
    let live = as_json(live);
    let last = live["metadata"]["annotations"][LAST_APPLIED].as_str();
    let last: Json = last.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut patch = json!({ "spec": three_ways(&last["spec"], &manifest["spec"]) });
    let mut metadata = Map::new();
    for part in ["labels", "annotations"] {
        let merged = three_ways(&last["metadata"][part], &manifest["metadata"][part]);
        if merged.as_object().is_some_and(|merged| !merged.is_empty()) {
            metadata.insert(part.to_owned(), merged);
        }
    }
    if !metadata.is_empty() {
        patch["metadata"] = Json::Object(metadata);
    }
    patch
}

/// What the manifest says, and null for what only the last one said.
fn three_ways(last: &Json, manifest: &Json) -> Json {
    let Json::Object(wanted) = manifest else {
        return if manifest.is_null() { gone(last) } else { manifest.clone() };
    };
    let mut merged: Map<String, Json> =
        wanted.iter().map(|(key, value)| (key.clone(), three_ways(&last[key], value))).collect();
    for key in last.as_object().into_iter().flat_map(Map::keys) {
        merged.entry(key.clone()).or_insert(Json::Null);
    }
    Json::Object(merged)
}

/// A manifest without a part that the last one had.
fn gone(last: &Json) -> Json {
    let keys = last.as_object().into_iter().flat_map(Map::keys);
    Json::Object(keys.map(|key| (key.clone(), Json::Null)).collect())
}

/// The live object with the patch applied (RFC 7396), for one whom the API server does not let ask.
pub(super) fn merged(manifest: &Json, live: &impl Serialize) -> Json {
    let mut object = as_json(live);
    apply(&mut object, &patch(manifest, live));
    object
}

fn apply(object: &mut Json, patch: &Json) {
    let Json::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    let Some(object) = object.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            object.remove(key);
        } else {
            apply(object.entry(key.clone()).or_insert(Json::Null), value);
        }
    }
}

/// What differs between an object as it is and as it would be, in what a person writes.
pub(super) fn change<K: Serialize>(
    kind: &str,
    (namespace, of): (&str, &str),
    live: Option<&K>,
    new: &K,
) -> Result<Option<Change>> {
    let new = serde_json::to_value(new)?;
    let old = live.map(serde_json::to_value).transpose()?.unwrap_or_default();
    let mut fields = Vec::new();
    differences(&old["spec"], &new["spec"], "spec", &mut fields);
    let paused = |object: &Json| object["metadata"]["annotations"]["hushmark.io/paused"].clone();
    let path = "metadata.annotations.hushmark.io/paused";
    differences(&paused(&old), &paused(&new), path, &mut fields);
    let created = live.is_none();
    if fields.is_empty() && !created {
        return Ok(None);
    }
    Ok(Some(Change { kind: kind.to_owned(), name: name(namespace, of), created, fields }))
}

fn differences(old: &Json, new: &Json, path: &str, found: &mut Vec<Field>) {
    if old == new {
        return;
    }
    if let (Json::Object(before), Json::Object(after)) = (old, new) {
        let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            differences(&old[key], &new[key], &format!("{path}.{key}"), found);
        }
        return;
    }
    // A whole part that comes or goes is told by its fields.
    if let (Json::Null, Json::Object(after)) = (old, new) {
        for (key, value) in after {
            differences(&Json::Null, value, &format!("{path}.{key}"), found);
        }
        return;
    }
    let said = |value: &Json| Some(value.clone()).filter(|value| !value.is_null());
    found.push(Field { path: path.to_owned(), from: said(old), to: said(new) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(last: &Json, spec: &Json) -> Json {
        let last = json!({ "spec": last }).to_string();
        json!({ "metadata": { "annotations": { LAST_APPLIED: last } }, "spec": spec })
    }

    #[test]
    fn what_others_set_stays_and_what_the_manifest_dropped_goes() {
        let live = live(
            &json!({"region": "eu", "defaults": {"campaign": {"opens": "overall"}}}),
            &json!({"region": "eu", "killSwitch": true, "defaults": {"campaign": {"opens": "overall"}}}),
        );
        let manifest = json!({ "spec": { "region": "eu" } });
        assert_eq!(patch(&manifest, &live), json!({"spec": {"region": "eu", "defaults": null}}));
        let merged = merged(&manifest, &live);
        assert_eq!(merged["spec"], json!({"region": "eu", "killSwitch": true}));
    }

    #[test]
    fn a_field_that_differs_is_named_with_both_of_its_values() {
        let old = json!({"spec": {"a": {"b": 1, "c": 2}, "list": [1]}});
        let new = json!({"spec": {"a": {"b": 1}, "list": [1, 2], "d": {"e": true}}});
        let change = change("Tenant", ("acme", "acme"), Some(&old), &new).unwrap().unwrap();
        let said: Vec<String> = change
            .fields
            .iter()
            .map(|Field { path, from, to }| format!("{path} {from:?} {to:?}"))
            .collect();
        assert_eq!(
            said,
            [
                "spec.a.c Some(Number(2)) None",
                "spec.d.e None Some(Bool(true))",
                "spec.list Some(Array [Number(1)]) Some(Array [Number(1), Number(2)])",
            ]
        );
        assert!(super::change("Tenant", ("acme", "acme"), Some(&old), &old).unwrap().is_none());
    }
}
