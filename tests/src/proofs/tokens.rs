//! Proof `tokens`: what was sealed opens, nothing else does, and no nonce comes twice.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result};
use fastrand::Rng;
use hushmark_policy::{CampaignId, Day, Generation, MailType, Mark, Mode, Place, TenantId};
use hushmark_token::{Claims, Kid, RegionKey, RegionKeys, Route, Sealer, Verifier};

use super::Run;
use crate::figure::Figures;

/// Campaigns that tokens are drawn from; more than the verifier caches keys for.
const CAMPAIGNS: u64 = 2_000;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let (valid, invalid) = run.size((1_000_000, 10_000_000), (10_000, 100_000));
    let (accepted, distinct) = valid_tokens(run.seed(), valid)?;
    figures.exactly(
        "valid tokens accepted, with the claims that were sealed",
        accepted,
        valid,
        "tokens",
    );
    figures.exactly("distinct nonces of these claims on all routes", distinct, valid * 3, "nonces");
    // Two threads halve the time; each draws its own tokens.
    let halves = [run.seed() * 2, run.seed() * 2 + 1]
        .map(|seed| std::thread::spawn(move || invalid_tokens(seed, invalid / 2)));
    let mut total = Tally::default();
    for half in halves {
        let tally = half.join().ok().context("the thread of a half panicked")??;
        total.add(&tally);
    }
    for (kind, tried) in KINDS.iter().zip(total.tried) {
        figures.tell(format!("tried: {}", kind.1), tried, "tokens");
    }
    figures.at_least("tried in all", total.tried.iter().sum(), invalid / 2 * 2, "tokens");
    figures.exactly("of these accepted", total.accepted, 0, "tokens");
    figures.exactly("of these made the verifier panic", total.panicked, 0, "tokens");
    Ok(figures)
}

/// Claims that no other number has: the mark tells them apart.
fn claims(n: u64, route: Route, random: &mut Rng) -> Claims {
    let mode = if random.bool() { Mode::Anonymous } else { Mode::Individual };
    let click = route == Route::Click;
    Claims {
        tenant: TenantId(random.u64(..8)),
        campaign: CampaignId(n % CAMPAIGNS),
        generation: Generation(random.u32(..4)),
        mode,
        mail_type: if random.bool() { MailType::Campaign } else { MailType::Transactional },
        place: Place::from_u8(random.u8(..4)).unwrap_or(Place::None),
        honeypot: random.bool(),
        mark: Some(Mark::new(n)),
        link: if click { random.u16(1..) } else { 0 },
        last_day: Day(random.u16(..)),
        destination: click.then(|| format!("https://a.example/{:x}", random.u64(..))),
        apart: None,
    }
}

fn key(n: u8) -> RegionKey {
    RegionKey::new([n; 32])
}

/// The region's keys: numbers 1 and 2. Key 3 is somebody else's.
fn region() -> Verifier {
    let mut keys = RegionKeys::default();
    keys.insert(Kid(1), key(1));
    keys.insert(Kid(2), key(2));
    Verifier::new(keys)
}

/// The same claims, which differ between routes only where the route demands it, are sealed on all
/// three and opened again. Returns how many opened as they were and how many nonces there were.
fn valid_tokens(seed: u64, count: u64) -> Result<(u64, u64)> {
    let mut random = Rng::with_seed(seed);
    let mut verifier = region();
    let sealers: Vec<Sealer> =
        (0..CAMPAIGNS).map(|c| Sealer::new(Kid(1), &key(1), CampaignId(c))).collect();
    let (mut accepted, mut nonces) = (0, HashSet::with_capacity(count as usize * 3));
    for n in 0..count {
        let mut opened = true;
        let drawn = random.u64(..);
        for route in Route::ALL {
            let sealed = claims(n, route, &mut Rng::with_seed(drawn));
            let token = sealers[(n % CAMPAIGNS) as usize].seal(route, &sealed)?;
            opened &= verifier.verify(route, token.as_bytes()).is_ok_and(|v| v.claims == sealed);
            nonces.insert(nonce(&token)?);
        }
        accepted += u64::from(opened);
    }
    Ok((accepted, nonces.len() as u64))
}

/// The campaign and nonce of a token: nonces are a campaign's, because its key is its own. They
/// are bytes 3 to 22, so that characters 4 to 30 hold them, with a byte of the ciphertext's.
fn nonce(token: &str) -> Result<[u8; 20]> {
    let digits = token.get(4..32).context("a token is longer than its header")?;
    let mut bits = 0_u128;
    let mut bytes = Vec::with_capacity(21);
    for (at, digit) in digits.bytes().enumerate() {
        bits = bits << 6 | u128::from(sextet(digit));
        if at % 4 == 3 {
            bytes.extend_from_slice(&(bits as u32).to_be_bytes()[1..]);
            bits = 0;
        }
    }
    bytes[..20].try_into().context("28 characters hold 21 bytes")
}

fn sextet(digit: u8) -> u8 {
    match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        _ => 63,
    }
}

/// How many were tried of each kind, and what must not happen.
#[derive(Default)]
struct Tally {
    tried: [u64; KINDS.len()],
    accepted: u64,
    panicked: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.tried.iter_mut().zip(other.tried).for_each(|(sum, n)| *sum += n);
        self.accepted += other.accepted;
        self.panicked += other.panicked;
    }
}

/// A way to make a token that must be refused.
type Make = fn(&mut Forge) -> Result<(Route, Vec<u8>)>;

const KINDS: [(Make, &str); 6] = [
    (Forge::random_bytes, "random bytes"),
    (Forge::random_token, "random base64url of a token's length"),
    (Forge::changed, "a valid token with characters changed"),
    (Forge::cut, "a valid token cut or made longer"),
    (Forge::rerouted, "a valid token on another route"),
    (Forge::rekeyed, "sealed under another key, or with its key's number changed"),
];

fn invalid_tokens(seed: u64, count: u64) -> Result<Tally> {
    let mut forge = Forge::new(seed);
    let mut verifier = region();
    let mut tally = Tally::default();
    for n in 0..count {
        let kind = (n % KINDS.len() as u64) as usize;
        let (route, token) = KINDS[kind].0(&mut forge)?;
        tally.tried[kind] += 1;
        match catch_unwind(AssertUnwindSafe(|| verifier.verify(route, &token).is_ok())) {
            Ok(accepted) => tally.accepted += u64::from(accepted),
            Err(_) => {
                tally.panicked += 1;
                verifier = region();
            }
        }
    }
    Ok(tally)
}

struct Forge {
    random: Rng,
    /// Valid tokens to begin from, with their route, number and claims' seed.
    valid: Vec<(Route, String)>,
    foreign: Vec<(Route, String)>,
}

impl Forge {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut sealed = |kid: u16, with: u8| -> Vec<(Route, String)> {
            let one = |n: u64| {
                let route = Route::ALL[n as usize % 3];
                let claims = claims(n, route, &mut random);
                let sealer = Sealer::new(Kid(kid), &key(with), claims.campaign);
                let token = sealer.seal(route, &claims).expect("`claims` always fit their route");
                (route, token)
            };
            (0..3_000).map(one).collect()
        };
        let valid = sealed(1, 1);
        // Somebody else's key under our key's number, and under a number that we do not have.
        let foreign = [sealed(1, 3), sealed(3, 3)].concat();
        Self { random, valid, foreign }
    }

    fn route(&mut self) -> Route {
        Route::ALL[self.random.usize(..3)]
    }

    fn pick(&mut self) -> (Route, Vec<u8>) {
        let (route, token) = &self.valid[self.random.usize(..self.valid.len())];
        (*route, token.clone().into_bytes())
    }

    fn digit(&mut self) -> u8 {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        digits[self.random.usize(..64)]
    }

    fn random_bytes(&mut self) -> Result<(Route, Vec<u8>)> {
        let mut bytes = vec![0; self.random.usize(..400)];
        self.random.fill(&mut bytes);
        Ok((self.route(), bytes))
    }

    /// Half of them begin with a header that the region knows, so that they reach the cipher.
    fn random_token(&mut self) -> Result<(Route, Vec<u8>)> {
        let (route, valid) = self.pick();
        let known = if self.random.bool() { 14 } else { 0 };
        let length = self.random.usize(20..300);
        let mut token: Vec<u8> = (0..length).map(|_| self.digit()).collect();
        token[..known].copy_from_slice(&valid[..known]);
        Ok((route, token))
    }

    fn changed(&mut self) -> Result<(Route, Vec<u8>)> {
        let (route, valid) = self.pick();
        let mut token = valid.clone();
        for _ in 0..self.random.usize(1..4) {
            let at = self.random.usize(..token.len());
            token[at] = if self.random.u8(..8) == 0 { self.random.u8(..) } else { self.digit() };
        }
        if token == valid {
            token[0] = b'_';
        }
        Ok((route, token))
    }

    fn cut(&mut self) -> Result<(Route, Vec<u8>)> {
        let (route, mut token) = self.pick();
        if self.random.bool() {
            token.truncate(self.random.usize(..token.len()));
        } else {
            for _ in 0..self.random.usize(1..40) {
                let digit = self.digit();
                token.push(digit);
            }
        }
        Ok((route, token))
    }

    fn rerouted(&mut self) -> Result<(Route, Vec<u8>)> {
        let (route, token) = self.pick();
        let others: Vec<Route> = Route::ALL.into_iter().filter(|other| *other != route).collect();
        Ok((others[self.random.usize(..2)], token))
    }

    fn rekeyed(&mut self) -> Result<(Route, Vec<u8>)> {
        if self.random.bool() {
            let (route, token) = &self.foreign[self.random.usize(..self.foreign.len())];
            return Ok((*route, token.clone().into_bytes()));
        }
        // The first four characters are the version and the key's number: 1 becomes 2, a key that
        // the region has as well.
        let (route, mut token) = self.pick();
        token[..4].copy_from_slice(b"AQAC");
        Ok((route, token))
    }
}
