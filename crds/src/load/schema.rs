//! A document against the schema of its CRD: what an API server checks before any rule runs.
//!
//! `serde` would stop at the first fault and knows no lines; here all are found. The words of the
//! schema itself (`description`, `title`) are the words of the faults, so that they cannot drift
//! from the reference that `kubectl explain` shows.

use serde_json::{Value as Json, json};

use super::tree::{Node, Value};

/// One fault, in a file that the caller knows.
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) field: String,
    pub(super) message: String,
}

/// Checks one value and everything in it.
pub(super) fn check(schema: &Json, node: &Node, field: &str, line: u64, faults: &mut Vec<Fault>) {
    let mut fault = |message: String| {
        faults.push(Fault { line, field: field.to_owned(), message });
    };
    match (schema["type"].as_str().unwrap_or_default(), &node.value) {
        ("object", Value::Map(_)) => object(schema, node, field, line, faults),
        ("array", Value::List(items)) => array(schema, items, field, line, faults),
        ("string", Value::Text(text)) => string(schema, text).into_iter().for_each(fault),
        ("integer", Value::Int(n)) => integer(schema, *n).into_iter().for_each(fault),
        ("boolean", Value::Bool(..)) => {}
        ("string", Value::Bool(_, written)) => {
            // Only "off" is ever meant where modes are allowed, however it was written.
            let meant = written.to_lowercase();
            let is_allowed =
                schema["enum"].as_array().is_some_and(|all| all.contains(&json!(meant)));
            let meant = if is_allowed { &meant } else { written };
            fault(format!(
                "{written} without quotes is a boolean in YAML, and kubectl sends it as one: \
                 write \"{meant}\"{}",
                allowed(schema),
            ));
        }
        ("string", Value::Int(n)) => {
            fault(format!("{n} without quotes is a number in YAML: write \"{n}\""));
        }
        (expected, found) => fault(format!(
            "expected {}, found {}{}",
            match expected {
                "object" => "fields",
                "array" => "a list",
                "string" => "text",
                "integer" => "a whole number",
                "boolean" => "true or false",
                other => other,
            },
            describe(found),
            allowed(schema),
        )),
    }
}

/// A value in the words of a message.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_, written) => format!("the boolean {written}"),
        Value::Int(n) => format!("the number {n}"),
        Value::Number(n) => format!("the number {n}"),
        Value::Text(text) => format!("the text {}", quoted(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "fields".to_owned(),
    }
}

/// A value in a message: one line, and no longer than a person wants to read again.
#[must_use]
pub fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug())
}

fn allowed(schema: &Json) -> String {
    let Some(values) = schema["enum"].as_array() else { return String::new() };
    let names: Vec<&str> = values.iter().filter_map(Json::as_str).collect();
    format!("; allowed: {}", names.join(", "))
}

fn object(schema: &Json, node: &Node, field: &str, line: u64, faults: &mut Vec<Fault>) {
    let Value::Map(entries) = &node.value else { return };
    let path = |key: &str| if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") };
    let properties = schema["properties"].as_object();
    for entry in entries.iter().filter(|e| !matches!(e.node.value, Value::Null)) {
        let own = properties.and_then(|p| p.get(&entry.key));
        let any = Some(&schema["additionalProperties"]).filter(|any| any.is_object());
        match own.or(any) {
            Some(child) => check(child, &entry.node, &path(&entry.key), entry.line, faults),
            None => {
                let names: Vec<&str> = properties.into_iter().flatten().map(|p| &**p.0).collect();
                faults.push(Fault {
                    line: entry.line,
                    field: path(&entry.key),
                    message: format!("unknown field; allowed: {}", names.join(", ")),
                });
            }
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if node.entry(name).is_none() {
            let child = &schema["properties"][name];
            let says = child["description"].as_str().unwrap_or_default().replace('\n', " ");
            let message = match allowed(child) {
                none if none.is_empty() => format!("missing. {says}").trim_end().to_owned(),
                allowed => format!("missing{allowed}"),
            };
            faults.push(Fault { line, field: path(name), message });
        }
    }
}

fn array(schema: &Json, items: &[Node], field: &str, line: u64, faults: &mut Vec<Fault>) {
    let (least, most) = (schema["minItems"].as_u64(), schema["maxItems"].as_u64());
    let n = items.len() as u64;
    if least.is_some_and(|least| n < least) || most.is_some_and(|most| n > most) {
        let message = format!("has {n} entries; allowed: {}", range(least, most));
        faults.push(Fault { line, field: field.to_owned(), message });
    }
    for (i, item) in items.iter().enumerate() {
        check(&schema["items"], item, &format!("{field}[{i}]"), item.line, faults);
    }
    let identities: Vec<Json> = items.iter().map(|item| identity(schema, item)).collect();
    for (i, item) in items.iter().enumerate() {
        let same = identities[..i].iter().position(|other| *other == identities[i]);
        if let Some(first) = same.filter(|_| !identities[i].is_null()) {
            faults.push(Fault {
                line: item.line,
                field: format!("{field}[{i}]"),
                message: format!(
                    "{} is there twice, first as {field}[{first}]: keep one",
                    named(&identities[i])
                ),
            });
        }
    }
}

/// An entry of a list as a person calls it.
fn named(identity: &Json) -> String {
    let word = |value: &Json| value.as_str().map_or_else(|| value.to_string(), quoted);
    match identity {
        Json::Array(keys) => keys.iter().map(word).collect::<Vec<_>>().join(" of "),
        value => word(value),
    }
}

/// What must differ between the entries of a list; null where nothing must.
fn identity(schema: &Json, item: &Node) -> Json {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => item.to_json(),
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            let values = keys.into_iter().flatten().filter_map(Json::as_str);
            values
                .map(|key| item.text(key))
                .collect::<Option<Vec<&str>>>()
                .map_or(Json::Null, Json::from)
        }
        _ => Json::Null,
    }
}

fn string(schema: &Json, text: &str) -> Option<String> {
    if let Some(values) = schema["enum"].as_array()
        && !values.iter().any(|value| value.as_str() == Some(text))
    {
        let noun = schema["title"].as_str().unwrap_or("value");
        return Some(format!("unknown {noun} {}{}", quoted(text), allowed(schema)));
    }
    let n = text.chars().count() as u64;
    let (least, most) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
    if n == 0 && least.is_some_and(|least| least > 0) {
        return Some("must not be empty".to_owned());
    }
    if most.is_some_and(|most| n > most) {
        return Some(format!("is {n} characters long; allowed: {}", range(least, most)));
    }
    if schema["format"].as_str() == Some("date-time") && !is_date_time(text) {
        return Some(format!(
            "{} is no moment in time; write one as 2026-12-01T08:00:00Z",
            quoted(text)
        ));
    }
    None
}

/// RFC 3339, section 5.6. The shape is checked first, because the parser takes more than that.
fn is_date_time(text: &str) -> bool {
    let shape = text.len() >= 20
        && text.is_ascii()
        && text.as_bytes()[10].eq_ignore_ascii_case(&b'T')
        && text.as_bytes()[13] == b':'
        && text.as_bytes()[16] == b':';
    shape && text.parse::<k8s_openapi::jiff::Timestamp>().is_ok()
}

fn integer(schema: &Json, n: i64) -> Option<String> {
    // An API server's schema holds bounds as floating-point numbers; ours are whole and small.
    let bound = |key: &str| schema[key].as_f64().map(|bound| bound as i64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    let size = if least.is_some_and(|least| n < least) {
        "small"
    } else if most.is_some_and(|most| n > most) {
        "large"
    } else {
        return None;
    };
    Some(format!("{n} is too {size}; allowed: {}", range(least, most)))
}

fn range<T: std::fmt::Display>(least: Option<T>, most: Option<T>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keyword that the CRDs use and `check` does not know would be enforced by an API server
    /// alone.
    #[test]
    fn every_keyword_of_the_schemas_is_checked() {
        const NO_RULES: [&str; 3] = ["description", "title", "default"];
        const CHECKED: [&str; 16] = [
            "type",
            "properties",
            "required",
            "items",
            "enum",
            "minimum",
            "maximum",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "format",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-validations",
            "additionalProperties",
        ];
        fn walk(schema: &Json) {
            let schema = schema.as_object().unwrap();
            for (keyword, value) in schema {
                let known = NO_RULES.contains(&&**keyword) || CHECKED.contains(&&**keyword);
                assert!(known, "{keyword} is not checked");
                match &**keyword {
                    "properties" => value.as_object().unwrap().values().for_each(walk),
                    "items" | "additionalProperties" => walk(value),
                    "type" => {
                        let types = ["object", "array", "string", "integer", "boolean"];
                        assert!(types.contains(&value.as_str().unwrap()), "{value} is not checked");
                    }
                    "format" => {
                        let formats = ["int32", "int64", "date-time"];
                        assert!(formats.contains(&value.as_str().unwrap()), "{value} unchecked");
                    }
                    _ => {}
                }
            }
        }
        for crd in crate::crds() {
            for version in crd.spec.versions {
                let schema = version.schema.unwrap().open_api_v3_schema.unwrap();
                walk(&serde_json::to_value(schema).unwrap());
            }
        }
    }
}
