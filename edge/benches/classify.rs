//! What a judgement costs: cached, missed, and with user agents made to be slow. Prints
//! nanoseconds an operation (the fastest of several rounds: noise only ever adds) and the worst
//! single one, and what stays resident. `cargo bench -p hushmark-edge --bench classify`

#![expect(clippy::print_stdout, reason = "a bench is read by a person")]

use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::HeaderMap;
use hushmark_edge::classify::{Classifier, RequestHead, RequestSignals, VerdictCache};
use hushmark_edge::client_addr::{ClientAddr, ForwardHeader, Ranges, TrustedProxies};
use hushmark_edge::place::CountryDb;
use hushmark_policy::Kind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USER_AGENTS: &str = include_str!("../tests/data/user_agents.txt");

/// Pieces that the parser and the lists look for; joined at random they keep every matcher busy.
const BAIT: [&str; 30] = [
    "Windows NT 10.0;",
    " Mac OS X",
    "iPhone; ",
    "like Mac OS X",
    "Mobile;",
    " rv:1.",
    "Gecko/1",
    "Firefox/1.",
    " RSS Reader",
    "Current",
    "Spider",
    "ContextualBot",
    "Android ",
    "Linux",
    "CrOS ",
    "Chrome/1.",
    "Version/",
    "CPU iPhone OS 1_",
    "rss",
    "bo",
    "feed",
    "Feed-Fetcher",
    "Trident/7",
    "BlogTraffic/1.",
    "J-PHONE/1",
    "MSIE ",
    "BB10",
    "DoCoMo/1",
    "Google",
    "spider.co",
];

fn main() {
    // As the edge does: with huge pages, every first byte of two megabytes is resident.
    rustix::thread::disable_transparent_huge_pages(true).expect("prctl");
    let before = resident();
    let start = Instant::now();
    let rules = Classifier::new(None);
    println!("start       {:>9.1} ms", start.elapsed().as_secs_f64() * 1e3);
    println!("lists       {:>9} bytes of heap", rules.memory());
    println!("resident    {:>9} KiB more with the lists", settled().saturating_sub(before));
    let real: Vec<&[u8]> = USER_AGENTS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '=']))
        .map(str::as_bytes)
        .collect();
    let mut cache = VerdictCache::new([42; 16]);
    for _ in 0..2 {
        for ua in &real {
            black_box(cache.judge(&rules, &signals(ua)));
        }
    }
    println!("resident    {:>9} KiB more with cache and parser", settled().saturating_sub(before));
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let noise: Vec<Vec<u8>> = (0..5_000).map(|_| random.bytes(512)).collect();
    let bait: Vec<Vec<u8>> = (0..5_000).map(|_| random.bait()).collect();
    each("cached", &real, |ua| cache.judge(&rules, &signals(ua)));
    each("missed", &real, |ua| rules.judge(&signals(ua)));
    each("noise", &noise, |ua| rules.judge(&signals(ua)));
    each("bait", &bait, |ua| rules.judge(&signals(ua)));
    drop((noise, bait));
    println!("resident    {:>9} KiB more after all of these", settled().saturating_sub(before));
    addresses();
}

fn signals(user_agent: &[u8]) -> RequestSignals<'_> {
    RequestSignals { kind: Kind::Open, user_agent, prefetch: false, client: None }
}

/// What comes with a judgement: headers, the client's address, its country.
fn addresses() {
    let headers: HeaderMap = [
        ("host", "t.example.org"),
        ("user-agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:126.0) Firefox/126.0"),
        ("accept", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"),
        ("accept-language", "de,en-US;q=0.7,en;q=0.3"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("connection", "keep-alive"),
        ("referer", "https://mail.example.org/"),
        ("sec-fetch-dest", "image"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-site", "cross-site"),
        ("x-forwarded-for", "198.51.100.7, 10.0.0.2"),
    ]
    .into_iter()
    .map(|(name, value)| {
        (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
    })
    .collect();
    each("headers", &[&headers], |headers| RequestHead::of(headers).prefetch);
    let ranges = Ranges::parse("10.0.0.0/8\n192.168.0.0/16\nfd00::/8").expect("networks");
    let proxies = TrustedProxies::new(ranges, ForwardHeader::XForwardedFor);
    let peer = IpAddr::from([10, 0, 0, 1]);
    each("client", &[&headers], |headers| proxies.client(peer, headers).is_some());
    let Some(path) = std::env::var_os("HUSHMARK_BENCH_MMDB") else {
        println!("country     set HUSHMARK_BENCH_MMDB to a country file to measure it");
        return;
    };
    let (before, start) = (resident(), Instant::now());
    let db = CountryDb::open(path.as_ref()).expect("opens");
    println!(
        "country db  {:>9.1} ms to open, {} bytes of heap, {} KiB more resident",
        start.elapsed().as_secs_f64() * 1e3,
        db.memory(),
        settled().saturating_sub(before),
    );
    let mut random = Random(7);
    let v4: Vec<ClientAddr> = (0..10_000)
        .map(|_| ClientAddr::of_peer(IpAddr::from((random.next() as u32).to_be_bytes())))
        .collect();
    each("country v4", &v4, |addr| db.lookup(addr));
    let v6: Vec<ClientAddr> = (0..10_000)
        .map(|_| {
            let bits = u128::from(random.next()) << 64 >> 3 | 0x2000 << 112;
            ClientAddr::of_peer(IpAddr::from(bits.to_be_bytes()))
        })
        .collect();
    each("country v6", &v6, |addr| db.lookup(addr));
}

/// Prints the mean of the fastest round, and of each input its fastest time, the slowest.
fn each<T, R>(name: &str, inputs: &[T], mut op: impl FnMut(&T) -> R) {
    let rounds = (200_000 / inputs.len()).clamp(5, 2_000);
    let mut fastest_round = Duration::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for input in inputs {
            black_box(op(input));
        }
        fastest_round = fastest_round.min(start.elapsed());
    }
    let mut slowest = Duration::ZERO;
    for input in inputs {
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            black_box(op(input));
            fastest = fastest.min(start.elapsed());
        }
        slowest = slowest.max(fastest);
    }
    let mean = fastest_round.as_nanos() as f64 / inputs.len() as f64;
    println!("{name:<11} {mean:>9.1} ns each, {:>7} ns the slowest", slowest.as_nanos());
}

/// Resident memory once the allocator has had the time to give back what was freed.
fn settled() -> u64 {
    for _ in 0..25 {
        std::thread::sleep(Duration::from_millis(100));
        black_box(vec![0u8; 100_000]);
    }
    resident()
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// xorshift: the same inputs in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 32) as u8).collect()
    }

    fn bait(&mut self) -> Vec<u8> {
        let mut text = String::new();
        while text.len() < 512 {
            let n = (self.next() >> 16) as usize;
            match BAIT.get(n % (BAIT.len() * 3 / 2)) {
                Some(piece) => text.push_str(piece),
                None => text.push(char::from(b' ' + (n >> 8) as u8 % 94)),
            }
        }
        text.truncate(512);
        text.into_bytes()
    }
}
