//! A set of addresses, given as networks: trusted proxies, or Apple's Private Relay.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use thiserror::Error;

use super::ClientAddr;

/// Disjoint, sorted ranges of addresses, 8 bytes each for IPv4 and 32 for IPv6. Neighbours are
/// joined: Apple's published list is hundreds of thousands of networks, many side by side.
#[derive(Clone, Default)]
pub struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Why a list of networks was refused.
#[derive(Debug, Error)]
#[error("line {line}: `{text}` is no network such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1")]
pub struct RangesError {
    /// The line, from 1 on.
    pub line: usize,
    /// What stands there, cut after 64 characters.
    pub text: String,
}

impl Ranges {
    /// Reads one network or address a line: the first field before a comma, so that Apple's
    /// `egress-ip-ranges.csv` can be used as it is. Empty lines and `#` comments are skipped.
    ///
    /// # Errors
    ///
    /// The first line that is none of these.
    pub fn parse(text: &str) -> Result<Self, RangesError> {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let field = line.split([',', '#']).next().unwrap_or_default().trim();
            if field.is_empty() {
                continue;
            }
            let network = network(field).ok_or_else(|| RangesError {
                line: number + 1,
                text: field.chars().take(64).collect(),
            })?;
            match network {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Ok(Self { v4: joined(v4, u32::checked_add), v6: joined(v6, u128::checked_add) })
    }

    /// Whether no address at all is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, addr: &ClientAddr) -> bool {
        match addr.ip() {
            IpAddr::V4(ip) => holds(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => holds(&self.v6, ip.to_bits()),
        }
    }
}

/// A network, or an address as a network of one. IPv4 written as IPv6 is IPv4.
fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let IpNet::V6(v6) = network else { return Some(network) };
    match (mapped(v6.network()), v6.prefix_len().checked_sub(96)) {
        (Some(ip), Some(prefix)) => IpNet::new(ip, prefix).ok(),
        _ => Some(network),
    }
}

fn mapped(ip: Ipv6Addr) -> Option<IpAddr> {
    ip.to_ipv4_mapped().map(IpAddr::V4)
}

/// Sorted, with overlapping and neighbouring ranges made one.
fn joined<T: Copy + Ord + From<u8>>(
    mut ranges: Vec<(T, T)>,
    add: fn(T, T) -> Option<T>,
) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut joined: Vec<(T, T)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if add(*end, T::from(1)).is_none_or(|next| first <= next) => {
                *end = last.max(*end);
            }
            _ => joined.push((first, last)),
        }
    }
    joined.shrink_to_fit();
    joined
}

fn holds<T: Copy + Ord>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= ip);
    after > 0 && ip <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(text: &str) -> ClientAddr {
        ClientAddr::of_peer(text.parse().expect("an address"))
    }

    #[test]
    fn networks_addresses_comments_and_apples_csv_are_read() {
        let ranges = Ranges::parse(
            "# ours\n10.0.0.0/8\n\n192.0.2.1 # one\n172.224.226.0/27,GB,GB-EN,London,\n\
             2a02:26f7:b3c0:4000::/64,US,US-CA,LOSANGELES,\n::ffff:198.51.100.0/120\n",
        )
        .expect("read");
        for inside in
            ["10.255.0.1", "192.0.2.1", "172.224.226.31", "2a02:26f7:b3c0:4000::9", "198.51.100.7"]
        {
            assert!(ranges.contains(&addr(inside)), "{inside}");
        }
        for outside in ["11.0.0.0", "192.0.2.2", "172.224.226.32", "2a02:26f7:b3c0:4001::"] {
            assert!(!ranges.contains(&addr(outside)), "{outside}");
        }
        assert!(ranges.contains(&addr("::ffff:10.1.2.3")), "the same address spelt otherwise");
    }

    #[test]
    fn a_line_that_is_no_network_is_named() {
        let error = Ranges::parse("10.0.0.0/8\n10.0.0.0/33").err().expect("refused");
        assert_eq!(
            error.to_string(),
            "line 2: `10.0.0.0/33` is no network such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1"
        );
    }

    #[test]
    fn the_whole_address_space_is_one_range() {
        let all = Ranges::parse("0.0.0.0/1\n128.0.0.0/1\n::/0\n2001:db8::/32").expect("read");
        assert_eq!((all.v4.len(), all.v6.len()), (1, 1));
        assert!(all.contains(&addr("255.255.255.255")) && all.contains(&addr("ffff::")));
    }

    proptest! {
        #[test]
        fn joining_changes_no_answer(
            nets in prop::collection::vec((any::<u32>(), 0u8..=32), 0..30),
            near in any::<prop::sample::Index>(),
            step in -2i64..=2,
        ) {
            let nets: Vec<ipnet::Ipv4Net> = nets
                .into_iter()
                .map(|(ip, len)| ipnet::Ipv4Net::new(ip.into(), len).expect("a prefix"))
                .collect();
            let text: String = nets.iter().map(|net| format!("{net}\n")).collect();
            let ranges = Ranges::parse(&text).expect("read");
            // Edges are where a set goes wrong: look right beside them.
            let edges: Vec<u32> = nets
                .iter()
                .flat_map(|net| [net.network().to_bits(), net.broadcast().to_bits()])
                .chain([0])
                .collect();
            let ip = (i64::from(*near.get(&edges)) + step).rem_euclid(1 << 32) as u32;
            let ip = std::net::Ipv4Addr::from_bits(ip);
            prop_assert_eq!(
                ranges.contains(&ClientAddr::of_peer(ip.into())),
                nets.iter().any(|net| net.contains(&ip))
            );
        }
    }
}
