//! What an image is made of: CycloneDX 1.5 as JSON (cyclonedx.org/docs/1.5/json).
//!
//! Crates come from `cargo metadata`, with the checksums of `Cargo.lock`; libraries of the system
//! from dpkg. What a cargo feature of another room turns on may be listed as well: rather one crate
//! too many than one too few.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::catalogue::{ENGINE, Image};
use super::debian::{self, Package as Debian};
use super::rootfs::{Entry, Files};
use crate::metadata::{Metadata, Package};
use crate::setup;
use crate::tree::Tree;

/// The bill of materials of an image, as text that is the same for the same image.
pub(super) fn render(tree: &Tree, image: &Image, files: &Files, digest: &str) -> Result<String> {
    let mut components = BTreeMap::new();
    let mut dependencies = BTreeMap::new();
    let mut top = BTreeSet::new();
    if let Some(program) = image.program {
        let metadata = Metadata::of_platform(&tree.root)?;
        let checksums = checksums(&fs::read_to_string(tree.root.join("Cargo.lock"))?);
        let root = metadata.members().find(|package| package.binaries().any(|b| b == program));
        let root = root.with_context(|| format!("no room of the workspace has {program}"))?;
        crates(&metadata, root, &checksums, &mut components, &mut dependencies);
        top.insert(reference(root));
    }
    if image.entrypoint.contains(&ENGINE) {
        let (name, version) = setup::engine_package();
        let purl = format!("pkg:npm/{}@{version}", name.replace('@', "%40"));
        top.insert(purl.clone());
        components.insert(purl.clone(), component("library", name, version, &purl));
    }
    let copies = files.system.iter().chain(&files.own).filter_map(|(path, entry)| match entry {
        // Ours are above; what is left of the image's own files is the operating system's.
        Entry::Copy { from, .. } if image.program.is_none() || files.system.contains_key(path) => {
            Some((path.as_str(), from.as_path()))
        }
        _ => None,
    });
    let (packages, unowned) = debian::owners(copies)?;
    for package in &packages {
        let purl = package.purl();
        let Debian { name, version, .. } = package;
        top.insert(purl.clone());
        components.insert(purl.clone(), component("library", name, version, &purl));
    }
    for path in unowned {
        top.insert(path.clone());
        components.insert(path.clone(), json!({"type": "file", "bom-ref": path, "name": path}));
    }
    let name = format!("hushmark-{}", image.name);
    dependencies.insert(digest.to_owned(), top);
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": serial(digest),
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": digest,
                "name": name,
                "version": env!("CARGO_PKG_VERSION"),
                "description": image.description,
                "hashes": [{"alg": "SHA-256", "content": digest.trim_start_matches("sha256:")}],
            },
        },
        "components": components.into_values().collect::<Vec<Value>>(),
        "dependencies": dependencies
            .into_iter()
            .map(|(from, to)| json!({"ref": from, "dependsOn": to}))
            .collect::<Vec<Value>>(),
    });
    Ok(serde_json::to_string_pretty(&bom)? + "\n")
}

/// The crates that a package links, and who links whom.
fn crates(
    metadata: &Metadata,
    root: &Package,
    checksums: &BTreeMap<(String, String), String>,
    components: &mut BTreeMap<String, Value>,
    dependencies: &mut BTreeMap<String, BTreeSet<String>>,
) {
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let nodes: BTreeMap<&str, _> = nodes.map(|node| (node.id.as_str(), &node.deps)).collect();
    let mut next = vec![root];
    while let Some(package) = next.pop() {
        let from = reference(package);
        if components.contains_key(&from) {
            continue;
        }
        components.insert(from.clone(), described(package, checksums));
        let mut uses = BTreeSet::new();
        for dependency in nodes.get(package.id.as_str()).into_iter().copied().flatten() {
            let is_linked = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if let Some(used) = packages.get(dependency.pkg.as_str()).filter(|_| is_linked) {
                uses.insert(reference(used));
                next.push(used);
            }
        }
        dependencies.insert(from, uses);
    }
}

/// A crate's package URL (purl-spec, type `cargo`).
fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

fn component(kind: &str, name: &str, version: &str, purl: &str) -> Value {
    json!({"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl})
}

fn described(package: &Package, checksums: &BTreeMap<(String, String), String>) -> Value {
    let Package { name, version, license, .. } = package;
    let mut value = component("library", name, version, &reference(package));
    if let Some(licence) = license {
        // The old form of "or" is no SPDX expression.
        let expression = licence.replace(" / ", "/").replace('/', " OR ");
        value["licenses"] = json!([{"expression": expression}]);
    }
    if let Some(checksum) = checksums.get(&(name.clone(), version.clone())) {
        value["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    value
}

/// The SHA-256 of every crate file, by name and version, from the text of `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut sums = BTreeMap::new();
    for block in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let start = format!("{key} = \"");
            let found = block.lines().find_map(|line| line.strip_prefix(start.as_str()));
            found.map(|rest| rest.trim_end_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) =
            (value("name"), value("version"), value("checksum"))
        {
            sums.insert((name, version), sum);
        }
    }
    sums
}

/// A serial number in the form of a UUID (RFC 9562, version 8: from other data), from the image's
/// digest: the bill of another image has another.
fn serial(digest: &str) -> String {
    let digits = digest.trim_start_matches("sha256:");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn a_bill_names_every_crate_once_and_refers_to_nothing_else() {
        let root = tree::root().unwrap();
        let metadata = Metadata::of_platform(&root).unwrap();
        let checksums = checksums(&fs::read_to_string(root.join("Cargo.lock")).unwrap());
        let edge = metadata.members().find(|package| package.name == "hushmark-edge").unwrap();
        let (mut components, mut dependencies) = (BTreeMap::new(), BTreeMap::new());
        crates(&metadata, edge, &checksums, &mut components, &mut dependencies);
        assert!(dependencies.values().flatten().all(|used| components.contains_key(used)));
        let hyper = components.values().find(|component| component["name"] == "hyper").unwrap();
        assert_eq!(hyper["hashes"][0]["content"].as_str().map(str::len), Some(64));
        assert_eq!(hyper["licenses"][0]["expression"], "MIT");
        // What only tests link is in no image.
        assert!(!components.values().any(|component| component["name"] == "proptest"));
    }

    #[test]
    fn a_serial_number_has_the_form_of_a_uuid() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(serial(&digest), "urn:uuid:01234567-89ab-8def-8123-456789abcdef");
    }
}
