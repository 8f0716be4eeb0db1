//! The ClickHouse engine in a process of its own, spoken to over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hushmark_writer::store::Address;

use super::authority::{End, Hops};
use crate::http::{self, Answer};
use crate::ports;
use crate::process::{Process, Recipe};
use crate::tools::Tools;

/// The engine of a stack.
pub struct ClickHouse {
    /// The process.
    pub process: Process,
    /// Where it listens in the open: for everything, or for `/ping` alone.
    pub address: SocketAddr,
    /// Where it takes queries by TLS, and what it is shown there.
    pub tls: Option<(SocketAddr, hushmark_hop::Files)>,
    /// Its data.
    pub folder: PathBuf,
}

impl ClickHouse {
    pub(super) fn new(
        tools: &Tools,
        path: &Path,
        logs: &Path,
        hops: Option<&Hops>,
    ) -> Result<Self> {
        let folder = path.join("clickhouse");
        let address = ports::free()?;
        let path_text = |path: &Path| path.to_str().map(str::to_owned).context("a path is text");
        let mut args = vec![
            "--lib".to_owned(),
            path_text(tools.engine_lib()?)?,
            "--data".to_owned(),
            path_text(&folder)?,
            "--listen".to_owned(),
            address.to_string(),
        ];
        let tls = match hops {
            None => None,
            Some(hops) => {
                let listen = ports::free()?;
                let folder = path_text(&hops.folder(End::ClickHouse))?;
                args.extend(["--tls".to_owned(), folder]);
                args.extend(["--tls-listen".to_owned(), listen.to_string()]);
                Some((listen, hops.files(End::Test)))
            }
        };
        let program = tools.program("hushmark-embedded")?;
        let recipe = Recipe { name: "engine".into(), program, args, env: BTreeMap::new() };
        Ok(Self { process: Process::new(recipe, logs), address, tls, folder })
    }

    /// The URL that writers are given.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.tls {
            None => format!("http://{}", self.address),
            Some((address, _)) => format!("https://{address}"),
        }
    }

    /// Where hits are loaded as a writer does.
    #[must_use]
    pub fn in_the_open(&self) -> Address {
        Address { url: format!("http://{}", self.address), tls: None, user: None, password: None }
    }

    fn post(&self, sql: &str, patience: Duration) -> Result<Answer> {
        match &self.tls {
            None => http::post(self.address, "/", sql.as_bytes(), patience),
            Some((address, files)) => http::post_by_tls(
                *address,
                (files.client()?, "127.0.0.1"),
                "/",
                sql.as_bytes(),
                patience,
            ),
        }
    }

    /// Whether it answers queries.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let answer = self.post("SELECT 1", Duration::from_secs(5));
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Runs a statement and returns what it prints, tab separated unless it says otherwise.
    ///
    /// # Errors
    /// What the engine says.
    pub fn query(&self, sql: &str) -> Result<String> {
        let answer = self.post(sql, Duration::from_secs(120))?;
        if answer.status != 200 {
            bail!("the engine refuses `{sql:.500}`: {:.2000}", answer.text());
        }
        Ok(answer.text())
    }

    /// The one number that a statement yields.
    ///
    /// # Errors
    /// As [`Self::query`], or when it is not one number.
    pub fn number(&self, sql: &str) -> Result<u64> {
        let text = self.query(sql)?;
        text.trim().parse().with_context(|| format!("`{sql}` yields {text:?}, not a number"))
    }
}
