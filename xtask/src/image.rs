//! `cargo xtask image`: an OCI image layout of every program, from the release binaries, without
//! docker and without a network.
//!
//! `catalogue` says what goes into which image, `rootfs` collects the files with the libraries that
//! they ask for, `layout` writes them as layers, manifest and index, `sbom` says beside each what
//! it is made of, and `start` unpacks it again and sees that it runs. The same binaries give the
//! same digest: no time, no order and no owner of the machine that builds gets in.

mod catalogue;
mod debian;
mod layout;
mod rootfs;
mod sbom;
mod start;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::check as build;
use crate::setup::{self, Need, Ready};
use crate::tree::Tree;
use catalogue::{IMAGES, Image, OF_A_NODE};

#[derive(Args)]
pub(crate) struct Options {
    /// The folder for the layouts; target/images by default
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Builds the release binaries and writes their images.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<bool> {
    let engine = setup::run(tree, Need::Stack)?.engine;
    let programs: Vec<&str> = IMAGES.iter().filter_map(|image| image.program).collect();
    build::build_binaries(tree, &programs)?;
    let out = options.out.clone().unwrap_or_else(|| tree.images());
    for image in IMAGES {
        let digest = write(tree, &engine, image, &out)?;
        println!("{} {digest}", out.join(image.name).display());
    }
    Ok(true)
}

/// Builds the release binaries and writes every image that a real node runs.
pub(crate) fn build_for_a_node(tree: &Tree, ready: &Ready) -> Result<()> {
    build::build_binaries(tree, &[build::SERVERS, &["hushmark-operator"]].concat())?;
    for_a_node(tree, ready)
}

/// Writes into the tree's folder of images every image that a real node runs, from the release
/// binaries as they are.
fn for_a_node(tree: &Tree, ready: &Ready) -> Result<()> {
    for image in IMAGES {
        write(tree, &ready.engine, image, &tree.images())?;
    }
    beside_on_a_node(tree, ready)
}

/// Writes those alone that are no product of this tree.
pub(crate) fn beside_on_a_node(tree: &Tree, ready: &Ready) -> Result<()> {
    let programs = ready.cluster()?.join("bin");
    for image in OF_A_NODE {
        let folder = emptied(&tree.images(), image)?;
        let files = catalogue::files_of_a_node(image, &programs)?;
        layout::write(image, &files, &folder)
            .with_context(|| format!("writing {}", folder.display()))?;
    }
    Ok(())
}

/// Writes every image twice: both have the same digest, every digest is that of its bytes, and
/// every program starts from what was written. The first stays, for a node that runs it.
pub(crate) fn check(tree: &Tree, engine: &Path) -> Result<()> {
    let scratch = tree.target.join("images-checked");
    if scratch.is_dir() {
        fs::remove_dir_all(&scratch)?;
    }
    for image in IMAGES {
        let first = write(tree, engine, image, &tree.images())?;
        let second = write(tree, engine, image, &scratch)?;
        if first != second {
            bail!("{}: written twice, the digests are {first} and {second}", image.name);
        }
        let folder = tree.images().join(image.name);
        let layout = layout::read(&folder).with_context(|| format!("{}'s layout", image.name))?;
        start::check(image, &layout, &scratch.join("root"))
            .with_context(|| format!("{}, unpacked", image.name))?;
        println!("   {:<10} {:>5} MB  {first}", image.name, layout.bytes() / 1_000_000);
    }
    fs::remove_dir_all(&scratch)?;
    Ok(())
}

/// Writes one image and its SBOM; returns the manifest's digest.
fn write(tree: &Tree, engine: &Path, image: &Image, out: &Path) -> Result<String> {
    let folder = emptied(out, image)?;
    let files = catalogue::files(image, &tree.binaries(), engine)
        .with_context(|| format!("collecting what the image {} holds", image.name))?;
    let digest = layout::write(image, &files, &folder)
        .with_context(|| format!("writing {}", folder.display()))?;
    let bom = sbom::render(tree, image, &files, &digest)
        .with_context(|| format!("the SBOM of the image {}", image.name))?;
    fs::write(out.join(format!("{}.cdx.json", image.name)), bom)?;
    Ok(digest)
}

/// Where an image goes; what lies there is an older one.
fn emptied(out: &Path, image: &Image) -> Result<PathBuf> {
    let folder = out.join(image.name);
    if folder.is_dir() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Debian's redis-server is there without a build of ours.
    fn redis() -> (&'static Image, rootfs::Files) {
        let image = IMAGES.iter().find(|image| image.name == "redis").unwrap();
        let nowhere = Path::new("/nowhere");
        (image, catalogue::files(image, nowhere, nowhere).unwrap())
    }

    #[test]
    fn the_same_files_give_the_same_digest_and_another_byte_is_found() {
        let (image, files) = redis();
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        let digest = layout::write(image, &files, &first).unwrap();
        assert_eq!(digest, layout::write(image, &files, &second).unwrap());

        let read = layout::read(&first).unwrap();
        let layer = read.layers().last().unwrap();
        let mut bytes = fs::read(layer).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(layer, bytes).unwrap();
        let error = format!("{:#}", layout::read(&first).err().unwrap());
        assert!(error.contains("has other bytes"), "{error}");
    }

    #[test]
    fn nothing_of_the_machine_that_builds_gets_into_a_layer() {
        let (image, files) = redis();
        let folder = tempfile::tempdir().unwrap();
        layout::write(image, &files, folder.path()).unwrap();
        let mut seen = Vec::new();
        for layer in layout::read(folder.path()).unwrap().layers() {
            let mut archive = tar::Archive::new(fs::File::open(layer).unwrap());
            let mut before = String::new();
            for entry in archive.entries().unwrap() {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                let path = path.trim_end_matches('/').to_owned();
                assert!(before < path, "{path} stands after {before}");
                assert_eq!(header.mtime().unwrap(), 0, "{path}");
                let owner = header.uid().unwrap();
                let writes = image.writes.iter().any(|folder| folder[1..] == path);
                assert_eq!(owner, if writes { catalogue::USER } else { 0 }, "{path}");
                before.clone_from(&path);
                seen.push(path);
            }
        }
        let wanted = ["usr/bin/redis-server", "usr/bin/redis-cli", "etc/passwd", "tmp"];
        assert!(wanted.iter().all(|path| seen.iter().any(|seen| seen == path)), "{seen:?}");
    }
}
