//! Claims to URL.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use hushmark_policy::CampaignId;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::claims::{Claims, Route};
use crate::key::{Kid, RegionKey};
use crate::{HEADER_LEN, NONCE_LEN, TAG_LEN, VERSION, associated_data};

/// Seals the tokens of one campaign under one region key.
///
/// The nonce is synthetic, after RFC 5297's idea: the first 96 bits of HMAC-SHA256 over the
/// length-prefixed header, the route and the plaintext. The same claims give the same URL, no two
/// messages share a nonce, and no random generator can fail.
pub struct Sealer {
    cipher: Aes256Gcm,
    nonce_key: Zeroizing<[u8; 32]>,
    kid: Kid,
    campaign: CampaignId,
}

/// Claims that no token may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The claims are of another campaign than the sealer.
    #[error("claims of campaign {0} were given to the sealer of another campaign")]
    OtherCampaign(CampaignId),
    /// A mark, link number or destination is missing, superfluous, or no valid ASCII URL.
    #[error("these claims do not fit the route: see `Claims::fits`")]
    DoNotFit,
}

impl Sealer {
    /// Derives what one campaign's tokens are sealed with.
    #[must_use]
    pub fn new(kid: Kid, key: &RegionKey, campaign: CampaignId) -> Self {
        Self { cipher: key.cipher(campaign), nonce_key: key.nonce_key(campaign), kid, campaign }
    }

    /// The token for a route, in base64url.
    ///
    /// # Errors
    /// [`SealError`] when the claims are of another campaign or do not fit the route.
    pub fn seal(&self, route: Route, claims: &Claims) -> Result<String, SealError> {
        if claims.campaign != self.campaign {
            return Err(SealError::OtherCampaign(claims.campaign));
        }
        if !claims.fits(route) {
            return Err(SealError::DoNotFit);
        }
        let mut header = [0; HEADER_LEN];
        header[0] = VERSION;
        header[1..3].copy_from_slice(&self.kid.0.to_be_bytes());
        header[3..].copy_from_slice(&self.campaign.0.to_be_bytes());
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&[0; NONCE_LEN]);
        claims.encode(route, &mut bytes);
        let nonce = self.nonce(&header, route, &bytes[HEADER_LEN + NONCE_LEN..]);
        bytes[HEADER_LEN..HEADER_LEN + NONCE_LEN].copy_from_slice(&nonce);
        let tag = self
            .cipher
            .encrypt_inout_detached(
                &Nonce::from(nonce),
                &associated_data(&header, route),
                (&mut bytes[HEADER_LEN + NONCE_LEN..]).into(),
            )
            .expect("a token is far below AES-GCM's 64 GiB");
        bytes.reserve(TAG_LEN);
        bytes.extend_from_slice(&tag);
        Ok(URL_SAFE_NO_PAD.encode(&bytes))
    }

    fn nonce(&self, header: &[u8; HEADER_LEN], route: Route, plaintext: &[u8]) -> [u8; NONCE_LEN] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.nonce_key.as_ref())
            .expect("HMAC takes any key");
        mac.update(&(HEADER_LEN as u64).to_be_bytes());
        mac.update(header);
        mac.update(&[route as u8]);
        mac.update(plaintext);
        let code = mac.finalize().into_bytes();
        code[..NONCE_LEN].try_into().expect("an HMAC-SHA256 has 32 bytes")
    }
}
