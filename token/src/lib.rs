//! Sealed tracking tokens: bytes to verified [`Claims`], or a typed refusal.
//!
//! A token is all that a mail carries: who sent it, how exactly it may be counted, and for a link
//! the destination itself, so that a redirect needs no store and outlives the campaign. In reading
//! order: [`claims`] (what is sealed), [`key`] (region keys and what is derived from them),
//! [`seal`] (claims to URL) and [`verify`] (URL to claims); [`fuzz`] is what
//! the fuzz target feeds. `event/WIRE.md`, "Token", has the bytes.

pub mod claims;
pub mod fuzz;
pub mod key;
pub mod seal;
pub mod verify;

pub use claims::{Apart, Claims, Route};
pub use key::{KeyError, Kid, RegionKey, RegionKeys};
pub use seal::{SealError, Sealer};
pub use verify::{Refusal, Verified, Verifier};

/// The version of the token's bytes.
const VERSION: u8 = 1;

/// Version, kid and campaign: in the clear, authenticated.
const HEADER_LEN: usize = 1 + 2 + 8;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// The longest token that is looked at, in base64url characters: a destination of 2,000 bytes and
/// what surrounds it. Longer ones are refused before they are decoded.
pub const TOKEN_MAX: usize = 2_800;

/// The longest destination that is sealed, in bytes.
pub const DESTINATION_MAX: usize = 2_000;

/// What is authenticated beside the plaintext: the header and the route, so that a pixel's token
/// opens nothing as a link's.
fn associated_data(header: &[u8; HEADER_LEN], route: Route) -> [u8; HEADER_LEN + 1] {
    let mut data = [0; HEADER_LEN + 1];
    data[..HEADER_LEN].copy_from_slice(header);
    data[HEADER_LEN] = route as u8;
    data
}
