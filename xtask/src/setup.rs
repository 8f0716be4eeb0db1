//! `cargo xtask setup`: the programs, the engine and the control plane that everything else needs.
//!
//! `packages` installs Debian's packages, `engine` fetches the ClickHouse engine into the cache, the
//! control plane is built there by [`crate::cluster`], and `node` sees whether this machine can hold
//! a real node.

mod engine;
mod node;
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
    /// As well a real node.
    Node,
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
    if need == Need::Node {
        node::may_hold_one()?;
    }
    packages::ensure(need)?;
    if need == Need::Node {
        node::kernel_suffices()?;
    }
    let engine = engine::ensure(&tree.cache)?;
    let cluster = match need {
        Need::Tests | Need::Node => Some(cluster::ensure(tree)?),
        Need::Stack | Need::Peers => None,
    };
    Ok(Ready { engine, cluster })
}
