//! What the fuzz target feeds, so that it also runs as a test.

use hushmark_policy::CampaignId;

use crate::claims::{Claims, Route};
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
    past_the_cipher(route, token);
}

/// No fuzzer forges a tag, so the same bytes are taken as what a token holds before it is sealed as
/// well: claims have one form, open as they were sealed, and open nowhere else or changed.
fn past_the_cipher(route: Route, plaintext: &[u8]) {
    let campaign = CampaignId(1);
    let Some(claims) = Claims::decode(campaign, route, plaintext) else { return };
    let mut again = Vec::new();
    claims.encode(route, &mut again);
    assert!(again == plaintext, "these claims have a second form");
    let key = RegionKey::new([1; 32]);
    let sealed = Sealer::new(Kid(1), &key, campaign).seal(route, &claims);
    let token = sealed.expect("what was decoded fits its route").into_bytes();
    let mut keys = RegionKeys::default();
    keys.insert(Kid(1), key);
    let mut verifier = Verifier::new(keys);
    assert!(verifier.verify(route, &token).is_ok_and(|opened| opened.claims == claims));
    for other in Route::ALL.into_iter().filter(|other| *other != route) {
        assert!(verifier.verify(other, &token).is_err(), "another route opened it");
    }
    // The bytes decide where the token is changed and cut.
    let drawn = plaintext.iter().fold(0_usize, |sum, byte| sum * 31 % 65_521 + usize::from(*byte));
    let (at, mut changed) = (drawn % token.len(), token.clone());
    changed[at] ^= 1 << (drawn % 8);
    assert!(verifier.verify(route, &changed).is_err(), "a changed token opened");
    assert!(verifier.verify(route, &token[..at]).is_err(), "a cut token opened");
}
