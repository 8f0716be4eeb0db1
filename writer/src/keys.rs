//! The two day rings as the writer holds them, read again without a restart.

use std::path::PathBuf;

use hushmark_event::Ring;
use hushmark_event::ring::RingError;

/// Batch keys and salt keys, and where they come from.
pub struct Keys {
    folders: [PathBuf; 2],
    /// Batch keys: to open what rests sealed.
    pub batch: Ring,
    /// Salt keys: the writer alone holds them.
    pub salts: Ring,
}

impl Keys {
    /// Reads both folders.
    ///
    /// # Errors
    /// The first folder or file that cannot be used. Nothing is started then.
    pub fn load(ring: PathBuf, salts: PathBuf) -> Result<Self, RingError> {
        let (batch, salt) = (Ring::load(&ring)?, Ring::load(&salts)?);
        Ok(Self { folders: [ring, salts], batch, salts: salt })
    }

    /// Reads them again; keys that cannot be read leave the old ones in force, and a line says so.
    /// `true` if a day came or went.
    pub fn reload(&mut self) -> bool {
        let [ring, salts] = &self.folders;
        let changed = |old: &Ring, new: &Ring| !old.days().eq(new.days());
        match (Ring::load(ring), Ring::load(salts)) {
            (Ok(batch), Ok(salt)) => {
                let differs = changed(&self.batch, &batch) || changed(&self.salts, &salt);
                (self.batch, self.salts) = (batch, salt);
                differs
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "day keys were not read again, the old ones stay in force");
                false
            }
        }
    }
}
