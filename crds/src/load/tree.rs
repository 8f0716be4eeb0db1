//! YAML as a tree in which every value knows its line, so that each later check can say where.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use super::schema::quoted;

/// A value and where it is.
#[derive(Debug)]
pub(super) struct Node {
    /// The line that it is on, from 1. A value that came from an anchor is where it is used.
    pub(super) line: u64,
    pub(super) value: Value,
}

/// What YAML can say.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    /// With the text as it was written: `off` and `no` are booleans as well.
    Bool(bool, String),
    Int(i64),
    /// A number that no `i64` holds.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One line of a mapping.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// The key's line.
    pub(super) line: u64,
    pub(super) node: Node,
}

impl Node {
    /// The entry of a mapping, unless it is null: an API server takes such a field for one that is
    /// not there.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|e| e.key == key && !matches!(e.node.value, Value::Null))
    }

    /// The text of a field, if it is there and text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match &self.entry(key)?.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The line of a field such as `spec.egress[2].host`, or of the innermost part of its path
    /// that is there.
    pub(super) fn line_of(&self, path: &str) -> u64 {
        let (mut node, mut line) = (self, self.line);
        for part in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            (node, line) = match &node.value {
                Value::List(items) => match part.parse().ok().and_then(|i: usize| items.get(i)) {
                    Some(item) => (item, item.line),
                    None => break,
                },
                _ => match node.entry(part) {
                    Some(entry) => (&entry.node, entry.line),
                    None => break,
                },
            };
        }
        line
    }

    /// The same as JSON, without the nulls of mappings.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b, _) => Json::Bool(*b),
            Value::Int(n) => Json::from(*n),
            Value::Number(n) => Json::from(*n),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .filter(|e| !matches!(e.node.value, Value::Null))
                .map(|e| (e.key.clone(), e.node.to_json()))
                .collect(),
        }
    }
}

/// Why a file is not YAML, and on which line.
pub(super) struct SyntaxError {
    pub(super) line: Option<u64>,
    pub(super) message: String,
}

/// Every document of a file; empty ones are left out.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    // A file of 1 MiB that a person wrote stays far below each of these. They bound what an
    // anchor can be blown up to: 20,000 nodes are some 2 MB here.
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_nodes: 200_000,
            max_depth: 32,
            max_anchors: 100,
            max_aliases: 1_000,
            max_documents: 10_000,
            max_recorded_anchor_events: 20_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
        },
    };
    let documents: Vec<Spanned<Raw>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|e| why(text, &e))?;
    Ok(documents.into_iter().map(|raw| node(raw, text)).collect())
}

fn why(text: &str, error: &serde_saphyr::Error) -> SyntaxError {
    use serde_saphyr::Error as E;
    let mut error = error.without_snippet();
    // Where an alias is used is where a person has to look, and what is wrong lies inside.
    let line = error.location().map(|at| at.line());
    while let E::AliasError { error: inner, .. } = error {
        error = inner;
    }
    let message = match error {
        E::DuplicateMappingKey { key: Some(key), .. } => {
            format!("{} is there twice: keep one of the two", quoted(key))
        }
        E::Budget { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayCounterOverflow { .. } => {
            "is larger or deeper than a manifest can be, once its anchors are written out: write \
             the fields out, without anchors"
                .to_owned()
        }
        other => {
            if let Some(tab) = line.and_then(|line| tab_near(text, line)) {
                let message = "is indented with a tab, which YAML forbids: use spaces".to_owned();
                return SyntaxError { line: Some(tab), message };
            }
            let why = UserMessageFormatter.format_message(other).replace(char::is_control, " ");
            format!("cannot be read as YAML: {why}")
        }
    };
    SyntaxError { line, message }
}

/// The line, at a parser's fault or right after it, that is indented with a tab: a parser that
/// runs into the tab blames the value before it.
fn tab_near(text: &str, line: u64) -> Option<u64> {
    let first = usize::try_from(line).ok()?.checked_sub(1)?;
    let is_tabbed = |l: &str| l.trim_start_matches(' ').starts_with('\t');
    let offset = text.lines().skip(first).take(2).position(is_tabbed)?;
    Some(line + offset as u64)
}

fn node(raw: Spanned<Raw>, text: &str) -> Node {
    let line = raw.referenced.line();
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(b) => Value::Bool(b, written(raw.defined, text).unwrap_or(b.to_string())),
        Raw::Int(n) => Value::Int(n),
        Raw::Number(n) => Value::Number(n),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, text)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    line: key.referenced.line(),
                    key: key.value,
                    node: node(value, text),
                })
                .collect(),
        ),
    };
    Node { line, value }
}

/// A scalar as it was written.
fn written(at: serde_saphyr::Location, text: &str) -> Option<String> {
    let from = usize::try_from(at.span().byte_offset()?).ok()?;
    let to = from.checked_add(usize::try_from(at.span().byte_len()?).ok()?)?;
    text.get(from..to).map(|scalar| scalar.trim().to_owned()).filter(|scalar| !scalar.is_empty())
}

/// What the deserialiser gives, before the lines are moved to where they are used.
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Number(value as f64), Raw::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
