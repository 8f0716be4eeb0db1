//! nginx as Debian ships it, one worker, each in a folder of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use hushmark_tests::ports;
use hushmark_tests::process::Process;

use super::{Peer, redis};
use crate::fresh::Pair;
use crate::pinned;

const CONFIGURATION: &str = include_str!("../../nginx/peer.conf");
const XADD: &str = include_str!("../../nginx/xadd.lua");
const PROGRAM: &str = "/usr/sbin/nginx";

/// Modules are loaded from where Debian's packages put them.
const LUA_MODULES: &str = "load_module /usr/lib/nginx/modules/ndk_http_module.so;\n\
    load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;";

/// nginx's own pixel.
pub(super) fn empty_gif(name: &'static str, log: &str, folder: &Path) -> Result<Peer> {
    let folder = folder.join(name.replace(", ", "-").replace(' ', "-"));
    let (address, server) = start(&folder, "", log, "", "empty_gif;")?;
    Ok(Peer { name, address, server, store: None })
}

/// The same by TLS 1.3, with one ticket a connection that it does not have to remember.
pub(super) fn by_tls(name: &'static str, pair: &Pair, folder: &Path) -> Result<Peer> {
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    let tls = format!(
        "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; \
         ssl_session_cache off; ssl_session_tickets on; \
         ssl_conf_command NumTickets 1;"
    );
    let (address, server) =
        start(&folder.join(name.replace([',', ' '], "-")), "", "off", &tls, "empty_gif;")?;
    Ok(Peer { name, address, server, store: None })
}

/// A pixel that is answered when Redis has the hit.
pub(super) fn xadd(name: &'static str, folder: &Path) -> Result<Peer> {
    let folder = folder.join("nginx-lua");
    fs::create_dir_all(&folder)?;
    let (store, socket) = redis(&folder, "everysec")?;
    // A worker of root's nginx is another user.
    fs::write(folder.join("xadd.lua"), XADD.replace("@SOCKET@", &socket.display().to_string()))?;
    let location = format!("content_by_lua_file {}/xadd.lua;", folder.display());
    let (address, server) = start(&folder, LUA_MODULES, "off", "", &location)?;
    Ok(Peer { name, address, server, store: Some(store) })
}

fn start(
    folder: &Path,
    modules: &str,
    log: &str,
    tls: &str,
    location: &str,
) -> Result<(SocketAddr, Process)> {
    fs::create_dir_all(folder)?;
    let address = ports::free()?;
    // Root's nginx gives its workers to another user, who cannot reach this folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let configuration = CONFIGURATION
        .replace("@MODULES@", modules)
        .replace("@USER@", user)
        .replace("@LOG@", log)
        .replace("@ADDRESS@", &address.to_string())
        .replace("@SSL@", if tls.is_empty() { "" } else { "ssl" })
        .replace("@TLS@", tls)
        .replace("@LOCATION@", location);
    fs::write(folder.join("nginx.conf"), configuration)?;
    let prefix = folder.to_str().context("the folder's path is not UTF-8")?;
    let args = ["-p", prefix, "-c", "nginx.conf", "-e", "error.log"].map(String::from);
    let server = pinned::start("nginx", PROGRAM.into(), args.into(), folder)?;
    pinned::wait_until_open(&server, || pinned::takes_connections(address))?;
    Ok((address, server))
}
