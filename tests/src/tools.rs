//! What is put to the test: our binaries and the engine library, found once and named clearly.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The edge's program.
const EDGE: &str = "hushmark-edge";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Tools {
    bin_dir: PathBuf,
    /// The edge, by its name in that folder.
    edge: &'static str,
    engine_lib: PathBuf,
    /// The folder of a control plane's programs, for those who need one.
    cluster: Option<PathBuf>,
    /// The folder of the images that a real node runs.
    images: Option<PathBuf>,
}

impl Tools {
    /// Programs of one folder, and an engine library. Each program is looked for when it is used.
    #[must_use]
    pub const fn new(bin_dir: PathBuf, engine_lib: PathBuf) -> Self {
        Self { bin_dir, edge: EDGE, engine_lib, cluster: None, images: None }
    }

    /// The same with another edge, by its path in the folder of the programs.
    #[must_use]
    pub const fn with_edge(mut self, path: &'static str) -> Self {
        self.edge = path;
        self
    }

    /// The same with a control plane's programs, as `cargo xtask cluster build` puts them into a
    /// folder.
    #[must_use]
    pub fn with_cluster(mut self, folder: Option<PathBuf>) -> Self {
        self.cluster = folder;
        self
    }

    /// The same with the images of a real node, as `cargo xtask image` writes them.
    #[must_use]
    pub fn with_images(mut self, folder: Option<PathBuf>) -> Self {
        self.images = folder;
        self
    }

    /// From `HUSHMARK_BIN_DIR` (else the folder that this program was built into),
    /// `HUSHMARK_ENGINE_LIB` and, where a control plane is needed, `HUSHMARK_CLUSTER_DIR`, and for a
    /// real node `HUSHMARK_IMAGES_DIR`.
    /// `cargo xtask test` sets all of them.
    ///
    /// # Errors
    /// Says which variable is missing and how to set it.
    pub fn from_env() -> Result<Self> {
        let bin_dir = match env::var_os("HUSHMARK_BIN_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => own_folder()?,
        };
        let engine_lib = env::var_os("HUSHMARK_ENGINE_LIB").map(PathBuf::from).context(
            "HUSHMARK_ENGINE_LIB is not set: run `cargo xtask test`, which fetches the engine, \
             or set it to the path of libchdb.so",
        )?;
        let cluster = env::var_os("HUSHMARK_CLUSTER_DIR").map(PathBuf::from);
        let images = env::var_os("HUSHMARK_IMAGES_DIR").map(PathBuf::from);
        Ok(Self { bin_dir, edge: EDGE, engine_lib, cluster, images })
    }

    /// One of our own programs.
    ///
    /// # Errors
    /// When it was not built into the folder.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.bin_dir.join(if name == EDGE { self.edge } else { name });
        if !path.is_file() && name == EDGE && self.edge != EDGE {
            bail!("{} is not there: put an edge of an older commit there", path.display());
        }
        if !path.is_file() {
            bail!(
                "{} is not there: build it with `cargo build --release -p {name}`, or set \
                 HUSHMARK_BIN_DIR to the folder that has it",
                path.display()
            );
        }
        Ok(path)
    }

    /// The engine library.
    ///
    /// # Errors
    /// When the path names no file.
    pub fn engine_lib(&self) -> Result<&Path> {
        if !self.engine_lib.is_file() {
            bail!(
                "the engine library {} is not there: run `cargo xtask setup` or set \
                 HUSHMARK_ENGINE_LIB",
                self.engine_lib.display()
            );
        }
        Ok(&self.engine_lib)
    }
}

/// What `cargo xtask cluster build` puts into the cache.
impl Tools {
    /// A program of the control plane: `kube-apiserver`, `kubectl`, `helm` and the like.
    ///
    /// # Errors
    /// When it was not built, with the command that builds it.
    pub fn cluster_program(&self, name: &str) -> Result<PathBuf> {
        self.cluster_file(&format!("bin/{name}"))
    }

    /// Another file or folder beside the programs.
    ///
    /// # Errors
    /// As [`Self::cluster_program`].
    pub fn cluster_file(&self, name: &str) -> Result<PathBuf> {
        const REMEDY: &str = "`cargo xtask test` builds it and says where it is; by hand, \
                              `cargo xtask cluster build` builds it and prints the variable to set";
        let Some(folder) = &self.cluster else {
            bail!("HUSHMARK_CLUSTER_DIR is not set, and {name} is needed: {REMEDY}");
        };
        let path = folder.join(name);
        if !path.exists() {
            bail!("{} is not there: {REMEDY}", path.display());
        }
        Ok(path)
    }

    /// The folder of the images that a real node runs, each an OCI layout.
    ///
    /// # Errors
    /// When they were not written, with the command that writes them.
    pub fn images(&self) -> Result<&Path> {
        const REMEDY: &str = "`cargo xtask test` writes them and says where they are; by hand, \
                              `cargo xtask cluster images` writes them and prints the variable to \
                              set";
        let Some(folder) = &self.images else {
            bail!("HUSHMARK_IMAGES_DIR is not set, and a real node runs images: {REMEDY}");
        };
        if !folder.join("pause/index.json").is_file() {
            bail!("{} holds no images for a real node: {REMEDY}", folder.display());
        }
        Ok(folder)
    }
}

/// A test lies in `target/PROFILE/deps`, a program in `target/PROFILE`.
fn own_folder() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program lies")?;
    let folder = own.parent().context("this program lies in no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    Ok(folder.context("this program's folder has no parent")?.to_owned())
}
