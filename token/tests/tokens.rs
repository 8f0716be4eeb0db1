//! A token opens as it was sealed, on its own route, under its own key; nothing else opens.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hushmark_policy::{
    CampaignId, Day, Generation, Kind, MailType, Mark, Mode, Place, TenantId, Tracking,
};
use hushmark_token::{Apart, Claims, Kid, Refusal, RegionKey, RegionKeys, Route, Sealer, Verifier};
use proptest::prelude::*;
use std::collections::HashSet;

type Seed = (u64, u64, u32, u8, bool, u8, bool, u64, u16, u16, String);

fn seed() -> impl Strategy<Value = Seed> {
    (
        any::<u64>(),
        0..4u64,
        any::<u32>(),
        0..5u8,
        any::<bool>(),
        0..4u8,
        any::<bool>(),
        any::<u64>(),
        1..u16::MAX,
        any::<u16>(),
        "https?://[!-~]{1,300}",
    )
}

fn claims(seed: &Seed, route: Route) -> Claims {
    let (tenant, campaign, generation, mode, transactional, place, honeypot, mark, link, day, url) =
        seed.clone();
    // Of clicks no day is kept alone, and a page without a difference is of clicks, too.
    let of_route = |mode: &Mode| route == Route::Open || mode.is_for(Kind::Click);
    let mode = Mode::from_u8(mode).filter(of_route).unwrap_or(Mode::Individual);
    Claims {
        tenant: TenantId(tenant),
        campaign: CampaignId(campaign),
        generation: Generation(generation),
        mode,
        mail_type: if transactional { MailType::Transactional } else { MailType::Campaign },
        place: Place::from_u8(place).unwrap(),
        honeypot,
        mark: mode.has_mark().then(|| Mark::new(mark)),
        link: if route == Route::Click { link } else { 0 },
        last_day: Day(day),
        destination: (route == Route::Click).then_some(url),
        apart: None,
    }
}

/// A page whose opens and clicks differ: the seed's mode and another one.
fn page(seed: &Seed, other: u8) -> Claims {
    let mut claims = claims(seed, Route::Page);
    let (opens, clicks) = (Mode::from_u8(seed.3).unwrap(), Mode::from_u8(other).unwrap());
    if opens != clicks {
        let tracking = Tracking { opens, clicks };
        claims.mode = tracking.knows_most();
        claims.mark = claims.mode.has_mark().then(|| Mark::new(seed.7));
        let is_anonymous = opens == Mode::Anonymous || clicks == Mode::Anonymous;
        let both = tracking.names_contact() && is_anonymous;
        claims.apart = Some(Apart { tracking, message: both.then(|| Mark::new(!seed.7)) });
    }
    claims
}

fn key(n: u8) -> RegionKey {
    RegionKey::new([n; 32])
}

fn verifier(keys: &[u16]) -> Verifier {
    let mut ring = RegionKeys::default();
    keys.iter().for_each(|kid| ring.insert(Kid(*kid), key(*kid as u8)));
    Verifier::new(ring)
}

fn seal(kid: u16, route: Route, claims: &Claims) -> String {
    Sealer::new(Kid(kid), &key(kid as u8), claims.campaign).seal(route, claims).unwrap()
}

fn routes() -> impl Strategy<Value = Route> {
    prop::sample::select(&Route::ALL[..])
}

proptest! {
    #[test]
    fn a_token_says_what_was_sealed(seed in seed(), route in routes()) {
        let sealed = claims(&seed, route);
        let token = seal(1, route, &sealed);
        let opened = verifier(&[1]).verify(route, token.as_bytes()).unwrap();
        prop_assert!(opened.claims == sealed);
        prop_assert_eq!(&token, &seal(1, route, &opened.claims), "the same claims, the same URL");
    }

    #[test]
    fn a_page_says_what_is_recorded_of_opens_and_of_clicks(seed in seed(), other in 0..4u8) {
        let sealed = page(&seed, other);
        let token = seal(1, Route::Page, &sealed);
        let opened = verifier(&[1]).verify(Route::Page, token.as_bytes()).unwrap().claims;
        prop_assert!(opened == sealed);
        let Tracking { opens, clicks } = opened.tracking();
        prop_assert_eq!((opens as u8, clicks as u8), (seed.3, other));
        let has = |mode| opens == mode || clicks == mode;
        let names = has(Mode::Individual) || has(Mode::LastOpenDay);
        prop_assert_eq!(opened.contact().is_some(), names);
        prop_assert_eq!(opened.message().is_some(), has(Mode::Anonymous));
        prop_assert_eq!(&token, &seal(1, Route::Page, &opened), "the same claims, the same URL");
    }

    #[test]
    fn a_token_opens_on_no_other_route_and_under_no_other_key(seed in seed(), route in routes()) {
        let token = seal(1, route, &claims(&seed, route));
        for other in Route::ALL.into_iter().filter(|other| *other != route) {
            prop_assert_eq!(verifier(&[1]).verify(other, token.as_bytes()).err(), Some(Refusal::Forged));
        }
        prop_assert_eq!(verifier(&[2]).verify(route, token.as_bytes()).err(), Some(Refusal::UnknownKey));
        let mut wrong = RegionKeys::default();
        wrong.insert(Kid(1), key(9));
        let refused = Verifier::new(wrong).verify(route, token.as_bytes()).err();
        prop_assert_eq!(refused, Some(Refusal::Forged));
    }

    #[test]
    fn no_other_text_opens(seed in seed(), route in routes(), at in any::<prop::sample::Index>(), to in 0..=255u8) {
        let token = seal(1, route, &claims(&seed, route)).into_bytes();
        let mut verifier = verifier(&[1]);
        let mut changed = token.clone();
        let at = at.index(changed.len());
        changed[at] = to;
        prop_assert_eq!(verifier.verify(route, &changed).is_ok(), changed == token);
        prop_assert!(verifier.verify(route, &token[..at]).is_err());
        let longer = [&token[..], &[to]].concat();
        prop_assert!(verifier.verify(route, &longer).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verifier(&[1]).verify(Route::Open, &bytes).is_err());
        hushmark_token::fuzz::any_bytes(&bytes);
    }

    #[test]
    fn the_fuzz_target_takes_real_tokens_and_broken_ones(
        seed in seed(), route in routes(), first: u8, at in any::<prop::sample::Index>(), to: u8,
    ) {
        let mut bytes = seal(1, route, &claims(&seed, route)).into_bytes();
        bytes.insert(0, first);
        hushmark_token::fuzz::any_bytes(&bytes);
        let at = at.index(bytes.len());
        bytes[at] = to;
        hushmark_token::fuzz::any_bytes(&bytes);
    }

    #[test]
    fn a_url_grows_by_less_than_110_characters(seed in seed()) {
        let claims = claims(&seed, Route::Click);
        let token = seal(1, Route::Click, &claims);
        let destination = claims.destination.map_or(0, |url| url.len());
        // The destination itself grows by a third in base64.
        prop_assert!(token.len() - destination.div_ceil(3) * 4 < 110);
    }
}

#[test]
fn claims_on_two_routes_never_share_a_nonce() {
    let mut nonces = HashSet::new();
    for n in 0..10_000u64 {
        let seed = (1, 1, 0, 2, false, 0, false, n, 1, 20_000, "https://a.example/".to_owned());
        for route in Route::ALL {
            let token = seal(1, route, &claims(&seed, route));
            // Version, kid and campaign take 11 bytes; 16 characters from there hold the nonce.
            assert!(nonces.insert(token[14..31].to_owned()));
        }
    }
}

#[test]
fn claims_that_do_not_fit_are_never_sealed() {
    let seed: Seed = (1, 1, 0, 1, false, 0, false, 0, 1, 1, "https://a.example/".into());
    let good = claims(&seed, Route::Click);
    let sealer = Sealer::new(Kid(1), &key(1), CampaignId(1));
    assert!(sealer.seal(Route::Click, &good).is_ok());
    let url = |url: &str| Claims { destination: Some(url.into()), ..good.clone() };
    let bad = [
        url("https://a.example/\r\nSet-Cookie: x=1"),
        url("https://a.example/ space"),
        url("https://ä.example/"),
        url("javascript:alert(1)"),
        url("//a.example/"),
        url("https://"),
        url(&format!("https://a.example/{}", "x".repeat(2_000))),
        Claims { destination: None, ..good.clone() },
        Claims { link: 0, ..good.clone() },
        Claims { mark: Some(Mark::new(1)), ..good.clone() },
        Claims { campaign: CampaignId(2), ..good.clone() },
    ];
    assert!(bad.iter().all(|claims| sealer.seal(Route::Click, claims).is_err()));
    assert!(sealer.seal(Route::Open, &good).is_err());
}

/// The longest page: opens `anonymous`, clicks `individual`.
#[test]
fn golden_page() {
    let seed: Seed =
        (0x1111, 0x2222, 3, 2, false, 0, false, 0x4444, 5, 20_778, "https://a.example/".into());
    let claims = page(&seed, 3);
    let token = seal(1, Route::Page, &claims);
    insta::assert_snapshot!(token);
    let message = Apart { message: None, ..claims.apart.clone().unwrap() };
    let alike = Tracking { opens: Mode::Individual, clicks: Mode::Individual };
    let same = Apart { tracking: alike, ..claims.apart.clone().unwrap() };
    let sealer = Sealer::new(Kid(1), &key(1), claims.campaign);
    for bad in [message, same] {
        let bad = Claims { apart: Some(bad), ..claims.clone() };
        assert!(sealer.seal(Route::Page, &bad).is_err());
    }
    assert!(sealer.seal(Route::Open, &claims).is_err());
}

/// Of clicks no day is kept alone, and a page that says so of both is none.
#[test]
fn the_day_of_a_last_open_is_sealed_for_opens_alone() {
    let seed: Seed =
        (0x1111, 0x2222, 3, 4, false, 0, false, 0x4444, 5, 20_778, "https://a.example/".into());
    let pixel = claims(&seed, Route::Open);
    assert_eq!(pixel.mode, Mode::LastOpenDay);
    insta::assert_snapshot!(seal(1, Route::Open, &pixel));
    let sealer = Sealer::new(Kid(1), &key(1), pixel.campaign);
    assert!(sealer.seal(Route::Page, &pixel).is_err());
    let link = Claims { link: 5, destination: Some(seed.10.clone()), ..pixel };
    assert!(sealer.seal(Route::Click, &link).is_err());
    let apart = page(&(seed.0, seed.1, 3, 2, false, 0, false, 7, 5, 20_778, seed.10.clone()), 3);
    let tracking = Tracking { opens: Mode::Individual, clicks: Mode::LastOpenDay };
    let apart = Claims { apart: Some(Apart { tracking, message: None }), ..apart };
    assert!(sealer.seal(Route::Page, &apart).is_err());
}

/// The URL that WIRE.md shows. Mails sent years ago hold such: it must never change.
#[test]
fn golden_token() {
    let seed: Seed = (
        0x1111,
        0x2222,
        3,
        3,
        true,
        1,
        false,
        0x4444,
        5,
        20_778,
        "https://example.org/a?b=c#d".into(),
    );
    let token = seal(1, Route::Click, &claims(&seed, Route::Click));
    insta::assert_snapshot!(token);
}
