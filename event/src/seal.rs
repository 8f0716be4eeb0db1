//! A batch sealed under its day and lane, its number as nonce. `WIRE.md`, "Sealed batch".

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use hushmark_policy::Day;
use sha2::Sha256;

use crate::lane::Lane;
use crate::ring::DayKey;

/// The version of the sealed form.
const VERSION: u8 = 1;

/// Version, day and number of records, in the clear and authenticated.
pub const HEADER_LEN: usize = 1 + 2 + 2;

/// The authentication tag at the end.
pub const TAG_LEN: usize = 16;

/// Seals and opens the batches of one lane on one day.
pub struct LaneSealer {
    cipher: Aes256Gcm,
    day: Day,
}

/// The clear header of a sealed batch: what can be known, and counted, without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The day that the batch was sealed on; its key and its partition's month follow from it.
    pub day: Day,
    /// Records inside, hits and voids.
    pub records: u16,
}

/// A sealed batch that cannot be opened. It becomes a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// Too short to be a sealed batch.
    #[error("sealed batch is cut short")]
    Short,
    /// A version that this program does not know.
    #[error("sealed batch has version {0}, which this program does not know")]
    Version(u8),
    /// The bytes are not what was sealed under this day, lane and number.
    #[error("sealed batch does not verify under its day, lane and number")]
    Tampered,
}

impl Sealed {
    /// Reads the clear header. It is authenticated only once the batch was opened.
    ///
    /// # Errors
    /// [`Unsealable::Short`] or [`Unsealable::Version`].
    pub fn header(blob: &[u8]) -> Result<Self, Unsealable> {
        if blob.len() < HEADER_LEN + TAG_LEN {
            return Err(Unsealable::Short);
        }
        if blob[0] != VERSION {
            return Err(Unsealable::Version(blob[0]));
        }
        Ok(Self {
            day: Day(u16::from_be_bytes([blob[1], blob[2]])),
            records: u16::from_be_bytes([blob[3], blob[4]]),
        })
    }
}

impl LaneSealer {
    /// Derives the key of a lane's day: HKDF-SHA256(batch key, "hushmark batch 1" ‖ lane).
    #[must_use]
    pub fn new(key: &DayKey, day: Day, lane: Lane) -> Self {
        let mut info = *b"hushmark batch 1..........";
        info[16..].copy_from_slice(&lane.to_bytes());
        let mut okm = zeroize::Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, key.expose())
            .expand(&info, okm.as_mut())
            .expect("32 bytes are within HKDF's limit");
        let cipher = Aes256Gcm::new_from_slice(okm.as_ref()).expect("the key has 32 bytes");
        Self { cipher, day }
    }

    /// The day whose key this is.
    #[must_use]
    pub const fn day(&self) -> Day {
        self.day
    }

    /// The number is the nonce: it never comes again in a lane, because the lane's name does not.
    fn nonce(number: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        nonce
    }

    /// Seals a packed batch as the lane's `number`; `out` is cleared first. A number must never be
    /// sealed twice with other bytes: the caller keeps the blob and repeats it as it is.
    pub fn seal(&self, number: u64, records: u16, packed: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.reserve(HEADER_LEN + packed.len() + TAG_LEN);
        out.push(VERSION);
        out.extend_from_slice(&self.day.0.to_be_bytes());
        out.extend_from_slice(&records.to_be_bytes());
        out.extend_from_slice(packed);
        let (header, body) = out.split_at_mut(HEADER_LEN);
        let tag = self
            .cipher
            .encrypt_inout_detached(&Nonce::from(Self::nonce(number)), header, body.into())
            .expect("a batch is far below AES-GCM's 64 GiB");
        out.extend_from_slice(&tag);
    }

    /// Opens a sealed batch in place and returns its header and packed bytes.
    ///
    /// # Errors
    /// [`Unsealable`]; the buffer's content is then unspecified.
    pub fn open<'a>(
        &self,
        number: u64,
        blob: &'a mut [u8],
    ) -> Result<(Sealed, &'a [u8]), Unsealable> {
        let sealed = Sealed::header(blob)?;
        let (header, rest) = blob.split_at_mut(HEADER_LEN);
        let (body, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
        let tag = Tag::try_from(&*tag).map_err(|_| Unsealable::Short)?;
        self.cipher
            .decrypt_inout_detached(
                &Nonce::from(Self::nonce(number)),
                header,
                (&mut *body).into(),
                &tag,
            )
            .map_err(|_| Unsealable::Tampered)?;
        Ok((sealed, body))
    }
}
