//! Free ports that stay ours across the restarts of who listens on them.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below what Linux gives to outgoing connections (`ip_local_port_range`): while a killed server is
/// away, a client's own connection must not take its port.
const FIRST: u16 = 11_000;
const LAST: u16 = 31_000;

/// An address of this machine on which nothing listens.
///
/// # Errors
/// When every port of the range is taken.
pub fn free() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run side by side begin at different places.
    let begin = std::process::id().wrapping_mul(97) as u16;
    for _ in FIRST..LAST {
        let step = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + step % (LAST - FIRST);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("every port from {FIRST} to {LAST} is taken: stop what uses them")
}
