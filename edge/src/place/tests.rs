//! Countries are those of the file, and a file that is not whole is refused.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

fn addr(text: &str) -> ClientAddr {
    ClientAddr::of_peer(text.parse().expect("an address"))
}

fn refusal(path: &Path) -> String {
    let error = CountryDb::open(path).err().expect("refused");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}").replace(&path.display().to_string(), "FILE")
}

#[test]
fn maxminds_layout_is_read() {
    let db = CountryDb::open(&data("GeoLite2-Country-Test.mmdb")).expect("opens");
    for (ip, country) in [
        ("2.125.160.216", Some(*b"GB")),
        ("::ffff:2.125.160.216", Some(*b"GB")),
        ("89.160.20.128", Some(*b"SE")),
        ("2001:218::1", Some(*b"JP")),
        ("127.0.0.1", None),
        ("::1", None),
    ] {
        assert_eq!(db.lookup(&addr(ip)), country, "{ip}");
    }
}

#[test]
fn every_address_of_the_file_has_the_files_country() {
    let path = data("GeoLite2-Country-Test.mmdb");
    let db = CountryDb::open(&path).expect("opens");
    let reader = Reader::open_readfile(&path).expect("opens");
    let mut looked_up = 0;
    for found in reader.networks(maxminddb::WithinOptions::default()).expect("networks") {
        let network = found.expect("whole").network().expect("a network");
        // Finer than the table: the first network of its 64 bits counts.
        if network.is_ipv6() && network.prefix() > 64 {
            continue;
        }
        for ip in [network.network(), network.broadcast()] {
            let there = reader.lookup(ip).expect("whole");
            let country = country_of(&there).expect("whole");
            assert!(db.lookup(&ClientAddr::of_peer(ip)) == country, "{network}");
            looked_up += 1;
        }
    }
    assert!(looked_up > 300, "{looked_up}");
}

#[test]
fn a_file_that_is_no_country_database_is_refused_with_the_reason() {
    assert_eq!(
        refusal(Path::new("/nowhere/there.mmdb")),
        "country database FILE: cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(
        refusal(&data("GeoIP2-Connection-Type-Test.mmdb")),
        "country database FILE: of type \"GeoIP2-Connection-Type\", and no record in it holds a \
         country: "
    );
    let damaged = refusal(&data("MaxMind-DB-test-broken-search-tree-24.mmdb"));
    assert!(damaged.starts_with("country database FILE: no whole mmdb file"), "{damaged}");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = std::fs::read(data("GeoLite2-Country-Test.mmdb")).expect("reads");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.mmdb");
    for keep in (0..whole.len()).step_by(997).chain([whole.len() / 2]) {
        // Cut at the front, the index no longer fits the data; at the end, the description is gone.
        for part in [&whole[..keep], &whole[whole.len() - keep..]] {
            std::fs::write(&path, part).expect("writes");
            assert!(CountryDb::open(&path).is_err(), "{keep} bytes");
        }
    }
}

/// The smallest mmdb writer that will do: IPv4, records of 24 bits, ip-location-db's layout.
/// <https://maxmind.github.io/MaxMind-DB/>
fn mmdb(countries: &BTreeMap<(u32, u8), Country>) -> Vec<u8> {
    #[derive(Clone, Copy)]
    enum Leaf {
        Node(usize),
        Data(usize),
        Nothing,
    }
    let text = |text: &str| [&[0x40 | text.len() as u8], text.as_bytes()].concat();
    let mut nodes = vec![[Leaf::Nothing; 2]];
    let mut data = Vec::new();
    for (&(ip, prefix), country) in countries {
        let mut node = 0;
        for depth in 0..prefix {
            let side = (ip >> (31 - depth)) as usize & 1;
            if depth + 1 == prefix {
                nodes[node][side] = Leaf::Data(data.len());
            } else if let Leaf::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([nodes[node][side]; 2]);
                nodes[node][side] = Leaf::Node(nodes.len() - 1);
                node = nodes.len() - 1;
            }
        }
        data.extend([&[0xe1][..], &text("country_code"), &[0x42], country].concat());
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for leaf in nodes.iter().flatten() {
        let record = match *leaf {
            Leaf::Node(node) => node,
            Leaf::Data(offset) => count + 16 + offset,
            Leaf::Nothing => count,
        };
        file.extend_from_slice(&(record as u32).to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com\xe9");
    let number = |n: usize| [&[0xc4][..], &(n as u32).to_be_bytes()].concat();
    let short = |n: u8| vec![0xa1, n];
    for (name, value) in [
        ("node_count", number(count)),
        ("record_size", short(24)),
        ("ip_version", short(4)),
        ("database_type", text("Test")),
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", vec![0xa0]),
        ("build_epoch", vec![0x01, 0x02, 9]),
        ("languages", vec![0x00, 0x04]),
        ("description", vec![0xe0]),
    ] {
        file.extend(text(name));
        file.extend(value);
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_table_says_what_the_file_says(
        networks in prop::collection::btree_map(
            (any::<u32>(), 1u8..=32),
            prop::sample::select(vec![*b"DE", *b"FR", *b"US", *b"fr"]),
            1..30,
        ),
        strangers in prop::collection::vec(any::<u32>(), 20),
    ) {
        let networks: BTreeMap<(u32, u8), Country> = networks
            .into_iter()
            .map(|((ip, prefix), country)| ((ip & (u32::MAX << (32 - prefix)), prefix), country))
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.mmdb");
        std::fs::write(&path, mmdb(&networks)).expect("writes");
        let db = CountryDb::open(&path).expect("opens");
        let reader = Reader::open_readfile(&path).expect("opens");
        let edges = networks.keys().flat_map(|&(ip, prefix)| {
            let last = ip | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            [ip, last, last.wrapping_add(1), ip.wrapping_sub(1)]
        });
        for ip in edges.chain(strangers) {
            let ip = IpAddr::V4(Ipv4Addr::from_bits(ip));
            let there = country_of(&reader.lookup(ip).expect("whole")).expect("whole");
            prop_assert!(db.lookup(&ClientAddr::of_peer(ip)) == there, "{}", ip);
        }
    }
}
