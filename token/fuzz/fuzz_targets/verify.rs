//! Any bytes as a route and a token.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushmark_token::fuzz::any_bytes(bytes));
