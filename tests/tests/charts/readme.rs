//! The chart's README: written from values.schema.json, with the defaults of values.yaml.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::helm::root;

const HEAD: &str = include_str!("readme.head.md");

struct Table<'a> {
    definitions: &'a Value,
    rows: Vec<(String, String, String, String)>,
}

impl Table<'_> {
    /// Every value below a schema's node; what has no description is an error.
    fn walk(&mut self, path: &str, schema: &Value, default: &Value) -> Result<()> {
        let described = schema["description"].as_str();
        let schema = match schema["$ref"].as_str() {
            Some(name) => {
                let name = name.rsplit('/').next().unwrap_or_default();
                self.definitions.get(name).with_context(|| format!("no definition {name}"))?
            }
            None => schema,
        };
        let properties = schema["properties"].as_object();
        let description =
            described.with_context(|| format!("values.schema.json: {path} has no description"))?;
        if let Some(properties) = properties {
            for (name, below) in properties {
                let default = default
                    .get(name)
                    .with_context(|| format!("values.yaml: {path}.{name} has no default"))?;
                self.walk(&format!("{path}.{name}"), below, default)?;
            }
            return Ok(());
        }
        let kind = match &schema["enum"] {
            Value::Array(allowed) => {
                let words = allowed.iter().filter_map(Value::as_str);
                words.collect::<Vec<_>>().join(", ")
            }
            _ => schema["type"].as_str().unwrap_or("any").to_owned(),
        };
        let default = serde_json::to_string(default)?;
        self.rows.push((path.to_owned(), kind, default, description.replace('|', "\\|")));
        Ok(())
    }
}

fn page() -> Result<String> {
    let chart = root().join("charts/hushmark");
    let schema: Value = serde_json::from_slice(&fs::read(chart.join("values.schema.json"))?)?;
    let values = fs::read_to_string(chart.join("values.yaml"))?;
    let values: Value = serde_saphyr::from_str(&values)?;
    let sections = schema["properties"].as_object().context("the schema has no properties")?;
    for name in values.as_object().context("values.yaml is no mapping")?.keys() {
        ensure!(sections.contains_key(name), "values.yaml: {name} is not in the schema");
    }
    let mut page = HEAD.to_owned();
    for (name, section) in sections.iter().filter(|(name, _)| *name != "global") {
        let what = section["description"].as_str().context("no description")?;
        let mut table = Table { definitions: &schema["definitions"], rows: Vec::new() };
        table.walk(name, section, &values[name])?;
        write!(
            page,
            "\n### `{name}`\n\n{what}\n\n| value | type | default | |\n|---|---|---|---|\n"
        )?;
        for (path, kind, default, what) in table.rows {
            writeln!(page, "| `{path}` | {kind} | `{default}` | {what} |")?;
        }
    }
    Ok(page)
}

/// `cargo xtask generate`, or `UPDATE=1` with this test, writes the page anew.
#[test]
fn every_value_is_documented_with_the_default_it_has() -> Result<()> {
    let file = root().join("charts/hushmark/README.md");
    let page = page()?;
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &page)?;
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    ensure!(written == page, "charts/hushmark/README.md differs: run `cargo xtask generate`");
    Ok(())
}
