//! Every key a stack needs, drawn from a seed and written as the programs read them.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use ed25519_dalek::SigningKey;
use hushmark_event::{DayKey, Ring};
use hushmark_policy::Day;
use hushmark_token::{Kid, RegionKey};

/// Days that the ring reaches ahead; longer than any proof runs.
const DAYS_AHEAD: u16 = 3;

/// A region's keys on disk and in memory.
pub struct Keys {
    folder: PathBuf,
    /// The number of the region key that tokens are sealed under.
    pub kid: Kid,
    /// That key.
    pub region: RegionKey,
    /// The batch keys, to open dead letters with.
    pub batch: Ring,
    /// Signs the refusal log's head.
    pub signing: SigningKey,
}

impl Keys {
    /// Draws all keys and writes them below `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn create(folder: &Path, seed: u64) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut draw = || {
            let mut bytes = [0; 32];
            random.fill(&mut bytes);
            bytes
        };
        let (region, signing) = (draw(), SigningKey::from_bytes(&draw()));
        let keys = Self {
            folder: folder.to_owned(),
            kid: Kid(1),
            region: RegionKey::new(region),
            batch: Ring::default(),
            signing,
        };
        write(&keys.region_folder().join("1.key"), &region)?;
        let mut batch = Ring::default();
        let yesterday = Day(today().0 - 1);
        for day in (0..=DAYS_AHEAD + 1).map(|n| yesterday.plus(n)) {
            let (batch_key, salt_key) = (draw(), draw());
            write(&keys.batch_folder().join(day.to_string()), &batch_key)?;
            write(&keys.salt_folder().join(day.to_string()), &salt_key)?;
            batch.insert(day, DayKey::new(batch_key));
        }
        let public = keys.signing.verifying_key();
        write(&keys.refusal_key(), public.as_bytes())?;
        Ok(Self { batch, ..keys })
    }

    /// The folder of region keys.
    #[must_use]
    pub fn region_folder(&self) -> PathBuf {
        self.folder.join("region")
    }

    /// The folder of the day ring's batch keys.
    #[must_use]
    pub fn batch_folder(&self) -> PathBuf {
        self.folder.join("batch")
    }

    /// The folder of the day ring's salt keys.
    #[must_use]
    pub fn salt_folder(&self) -> PathBuf {
        self.folder.join("salt")
    }

    /// The public key that the refusal log's head is verified with.
    #[must_use]
    pub fn refusal_key(&self) -> PathBuf {
        self.folder.join("refusal.pub")
    }

    /// The last day of tracking that this region's tokens carry: within the ring.
    #[must_use]
    pub fn last_day() -> Day {
        today().plus(DAYS_AHEAD - 1)
    }
}

/// The present UTC day.
#[must_use]
pub fn today() -> Day {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Day::of_unix_ms(now.as_millis() as u64)
}

/// Mode 0600, as every key is kept.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a key file lies in a folder")?;
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    std::io::Write::write_all(&mut file, bytes)?;
    Ok(())
}
