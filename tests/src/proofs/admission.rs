//! Proof `admission`: what `hushmark up` refuses, an API server refuses with the same words. The
//! manifests and the words are those of `crds/tests/bad/`, to which the tests of `crds` hold
//! `hushmark up`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::Run;
use crate::cluster::{Cluster, Release, Shape};
use crate::figure::Figures;

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/tests");

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    // No pod runs here.
    let cluster = Cluster::start_as(
        &run.tools,
        &Shape { nodes: Vec::new(), volumes: 0, ..Shape::default() },
    )?;
    Release::install_crds(&cluster)?;
    cluster.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: acme}\n")?;

    let words = words()?;
    for name in ["region", "tenant", "campaign", "retention", "anonymization"] {
        let path = Path::new(MANIFESTS).join("good").join(format!("{name}.yaml"));
        cluster.apply(&read(&path)?).context("what is good has to be taken")?;
        // So that what is bad is made anew, and no transition rule speaks.
        let path = path.to_str().context("the folder's name is not text")?;
        cluster.kubectl(&["delete", "-f", path, "--wait"])?;
    }
    let (mut taken, mut other_words, mut messages) = (Vec::new(), Vec::new(), BTreeSet::new());
    let manifests = manifests()?;
    for (name, text) in &manifests {
        match answer(&cluster, name, text)? {
            None => taken.push(name.as_str()),
            Some(answer) => {
                let expected = words.get(name).with_context(|| format!("no words for {name}"))?;
                for (field, message) in expected {
                    messages.insert(message.as_str());
                    if !answer.contains(field.as_str()) || !answer.contains(message.as_str()) {
                        other_words.push(format!("{name}: expected {field}: {message}: {answer}"));
                    }
                }
            }
        }
    }
    figures.at_least("bad manifests", manifests.len() as u64, 60, "manifests");
    figures.tell("messages", messages.len() as u64, "messages");
    figures.must("taken all the same", json!(taken), "none", taken.is_empty());
    figures.must("refused in other words", json!(other_words), "none", other_words.is_empty());
    Ok(figures)
}

/// What the API server says against a manifest; nothing if it takes it.
fn answer(cluster: &Cluster, name: &str, text: &str) -> Result<Option<String>> {
    let Some((old, new)) = name.strip_prefix("change-").and(text.split_once("---\n")) else {
        return refusal(cluster, text);
    };
    cluster.apply(old).with_context(|| format!("{name}: what is there first has to be taken"))?;
    let answer = refusal(cluster, new)?;
    let file = cluster.folder().join("applied.yaml");
    fs::write(&file, old)?;
    let file = file.to_str().context("the folder's name is not text")?;
    cluster.kubectl(&["delete", "-f", file, "--wait"])?;
    Ok(answer)
}

fn refusal(cluster: &Cluster, text: &str) -> Result<Option<String>> {
    let arguments = ["apply", "-f", "-"];
    let output = cluster.run("kubectl", &cluster.kubeconfig(), &arguments, Some(text))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((!output.status.success()).then_some(said))
}

fn manifests() -> Result<BTreeMap<String, String>> {
    let folder = Path::new(MANIFESTS).join("bad");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if let Some(name) = name.strip_suffix(".yaml") {
            all.insert(name.to_owned(), read(&path)?);
        }
    }
    Ok(all)
}

/// Fields and messages by manifest.
fn words() -> Result<BTreeMap<String, Vec<(String, String)>>> {
    let mut words = BTreeMap::<String, Vec<(String, String)>>::new();
    let text = read(&Path::new(MANIFESTS).join("bad/refused.txt"))?;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.splitn(3, ": ");
        let (Some(name), Some(field), Some(message)) = (parts.next(), parts.next(), parts.next())
        else {
            bail!("bad/refused.txt has a line without a field or a message: {line}");
        };
        words.entry(name.to_owned()).or_default().push((field.to_owned(), message.to_owned()));
    }
    Ok(words)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
