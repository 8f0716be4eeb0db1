//! The day ring: for every day that is not closed, two random keys. `WIRE.md`, "Keys".
//!
//! *Batch* keys seal what rests in Redis, lane logs and `dead`; the edge and the writer hold them.
//! *Salt* keys make the sketches' hashes; the writer alone holds them. A day closes by destroying
//! both, and with them everything that was still sealed or could be linked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hushmark_policy::Day;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::objection::ObjectionKey;

/// H: so many days after its end a day is closed, whatever is still sealed.
pub const HOLD_DAYS: u16 = 7;

/// Bytes of every key in the ring.
pub const KEY_LEN: usize = 32;

/// One day's key. It has neither `Debug` nor `Display`, and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DayKey([u8; KEY_LEN]);

impl DayKey {
    /// Wraps random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, for key derivation.
    #[must_use]
    pub const fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// The keys of one kind, by day.
#[derive(Clone, Default)]
pub struct Ring {
    keys: BTreeMap<Day, Kept>,
}

/// A key, and what was derived from it so far.
#[derive(Clone)]
struct Kept {
    key: DayKey,
    objections: OnceLock<ObjectionKey>,
}

impl From<DayKey> for Kept {
    fn from(key: DayKey) -> Self {
        Self { key, objections: OnceLock::new() }
    }
}

/// A key folder that cannot be used. Nothing is started, and a reload keeps the keys it has.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The folder or a file cannot be read.
    #[error("cannot read {path}: {source}; day keys are files named like 2026-11-21")]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file's name is no day.
    #[error("{0} is not named like 2026-11-21: move it out of the key folder")]
    NotADay(PathBuf),
    /// A key has the wrong length.
    #[error("{path} holds {found} bytes, a day key has {KEY_LEN}: restore it from the Secret")]
    Length {
        /// Which file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// The folder holds no key at all.
    #[error("{0} holds no day key: the operator or `hushmark up` writes them")]
    Empty(PathBuf),
}

impl Ring {
    /// Reads every key of a folder: one file a day, named by it, 32 bytes each. Names that begin
    /// with a dot are passed over, because a mounted Secret has its own.
    ///
    /// # Errors
    /// [`RingError`] names the first file that cannot be used.
    pub fn load(folder: &Path) -> Result<Self, RingError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| RingError::Unreadable { path, source }
        };
        let mut ring = Self::default();
        for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let day = Day::parse(&name).ok_or_else(|| RingError::NotADay(path.clone()))?;
            let mut bytes = std::fs::read(&path).map_err(unreadable(&path))?;
            let found = bytes.len();
            let key = bytes.as_slice().try_into().map(DayKey::new);
            bytes.zeroize();
            let key = key.map_err(|_| RingError::Length { path, found })?;
            ring.keys.insert(day, key.into());
        }
        if ring.keys.is_empty() {
            return Err(RingError::Empty(folder.to_owned()));
        }
        Ok(ring)
    }

    /// Adds or replaces a day's key.
    pub fn insert(&mut self, day: Day, key: DayKey) {
        self.keys.insert(day, key.into());
    }

    /// The key of a day that is not closed.
    #[must_use]
    pub fn get(&self, day: Day) -> Option<&DayKey> {
        self.keys.get(&day).map(|kept| &kept.key)
    }

    /// What the marks of tokens with that last day are hashed with in the refusal log. Derived when
    /// it is first asked for: most days never need it.
    pub(crate) fn objection_key(&self, day: Day) -> Option<&ObjectionKey> {
        let Kept { key, objections } = self.keys.get(&day)?;
        Some(objections.get_or_init(|| ObjectionKey::derive(key)))
    }

    /// The days that have a key, first to last.
    pub fn days(&self) -> impl DoubleEndedIterator<Item = Day> + '_ {
        self.keys.keys().copied()
    }
}
