//! The ClickHouse engine in a process of its own, spoken to over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http;
use crate::ports;
use crate::process::{Process, Recipe};
use crate::tools::Tools;

/// The engine of a stack.
pub struct ClickHouse {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its data.
    pub folder: PathBuf,
}

impl ClickHouse {
    pub(super) fn new(tools: &Tools, path: &Path, logs: &Path) -> Result<Self> {
        let folder = path.join("clickhouse");
        let address = ports::free()?;
        let path_text = |path: &Path| path.to_str().map(str::to_owned).context("a path is text");
        let args = vec![
            "--lib".to_owned(),
            path_text(tools.engine_lib()?)?,
            "--data".to_owned(),
            path_text(&folder)?,
            "--listen".to_owned(),
            address.to_string(),
        ];
        let program = tools.program("hushmark-embedded")?;
        let recipe = Recipe { name: "engine".into(), program, args, env: BTreeMap::new() };
        Ok(Self { process: Process::new(recipe, logs), address, folder })
    }

    /// Whether it answers queries.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let answer = http::post(self.address, "/", b"SELECT 1", Duration::from_secs(5));
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Runs a statement and returns what it prints, tab separated unless it says otherwise.
    ///
    /// # Errors
    /// What the engine says.
    pub fn query(&self, sql: &str) -> Result<String> {
        let answer = http::post(self.address, "/", sql.as_bytes(), Duration::from_secs(120))?;
        if answer.status != 200 {
            bail!("the engine refuses `{sql}`: {}", answer.text());
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
