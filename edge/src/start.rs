//! Everything that can fail before the first request: files, keys, ports.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use hushmark_event::Ring;
use hushmark_event::folder::FolderError;
use hushmark_event::ring::RingError;
use hushmark_hop::{Files, HopError, PasswordError, PasswordFile};
use hushmark_token::{KeyError, RegionKeys};
use socket2::{Domain, Protocol, Socket, Type};

use crate::client_addr::RangesError;
use crate::config::{Config, RedisUrl};
use crate::door::tls::{Certificate, TlsError, TlsFiles};
use crate::link::RedisAt;
use crate::place::CountryDbError;

/// Why the edge does not start: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The region keys cannot be used.
    #[error("region keys: {0}")]
    Keys(#[from] KeyError),
    /// The day ring cannot be used.
    #[error("batch ring: {0}")]
    Ring(#[from] RingError),
    /// The folder of the lane logs is another's.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The country database cannot be used.
    #[error("{0}{because}", because = because(.0))]
    Countries(#[from] CountryDbError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What TLS to Redis needs cannot be used.
    #[error("TLS to redis: {0}")]
    Redis(#[from] HopError),
    /// The password for Redis cannot be read.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A list of networks cannot be read.
    #[error("{what}: {source}")]
    Ranges {
        /// Which list.
        what: String,
        /// What is wrong.
        source: RangesError,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key that verifies the refusal log is none.
    #[error("{0} is no Ed25519 verifying key of 32 bytes: restore it from the Secret")]
    RefusalKey(PathBuf),
    /// A port is taken or forbidden.
    #[error("cannot listen on {addr} ({option}): {source}; {hint}")]
    Port {
        /// Which address.
        addr: SocketAddr,
        /// Which option named it.
        option: &'static str,
        /// What the system said.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The system gives no random numbers, threads or the like.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What an error's source says, after a colon.
fn because(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(String::new, |source| format!(": {source}"))
}

/// A function that names what could not be done with a path.
pub(crate) fn file_error(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StartError + use<> {
    let path = path.to_owned();
    move |source| StartError::File { what, path, source }
}

/// The keys and the ring, or why the edge does not start.
pub(crate) fn load_keys(config: &Config) -> Result<(Arc<RegionKeys>, Arc<Ring>), StartError> {
    let keys = RegionKeys::load(config.keys.as_deref().unwrap_or(Path::new("")))?;
    let ring = Ring::load(config.ring.as_deref().unwrap_or(Path::new("")))?;
    Ok((Arc::new(keys), Arc::new(ring)))
}

/// The key that verifies the refusal log's head.
pub(crate) fn refusal_key(config: &Config) -> Result<VerifyingKey, StartError> {
    let path = config.refusal_key.as_deref().unwrap_or(Path::new(""));
    let bytes = std::fs::read(path).map_err(file_error("read", path))?;
    let key = bytes.try_into().ok().and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    key.ok_or_else(|| StartError::RefusalKey(path.to_owned()))
}

/// The certificate and where it is from, if the edge is to speak TLS.
pub(crate) fn certificate(
    config: &Config,
) -> Result<Option<(Arc<Certificate>, TlsFiles)>, StartError> {
    let (Some(certificate), Some(key)) = (&config.tls_certificate, &config.tls_key) else {
        return Ok(None);
    };
    let files = TlsFiles { certificate: certificate.clone(), key: key.clone() };
    Ok(Some((Arc::new(Certificate::load(&files)?), files)))
}

/// As many open files as the connections need, if the system allows it.
pub(crate) fn raise_descriptor_limit(connections: u32) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Listeners, logs, Redis and the admin port beside the connections.
    let wanted = u64::from(connections) + 512;
    let allowed = limit.maximum.map_or(wanted, |most| most.min(wanted));
    if limit.current.is_none_or(|now| now >= allowed) {
        return;
    }
    let raised = Rlimit { current: Some(allowed), maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_err() || allowed < wanted {
        tracing::warn!(allowed, wanted, "fewer open files than connections: raise `ulimit -n`");
    }
}

/// Where Redis is, and who asks.
pub(crate) fn redis_at(config: &Config) -> Result<RedisAt, StartError> {
    let password = config.redis_password_file.as_deref().map(PasswordFile::new).transpose()?;
    Ok(RedisAt {
        url: config.redis.clone(),
        tls: redis_tls(config)?,
        user: config.redis_user.clone(),
        password,
    })
}

/// The files for TLS to Redis, tried once: what cannot be used stops the start.
fn redis_tls(config: &Config) -> Result<Option<Files>, HopError> {
    let (ca, key) = (config.redis_ca.clone(), config.redis_key.clone());
    let files = Files::from_options(ca, config.redis_certificate.clone(), key)?;
    match (&config.redis, files) {
        (RedisUrl::Tls(..), Some(files)) => {
            files.client()?;
            Ok(Some(files))
        }
        (RedisUrl::Tls(..), None) => Err(HopError::Incomplete("rediss:// needs --redis-ca")),
        (_, None) => Ok(None),
        (_, Some(_)) => Err(HopError::Incomplete("--redis-ca is for rediss:// alone")),
    }
}

/// One listener a core on one port. The kernel spreads connections over them.
pub(crate) fn listeners(
    addr: SocketAddr,
    option: &'static str,
    cores: u16,
) -> Result<Vec<TcpListener>, StartError> {
    let failed = |source: io::Error| StartError::Port {
        addr,
        option,
        hint: match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program has it (`ss -ltnp` says which): stop that, or choose another port"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need a right: choose a higher one",
            _ => "choose an address of this machine",
        },
        source,
    };
    // A second edge would share the port without a word, so one socket that shares nothing asks
    // first whether anybody listens there.
    let probe = bound(addr, false).map_err(failed)?;
    probe.listen(1).map_err(failed)?;
    drop(probe);
    let first = bound(addr, true).map_err(failed)?;
    let addr = first.local_addr().map_err(failed)?.as_socket().unwrap_or(addr);
    let mut sockets = vec![first];
    for _ in 1..cores {
        sockets.push(bound(addr, true).map_err(failed)?);
    }
    // Listening only once all are bound: a connection belongs to one listener for good.
    for socket in &sockets {
        socket.listen(BACKLOG).map_err(failed)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

/// Connections that wait to be accepted, a core. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

fn bound(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StartError::System {
        what: "no random numbers",
        source: io::Error::other(error),
    })?;
    Ok(bytes)
}
