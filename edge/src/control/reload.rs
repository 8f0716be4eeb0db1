//! Keys, ring and places change without a restart: on SIGHUP, and when the files change.
//!
//! What cannot be used changes nothing: the edge keeps what it has and says so.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hushmark_event::Ring;
use hushmark_token::RegionKeys;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::Control;
use crate::door::tls::{Certificate, TlsFiles};
use crate::place::CountryDb;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Which files.
pub(crate) struct Files {
    pub(crate) keys: PathBuf,
    pub(crate) ring: PathBuf,
    pub(crate) countries: Option<PathBuf>,
    pub(crate) certificate: Option<(Arc<Certificate>, TlsFiles)>,
}

/// What tells that a file or folder changed: names, sizes, times and inodes of all in it.
type Print = Vec<(PathBuf, u64, u64, i64, i64)>;

fn print(path: &Path) -> Print {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let data = std::fs::metadata(&path).ok()?;
            Some((path, data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
        })
        .collect()
}

/// Follows the files for as long as the edge lives. `asked` is SIGHUP.
pub(crate) async fn follow(control: Arc<Control>, files: Files, asked: Arc<Notify>) {
    let mut keys = print(&files.keys);
    let mut ring = print(&files.ring);
    let mut countries = files.countries.as_deref().map(print);
    let both = |files: &TlsFiles| [print(&files.certificate), print(&files.key)].concat();
    let mut pair = files.certificate.as_ref().map(|(_, files)| both(files));
    loop {
        let forced = tokio::select! {
            () = asked.notified() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        if changed(&mut keys, print(&files.keys)) || forced {
            let loaded = RegionKeys::load(&files.keys);
            take(&control, "region keys", loaded, |known, keys| known.keys = keys);
        }
        if changed(&mut ring, print(&files.ring)) || forced {
            let loaded = Ring::load(&files.ring);
            take(&control, "batch ring", loaded, |known, ring| known.ring = ring);
        }
        if let (Some((shown, files)), Some(seen)) = (&files.certificate, &mut pair)
            && (changed(seen, both(files)) || forced)
        {
            told(&control, "certificate", shown.reload(files));
        }
        if let (Some(path), Some(seen)) = (&files.countries, &mut countries)
            && (changed(seen, print(path)) || forced)
        {
            // Some tenths of a second of work.
            let path = path.clone();
            if let Ok(loaded) = spawn_blocking(move || CountryDb::open(&path)).await {
                take(&control, "country database", loaded, |known, db| known.countries = Some(db));
            }
        }
    }
}

fn changed(seen: &mut Print, now: Print) -> bool {
    let changed = *seen != now;
    *seen = now;
    changed
}

fn take<T, E: std::error::Error>(
    control: &Control,
    what: &'static str,
    loaded: Result<T, E>,
    put: impl FnOnce(&mut crate::known::Known, Arc<T>),
) {
    let put = |new| control.shared.change(|known| put(known, Arc::new(new)));
    told(control, what, loaded.map(put));
}

fn told<E: std::error::Error>(control: &Control, what: &'static str, taken: Result<(), E>) {
    match taken {
        Ok(()) => {
            control.counts.reloads.one();
            tracing::info!(what, "reloaded");
        }
        Err(error) => {
            control.counts.reload_failures.one();
            tracing::error!(what, %error, "not reloaded: the edge keeps what it has");
        }
    }
}
