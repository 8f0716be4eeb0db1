//! An image unpacked again: nothing is missing that its programs load, and they start.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::catalogue::{ENGINE, Image, USER};
use super::layout::Layout;
use crate::tree::{self, program};

/// Unpacks the layers into a folder that is made and removed, and runs what the image starts.
pub(super) fn check(image: &Image, layout: &Layout, root: &Path) -> Result<()> {
    if root.is_dir() {
        fs::remove_dir_all(root)?;
    }
    fs::create_dir_all(root)?;
    for layer in layout.layers() {
        let file = File::open(layer)?;
        tar::Archive::new(file)
            .unpack(root)
            .with_context(|| format!("unpacking {}", layer.display()))?;
    }
    let said = tree::output(within(root)?.args([image.starts(), "--version"]))?;
    ensure!(!said.trim().is_empty(), "{} --version says nothing", image.starts());
    let mut loads = vec![image.starts()];
    loads.extend(image.entrypoint.contains(&ENGINE).then_some(ENGINE));
    if let Some(loader) = loader(root)? {
        for file in loads {
            let said = tree::output(within(root)?.arg(&loader).args(["--list", file]))?;
            ensure!(!said.contains("not found"), "{file} misses a library:\n{said}");
        }
    }
    fs::remove_dir_all(root)?;
    Ok(())
}

/// `chroot` as the image's user: root may, and everyone may where user namespaces are open.
fn within(root: &Path) -> Result<Command> {
    let is_root = tree::output(Command::new("id").arg("-u"))?.trim() == "0";
    // By their paths: the environment is emptied, and the search path with it.
    let named = if is_root { "chroot" } else { "unshare" };
    let mut command = Command::new(program(named).with_context(|| format!("no {named} here"))?);
    if is_root {
        command.arg(format!("--userspec={USER}:{USER}"));
    } else {
        let mut probe = Command::new("unshare");
        if tree::output(probe.args(["--map-root-user", "true"])).is_err() {
            bail!("an image is tried in a chroot: only root may, or whoever may `unshare -r`");
        }
        let chroot = program("chroot").context("no chroot here")?;
        command.arg("--map-root-user").arg(chroot);
    }
    command.arg(root).env_clear();
    Ok(command)
}

/// The loader's path in the image; a static program has none.
fn loader(root: &Path) -> Result<Option<PathBuf>> {
    for folder in ["lib64", "lib"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with("ld-linux") {
                return Ok(Some(Path::new("/").join(folder).join(name)));
            }
        }
    }
    Ok(None)
}
