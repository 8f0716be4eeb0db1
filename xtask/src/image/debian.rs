//! Which Debian package a file of this machine comes from.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tree::{self, program};

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
}

impl Package {
    /// Its package URL (purl-spec, type `deb`).
    pub(super) fn purl(&self) -> String {
        let version = self.version.replace('+', "%2B").replace('~', "%7E").replace(':', "%3A");
        format!("pkg:deb/debian/{}@{version}?arch={}", self.name, self.architecture)
    }
}

/// The packages that brought these files, and the files that none brought.
pub(super) fn owners<'a>(
    files: impl Iterator<Item = (&'a str, &'a Path)>,
) -> Result<(BTreeSet<Package>, Vec<String>)> {
    let mut packages = BTreeSet::new();
    let mut unowned = Vec::new();
    for (path, from) in files {
        match owner(path, from)? {
            Some(package) => {
                packages.insert(package);
            }
            None => unowned.push(path.to_owned()),
        }
    }
    Ok((packages, unowned))
}

/// dpkg knows a file by the path that its package gave it, which a merged `/usr` may have moved.
fn owner(path: &str, from: &Path) -> Result<Option<Package>> {
    if program("dpkg-query").is_none() {
        return Ok(None);
    }
    let real = from.to_string_lossy();
    let names = [path, &real, real.strip_prefix("/usr").unwrap_or(&real)];
    for name in names {
        let found = Command::new("dpkg-query").args(["--search", name]).output()?;
        if found.status.success() {
            let said = String::from_utf8_lossy(&found.stdout).into_owned();
            let line = said.lines().find(|line| !line.starts_with("diversion ")).unwrap_or("");
            // `libc6:amd64: /lib/…`
            let Some((package, _)) = line.rsplit_once(": ") else { continue };
            return describe(package).map(Some);
        }
    }
    Ok(None)
}

fn describe(package: &str) -> Result<Package> {
    let mut command = Command::new("dpkg-query");
    command.args(["--show", "--showformat", "${Package}\\t${Version}\\t${Architecture}", package]);
    let said = tree::output(&mut command)?;
    let mut words = said.split('\t').map(str::to_owned);
    let mut word = || words.next().context("dpkg-query printed something unexpected");
    Ok(Package { name: word()?, version: word()?, architecture: word()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_escaped_as_package_urls_ask() {
        let package = Package {
            name: "redis-server".into(),
            version: "5:7.0.15-1~deb12u6".into(),
            architecture: "amd64".into(),
        };
        let purl = "pkg:deb/debian/redis-server@5%3A7.0.15-1%7Edeb12u6?arch=amd64";
        assert_eq!(package.purl(), purl);
    }
}
