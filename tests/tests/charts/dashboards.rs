//! Dashboards: each query parses and asks for figures that the programs have.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::helm::root;
use crate::promtool;

/// Where programs name their figures.
const SOURCES: [&str; 3] =
    ["edge/src/control/metrics.rs", "writer/src/metrics.rs", "operator/src/metrics.rs"];

pub(crate) const BOARDS: [&str; 4] = ["edge", "operator", "pipeline", "privacy"];

/// Every word that has the form of one of our figures; a histogram's parts count as the histogram.
pub(crate) fn metrics_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let starts = ["hushmark_edge_", "hushmark_writer_", "hushmark_operator_"];
    for (at, _) in starts.iter().flat_map(|start| text.match_indices(start)) {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        let histogram = ["_seconds", "_records"].iter().find_map(|unit| {
            let (head, tail) = name.rsplit_once(unit)?;
            matches!(tail, "_bucket" | "_sum" | "_count").then(|| format!("{head}{unit}"))
        });
        found.insert(histogram.unwrap_or_else(|| name.to_owned()));
    }
    found
}

pub(crate) fn metrics_that_exist() -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for source in SOURCES {
        let text = fs::read_to_string(root().join(source)).context(source)?;
        let found = metrics_in(&text);
        ensure!(!found.is_empty(), "{source} names no figure");
        all.extend(found);
    }
    Ok(all)
}

pub(crate) fn board(name: &str) -> Result<Value> {
    let file = root().join(format!("charts/hushmark/dashboards/{name}.json"));
    serde_json::from_slice(&fs::read(&file)?).with_context(|| file.display().to_string())
}

/// Every query of a dashboard under its panel's title, with what Grafana puts in place of its
/// variables.
pub(crate) fn queries(board: &Value, rate_interval: &str) -> Vec<(String, String)> {
    let panels = board["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target))
    });
    targets
        .filter_map(|(title, target)| {
            let query = target["expr"].as_str()?;
            let query = query
                .replace("$__rate_interval", rate_interval)
                .replace("$__range", "1h")
                .replace("$namespace", "hushmark-eu")
                .replace("$pod", ".*");
            Some((title, query))
        })
        .collect()
}

#[test]
fn every_dashboard_of_the_folder_is_tested() -> Result<()> {
    let files = fs::read_dir(root().join("charts/hushmark/dashboards"))?;
    let files: Result<BTreeSet<String>> =
        files.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    assert_eq!(files?, BOARDS.iter().map(|name| format!("{name}.json")).collect());
    Ok(())
}

#[test]
fn every_panel_says_what_it_shows_and_has_a_place() -> Result<()> {
    for name in BOARDS {
        let board = board(name)?;
        assert_eq!(board["uid"], format!("hushmark-{name}"));
        let panels = board["panels"].as_array().context("no panels")?;
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: every panel has an id of its own");
        let mut taken = BTreeSet::new();
        for panel in panels {
            let at = |field: &str| panel["gridPos"][field].as_u64().unwrap_or(u64::MAX);
            ensure!(at("x") + at("w") <= 24, "{name}: {} is too wide", panel["title"]);
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    ensure!(taken.insert((x, y)), "{name}: {} covers another", panel["title"]);
                }
            }
            if panel["targets"].is_array() {
                let said = panel["description"].as_str().unwrap_or_default();
                ensure!(!said.is_empty(), "{name}: {} says not what it shows", panel["title"]);
                ensure!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}: no unit");
            }
        }
    }
    Ok(())
}

#[test]
fn every_query_asks_for_figures_that_the_programs_have() -> Result<()> {
    let exist = metrics_that_exist()?;
    let mut shown = BTreeSet::new();
    for name in BOARDS {
        for metric in metrics_in(&board(name)?.to_string()) {
            ensure!(exist.contains(&metric), "{name}: {metric} is none of ours");
            shown.insert(metric);
        }
    }
    let unseen: Vec<_> = exist.difference(&shown).collect();
    assert!(unseen.is_empty(), "on no dashboard: {unseen:?}");
    Ok(())
}

#[test]
fn prometheus_understands_every_query() -> Result<()> {
    let mut rules = Vec::new();
    for name in BOARDS {
        for (n, (title, query)) in queries(&board(name)?, "2m").into_iter().enumerate() {
            ensure!(query.contains("hushmark-eu"), "{name}: {title} shows every region at once");
            ensure!(!query.contains('$'), "{name}: {title}: {query}");
            rules.push(json!({"record": format!("board:{name}:{n}"), "expr": query}));
        }
    }
    ensure!(rules.len() > 60, "only {} queries", rules.len());
    let folder = TempDir::new()?;
    let file = json!({"groups": [{"name": "boards", "rules": rules}]});
    fs::write(folder.path().join("boards.yaml"), serde_json::to_vec(&file)?)?;
    promtool::run(folder.path(), &["check", "rules", "boards.yaml"])?;
    Ok(())
}
