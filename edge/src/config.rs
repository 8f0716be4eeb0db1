//! The command line and its environment, parsed once into types that cannot be wrong.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// The pixel and redirect server of a Hushmark region.
///
/// Every option can also be given in the environment, as HUSHMARK_EDGE_ and its name.
#[derive(Clone, Debug, Parser)]
#[command(name = "hushmark-edge", version)]
pub struct Config {
    /// Where mail clients connect; port 0 takes a free one
    #[arg(long, env = "HUSHMARK_EDGE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Where /healthz, /readyz and /metrics are; not for the internet
    #[arg(long, env = "HUSHMARK_EDGE_ADMIN", default_value = "127.0.0.1:9080")]
    pub admin: SocketAddr,

    /// Folder of region keys: 1.key, 2.key, …
    #[arg(long, env = "HUSHMARK_EDGE_KEYS", value_name = "DIR")]
    #[arg(required_unless_present = "replay")]
    pub keys: Option<PathBuf>,

    /// Folder of batch day keys, named like 2026-11-21
    #[arg(long, env = "HUSHMARK_EDGE_RING", value_name = "DIR")]
    #[arg(required_unless_present = "replay")]
    pub ring: Option<PathBuf>,

    /// Ed25519 key (32 bytes) that verifies the refusal log's head
    #[arg(long, env = "HUSHMARK_EDGE_REFUSAL_KEY", value_name = "FILE")]
    #[arg(required_unless_present = "replay")]
    pub refusal_key: Option<PathBuf>,

    /// Redis: unix:///path/to/socket, redis://host:port, or rediss://host:port by TLS
    #[arg(long, env = "HUSHMARK_EDGE_REDIS", value_name = "URL")]
    pub redis: RedisUrl,

    /// Redis's ACL user; its default user where none is named
    #[arg(long, env = "HUSHMARK_EDGE_REDIS_USER", value_name = "USER")]
    #[arg(requires = "redis_password_file")]
    pub redis_user: Option<String>,

    /// File that holds Redis's password
    #[arg(long, env = "HUSHMARK_EDGE_REDIS_PASSWORD_FILE", value_name = "FILE")]
    pub redis_password_file: Option<PathBuf>,

    /// Authorities, in PEM, that Redis's certificate is signed by: for rediss:// alone; read again
    /// at each connection, as the two below are
    #[arg(long, env = "HUSHMARK_EDGE_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,

    /// The certificate in PEM that Redis is shown
    #[arg(long, env = "HUSHMARK_EDGE_REDIS_CERTIFICATE", value_name = "FILE")]
    #[arg(requires_all = ["redis_ca", "redis_key"])]
    pub redis_certificate: Option<PathBuf>,

    /// That certificate's key in PEM
    #[arg(long, env = "HUSHMARK_EDGE_REDIS_KEY", value_name = "FILE")]
    #[arg(requires = "redis_certificate")]
    pub redis_key: Option<PathBuf>,

    /// Folder for lane logs, drop counters and the copy of the refusal log
    #[arg(long, env = "HUSHMARK_EDGE_LANE_LOG", value_name = "DIR")]
    pub lane_log: PathBuf,

    /// Bytes that all lane logs of this process may take together
    #[arg(long, env = "HUSHMARK_EDGE_LANE_LOG_MAX_BYTES", default_value_t = 1 << 30)]
    pub lane_log_max_bytes: u64,

    /// What an answer waits for
    #[arg(long, env = "HUSHMARK_EDGE_DURABILITY", default_value = "redis")]
    pub durability: Durability,

    /// Cores to serve on; as many as there are by default
    #[arg(long, env = "HUSHMARK_EDGE_THREADS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// Network of a proxy whose forwarding header is believed; may be repeated
    #[arg(long, env = "HUSHMARK_EDGE_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxy: Vec<String>,

    /// The header in which trusted proxies name the client
    #[arg(long, env = "HUSHMARK_EDGE_FORWARD_HEADER", default_value = "x-forwarded-for")]
    pub forward_header: ForwardHeaderName,

    /// Expect the PROXY protocol's header, version 2, on every connection, and only from a trusted
    /// proxy
    #[arg(long, env = "HUSHMARK_EDGE_PROXY_PROTOCOL", requires = "trusted_proxy")]
    pub proxy_protocol: bool,

    /// Certificates in PEM, the server's own first: with it, clients connect by TLS 1.2 or 1.3,
    /// and HTTP/2 where they can; read again when it changes
    #[arg(long, env = "HUSHMARK_EDGE_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,

    /// The certificate's key in PEM; read again when it changes
    #[arg(long, env = "HUSHMARK_EDGE_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,

    /// mmdb file of countries; without one no place is known
    #[arg(long, env = "HUSHMARK_EDGE_COUNTRY_DB", value_name = "FILE")]
    pub country_db: Option<PathBuf>,

    /// Apple's egress-ip-ranges.csv; without it the user agent alone tells its proxy
    #[arg(long, env = "HUSHMARK_EDGE_RELAY_RANGES", value_name = "FILE")]
    pub relay_ranges: Option<PathBuf>,

    /// What an open with Global Privacy Control or Do Not Track leaves behind
    #[arg(long, env = "HUSHMARK_EDGE_PRIVACY_SIGNALS", default_value = "ignore-open")]
    pub privacy_signals: PrivacySignals,

    /// Open connections at most; more are closed at once
    #[arg(long, env = "HUSHMARK_EDGE_MAX_CONNECTIONS", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub max_connections: u32,

    /// How long a request's head may take, as 10s or 500ms
    #[arg(long, env = "HUSHMARK_EDGE_HEADER_TIMEOUT", default_value = "10s")]
    #[arg(value_parser = duration)]
    pub header_timeout: Duration,

    /// How long a connection may be idle
    #[arg(long, env = "HUSHMARK_EDGE_IDLE_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = duration)]
    pub idle_timeout: Duration,

    /// How long requests in flight and the lane log may take at the end
    #[arg(long, env = "HUSHMARK_EDGE_DRAIN_TIMEOUT", default_value = "20s")]
    #[arg(value_parser = duration)]
    pub drain_timeout: Duration,

    /// Hits that figures of hits move on by, at the least: the minimum group, so that they tell of
    /// nobody alone; 1 for exact ones
    #[arg(long, env = "HUSHMARK_EDGE_METRICS_STEP", value_name = "HITS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub metrics_step: u32,

    /// What its heartbeat calls it: a pod's name; the machine's by default, which a pod's is
    #[arg(long, env = "HUSHMARK_EDGE_NAME", value_name = "POD")]
    pub name: Option<String>,

    /// Replay the lane logs in the folder, say so in Redis, and exit: status 75 while Redis is away
    #[arg(long)]
    pub replay: bool,
}

impl Config {
    /// What its heartbeat calls it.
    #[must_use]
    pub fn name(&self) -> String {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(machine)
    }
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// Redis has the batch, or the lane log where Redis is slow or gone
    Redis,
    /// The lane log has the batch; Redis gets it from there
    Disk,
}

/// What an open with Global Privacy Control or Do Not Track leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrivacySignals {
    /// Nothing but a void
    IgnoreOpen,
    /// A raw count without mark, place, device or client
    CountRaw,
}

/// The header in which trusted proxies name the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForwardHeaderName {
    /// X-Forwarded-For
    XForwardedFor,
    /// Forwarded, RFC 7239
    Forwarded,
}

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisUrl {
    /// A Unix socket on this machine.
    Unix(PathBuf),
    /// A host and port.
    Tcp(String, u16),
    /// A host and port, by TLS.
    Tls(String, u16),
}

/// The text is no place where Redis can be.
#[derive(Debug, thiserror::Error)]
#[error("not understood: expected unix:///path/to/socket, redis://host:port or rediss://host:port")]
pub struct NotARedisUrl;

impl FromStr for RedisUrl {
    type Err = NotARedisUrl;

    fn from_str(text: &str) -> Result<Self, NotARedisUrl> {
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(NotARedisUrl)
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or(NotARedisUrl)?;
        // A password has no place here: it would stand in the process list.
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "6379"));
        let port = port.parse().map_err(|_| NotARedisUrl)?;
        if host.is_empty() || host.contains(['@', '/']) {
            return Err(NotARedisUrl);
        }
        let host = host.trim_matches(['[', ']']).to_owned();
        match scheme {
            "redis" => Ok(Self::Tcp(host, port)),
            "rediss" => Ok(Self::Tls(host, port)),
            _ => Err(NotARedisUrl),
        }
    }
}

impl std::fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix://{}", path.display()),
            Self::Tcp(host, port) => ("redis", host, port),
            Self::Tls(host, port) => ("rediss", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// Reads `10s`, `500ms` or `2m`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a number and a unit, such as 10s, 500ms or 2m";
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?;
    let number: u32 = text[..unit].parse().map_err(|_| EXPECTED)?;
    match &text[unit..] {
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_secs(u64::from(number) * 60)),
        _ => Err(EXPECTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_found_by_socket_or_by_host() {
        for (text, expected) in [
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("redis://cache", "redis://cache:6379"),
            ("redis://127.0.0.1:7000/", "redis://127.0.0.1:7000"),
            ("redis://[::1]:7000", "redis://[::1]:7000"),
            ("rediss://cache", "rediss://cache:6379"),
        ] {
            assert_eq!(text.parse::<RedisUrl>().unwrap().to_string(), expected);
        }
        for text in ["unix://here", "http://x", "redis://", "redis://:pw@host:1", "redis://h:x"] {
            assert!(text.parse::<RedisUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "10", "s", "-1s", "1h", "99999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Config::command().debug_assert();
    }
}
