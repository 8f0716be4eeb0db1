//! One end of a hop: what a component shows a store by TLS, and trusts of it.

use serde_json::Value;

use super::pod::{mount_to_read, secret_volume};
use crate::region::validate::{Store, ValidatedRegion};

/// The entries of a Secret, as files of the same names.
const CA: (&str, &str) = ("ca.crt", "ca.crt");
const CERTIFICATE: (&str, &str) = ("tls.crt", "tls.crt");
const KEY: (&str, &str) = ("tls.key", "tls.key");

/// A store, and the options that every client has for it.
#[derive(Clone, Copy)]
pub(super) enum To {
    Redis,
    Clickhouse,
}

impl To {
    const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Clickhouse => "clickhouse",
        }
    }

    const fn options(self) -> [&'static str; 3] {
        match self {
            Self::Redis => ["--redis-ca", "--redis-certificate", "--redis-key"],
            Self::Clickhouse => ["--clickhouse-ca", "--clickhouse-certificate", "--clickhouse-key"],
        }
    }
}

/// What a component connects with.
pub(super) struct Hop {
    to: To,
    secret: String,
    has_own: bool,
}

impl Hop {
    /// How a component reaches a store by TLS; a store outside may be one without.
    pub(super) fn new(region: &ValidatedRegion, component: &str, to: To) -> Option<Self> {
        let at = match to {
            To::Redis => &region.redis,
            To::Clickhouse => &region.clickhouse,
        };
        match at {
            Store::Managed => {
                Some(Self { to, secret: region.named(&format!("{component}-tls")), has_own: true })
            }
            Store::External(at) => {
                let secret = at.secret.clone();
                at.tls.map(|tls| Self { to, secret, has_own: tls.has_own })
            }
        }
    }

    fn folder(&self) -> String {
        format!("/etc/hushmark/{}-tls", self.to.name())
    }

    /// Options and the files that they name.
    pub(super) fn arguments(&self) -> Vec<(&'static str, String)> {
        let [ca, certificate, key] = self.to.options();
        let file = |(_, name): (&str, &str)| format!("{}/{name}", self.folder());
        let mut arguments = vec![(ca, file(CA))];
        if self.has_own {
            arguments.extend([(certificate, file(CERTIFICATE)), (key, file(KEY))]);
        }
        arguments
    }

    /// Its volume, and where that is mounted: as a whole, so that renewed files show.
    pub(super) fn files(&self) -> (Value, Value) {
        let name = format!("{}-tls", self.to.name());
        let entries: &[_] = if self.has_own { &[CA, CERTIFICATE, KEY] } else { &[CA] };
        (secret_volume(&name, &self.secret, entries), mount_to_read(&name, &self.folder()))
    }
}

/// Where a server's own certificate is in its pod.
pub(super) const SERVER: &str = "/etc/hushmark/tls";

/// A server's own certificate: volume and mount.
pub(super) fn server(region: &ValidatedRegion, component: &str) -> (Value, Value) {
    let secret = region.named(&format!("{component}-tls"));
    (secret_volume("tls", &secret, &[CA, CERTIFICATE, KEY]), mount_to_read("tls", SERVER))
}
