//! What the fuzz target feeds, so that it also runs as a test.

use crate::claims::Route;
use crate::key::{Kid, RegionKey, RegionKeys};
use crate::seal::Sealer;
use crate::verify::Verifier;

/// Takes any bytes as a route and a token. Nothing panics; and whatever opens is exactly what these
/// claims are sealed to, so that no second text opens.
///
/// # Panics
/// When a token opens that is not the one text of its claims: that is the finding.
pub fn any_bytes(bytes: &[u8]) {
    let key = RegionKey::new([1; 32]);
    let mut keys = RegionKeys::default();
    keys.insert(Kid(1), key.clone());
    let (first, token) = bytes.split_first().unwrap_or((&0, &[]));
    let route = Route::ALL[usize::from(*first) % Route::ALL.len()];
    if let Ok(opened) = Verifier::new(keys).verify(route, token) {
        let sealed = Sealer::new(opened.kid, &key, opened.claims.campaign)
            .seal(route, &opened.claims)
            .expect("what was opened can be sealed");
        assert_eq!(sealed.as_bytes(), token, "another text opened");
    }
}
