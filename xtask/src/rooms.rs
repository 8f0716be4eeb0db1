//! Who may depend on whom: the table of rooms, held against what cargo sees.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::metadata::Metadata;
use crate::tree;

/// One room and the rooms that it may use, in tests too.
struct Room {
    folder: &'static str,
    may_use: &'static [&'static str],
}

const fn room(folder: &'static str, may_use: &'static [&'static str]) -> Room {
    Room { folder, may_use }
}

const LIBRARIES: &[&str] =
    &["policy", "token", "event", "hop", "edge", "writer", "report", "sender", "crds", "embedded"];
const EVERYTHING: &[&str] = &[
    "policy", "token", "event", "hop", "edge", "writer", "report", "sender", "crds", "embedded",
    "operator", "cli", "tests",
];

const ROOMS: &[Room] = &[
    room("policy", &[]),
    room("token", &["policy"]),
    room("event", &["policy"]),
    room("hop", &[]),
    room("edge", &["token", "event", "hop", "policy"]),
    room("writer", &["event", "hop", "policy"]),
    room("report", &["event", "policy"]),
    room("sender", &["token", "event", "policy"]),
    room("crds", &["policy"]),
    room("embedded", &["hop"]),
    room("operator", &["crds", "event", "hop", "policy", "token"]),
    room("cli", LIBRARIES),
    room("tests", EVERYTHING),
    room("benches", EVERYTHING),
    room("xtask", &[]),
];

/// What a room may not even link, however many crates lie between, and why.
struct Ban {
    room: &'static str,
    crates: &'static [&'static str],
    because: &'static str,
}

const PURE: &[&str] = &["tokio", "hyper", "redis", "clickhouse", "kube-client", "reqwest"];

const BANS: &[Ban] = &[
    Ban { room: "policy", crates: PURE, because: "it is pure: no input, no output, no clock" },
    Ban { room: "token", crates: PURE, because: "it is pure, and fuzzed as such" },
    Ban { room: "event", crates: PURE, because: "it says what the bytes are and moves none" },
    Ban {
        room: "crds",
        crates: &["tokio", "hyper", "redis", "clickhouse", "kube-client"],
        because: "types need no cluster",
    },
    Ban {
        room: "operator",
        crates: &["clickhouse"],
        because: "it reads no hit: counts reach it as they were published",
    },
    Ban {
        room: "edge",
        crates: &["clickhouse", "kube", "kube-client", "k8s-openapi", "reqwest"],
        because: "it faces the internet and holds no client of Kubernetes or ClickHouse",
    },
    Ban {
        room: "writer",
        crates: &["kube", "kube-client", "k8s-openapi"],
        because: "intent reaches it through the refusal log and its configuration",
    },
];

/// Every way in which the workspace differs from the table; empty is what must be. `linked` tells
/// the names of all crates that end up in a package's own code, tests and build scripts apart.
pub(crate) fn breaches(
    metadata: &Metadata,
    linked: impl Fn(&str) -> Result<BTreeSet<String>>,
) -> Result<Vec<String>> {
    let mut breaches = undeclared(metadata);
    breaches.extend(banned(metadata, linked)?);
    Ok(breaches)
}

fn undeclared(metadata: &Metadata) -> Vec<String> {
    let mut breaches = Vec::new();
    let folders: HashMap<&str, &str> = metadata
        .members()
        .filter_map(|package| Some((package.name.as_str(), package.room()?)))
        .collect();
    for package in metadata.members() {
        let Some(folder) = package.room() else { continue };
        let Some(room) = ROOMS.iter().find(|room| room.folder == folder) else {
            breaches.push(format!("{folder}/ is in no row of the table of rooms: add it there"));
            continue;
        };
        let used: BTreeSet<&str> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some())
            .filter_map(|dependency| folders.get(dependency.name.as_str()).copied())
            .collect();
        for other in used.difference(&room.may_use.iter().copied().collect()) {
            breaches.push(format!(
                "{folder}/ depends on {other}/, and may use only: {}",
                if room.may_use.is_empty() { "nothing".into() } else { room.may_use.join(", ") }
            ));
        }
    }
    breaches
}

fn banned(
    metadata: &Metadata,
    linked: impl Fn(&str) -> Result<BTreeSet<String>>,
) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for package in metadata.members() {
        for ban in BANS.iter().filter(|ban| package.room() == Some(ban.room)) {
            let linked = linked(&package.name)?;
            for name in ban.crates.iter().filter(|name| linked.contains(**name)) {
                let Ban { room, because, .. } = ban;
                breaches.push(format!("{room}/ links {name}, and may not: {because}"));
            }
        }
    }
    Ok(breaches)
}

/// What cargo links into a package alone. `cargo metadata` would tell as well what another room's
/// features bring into a crate that both use.
pub(crate) fn linked(root: &Path, package: &str) -> Result<BTreeSet<String>> {
    let mut cargo = Command::new(tree::cargo_program());
    cargo.current_dir(root).args(["tree", "--edges", "normal", "--prefix", "none"]);
    let said = tree::output(cargo.args(["--package", package]))?;
    Ok(said.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_may_depend_on_anything_else() {
        let root = tree::root().unwrap();
        let metadata = Metadata::read(&root).unwrap();
        let found = breaches(&metadata, |package| linked(&root, package)).unwrap();
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_room_that_reaches_across_is_named() {
        let metadata: Metadata = serde_json::from_value(serde_json::json!({
            "workspace_members": ["e", "w"],
            "target_directory": "/t",
            "packages": [
                package("e", "hushmark-edge", "edge", &["hushmark-writer"]),
                package("w", "hushmark-writer", "writer", &[]),
                package("c", "clickhouse", "clickhouse", &[]),
            ],
        }))
        .unwrap();
        // The edge links what the writer links.
        let breaches =
            breaches(&metadata, |_| Ok(BTreeSet::from(["clickhouse".to_owned()]))).unwrap();
        assert!(breaches[0].starts_with("edge/ depends on writer/"), "{breaches:?}");
        assert!(breaches[1].starts_with("edge/ links clickhouse"), "{breaches:?}");
        assert_eq!(breaches.len(), 2, "{breaches:?}");
    }

    fn package(id: &str, name: &str, folder: &str, uses: &[&str]) -> serde_json::Value {
        let uses: Vec<_> =
            uses.iter().map(|name| serde_json::json!({"name": name, "path": "/t"})).collect();
        serde_json::json!({
            "id": id, "name": name, "manifest_path": format!("/t/{folder}/Cargo.toml"),
            "dependencies": uses, "targets": [],
        })
    }
}
