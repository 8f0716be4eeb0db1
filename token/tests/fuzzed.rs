//! The fuzz target's logic over bytes such as claims are made of, so that it gets past the cipher.

use hushmark_token::fuzz::any_bytes;
use proptest::prelude::*;

/// A route's choice and the bytes of claims before they are sealed, many of them valid: see WIRE.md, "Token".
fn claims() -> impl Strategy<Value = Vec<u8>> {
    let route = prop::sample::select(&b"ocp"[..]);
    let destination = prop_oneof![Just(String::new()), "https?://[ -~]{1,40}"];
    (
        0..3u8,
        route,
        0..80u8,
        any::<[u8; 12]>(),
        0..3u16,
        any::<[u8; 2]>(),
        any::<[u8; 8]>(),
        destination,
    )
        .prop_map(|(first, route, flags, ids, link, day, mark, destination)| {
            let mut bytes = vec![first, 1, route, flags];
            bytes.extend(ids);
            bytes.extend(link.to_be_bytes());
            bytes.extend(day);
            if flags & 3 > 1 {
                bytes.extend(mark);
            }
            bytes.extend(destination.bytes());
            bytes
        })
}

proptest! {
    #[test]
    fn bytes_like_claims_hold_past_the_cipher(data in claims()) {
        any_bytes(&data);
    }
}
