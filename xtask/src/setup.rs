//! `cargo xtask setup`: the programs, the engine and the control plane that everything else needs.
//!
//! `packages` installs Debian's packages, `engine` fetches the ClickHouse engine into the cache, and
//! the control plane is built there by [`crate::cluster`].

mod engine;
mod packages;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cluster;
use crate::tree::Tree;

pub(crate) use engine::package as engine_package;

/// What the set-up is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A stack on this machine.
    Stack,
    /// As well a Kubernetes control plane.
    Tests,
    /// A stack, and other people's servers to measure beside it.
    Peers,
}

/// Where everything is.
pub(crate) struct Ready {
    /// The engine's library.
    pub(crate) engine: PathBuf,
    /// The control plane's programs, where they are needed.
    cluster: Option<PathBuf>,
}

impl Ready {
    /// The folder of the control plane's programs.
    pub(crate) fn cluster(&self) -> Result<&Path> {
        self.cluster.as_deref().context("the set-up was asked for no control plane")
    }
}

/// Makes sure that everything needed is there.
pub(crate) fn run(tree: &Tree, need: Need) -> Result<Ready> {
    packages::ensure(need)?;
    let engine = engine::ensure(&tree.cache)?;
    let cluster = if need == Need::Tests { Some(cluster::ensure(tree)?) } else { None };
    Ok(Ready { engine, cluster })
}
