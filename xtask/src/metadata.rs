//! The part of `cargo metadata` that the checks read.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::tree;

#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) target_directory: PathBuf,
    pub(crate) resolve: Option<Resolve>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Set for the rooms of this workspace and for nothing else.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<NodeDep>,
}

#[derive(Deserialize)]
pub(crate) struct NodeDep {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
pub(crate) struct DepKind {
    /// None for what is linked, `dev` and `build` for the rest.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// The rooms alone.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        ask(root, &["--no-deps"])
    }

    /// Every package of the dependency graph that this platform uses.
    pub(crate) fn of_platform(root: &Path) -> Result<Self> {
        let said = tree::output(Command::new("rustc").arg("-vV"))?;
        let host = said.lines().find_map(|line| line.strip_prefix("host: "));
        ask(root, &["--filter-platform", host.context("rustc does not say what it runs on")?])
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

fn ask(root: &Path, arguments: &[&str]) -> Result<Metadata> {
    let mut cargo = Command::new(tree::cargo_program());
    cargo.current_dir(root).args(["metadata", "--format-version", "1"]).args(arguments);
    let text = tree::output(&mut cargo)?;
    serde_json::from_str(&text).context("cargo metadata printed something unexpected")
}

impl Package {
    /// The folder of a room, from the workspace's root.
    pub(crate) fn room(&self) -> Option<&str> {
        self.manifest_path.parent()?.file_name()?.to_str()
    }

    pub(crate) fn binaries(&self) -> impl Iterator<Item = &str> {
        let is_binary = |target: &&Target| target.kind.iter().any(|kind| kind == "bin");
        self.targets.iter().filter(is_binary).map(|target| target.name.as_str())
    }
}
