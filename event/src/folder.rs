//! A folder in which one process keeps its state.
//!
//! Edge and writer both keep a copy of the refusal log, and a head under the same name. In one
//! folder each would read the other's: the writer finds a head of entries that it does not have, and
//! stores nothing any more. So whoever keeps state in a folder holds it for as long as it lives.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Why a folder is not this process's.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made or opened.
    #[error("cannot use the folder {path}: {source}")]
    Unusable {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process lives in it.
    #[error(
        "the folder {0} is in use by another process: give each edge a --lane-log and each writer \
         a --state of its own, or stop the other one first"
    )]
    InUse(PathBuf),
}

/// Makes a folder and holds it until the returned handle is dropped. The kernel lets go of it when
/// the process dies, however it does.
///
/// # Errors
/// [`FolderError::InUse`] while another process holds it.
pub fn claim(path: &Path) -> Result<File, FolderError> {
    let unusable = |source| FolderError::Unusable { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(unusable)?;
    let folder = File::open(path).map_err(unusable)?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_processs_until_it_lets_go() {
        let path = std::env::temp_dir().join(format!("hushmark-claim-{}", std::process::id()));
        let held = claim(&path).unwrap();
        let refused = claim(&path).unwrap_err().to_string();
        assert!(refused.contains("in use by another process"), "{refused}");
        drop(held);
        assert!(claim(&path).is_ok());
        std::fs::remove_dir(&path).unwrap();
    }
}
