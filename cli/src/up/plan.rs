//! What each child is started with: pure, from manifests and folders to arguments.

use std::env;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use hushmark_crds::Manifests;
use hushmark_crds::region::{Acknowledgement, PrivacySignals};

use super::child::Start;
use crate::data::{DataFolder, State};

/// Arguments of a child. No secret is ever among them: keys are files.
#[derive(Default)]
pub(super) struct Arguments(Vec<OsString>);

impl Arguments {
    pub(super) fn flag(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

impl From<Arguments> for Vec<OsString> {
    fn from(arguments: Arguments) -> Self {
        arguments.0
    }
}

/// A program on PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|p| p.is_file())
}

/// One of our own programs: where the environment says, or beside this one.
pub(super) fn sibling(name: &str) -> Result<PathBuf> {
    let folder = match env::var_os("HUSHMARK_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let own = env::current_exe().context("cannot tell where this program is")?;
            own.parent().map(PathBuf::from).unwrap_or_default()
        }
    };
    let program = folder.join(name);
    if program.is_file() {
        return Ok(program);
    }
    on_path(name).with_context(|| {
        format!("{} is missing: build it with `cargo build --release`", program.display())
    })
}

/// Where the edge listens: as told, or where the Region's base URL points if that is here.
pub(super) fn listen_address(
    manifests: &Manifests,
    told: Option<SocketAddr>,
) -> Result<SocketAddr> {
    if let Some(told) = told {
        return Ok(told);
    }
    let base = &manifests.region.base_url;
    let ip = match base.host() {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => match host.parse() {
            Ok(ip) => ip,
            Err(_) => bail!(
                "the Region's baseUrl {base} does not name an address of this machine: say with \
                 --listen ADDRESS:PORT where the proxy in front of it finds the edge"
            ),
        },
    };
    Ok(SocketAddr::new(ip, base.port()))
}

/// Redis: a Unix socket alone, every write on disk before it is answered, nothing evicted.
pub(super) fn redis(folder: &DataFolder) -> Result<Start> {
    let program = on_path("redis-server")
        .context("redis-server is not on PATH: `apt-get install redis-server` brings it")?;
    let socket = folder.redis_socket();
    // sockaddr_un holds 108 bytes (unix(7)), and Redis would only say "Invalid argument".
    if socket.as_os_str().len() > 107 {
        bail!("{} is too long for a socket's name: give a shorter --data", socket.display());
    }
    let mut arguments = Arguments::default();
    arguments.flag("--port", "0");
    arguments.flag("--unixsocket", socket);
    arguments.flag("--unixsocketperm", "700");
    arguments.flag("--dir", folder.path("redis"));
    arguments.flag("--appendonly", "yes");
    arguments.flag("--appendfsync", "always");
    arguments.flag("--save", "");
    arguments.flag("--maxmemory", "1gb");
    arguments.flag("--maxmemory-policy", "noeviction");
    Ok(Start { name: "redis", program, arguments: arguments.into() })
}

/// The edge. It gets the batch ring and no salts, and no way to ClickHouse.
pub(super) fn edge(folder: &DataFolder, manifests: &Manifests, state: &State) -> Result<Start> {
    let region = &manifests.region;
    let mut arguments = Arguments::default();
    arguments.flag("--listen", state.edge.trim_start_matches("http://"));
    arguments.flag("--admin", &state.edge_admin);
    arguments.flag("--keys", folder.path("keys"));
    arguments.flag("--ring", folder.path("ring/batch"));
    arguments.flag("--refusal-key", folder.path("refusal.pub"));
    arguments.flag("--redis", folder.redis_url());
    arguments.flag("--lane-log", folder.path("edge"));
    arguments.flag("--metrics-step", region.minimum_group.to_string());
    if let Some(threads) = region.edge_threads {
        arguments.flag("--threads", threads.to_string());
    }
    for proxy in &region.trusted_proxies {
        arguments.flag("--trusted-proxy", proxy);
    }
    if let Some(database) = &region.place_database {
        arguments.flag("--country-db", database);
    }
    if region.acknowledgement == Acknowledgement::Disk {
        arguments.flag("--durability", "disk");
    }
    if region.privacy_signals == PrivacySignals::CountRaw {
        arguments.flag("--privacy-signals", "count-raw");
    }
    Ok(Start { name: "edge", program: sibling("hushmark-edge")?, arguments: arguments.into() })
}

/// The writer. It gets both rings.
pub(super) fn writer(folder: &DataFolder, manifests: &Manifests, state: &State) -> Result<Start> {
    let region = &manifests.region;
    let mut arguments = Arguments::default();
    arguments.flag("--redis", folder.redis_url());
    arguments.flag("--clickhouse", &state.clickhouse);
    if let Some(user) = &state.clickhouse_user {
        arguments.flag("--clickhouse-user", user);
    }
    if let Some(file) = &state.clickhouse_password_file {
        arguments.flag("--clickhouse-password-file", file);
    }
    arguments.flag("--ring", folder.path("ring/batch"));
    arguments.flag("--salts", folder.path("ring/salt"));
    arguments.flag("--admin", &state.writer_admin);
    arguments.flag("--refusal-key", folder.path("refusal.pub"));
    arguments.flag("--state", folder.path("writer"));
    arguments.flag("--epoch-seconds", region.epoch.as_secs().to_string());
    arguments.flag("--minimum-group", region.minimum_group.to_string());
    arguments.flag("--metrics-step", region.minimum_group.to_string());
    Ok(Start { name: "writer", program: sibling("hushmark-writer")?, arguments: arguments.into() })
}
