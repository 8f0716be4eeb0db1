//! URL to claims. Everything here faces the internet.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hushmark_policy::CampaignId;

use crate::claims::{Claims, Route};
use crate::key::{Kid, RegionKeys};
use crate::{HEADER_LEN, NONCE_LEN, TAG_LEN, TOKEN_MAX, VERSION, associated_data};

/// Why a token was refused. Only counters see which; whoever sent it sees one answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Longer than any token.
    #[error("token is too long")]
    TooLong,
    /// Not canonical base64url, or too short.
    #[error("token is not base64url")]
    Encoding,
    /// Another version.
    #[error("token has an unknown version")]
    Version,
    /// A key that this region does not have, or no longer.
    #[error("token names an unknown key")]
    UnknownKey,
    /// Not sealed by this region for this route and campaign.
    #[error("token does not verify")]
    Forged,
    /// Sealed by this region, but saying what no token says.
    #[error("token says something impossible")]
    Impossible,
}

impl Refusal {
    /// Every reason, for counters.
    pub const ALL: [Self; 6] = [
        Self::TooLong,
        Self::Encoding,
        Self::Version,
        Self::UnknownKey,
        Self::Forged,
        Self::Impossible,
    ];

    /// The reason as metrics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Encoding => "encoding",
            Self::Version => "version",
            Self::UnknownKey => "unknown_key",
            Self::Forged => "forged",
            Self::Impossible => "impossible",
        }
    }
}

/// A token that this region sealed for this route.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified {
    /// The key that it was sealed under; a takedown can name it.
    pub kid: Kid,
    /// What it says.
    pub claims: Claims,
}

/// Slots of the cache of derived keys: 1,024 campaigns under one key each, about 1 MiB.
const CACHE_SLOTS: usize = 1_024;

/// Verifies tokens. One lives on each edge core, because it caches without a lock.
///
/// Derived keys are cached only for tokens that verified, so that forged campaign ids cannot
/// push real ones out; a slot is taken over by the last that verified, so the cache is bounded.
pub struct Verifier {
    keys: RegionKeys,
    cache: Vec<Option<Box<Derived>>>,
    buffer: Vec<u8>,
}

struct Derived {
    kid: Kid,
    campaign: CampaignId,
    cipher: Aes256Gcm,
}

impl Verifier {
    /// A verifier over these keys.
    #[must_use]
    pub fn new(keys: RegionKeys) -> Self {
        let mut cache = Vec::new();
        cache.resize_with(CACHE_SLOTS, || None);
        Self { keys, cache, buffer: Vec::with_capacity(TOKEN_MAX) }
    }

    /// Opens a token that came on a route.
    ///
    /// # Errors
    /// [`Refusal`], which is for counting alone.
    pub fn verify(&mut self, route: Route, token: &[u8]) -> Result<Verified, Refusal> {
        if token.len() > TOKEN_MAX {
            return Err(Refusal::TooLong);
        }
        self.buffer.clear();
        // The engine refuses padding and stray bits at the end: one token has one text.
        URL_SAFE_NO_PAD.decode_vec(token, &mut self.buffer).map_err(|_| Refusal::Encoding)?;
        let (header, rest) =
            self.buffer.split_first_chunk_mut::<HEADER_LEN>().ok_or(Refusal::Encoding)?;
        let (nonce, rest) = rest.split_first_chunk_mut::<NONCE_LEN>().ok_or(Refusal::Encoding)?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(Refusal::Encoding)?;
        if header[0] != VERSION {
            return Err(Refusal::Version);
        }
        let kid = Kid(u16::from_be_bytes([header[1], header[2]]));
        let campaign = CampaignId(u64::from_be_bytes(
            header[3..].try_into().expect("the header ends with eight bytes of campaign"),
        ));
        let slot = &mut self.cache[(campaign.0 ^ u64::from(kid.0)) as usize % CACHE_SLOTS];
        let cached = slot.as_deref().filter(|d| d.kid == kid && d.campaign == campaign);
        let fresh = match cached {
            Some(_) => None,
            None => {
                let key = self.keys.get(kid).ok_or(Refusal::UnknownKey)?;
                Some(Box::new(Derived { kid, campaign, cipher: key.cipher(campaign) }))
            }
        };
        let derived = fresh.as_deref().or(cached).expect("either was just found or just made");
        derived
            .cipher
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                &associated_data(header, route),
                (&mut *body).into(),
                &Tag::from(*tag),
            )
            .map_err(|_| Refusal::Forged)?;
        if fresh.is_some() {
            *slot = fresh;
        }
        let claims = Claims::decode(campaign, route, body).ok_or(Refusal::Impossible)?;
        Ok(Verified { kid, claims })
    }
}
