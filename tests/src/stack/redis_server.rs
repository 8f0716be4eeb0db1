//! redis-server as the design runs it: a Unix socket, append-only file, fsync before every answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Process, Recipe};

/// The Redis of a stack.
pub struct Redis {
    /// The process.
    pub process: Process,
    socket: PathBuf,
    /// The folder of its append-only file.
    pub folder: PathBuf,
}

impl Redis {
    pub(super) fn new(path: &Path, logs: &Path, fsync: &str) -> Result<Self> {
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
        let args = settings.into_iter().flat_map(|(k, v)| [k.to_owned(), v.to_owned()]).collect();
        let program = PathBuf::from("redis-server");
        let recipe = Recipe { name: "redis".into(), program, args, env: BTreeMap::new() };
        Ok(Self { process: Process::new(recipe, logs), socket, folder })
    }

    /// The URL that edges and writers are given.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A new connection.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn connect(&self) -> Result<redis::Connection> {
        let client = redis::Client::open(self.url())?;
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
