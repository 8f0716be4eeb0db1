//! The files of an image: what is asked for, and the shared libraries that it asks for in turn.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What lies at a path of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A folder, and who owns it.
    Folder { mode: u32, owner: u64 },
    /// A copy of a file of this machine.
    Copy { from: PathBuf, mode: u32 },
    /// A file with this text.
    Text(String),
}

/// The files of an image by path, in the order in which they are written.
#[derive(Default)]
pub(super) struct Files {
    /// What the operating system brings. In a layer of its own, so that images share it.
    pub(super) system: BTreeMap<String, Entry>,
    /// What is ours, or the program that the image is for.
    pub(super) own: BTreeMap<String, Entry>,
}

impl Files {
    pub(super) fn folder(&mut self, path: &str, mode: u32, owner: u64) {
        let layer = if owner == 0 { &mut self.system } else { &mut self.own };
        insert(layer, path, Entry::Folder { mode, owner });
    }

    pub(super) fn text(&mut self, path: &str, text: &str) {
        insert(&mut self.system, path, Entry::Text(text.to_owned()));
    }

    /// A program and its libraries.
    pub(super) fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        self.copy(path, from, 0o755)
    }

    /// A library that is loaded by its path, and its own libraries.
    pub(super) fn library(&mut self, path: &str, from: &Path) -> Result<()> {
        self.copy(path, from, 0o644)
    }

    fn copy(&mut self, path: &str, from: &Path, mode: u32) -> Result<()> {
        // Debian's redis-server is a link to another of its programs.
        let real = fs::canonicalize(from)
            .with_context(|| format!("{} is not there: build it first", from.display()))?;
        for library in libraries(&real)? {
            let from = fs::canonicalize(&library)
                .with_context(|| format!("the library {library} is not there"))?;
            // The loader is a program, and the others do not mind.
            insert(&mut self.system, &library, Entry::Copy { from, mode: 0o755 });
        }
        insert(&mut self.own, path, Entry::Copy { from: real, mode });
        Ok(())
    }
}

/// Puts an entry there, and the folders above it.
fn insert(layer: &mut BTreeMap<String, Entry>, path: &str, entry: Entry) {
    let mut above = String::new();
    let mut parts = path.trim_matches('/').split('/').peekable();
    while let Some(part) = parts.next() {
        above = format!("{above}/{part}");
        if parts.peek().is_some() {
            let folder = Entry::Folder { mode: 0o755, owner: 0 };
            layer.entry(above.clone()).or_insert(folder);
        }
    }
    layer.insert(above, entry);
}

/// The paths of the shared libraries of a program, its loader included.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let output =
        Command::new("ldd").arg(program).output().context("cannot start ldd (libc-bin)")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    if complained.contains("not a dynamic executable") || said.contains("statically linked") {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        bail!("ldd {} ended with {}: {}", program.display(), output.status, complained.trim());
    }
    parse(&said).with_context(|| format!("the libraries of {}", program.display()))
}

fn parse(said: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for line in said.lines().map(str::trim) {
        // `name => path (address)`, for the loader `path (address)`, for the kernel's no path.
        let (name, path) = line.split_once(" => ").unwrap_or((line, line));
        if path.starts_with("not found") {
            bail!("{name} is not installed here");
        }
        let path = path.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            paths.push(path.to_owned());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_a_library_and_what_the_kernel_brings_is_none() {
        let said = "\tlinux-vdso.so.1 (0x00007fa701de1000)\n\
                    \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007fa701720000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007fa701de3000)\n";
        let found = parse(said).unwrap();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        let missing = parse("\tlibfoo.so.1 => not found\n").unwrap_err();
        assert_eq!(missing.to_string(), "libfoo.so.1 is not installed here");
    }

    #[test]
    fn folders_stand_before_what_they_hold_and_keep_what_was_said_of_them() {
        let mut files = Files::default();
        files.folder("/var/lib/redis", 0o755, 65_532);
        files.folder("/var/lib", 0o755, 65_532);
        let paths: Vec<&str> = files.own.keys().map(String::as_str).collect();
        assert_eq!(paths, ["/var", "/var/lib", "/var/lib/redis"]);
        assert_eq!(files.own["/var/lib"], Entry::Folder { mode: 0o755, owner: 65_532 });
    }
}
