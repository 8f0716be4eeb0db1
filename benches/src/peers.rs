//! The servers that ours is held against, each answering every path with a pixel.

mod nginx;

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use hushmark_tests::ports;
use hushmark_tests::process::Process;
use hushmark_tests::tools::Tools;
use rustix::process::Signal;

use crate::fresh::Pair;
use crate::load::Asks;
use crate::pinned;
use crate::rounds::Contender;

/// Somebody else's server: where it listens, and the programs that answer for it.
pub struct Peer {
    name: &'static str,
    address: SocketAddr,
    server: Process,
    store: Option<Process>,
}

impl Peer {
    /// Where it takes requests.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it take its turn.
    #[must_use]
    pub fn contender<'a>(&'a self, load: &'a dyn Asks) -> Contender<'a> {
        Contender {
            name: self.name,
            address: self.address,
            server: &self.server,
            store: self.store.as_ref(),
            load,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // nginx's workers outlive a master that is killed, so it is asked to end.
        if self.server.signal(Signal::TERM).is_ok() {
            drop(self.server.wait_for_end(GOOD_BYE));
        }
    }
}

/// How long a peer may take to end before it is killed.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// The measure of all others.
///
/// # Errors
/// When it was not built or does not start.
pub fn bare_hyper(tools: &Tools, folder: &Path) -> Result<Peer> {
    let address = ports::free()?;
    let program = tools.program("bare-hyper")?;
    let server = pinned::start("bare-hyper", program, vec![address.to_string()], folder)?;
    pinned::wait_until_open(&server, || pinned::takes_connections(address))?;
    Ok(Peer { name: "bare hyper", address, server, store: None })
}

/// nginx in three settings, and nginx with one XADD a request.
///
/// # Errors
/// When a program is missing or does not start.
pub fn others(folder: &Path) -> Result<Vec<Peer>> {
    let mut all = Vec::new();
    for (name, log) in [
        ("nginx, no log", "off"),
        ("nginx, log buffered", "access.log combined buffer=64k flush=1s"),
        ("nginx, log unbuffered", "access.log combined"),
    ] {
        all.push(nginx::empty_gif(name, log, folder)?);
    }
    all.push(nginx::xadd("nginx-lua, an XADD a request", folder)?);
    Ok(all)
}

/// nginx's own pixel by TLS 1.3, its log off.
///
/// # Errors
/// When nginx is missing or does not start.
pub fn nginx_by_tls(name: &'static str, pair: &Pair, folder: &Path) -> Result<Peer> {
    nginx::by_tls(name, pair, folder)
}

/// A Redis on the servers' core, reached by a Unix socket, with an append-only file.
///
/// # Errors
/// When redis-server is missing or does not start.
pub fn redis(folder: &Path, fsync: &str) -> Result<(Process, PathBuf)> {
    let socket = folder.join("redis.sock");
    let path = socket.to_str().context("the folder's path is not UTF-8")?;
    let args = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "yes"];
    let mut args: Vec<String> = args.map(String::from).into();
    args.extend(["--appendfsync", fsync, "--dir"].map(String::from));
    args.push(folder.display().to_string());
    let redis = pinned::start("redis", "redis-server".into(), args, folder)?;
    pinned::wait_until_open(&redis, || UnixStream::connect(&socket).is_ok())?;
    Ok((redis, socket))
}
