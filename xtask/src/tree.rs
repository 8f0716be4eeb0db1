//! Where things are, and how a program is started there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata::Metadata;
use crate::setup::Ready;

/// This clone, the folder for its build output, and the cache that outlives it.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Tree {
    pub(crate) fn find() -> Result<Self> {
        let root = root()?;
        let target = Metadata::read(&root)?.target_directory;
        Ok(Self { root, target, cache: cache()? })
    }

    /// The folder of the release binaries that end-to-end tests and proofs start.
    pub(crate) fn binaries(&self) -> PathBuf {
        self.target.join("release")
    }

    /// The folder of the images that a real node runs.
    pub(crate) fn images(&self) -> PathBuf {
        self.target.join("images")
    }

    /// A cargo that runs in this tree.
    pub(crate) fn cargo(&self, ready: Option<&Ready>) -> Command {
        let mut cargo = Command::new(cargo_program());
        cargo.current_dir(&self.root);
        // `cargo xtask` describes xtask in these; a nested cargo would hand them to build scripts,
        // and those that watch them would be built again at every change of caller.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name);
            }
        }
        cargo.env("HUSHMARK_BIN_DIR", self.binaries());
        cargo.env("HUSHMARK_IMAGES_DIR", self.images());
        if let Some(ready) = ready {
            cargo.env("HUSHMARK_ENGINE_LIB", &ready.engine);
            if let Ok(folder) = ready.cluster() {
                cargo.env("HUSHMARK_CLUSTER_DIR", folder);
            }
        }
        cargo
    }
}

/// The workspace's folder: cargo tells where xtask's manifest is, and it stays right when the same
/// build output serves several clones.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set: start this as `cargo xtask`")?;
    let root = Path::new(&manifest).parent().context("xtask's manifest has no parent folder")?;
    Ok(root.to_path_buf())
}

/// `$HUSHMARK_CACHE`, else `$XDG_CACHE_HOME/hushmark`, else `~/.cache/hushmark`.
fn cache() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("HUSHMARK_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("hushmark")))
        .or_else(|| Some(set("HOME")?.join(".cache/hushmark")))
        .context("no folder for the cache: set HUSHMARK_CACHE")?;
    if folder.is_relative() {
        bail!("the cache folder {} is not absolute: set HUSHMARK_CACHE", folder.display());
    }
    Ok(folder)
}

pub(crate) fn cargo_program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Whether a program of that name can be started. Debian keeps nginx in a folder that is not on
/// everyone's PATH.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Runs a command to its end and returns what it printed; an error carries its last words.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = words.lines().rev().take(12).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!("{shown} failed ({}):\n{}", output.status, last.join("\n"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
