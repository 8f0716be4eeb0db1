//! Alerts: each parses, fires in a test that causes its fault, and has a runbook.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dashboards::{metrics_in, metrics_that_exist};
use crate::helm::{self, DEFAULT, HA, find, objects, root};
use crate::promtool;

const SECTIONS: [&str; 5] =
    ["What it means", "Who notices", "First look", "Cure", "When to wake whom"];

/// The rule file of a release without the Prometheus operator.
pub(crate) fn rule_file() -> Result<String> {
    let rendered = objects("charts/hushmark", &DEFAULT)?;
    let files = rendered.iter().filter_map(|object| object["data"].as_object()).flatten();
    let mut rules = files.filter(|(name, _)| name.ends_with(".rules.yaml"));
    let (_, text) = rules.next().context("no rule file was rendered")?;
    Ok(text.as_str().context("it is no text")?.to_owned())
}

fn alerts(rules: &Value) -> Vec<&Value> {
    let list = |value: &'_ Value| value.as_array().map_or(0, Vec::len);
    let groups = &rules["groups"];
    let of = |group: usize| (0..list(&groups[group]["rules"])).map(move |n| (group, n));
    (0..list(groups)).flat_map(of).map(|(g, n)| &groups[g]["rules"][n]).collect()
}

fn names_of_files(folder: &Path, ending: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(ending).map(str::to_owned));
    }
    Ok(names)
}

#[test]
fn prometheus_takes_the_rule_file() -> Result<()> {
    let text = rule_file()?;
    ensure!(!text.contains("\"$"), "a word was left as it is");
    let folder = TempDir::new()?;
    fs::write(folder.path().join("rules.yaml"), text)?;
    promtool::run(folder.path(), &["check", "rules", "rules.yaml"])?;
    Ok(())
}

#[test]
fn a_prometheus_rule_says_the_same_as_the_rule_file() -> Result<()> {
    let values = "monitoring: {prometheusOperator: always}";
    let rendered = objects("charts/hushmark", &helm::Release { values, ..DEFAULT })?;
    let file: Value = serde_saphyr::from_str(&rule_file()?)?;
    assert_eq!(find(&rendered, "PrometheusRule")?["spec"], file);
    let rendered = objects("charts/hushmark", &HA)?;
    let url = &alerts(&find(&rendered, "PrometheusRule")?["spec"])[0]["annotations"]["runbook_url"];
    assert_eq!(*url, "https://runbooks.example.com/hushmark/HushmarkNoEdge.md");
    Ok(())
}

#[test]
fn each_alert_fires_when_its_fault_is_there_and_not_before() -> Result<()> {
    let mut rules: Value = serde_saphyr::from_str(&rule_file()?)?;
    let names: BTreeSet<String> = alerts(&rules)
        .iter()
        .filter_map(|alert| Some(alert["alert"].as_str()?.to_owned()))
        .collect();
    // promtool would want every word of them repeated in the tests; `check rules` reads them.
    for group in rules["groups"].as_array_mut().context("no groups")? {
        for rule in group["rules"].as_array_mut().context("no rules")? {
            rule["annotations"] = json!({});
        }
    }
    let tests = root().join("tests/alerts");
    assert_eq!(names_of_files(&tests, ".yaml")?, names, "one file in tests/alerts an alert");
    let folder = TempDir::new()?;
    fs::write(folder.path().join("rules.yaml"), serde_json::to_vec(&rules)?)?;
    for name in names {
        let file = format!("{name}.yaml");
        fs::copy(tests.join(&file), folder.path().join(&file))?;
        let text = fs::read_to_string(tests.join(&file))?;
        ensure!(text.contains("exp_alerts: []"), "{file}: says not when it must be silent");
        ensure!(text.contains("exp_labels"), "{file}: says not when it must fire");
        ensure!(text.contains(&format!("alertname: {name}\n")), "{file}: tests another alert");
        promtool::run(folder.path(), &["test", "rules", &file])?;
    }
    Ok(())
}

#[test]
fn each_alert_has_a_runbook_that_says_what_to_do() -> Result<()> {
    let rules: Value = serde_saphyr::from_str(&rule_file()?)?;
    let folder = root().join("docs/runbooks");
    let index = fs::read_to_string(folder.join("README.md"))?;
    let mut names = BTreeSet::from(["README".to_owned()]);
    for alert in alerts(&rules) {
        let name = alert["alert"].as_str().context("no name")?;
        names.insert(name.to_owned());
        let url = &alert["annotations"]["runbook_url"];
        ensure!(*url == format!("docs/runbooks/{name}.md"), "{name}: {url}");
        let severity = alert["labels"]["severity"].as_str().context("no severity")?;
        ensure!(matches!(severity, "critical" | "warning"), "{name}: {severity}");
        let page = fs::read_to_string(folder.join(format!("{name}.md")))
            .with_context(|| format!("{name} has no runbook"))?;
        ensure!(page.starts_with(&format!("# {name}\n\nSeverity: {severity}.")), "{name}: head");
        for section in SECTIONS {
            let body = page.split_once(&format!("\n## {section}\n\n")).map(|(_, rest)| rest);
            let body = body.with_context(|| format!("{name}: no section {section}"))?;
            ensure!(!body.starts_with('#'), "{name}: section {section} is empty");
        }
        ensure!(page.contains("kubectl"), "{name}: no command to begin with");
        ensure!(index.contains(&format!("[{name}]({name}.md) | {severity}")), "{name}: no index");
    }
    assert_eq!(names_of_files(&folder, ".md")?, names, "a runbook of no alert");
    Ok(())
}

#[test]
fn alerts_and_runbooks_name_figures_that_the_programs_have() -> Result<()> {
    let exist = metrics_that_exist()?;
    let mut texts = vec![("the rule file".to_owned(), rule_file()?)];
    for entry in fs::read_dir(root().join("docs/runbooks"))? {
        let path = entry?.path();
        texts.push((path.display().to_string(), fs::read_to_string(&path)?));
    }
    for (place, text) in texts {
        for metric in metrics_in(&text) {
            ensure!(exist.contains(&metric), "{place}: {metric} is none of ours");
        }
    }
    Ok(())
}
