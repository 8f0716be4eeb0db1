//! Named fields of an object, and nothing else. Pure.
//!
//! A path names a field that is a plain value: `spec.replicas`. `[]` goes into every item of a
//! list. At its end a mark says what of it is kept: `~` text that is scrubbed, `#` how many bytes
//! or items there are, `{}` the names of its fields, `*` all plain values in it. What a path does
//! not name is never copied, so that a field that a later Kubernetes adds is not in a bundle.

use serde_json::{Map, Value as Json, json};

use super::scrub::scrub;

/// What of a field is kept.
#[derive(Clone, Copy)]
enum What {
    Plain,
    Scrubbed,
    Size,
    Names,
    Inside,
}

/// A copy of the fields that are named.
pub(super) fn keep(object: &Json, paths: &[&str]) -> Json {
    let mut kept = Json::Null;
    for path in paths {
        let (path, what) = match path.as_bytes().last() {
            Some(b'~') => (&path[..path.len() - 1], What::Scrubbed),
            Some(b'#') => (&path[..path.len() - 1], What::Size),
            Some(b'*') => (&path[..path.len() - 1], What::Inside),
            _ if path.ends_with("{}") => (&path[..path.len() - 2], What::Names),
            _ => (*path, What::Plain),
        };
        copy(object, &parts(path), what, &mut kept);
    }
    kept
}

/// `spec.containers[].name` as `spec`, `containers`, `[]`, `name`.
fn parts(path: &str) -> Vec<&str> {
    let split = path.split('.').flat_map(|part| match part.strip_suffix("[]") {
        Some(name) => vec![name, "[]"],
        None => vec![part],
    });
    split.collect()
}

fn copy(from: &Json, parts: &[&str], what: What, to: &mut Json) {
    let Some((part, rest)) = parts.split_first() else {
        if let Some(kept) = leaf(from, what) {
            *to = kept;
        }
        return;
    };
    if *part == "[]" {
        let Json::Array(items) = from else { return };
        if !to.is_array() {
            *to = json!([]);
        }
        let Json::Array(kept) = to else { return };
        kept.resize(items.len(), Json::Null);
        for (item, kept) in items.iter().zip(kept) {
            copy(item, rest, what, kept);
        }
        return;
    }
    let Some(inner) = from.get(part).filter(|inner| !inner.is_null()) else { return };
    let mut kept = to.get(part).cloned().unwrap_or_default();
    copy(inner, rest, what, &mut kept);
    if kept.is_null() {
        return;
    }
    if !to.is_object() {
        *to = json!({});
    }
    if let Json::Object(to) = to {
        to.insert((*part).to_owned(), kept);
    }
}

fn leaf(value: &Json, what: What) -> Option<Json> {
    match what {
        What::Plain => match value {
            Json::Object(_) | Json::Array(_) => None,
            plain => Some(plain.clone()),
        },
        What::Scrubbed => value.as_str().map(|text| scrub(text).into()),
        What::Size => Some(match value {
            Json::Array(items) => items.len().into(),
            Json::Object(fields) => fields.len().into(),
            Json::String(text) => text.len().into(),
            _ => return None,
        }),
        What::Names => {
            let fields = value.as_object()?;
            Some(fields.keys().map(|name| Json::from(name.as_str())).collect())
        }
        What::Inside => Some(inside(value)),
    }
}

fn inside(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let fields: Map<String, Json> =
                fields.iter().map(|(name, value)| (name.clone(), inside(value))).collect();
            Json::Object(fields)
        }
        Json::Array(items) => items.iter().map(inside).collect(),
        Json::String(text) => scrub(text).into(),
        plain => plain.clone(),
    }
}

/// Names of keys and how many bytes each has: all that a bundle knows of a Secret's data.
pub(super) fn sizes(data: &Json, size: impl Fn(&str) -> usize) -> Json {
    let fields = data.as_object().into_iter().flatten();
    let sized = fields
        .map(|(name, value)| (name.clone(), Json::from(size(value.as_str().unwrap_or_default()))));
    Json::Object(sized.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_not_there() {
        let object = json!({
            "metadata": {"name": "a", "annotations": {"k": "canary"}, "labels": {"l": "canary"}},
            "spec": {
                "list": [{"name": "x", "secret": "canary"}, {"name": "y"}],
                "all": {"n": 1, "deep": ["mail to ann@example.org"]},
                "text": "canary",
            },
        });
        let kept = keep(
            &object,
            &[
                "metadata.name",
                "metadata.annotations{}",
                "spec.list[].name",
                "spec.list#",
                "spec.all*",
                "spec.text#",
                "spec.missing",
            ],
        );
        let wanted = json!({
            "metadata": {"name": "a", "annotations": ["k"]},
            "spec": {
                "list": 2,
                "all": {"n": 1, "deep": ["mail to [address]"]},
                "text": 6,
            },
        });
        assert_eq!(kept, wanted);
        let named = keep(&object, &["spec.list[].name", "spec.all"]);
        assert_eq!(named, json!({"spec": {"list": [{"name": "x"}, {"name": "y"}]}}));
    }
}
