//! `cargo xtask cluster`: a real Kubernetes control plane, from Go modules alone.
//!
//! `modules` says what is built from which module, `build` builds it once into the cache, `schemas`
//! writes what kubeconform checks manifests against, and `person` starts the same control plane
//! that the tests start, for someone who wants to look at it.

mod build;
mod modules;
mod person;
mod schemas;

use anyhow::Result;
use clap::Subcommand;

use crate::tree::Tree;

pub(crate) use build::ensure;

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Build etcd, Kubernetes, kwok, helm and kubeconform into the cache, once
    Build,
    /// Start a control plane with nodes that kwok plays, and print its kubeconfig's path
    Up(person::Options),
    /// Stop it, and remove all that was in it
    Down,
}

pub(crate) fn run(tree: &Tree, task: &Task) -> Result<bool> {
    match task {
        Task::Build => {
            let folder = ensure(tree)?;
            println!("HUSHMARK_CLUSTER_DIR={}", folder.display());
        }
        Task::Up(options) => person::up(tree, options)?,
        Task::Down => person::down(tree)?,
    }
    Ok(true)
}
