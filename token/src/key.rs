//! Region keys, and the keys of one campaign that are derived from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::KeyInit;
use hkdf::Hkdf;
use hushmark_policy::CampaignId;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The number of a region key. It stands in every token, so that nobody ever tries keys in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(pub u16);

impl std::fmt::Display for Kid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Bytes of a region key.
pub const KEY_LEN: usize = 32;

/// One region key. It has neither `Debug` nor `Display`, and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RegionKey([u8; KEY_LEN]);

impl RegionKey {
    /// Wraps random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// HKDF-SHA256 of this key, with the campaign in the info.
    fn derive(&self, label: &[u8; 8], campaign: CampaignId) -> Zeroizing<[u8; 32]> {
        let mut info = [0; 16];
        info[..8].copy_from_slice(label);
        info[8..].copy_from_slice(&campaign.0.to_be_bytes());
        let mut okm = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(&info, okm.as_mut())
            .expect("32 bytes are within HKDF's limit");
        okm
    }

    /// What opens and seals one campaign's tokens.
    pub(crate) fn cipher(&self, campaign: CampaignId) -> Aes256Gcm {
        let key = self.derive(b"token  1", campaign);
        Aes256Gcm::new_from_slice(key.as_ref()).expect("the key has 32 bytes")
    }

    /// What makes one campaign's synthetic nonces.
    pub(crate) fn nonce_key(&self, campaign: CampaignId) -> Zeroizing<[u8; 32]> {
        self.derive(b"nonce  1", campaign)
    }
}

/// All region keys whose links live, by number.
#[derive(Clone, Default)]
pub struct RegionKeys {
    keys: BTreeMap<Kid, RegionKey>,
}

/// A key folder that cannot be used. Nothing is started, and a reload keeps the keys it has.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder or a file cannot be read.
    #[error("cannot read {path}: {source}; region keys are files named 1.key, 2.key, …")]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file's name is no key's.
    #[error("{0} is not named like 1.key: move it out of the key folder")]
    NotAKey(PathBuf),
    /// A key has the wrong length.
    #[error("{path} holds {found} bytes, a region key has {KEY_LEN}: restore it from the Secret")]
    Length {
        /// Which file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// The folder holds no key at all.
    #[error("{0} holds no region key: the operator or `hushmark up` writes them")]
    Empty(PathBuf),
}

impl RegionKeys {
    /// Reads every key of a folder: `KID.key`, 32 bytes each. Names that begin with a dot are
    /// passed over, because a mounted Secret has its own.
    ///
    /// # Errors
    /// [`KeyError`] names the first file that cannot be used.
    pub fn load(folder: &Path) -> Result<Self, KeyError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Unreadable { path, source }
        };
        let mut keys = Self::default();
        for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let kid: u16 = name
                .strip_suffix(".key")
                .and_then(|kid| kid.parse().ok().filter(|n: &u16| n.to_string() == kid))
                .ok_or_else(|| KeyError::NotAKey(path.clone()))?;
            let bytes = Zeroizing::new(std::fs::read(&path).map_err(unreadable(&path))?);
            let key = bytes
                .as_slice()
                .try_into()
                .map(RegionKey::new)
                .map_err(|_| KeyError::Length { path, found: bytes.len() })?;
            keys.insert(Kid(kid), key);
        }
        if keys.keys.is_empty() {
            return Err(KeyError::Empty(folder.to_owned()));
        }
        Ok(keys)
    }

    /// Adds or replaces a key.
    pub fn insert(&mut self, kid: Kid, key: RegionKey) {
        self.keys.insert(kid, key);
    }

    /// The key of a number, if its links live.
    #[must_use]
    pub fn get(&self, kid: Kid) -> Option<&RegionKey> {
        self.keys.get(&kid)
    }

    /// The numbers of all keys, lowest first.
    pub fn kids(&self) -> impl DoubleEndedIterator<Item = Kid> + '_ {
        self.keys.keys().copied()
    }
}
