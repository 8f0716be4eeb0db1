//! Manifests that have to be refused, one a file under `bad/`, each with its words in
//! `bad/refused.txt`. The proof `admission` gives the same files to a real API server and holds it
//! to the same words. `UPDATE=1 cargo test -p hushmark-crds` writes the words.
//!
//! `change-*.yaml` holds what was applied first, and the change that has to be refused.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is its purpose")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hushmark_crds::{Campaign, Region, Tenant, crds, directory};
use serde_json::Value as Json;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Every bad manifest, by name.
fn manifests() -> BTreeMap<String, String> {
    let files = fs::read_dir(folder("bad")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), fs::read_to_string(path).unwrap())).collect()
}

/// What `hushmark up` says against one: field and message.
fn refused(name: &str, text: &str) -> Vec<(String, String)> {
    if let Some((old, new)) = name.strip_prefix("change-").and(text.split_once("---\n")) {
        return changed(name, old, new);
    }
    let target = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder("good")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, target.path().join(path.file_name().unwrap())).unwrap();
    }
    let kind = name.split('-').next().unwrap();
    fs::write(target.path().join(format!("{kind}.yaml")), text).unwrap();
    let faults = directory(target.path()).expect_err(name);
    let words = faults.into_iter().map(|fault| (fault.field.unwrap_or_default(), fault.message));
    words.collect()
}

/// What the transition rules say.
fn changed(name: &str, old: &str, new: &str) -> Vec<(String, String)> {
    macro_rules! update {
        ($kind:ty) => {{
            let read = |text| serde_saphyr::from_str::<$kind>(text).unwrap();
            read(new).validate_cel_update(&read(old)).expect_err(name)
        }};
    }
    let errors = match name.split('-').nth(1).unwrap() {
        "region" => update!(Region),
        "tenant" => update!(Tenant),
        "campaign" => update!(Campaign),
        other => panic!("no kind begins like {other}"),
    };
    // The macro's validation begins at the spec.
    let field = |path: &str| match path.strip_prefix("spec") {
        Some(_) => path.to_owned(),
        None => format!("spec.{path}"),
    };
    errors.into_iter().map(|error| (field(&error.field_path), error.message)).collect()
}

fn words() -> String {
    let mut words = String::from(
        "# NAME: FIELD: MESSAGE. Written by `UPDATE=1 cargo test -p hushmark-crds`.\n",
    );
    for (name, text) in manifests() {
        for (field, message) in refused(&name, &text) {
            words.push_str(&format!("{name}: {field}: {message}\n"));
        }
    }
    words
}

#[test]
fn the_good_ones_are_good() {
    directory(&folder("good")).unwrap();
}

#[test]
fn each_is_refused_in_the_words_that_are_written_down() {
    let path = folder("bad/refused.txt");
    let words = words();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &words).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == words, "{} differs: run the tests with UPDATE=1\n{words}", path.display());
    assert!(manifests().len() >= 60, "{} manifests", manifests().len());
}

/// Every rule of the schemas, by kind, field and message.
fn rules(schema: &Json, field: &str, found: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let at = format!("{field}{}", rule["fieldPath"].as_str().unwrap_or_default());
        found.push((at, rule["message"].as_str().unwrap().to_owned()));
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        rules(child, &format!("{field}.{name}"), found);
    }
    if schema["items"].is_object() {
        rules(&schema["items"], &format!("{field}[]"), found);
    }
}

#[test]
fn every_rule_refuses_at_least_two() {
    let mut counts = BTreeMap::<(String, String), usize>::new();
    let indices = |field: &str| {
        let mut parts = field.split(['[', ']']);
        let first = parts.next().unwrap().to_owned();
        parts.fold(
            first,
            |all, part| {
                if part.parse::<usize>().is_ok() { all + "[]" } else { all + part }
            },
        )
    };
    for (name, text) in manifests() {
        for (field, message) in refused(&name, &text) {
            *counts.entry((format!(".{}", indices(&field)), message)).or_default() += 1;
        }
    }
    let mut all = Vec::new();
    for crd in crds() {
        let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema;
        rules(&serde_json::to_value(schema).unwrap(), "", &mut all);
    }
    assert!(all.len() > 25, "the rules are read: {all:?}");
    for rule in all {
        let count = counts.get(&rule).copied().unwrap_or(0);
        assert!(count >= 2, "{count} manifests are refused by {rule:?}; {counts:#?}");
    }
}
