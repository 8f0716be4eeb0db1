//! The ends of our programs' logs, a line a JSON object. Pure.

use serde_json::{Map, Value as Json};

use super::scrub::scrub;

/// The fields that our programs write and that tell of no person. Their text is scrubbed all the
/// same, but for the first ones, which are ours to the letter.
const AS_IT_IS: [&str; 3] = ["timestamp", "level", "target"];
const SCRUBBED: [&str; 26] = [
    "again_s",
    "batch",
    "core",
    "day",
    "depth",
    "error",
    "from",
    "holder",
    "identity",
    "kind",
    "kid",
    "lag_s",
    "lane",
    "lanes",
    "lease",
    "length",
    "message",
    "missing",
    "namespace",
    "number",
    "object",
    "permission",
    "reason",
    "region",
    "release",
    "to",
];

/// The lines without what is on no list.
pub(super) fn clean(log: &str) -> String {
    let lines = log.lines().map(|line| match serde_json::from_str::<Json>(line) {
        Ok(Json::Object(fields)) => Json::Object(fields_of(fields)).to_string(),
        // A panic, or a line of somebody else.
        _ => scrub(line),
    });
    lines.map(|line| line + "\n").collect()
}

fn fields_of(fields: Map<String, Json>) -> Map<String, Json> {
    let mut kept = Map::new();
    let mut left_out = Vec::new();
    for (name, value) in fields {
        if AS_IT_IS.contains(&name.as_str()) {
            kept.insert(name, value);
            continue;
        }
        if !SCRUBBED.contains(&name.as_str()) {
            left_out.push(Json::from(name));
            continue;
        }
        let value = match value {
            Json::String(text) => scrub(&text).into(),
            Json::Number(_) | Json::Bool(_) => value,
            other => scrub(&other.to_string()).into(),
        };
        kept.insert(name, value);
    }
    left_out.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    if !left_out.is_empty() {
        kept.insert("left_out".to_owned(), left_out.into());
    }
    kept
}

/// Lines of metrics that are ours.
pub(super) fn metrics(page: &str) -> String {
    let ours = |line: &&str| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        ["hushmark_", "process_"].iter().any(|prefix| name.starts_with(prefix))
    };
    page.lines().filter(ours).map(|line| line.to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_known_fields_and_names_the_others() {
        let line = r#"{"timestamp":"2026-11-22T08:00:00Z","level":"WARN","message":"to ann@example.org","error":"GET https://x.example/c/t","subject":"canary","peer":"203.0.113.9","length":3}"#;
        let kept: Json = serde_json::from_str(&clean(line)).unwrap();
        let wanted = serde_json::json!({
            "timestamp": "2026-11-22T08:00:00Z",
            "level": "WARN",
            "message": "to [address]",
            "error": "GET https://[url]",
            "length": 3,
            "left_out": ["peer", "subject"],
        });
        assert_eq!(kept, wanted);
        assert_eq!(clean("panicked at ann@example.org\n"), "panicked at [address]\n");
    }

    #[test]
    fn metrics_of_others_are_left_out() {
        let page = "# HELP hushmark_hits x\n# TYPE hushmark_hits counter\nhushmark_hits 3\nother{user=\"ann\"} 1\n";
        assert!(metrics(page).ends_with("hushmark_hits 3\n") && !metrics(page).contains("ann"));
    }
}
