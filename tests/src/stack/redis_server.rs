//! redis-server as the design runs it: a Unix socket, append-only file, fsync before every answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::authority::{End, Hops};
use crate::ports;
use crate::process::{Process, Recipe};

/// The Redis of a stack.
pub struct Redis {
    /// The process.
    pub process: Process,
    socket: PathBuf,
    /// Where it listens for TLS; its socket is there for us alone then.
    pub tls: Option<SocketAddr>,
    /// The folder of its append-only file.
    pub folder: PathBuf,
}

impl Redis {
    pub(super) fn new(path: &Path, logs: &Path, fsync: &str, hops: Option<&Hops>) -> Result<Self> {
        let folder = path.join("redis");
        std::fs::create_dir_all(&folder)?;
        let socket = path.join("redis.sock");
        let settings = [
            ("--port", "0"),
            ("--unixsocket", socket.to_str().context("the folder's name is not text")?),
            ("--dir", folder.to_str().context("the folder's name is not text")?),
            ("--appendonly", "yes"),
            ("--appendfsync", fsync),
            ("--save", ""),
            ("--maxmemory-policy", "noeviction"),
            ("--maxmemory", "6gb"),
        ];
        let mut args: Vec<String> =
            settings.into_iter().flat_map(|(k, v)| [k.to_owned(), v.to_owned()]).collect();
        let tls = match hops {
            None => None,
            Some(hops) => {
                let listen = ports::free()?;
                let folder = hops.folder(End::Redis);
                let folder = folder.to_str().context("the folder's name is not text")?;
                for (name, value) in [
                    ("--tls-port", listen.port().to_string()),
                    ("--tls-auth-clients", "yes".to_owned()),
                    ("--tls-ca-cert-file", format!("{folder}/ca.crt")),
                    ("--tls-cert-file", format!("{folder}/tls.crt")),
                    ("--tls-key-file", format!("{folder}/tls.key")),
                ] {
                    args.extend([name.to_owned(), value]);
                }
                Some(listen)
            }
        };
        let program = PathBuf::from("redis-server");
        let recipe = Recipe { name: "redis".into(), program, args, env: BTreeMap::new() };
        Ok(Self { process: Process::new(recipe, logs), socket, tls, folder })
    }

    /// The URL that edges and writers are given.
    #[must_use]
    pub fn url(&self) -> String {
        match self.tls {
            None => self.socket_url(),
            Some(address) => format!("rediss://{address}"),
        }
    }

    fn socket_url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A new connection.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn connect(&self) -> Result<redis::Connection> {
        let client = redis::Client::open(self.socket_url())?;
        let connection = client.get_connection_with_timeout(Duration::from_secs(5));
        let connection = connection.context("cannot connect to Redis")?;
        connection.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(connection)
    }

    /// Whether it answers and has read its append-only file.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let Ok(mut connection) = self.connect() else { return false };
        redis::cmd("PING").query::<String>(&mut connection).is_ok_and(|pong| pong == "PONG")
    }

    /// A number from `INFO`.
    ///
    /// # Errors
    /// When Redis does not answer or has no such number.
    pub fn info(&self, name: &str) -> Result<u64> {
        let text: String = redis::cmd("INFO").arg("all").query(&mut self.connect()?)?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
            .with_context(|| format!("Redis says nothing about {name}"))
    }
}
