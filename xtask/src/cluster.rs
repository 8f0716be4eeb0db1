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

use crate::image;
use crate::setup::{self, Need};
use crate::tree::Tree;

pub(crate) use build::ensure;

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Build etcd, Kubernetes, coredns, kwok, helm and kubeconform into the cache, once
    Build,
    /// Build our programs and write the images that a real node runs
    Images,
    /// Start a control plane with nodes that kwok plays, or with one real node, and print its
    /// kubeconfig's path
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
        Task::Images => {
            let ready = setup::run(tree, Need::Node)?;
            image::build_for_a_node(tree, &ready)?;
            println!("HUSHMARK_IMAGES_DIR={}", tree.images().display());
        }
        Task::Up(options) => person::up(tree, options)?,
        Task::Down => person::down(tree)?,
    }
    Ok(true)
}
