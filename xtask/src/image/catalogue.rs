//! The images there are, and what each holds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::rootfs::Files;
use crate::tree::program;

/// Who runs in every image: a user without a name elsewhere, as distroless images have it.
pub(super) const USER: u64 = 65_532;

/// Where the engine's library lies in the image that has it.
pub(super) const ENGINE: &str = "/usr/lib/hushmark/libchdb.so";

/// One image.
pub(super) struct Image {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// Our own program in it, named as cargo names it.
    pub(super) program: Option<&'static str>,
    /// What the container starts; a pod's `args` are appended.
    pub(super) entrypoint: &'static [&'static str],
    /// What is appended where nobody says otherwise.
    pub(super) arguments: &'static [&'static str],
    /// Ports that it listens on by default, for those who read images.
    pub(super) ports: &'static [u16],
    /// Folders that it writes to: volumes are mounted over them, since the rest is read-only.
    pub(super) writes: &'static [&'static str],
}

pub(super) const IMAGES: &[Image] = &[
    Image {
        name: "edge",
        description: "Hushmark's pixel and redirect server",
        program: Some("hushmark-edge"),
        entrypoint: &["/usr/bin/hushmark-edge"],
        arguments: &[],
        ports: &[8080, 9080],
        writes: &["/var/lib/hushmark"],
    },
    Image {
        name: "writer",
        description: "Moves Hushmark's hits into ClickHouse, each once",
        program: Some("hushmark-writer"),
        entrypoint: &["/usr/bin/hushmark-writer"],
        arguments: &[],
        ports: &[8402],
        writes: &["/var/lib/hushmark"],
    },
    Image {
        name: "operator",
        description: "Turns Hushmark's resources into a running region",
        program: Some("hushmark-operator"),
        entrypoint: &["/usr/bin/hushmark-operator"],
        arguments: &[],
        ports: &[9082],
        writes: &[],
    },
    Image {
        name: "clickhouse",
        description: "A ClickHouse engine in one process, for small regions and for tests",
        program: Some("hushmark-embedded"),
        entrypoint: &["/usr/bin/hushmark-embedded", "--lib", ENGINE],
        arguments: &["--data", "/var/lib/clickhouse", "--listen", "0.0.0.0:8123", "--allow-remote"],
        ports: &[8123],
        writes: &["/var/lib/clickhouse"],
    },
    Image {
        name: "redis",
        description: "Debian's redis-server with the libraries that it asks for",
        program: None,
        entrypoint: &["/usr/bin/redis-server"],
        arguments: &["--dir", "/var/lib/redis", "--appendonly", "yes", "--appendfsync", "always"],
        ports: &[6379],
        writes: &["/var/lib/redis"],
    },
];

/// What a real node of the tests needs beside them: its programs come out of the cache.
pub(super) const OF_A_NODE: &[Image] = &[
    Image {
        name: "pause",
        description: "Holds a pod's namespaces on a node of the tests",
        program: None,
        entrypoint: &["/usr/bin/pause"],
        arguments: &[],
        ports: &[],
        writes: &[],
    },
    Image {
        name: "coredns",
        description: "The names of a cluster of the tests",
        program: None,
        entrypoint: &["/usr/bin/coredns"],
        arguments: &[],
        ports: &[53],
        writes: &[],
    },
];

impl Image {
    /// What it starts, as a path in the image.
    pub(super) fn starts(&self) -> &'static str {
        self.entrypoint.first().copied().unwrap_or_default()
    }
}

/// Everything in an image of a node's, whose program is named after it.
pub(super) fn files_of_a_node(image: &Image, programs: &Path) -> Result<Files> {
    let mut files = base(image);
    files.program(image.starts(), &programs.join(image.name))?;
    Ok(files)
}

/// Everything in an image: its programs, their libraries, and what a process expects to find.
pub(super) fn files(image: &Image, binaries: &Path, engine: &Path) -> Result<Files> {
    let mut files = base(image);
    match image.program {
        Some(name) => files.program(image.starts(), &binaries.join(name))?,
        None => {
            // The client is there for probes, which have to log in.
            for name in ["redis-server", "redis-cli"] {
                files.program(&format!("/usr/bin/{name}"), &installed(name)?)?;
            }
        }
    }
    if image.entrypoint.contains(&ENGINE) {
        files.library(ENGINE, engine)?;
    }
    Ok(files)
}

/// What every process expects to find, and the folders that this one writes to.
fn base(image: &Image) -> Files {
    let mut files = Files::default();
    files.folder("/tmp", 0o1777, 0);
    files.text("/etc/passwd", &format!("nonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n"));
    files.text("/etc/group", &format!("nonroot:x:{USER}:\n"));
    // Without it the C library asks the network before it reads /etc/hosts.
    files.text("/etc/nsswitch.conf", "hosts: files dns\n");
    for folder in image.writes {
        files.folder(folder, 0o755, USER);
    }
    files
}

fn installed(name: &str) -> Result<PathBuf> {
    program(name).with_context(|| format!("there is no {name} here: run `cargo xtask setup`"))
}
