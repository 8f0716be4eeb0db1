//! `cargo xtask setup`: the programs and the engine that everything else needs.
//!
//! `packages` installs Debian's packages, `engine` fetches the ClickHouse engine into the cache.

mod engine;
mod packages;

use std::path::PathBuf;

use anyhow::Result;

use crate::tree::Tree;

/// What the set-up is for: proofs also measure other people's servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Tests,
    Peers,
}

/// Makes sure that everything needed is there, and returns where the engine's library is.
pub(crate) fn run(tree: &Tree, need: Need) -> Result<PathBuf> {
    packages::ensure(need)?;
    engine::ensure(&tree.cache)
}
