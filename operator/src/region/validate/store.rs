//! Stores that run already: read from their Secrets, and held against `egress[]`. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use hushmark_crds::{Region, region};
use hushmark_hop::Pem;
use k8s_openapi::api::core::v1::Secret;
use url::Url;

use super::Problem;
use crate::config::Config;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// Run here.
    Managed,
    /// It runs already.
    External(External),
}

/// A store that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// How it is reached; never with a password.
    pub url: String,
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Who asks.
    pub user: Option<String>,
    /// The Secret that says all this.
    pub secret: String,
    /// Whether it holds a password.
    pub has_password: bool,
    /// What it holds for TLS, where the url asks for that.
    pub tls: Option<ExternalTls>,
}

/// TLS to a store that runs already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalTls {
    /// Whether there is a certificate to show.
    pub has_own: bool,
}

impl External {
    /// The one replica of a ClickHouseCluster, by the name that its operator gives it. Any Service
    /// in front would choose for each connection anew.
    pub(super) fn of_cluster(config: &Config) -> Self {
        let Config { name, namespace, .. } = config;
        let host = format!("{name}-clickhouse-0-0-0.{name}-clickhouse-headless.{namespace}.svc");
        Self {
            url: format!("http://{host}:8123"),
            host: Host::Cluster(host),
            port: 8123,
            user: Some("default".into()),
            secret: format!("{name}-clickhouse-auth"),
            has_password: true,
            tls: None,
        }
    }
}

/// Where a host is, as far as its name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A Service of this cluster.
    Cluster(String),
    /// One address outside.
    Address(IpAddr),
    /// A name outside, which a NetworkPolicy cannot express.
    Name(String),
}

impl Host {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim_matches(['[', ']']);
        if let Ok(address) = text.parse() {
            return Self::Address(address);
        }
        // `service.namespace` could be a name of the internet as well, so it counts as one.
        let inside =
            !text.contains('.') || text.ends_with(".svc") || text.ends_with(".svc.cluster.local");
        if inside { Self::Cluster(text.to_owned()) } else { Self::Name(text.to_owned()) }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(name) | Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Store {
    /// Where a Region has one of its stores.
    pub(in crate::region) fn read(
        region: &Region,
        what: StoreKind,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Self, Problem> {
        match what.external(region) {
            Some(external) => what.read(&external.secret, secrets).map(Self::External),
            None => Ok(Self::Managed),
        }
    }

    /// Where Redis is, if this is Redis.
    pub(in crate::region) fn redis_url(&self, config: &Config) -> String {
        match self {
            Self::Managed => format!("rediss://{}:6379", config.service("redis")),
            Self::External(external) => external.url.clone(),
        }
    }
}

/// Which of the two stores.
#[derive(Clone, Copy)]
pub(in crate::region) enum StoreKind {
    Redis,
    Clickhouse,
}

impl StoreKind {
    const fn field(self) -> &'static str {
        match self {
            Self::Redis => "spec.redis.external",
            Self::Clickhouse => "spec.clickhouse.external",
        }
    }

    /// What a Region says of one that runs already.
    pub(super) fn external(self, region: &Region) -> Option<&region::External> {
        let spec = &region.spec;
        match self {
            Self::Redis => spec.redis.as_ref()?.external.as_ref(),
            Self::Clickhouse => spec.clickhouse.as_ref()?.external.as_ref(),
        }
    }

    /// The schemes of its URLs, plain and by TLS.
    const fn schemes(self) -> [&'static str; 2] {
        match self {
            Self::Redis => ["redis", "rediss"],
            Self::Clickhouse => ["http", "https"],
        }
    }

    const fn port(self, by_tls: bool) -> u16 {
        match (self, by_tls) {
            (Self::Redis, _) => 6379,
            (Self::Clickhouse, false) => 80,
            (Self::Clickhouse, true) => 443,
        }
    }

    /// Reads the Secret of an external store.
    fn read(self, name: &str, secrets: &BTreeMap<String, Secret>) -> Result<External, Problem> {
        let field = self.field();
        let wrong = |what: String| Problem {
            reason: "ExternalSecret",
            message: format!("{field}: the Secret {name} {what}"),
        };
        let secret = secrets.get(name).ok_or_else(|| {
            wrong("is not in the release's namespace: make it, with url, user and password".into())
        })?;
        let entry = |key: &str| -> Result<Option<String>, Problem> {
            let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else {
                return Ok(None);
            };
            let text = std::str::from_utf8(&bytes.0)
                .map_err(|_| wrong(format!("has a {key} that is no text")))?;
            Ok(Some(text.trim_end().to_owned()).filter(|text| !text.is_empty()))
        };
        let [plain, secure] = self.schemes();
        let url = entry("url")?
            .ok_or_else(|| wrong(format!("has no url: add one like {secure}://host:port")))?;
        let parsed = Url::parse(&url).map_err(|e| wrong(format!("has a url that is none: {e}")))?;
        if ![plain, secure].contains(&parsed.scheme()) {
            return Err(wrong(format!(
                "has a url that begins with {}://: it has to be {secure}://, or {plain}:// without \
                 TLS",
                parsed.scheme()
            )));
        }
        let names_one = |(key, _): (Cow<'_, str>, _)| matches!(&*key, "user" | "password");
        if !parsed.username().is_empty()
            || parsed.password().is_some()
            || parsed.query_pairs().any(names_one)
        {
            let what = "has a user or password in its url: give them as user and password, because \
                        a url stands in the process list";
            return Err(wrong(what.into()));
        }
        if matches!(self, Self::Redis) && (parsed.path().len() > 1 || parsed.query().is_some()) {
            let what = "has a url with more than a host and a port: give redis://host:port alone; \
                        database 0 of a Redis of its own is what is used";
            return Err(wrong(what.into()));
        }
        let host = parsed.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("has a url without a host".into()))?;
        let by_tls = parsed.scheme() == secure;
        let certificates = certificates(secret).map_err(&wrong)?;
        let tls = match (by_tls, certificates) {
            (true, None) => {
                return Err(wrong(format!(
                    "has a url that begins with {secure}:// and no ca.crt: add the authorities that \
                     signed the store's certificate, in PEM"
                )));
            }
            (false, Some(_)) => {
                return Err(wrong(format!(
                    "has a ca.crt and a url that begins with {plain}://: certificates are for \
                     {secure}:// alone, so change the url, or take ca.crt, tls.crt and tls.key away"
                )));
            }
            (_, tls) => tls,
        };
        Ok(External {
            host: Host::parse(host),
            port: parsed.port().unwrap_or(self.port(by_tls)),
            user: entry("user")?,
            secret: name.to_owned(),
            has_password: entry("password")?.is_some(),
            tls,
            url,
        })
    }
}

/// What a Secret holds for TLS; `Err` says what is missing or cannot be used.
fn certificates(secret: &Secret) -> Result<Option<ExternalTls>, String> {
    let entry = |name: &str| {
        let bytes = &secret.data.as_ref()?.get(name)?.0;
        (!bytes.is_empty()).then(|| (format!("its {name}"), bytes.clone()))
    };
    let own = match (entry("tls.crt"), entry("tls.key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err("has a tls.crt and no tls.key: add its key, in PEM".into()),
        (None, Some(_)) => {
            return Err("has a tls.key and no tls.crt: add its certificate, in PEM".into());
        }
    };
    let has_own = own.is_some();
    match entry("ca.crt") {
        None if has_own => {
            Err("has a tls.crt and no ca.crt: add the authorities that signed the store's \
                 certificate, in PEM"
                .into())
        }
        None => Ok(None),
        Some(ca) => Pem::parse(ca, own)
            .and_then(|pem| pem.client())
            .map(|_| Some(ExternalTls { has_own }))
            .map_err(|error| format!("cannot be used for TLS: {error}")),
    }
}

/// Stores of which it is not known where they are: in this cluster, and no entry of `egress[]`
/// says where.
pub(super) fn unplaced(region: &Region, stores: [&Store; 2]) -> Vec<String> {
    let is_unplaced = |external: &&External| {
        matches!(external.host, Host::Cluster(_)) && !is_declared(region, external)
    };
    let external = stores.into_iter().filter_map(|store| match store {
        Store::External(external) => Some(external),
        Store::Managed => None,
    });
    external.filter(is_unplaced).map(|external| external.host.to_string()).collect()
}

fn is_declared(region: &Region, external: &External) -> bool {
    let with_port = format!("{}:{}", external.host, external.port);
    let bare = external.host.to_string();
    region.spec.egress.iter().any(|egress| egress.host == bare || egress.host == with_port)
}

/// No connection leaves but to `egress[]`, and that holds for stores, too.
pub(in crate::region) fn undeclared(
    region: &Region,
    store: &Store,
    what: StoreKind,
) -> Option<Problem> {
    let Store::External(external) = store else { return None };
    let stays = match &external.host {
        Host::Cluster(_) => true,
        // A pod's own loopback leaves no pod.
        Host::Address(address) => address.is_loopback(),
        Host::Name(_) => false,
    };
    if stays || is_declared(region, external) {
        return None;
    }
    let message = format!(
        "{}: {}:{} is outside this cluster and spec.egress does not name it: add it there with its \
         purpose and jurisdiction",
        what.field(),
        external.host,
        external.port
    );
    Some(Problem { reason: "ExternalNotInEgress", message })
}

/// Hosts of `egress[]` that no store is at.
pub(super) fn unused(region: &Region, stores: [&Store; 2]) -> Vec<String> {
    let used = |host: &str| {
        stores.iter().any(|store| match store {
            Store::Managed => false,
            Store::External(external) => {
                host == external.host.to_string()
                    || host == format!("{}:{}", external.host, external.port)
            }
        })
    };
    region.spec.egress.iter().map(|e| e.host.clone()).filter(|host| !used(host)).collect()
}
