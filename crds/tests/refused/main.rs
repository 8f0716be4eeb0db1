//! Bad input gets a clear answer: every message that a platform engineer can meet, as goldens
//! under `snapshots/`. `INSTA_UPDATE=always cargo test -p hushmark-crds` writes them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is its purpose")]

mod fields;
mod fixture;
mod folder;
mod rules;
mod yaml;
