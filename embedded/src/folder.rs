//! The data folder: one process at a time, and the engine's configuration in it.
//!
//! ```text
//! DATA/lock         held while the process lives; its pid
//! DATA/config.xml   written at every start
//! DATA/users.xml    as above
//! DATA/engine/      the engine's own files
//! ```
#![forbid(unsafe_code)]

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// Why the folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error(
        "the data folder {folder} is in use by process {holder}: stop that one first, or give \
         another folder with --data"
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The pid written in its lock file.
        holder: String,
    },
    /// It cannot be read or written.
    #[error("the data folder {path} cannot be used: {source}")]
    Io {
        /// The file or folder that failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder, locked until this is dropped or the process dies.
pub struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing and takes its lock.
    pub fn lock(root: &Path) -> Result<Self, FolderError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Io { path, source }
        };
        fs::create_dir_all(root).map_err(io(root))?;
        let root = root.canonicalize().map_err(io(root))?;
        let path = root.join("lock");
        let mut lock = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(io(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).map_err(io(&path))?;
                let holder = holder.trim().to_owned();
                return Err(FolderError::InUse { folder: root, holder });
            }
            Err(errno) => return Err(io(&path)(errno.into())),
        }
        lock.set_len(0).map_err(io(&path))?;
        lock.rewind().map_err(io(&path))?;
        writeln!(lock, "{}", std::process::id()).map_err(io(&path))?;
        Ok(Self { root, _lock: lock })
    }

    /// Writes the engine's configuration and returns the arguments that boot it here.
    pub fn configure(&self, memory_bytes: u64) -> Result<Vec<String>, FolderError> {
        let (config, users) = (self.root.join("config.xml"), self.root.join("users.xml"));
        let engine = self.root.join("engine");
        let put = |path: &PathBuf, text: String| {
            fs::write(path, text).map_err(|source| FolderError::Io { path: path.clone(), source })
        };
        put(&config, config_xml(&users, memory_bytes))?;
        put(&users, USERS_XML.to_owned())?;
        Ok(vec![
            "hushmark-embedded".to_owned(),
            format!("--path={}", engine.display()),
            // Given explicitly: the engine would otherwise read a config.xml that happens to lie
            // in the current folder or the home folder.
            format!("--config-file={}", config.display()),
            // clickhouse-local's habit of taking `foo` for `SELECT foo`; a server has it off.
            "--implicit_select=0".to_owned(),
            // An hour: nothing waits for ever on a statement that does not end.
            "--max_execution_time=3600".to_owned(),
        ])
    }
}

fn config_xml(users: &Path, memory_bytes: u64) -> String {
    let users = users.display().to_string().replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<clickhouse>\n\
         <users_config>{users}</users_config>\n\
         <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>\n\
         {CONFIG_XML}\
         </clickhouse>\n"
    )
}

/// A server's defaults are for a machine of its own: 5 GiB of mark cache, 128 threads to delete
/// old parts, 1,000 idle ones kept.
const CONFIG_XML: &str = "<mark_cache_size>268435456</mark_cache_size>\n\
    <max_thread_pool_free_size>16</max_thread_pool_free_size>\n\
    <max_parts_cleaning_thread_pool_size>2</max_parts_cleaning_thread_pool_size>\n\
    <max_active_parts_loading_thread_pool_size>4</max_active_parts_loading_thread_pool_size>\n\
    <max_outdated_parts_loading_thread_pool_size>2</max_outdated_parts_loading_thread_pool_size>\n";

/// The one user may do everything inside the engine and reach nothing outside it: the engine
/// otherwise reads any file and any address that a statement names.
const USERS_XML: &str = "<clickhouse>\n\
    <profiles><default/></profiles>\n\
    <quotas><default/></quotas>\n\
    <users><default>\n\
    <password/><networks><ip>::/0</ip></networks>\n\
    <profile>default</profile><quota>default</quota>\n\
    <grants>\n\
    <query>GRANT ALL ON *.*</query>\n\
    <query>REVOKE SOURCES ON *.*</query>\n\
    </grants>\n\
    </default></users>\n\
    </clickhouse>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let first = Folder::lock(root.path()).unwrap();
        let refusal = Folder::lock(root.path()).err().unwrap().to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        drop(first);
        Folder::lock(root.path()).unwrap();
    }
}
