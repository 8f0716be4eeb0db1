//! A client never chooses its own address, however it writes its headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;

const TRUSTED: &str = "10.0.0.0/8\n2001:db8:aaaa::/48";
const PROXY: &str = "10.0.0.1";

fn proxies(header: ForwardHeader) -> TrustedProxies {
    TrustedProxies::new(Ranges::parse(TRUSTED).expect("networks"), header)
}

fn header_lines(name: &'static str, lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line.as_bytes()).expect("a header value"));
    }
    headers
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The client that is found where the lines of `X-Forwarded-For` come from `peer`.
fn x_forwarded_for(peer: &str, lines: &[&str]) -> Option<IpAddr> {
    let headers = header_lines("x-forwarded-for", lines);
    proxies(ForwardHeader::XForwardedFor).client(ip(peer), &headers).map(|client| client.0)
}

/// As [`x_forwarded_for`], for `Forwarded`.
fn forwarded(peer: &str, lines: &[&str]) -> Option<IpAddr> {
    let headers = header_lines("forwarded", lines);
    proxies(ForwardHeader::Forwarded).client(ip(peer), &headers).map(|client| client.0)
}

#[test]
fn a_stranger_is_who_its_socket_says() {
    assert_eq!(x_forwarded_for("192.0.2.9", &["10.0.0.1, 1.2.3.4"]), Some(ip("192.0.2.9")));
    assert_eq!(forwarded("192.0.2.9", &["for=1.2.3.4"]), Some(ip("192.0.2.9")));
}

#[test]
fn a_trusted_proxy_is_believed_about_its_own_client_only() {
    for (lines, client) in [
        (&["198.51.100.7"][..], "198.51.100.7"),
        (&["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
        (&["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
        (&["1.2.3.4, 198.51.100.7, 10.2.2.2"], "198.51.100.7"),
        (&["1.2.3.4, 198.51.100.7:50123,10.2.2.2:80"], "198.51.100.7"),
        (&["2001:db8::7, 2001:db8:aaaa::1"], "2001:db8::7"),
        (&["[2001:db8::7]:443 , [2001:db8:aaaa::1]"], "2001:db8::7"),
        (&["::ffff:198.51.100.7"], "198.51.100.7"),
        (&["198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7"),
        // Everybody is ours: the one farthest away.
        (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
    ] {
        assert_eq!(x_forwarded_for(PROXY, lines), Some(ip(client)), "{lines:?}");
    }
    assert_eq!(x_forwarded_for(PROXY, &[]), Some(ip(PROXY)), "a proxy's own request");
}

#[test]
fn a_trusted_peer_may_be_spelt_as_ipv6() {
    assert_eq!(x_forwarded_for("::ffff:10.0.0.1", &["198.51.100.7"]), Some(ip("198.51.100.7")));
    assert_eq!(x_forwarded_for("::ffff:192.0.2.9", &["1.2.3.4"]), Some(ip("192.0.2.9")));
}

#[test]
fn an_entry_that_cannot_be_read_leaves_the_client_unknown() {
    for entry in [
        "unknown",
        "",
        ",",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:999999",
        "[2001:db8::1",
        "[2001:db8::1]80",
        "[1.2.3.4]",
        "fe80::1%eth0",
        "_hidden",
        "\"1.2.3.4\"",
        "1.2.3.4 5.6.7.8",
        "\u{e9}",
        "for=1.2.3.4",
    ] {
        assert_eq!(x_forwarded_for(PROXY, &["6.6.6.6", entry]), None, "{entry:?}");
    }
    let long = format!("{}1.2.3.4", " ".repeat(3) + &"0".repeat(60));
    assert_eq!(x_forwarded_for(PROXY, &[&long]), None);
}

#[test]
fn a_chain_of_too_many_proxies_has_no_client() {
    let chain = |proxies: usize| format!("198.51.100.7{}", ", 10.0.0.2".repeat(proxies));
    assert_eq!(x_forwarded_for(PROXY, &[&chain(HOPS_CAP - 1)]), Some(ip("198.51.100.7")));
    assert_eq!(x_forwarded_for(PROXY, &[&chain(HOPS_CAP)]), None);
    // A client that sends a long list itself gains nothing: its own address stands on the right.
    let flood = format!("{}, 198.51.100.7", chain(10_000));
    assert_eq!(x_forwarded_for(PROXY, &[&flood]), Some(ip("198.51.100.7")));
}

#[test]
fn the_other_header_is_not_read() {
    let mut headers = header_lines("x-forwarded-for", &["198.51.100.7"]);
    headers.append("forwarded", HeaderValue::from_static("for=6.6.6.6"));
    for (header, client) in
        [(ForwardHeader::XForwardedFor, "198.51.100.7"), (ForwardHeader::Forwarded, "6.6.6.6")]
    {
        let found = proxies(header).client(ip(PROXY), &headers).map(|client| client.0);
        assert_eq!(found, Some(ip(client)));
    }
}

#[test]
fn rfc_7239_is_read_as_its_examples_write_it() {
    for (lines, client) in [
        (&["for=192.0.2.60;proto=http;by=203.0.113.43"][..], Some("192.0.2.60")),
        (&["For=\"[2001:db8:cafe::17]:4711\""], Some("2001:db8:cafe::17")),
        (&["for=192.0.2.43, for=198.51.100.17"], Some("198.51.100.17")),
        (&["for=192.0.2.43", "for=198.51.100.17;by=10.0.0.1"], Some("198.51.100.17")),
        (&["for=198.51.100.17, for=\"10.0.0.3:80\";by=_p"], Some("198.51.100.17")),
        (&["for=\"198.51.100.17:_port\""], Some("198.51.100.17")),
        (&["proto=https ; for=198.51.100.17 ;"], Some("198.51.100.17")),
        (&["for=198.51.100.17;host=\"a, for=6.6.6.6\""], Some("198.51.100.17")),
        (&["for=198.51.100.17;host=\"a\\\", for=6.6.6.6\""], Some("198.51.100.17")),
        (&["for=6.6.6.6, for=unknown"], None),
        (&["for=\"_gazonk\""], None),
        (&["for=_SEVKISEK"], None),
        (&["proto=https"], None),
        (&["for=1.2.3.4;for=5.6.7.8"], None),
        (&["for=\"1.2.3.4\"x"], None),
        (&["for=\"1.2.3.4"], None),
        (&["for=1.2.3.4\""], None),
        (&["for"], None),
        (&[""], None),
    ] {
        assert_eq!(forwarded(PROXY, lines), client.map(ip), "{lines:?}");
    }
}

#[test]
fn a_quote_left_open_by_the_client_does_not_swallow_the_proxys_word() {
    for sent in ["for=\"6.6.6.6", "for=6.6.6.6;x=\"", "x=\"\\", "\"", "for=\"6.6.6.6\\"] {
        let line = format!("{sent}, for=198.51.100.7");
        assert_eq!(forwarded(PROXY, &[&line]), Some(ip("198.51.100.7")), "{sent}");
    }
}

/// What a client may send: bytes of any kind, and lists that look right.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "for=",
        "6.6.6.6",
        "10.0.0.1",
        "\"",
        "\\",
        ",",
        ";",
        " ",
        "[",
        "]",
        ":80",
        "::1",
        "unknown",
        "by=",
        "2001:db8::6",
        "host=",
        "\"[2001:db8::6]\"",
        "_x",
        "for=6.6.6.6",
        ", ",
        "\\\"",
    ]);
    prop_oneof![
        prop::collection::vec(words, 0..12).prop_map(|words| words.concat().into_bytes()),
        prop::collection::vec(prop_oneof![Just(b'\t'), 32u8..127, 128u8..=255], 0..80),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
    ]
}

/// How trusted proxies write the address of whoever spoke to them.
fn added(header: ForwardHeader, from: IpAddr) -> String {
    match (header, from) {
        (ForwardHeader::XForwardedFor, from) => from.to_string(),
        (ForwardHeader::Forwarded, IpAddr::V4(from)) => format!("for={from};proto=https"),
        (ForwardHeader::Forwarded, IpAddr::V6(from)) => format!("by=_e;for=\"[{from}]:443\""),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_client_is_found_whatever_it_sent(
        client in address(),
        lines in prop::collection::vec(sent(), 0..4),
        hops in 0usize..4,
        same_line: bool,
        which: bool,
    ) {
        let header = if which { ForwardHeader::Forwarded } else { ForwardHeader::XForwardedFor };
        let proxies = proxies(header);
        let truth = ClientAddr::of_peer(client);
        prop_assume!(!proxies.proxies.contains(&truth));
        let mut lines = lines;
        let mut from = client;
        for hop in 0..hops {
            let word = added(header, from).into_bytes();
            match lines.last_mut() {
                Some(line) if same_line => {
                    line.extend_from_slice(b", ");
                    line.extend_from_slice(&word);
                }
                _ => lines.push(word),
            }
            from = IpAddr::V4(Ipv4Addr::new(10, 0, 0, hop as u8 + 1));
        }
        let mut headers = HeaderMap::new();
        for line in &lines {
            headers.append(proxies.name(), HeaderValue::from_bytes(line).expect("a value"));
        }
        let found = proxies.client(from, &headers);
        prop_assert!(found == Some(truth));
    }

    #[test]
    fn no_header_makes_it_fail(
        lines in prop::collection::vec(sent(), 0..6),
        which: bool,
    ) {
        let header = if which { ForwardHeader::Forwarded } else { ForwardHeader::XForwardedFor };
        let proxies = proxies(header);
        let mut headers = HeaderMap::new();
        for line in &lines {
            headers.append(proxies.name(), HeaderValue::from_bytes(line).expect("a value"));
        }
        drop(proxies.client(ip(PROXY), &headers));
    }
}
