//! `hushmark up` on a folder of its own: the whole product on one machine, as its users start it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hushmark_writer::store::Address;
use rustix::process::Signal;
use serde_json::Value;

use crate::http::{self, Answer};
use crate::ports;
use crate::process::{Process, Recipe};
use crate::tools::Tools;

/// The manifests that the README starts.
pub const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");

/// How long anything may take here. Nothing is measured: it only ends what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `hushmark up`, and commands on its folder.
pub struct OneMachine {
    tools: Tools,
    data: PathBuf,
    up: Process,
}

impl OneMachine {
    /// Starts the quickstart's manifests in a data folder, which has to be there, and waits until
    /// all of it is ready.
    ///
    /// # Errors
    /// When it does not start, with what it said.
    pub fn start(tools: &Tools, data: &Path) -> Result<Self> {
        Self::start_with(tools, data, Path::new(QUICKSTART))
    }

    /// Starts a folder of manifests.
    ///
    /// # Errors
    /// As [`OneMachine::start`].
    pub fn start_with(tools: &Tools, data: &Path, manifests: &Path) -> Result<Self> {
        let listen = ports::free()?.to_string();
        let args = ["--data", text(data)?, "up", text(manifests)?, "--listen", &listen];
        let recipe = Recipe {
            name: "up".to_owned(),
            program: tools.program("hushmark")?,
            args: args.map(str::to_owned).into(),
            env: BTreeMap::from([(
                "HUSHMARK_ENGINE_LIB".to_owned(),
                text(tools.engine_lib()?)?.to_owned(),
            )]),
        };
        let machine =
            Self { tools: tools.clone(), data: data.to_owned(), up: Process::new(recipe, data) };
        let said_before = machine.said().len();
        machine.up.start()?;
        machine.wait("it is ready", |machine| {
            machine.said().get(said_before..).is_some_and(|said| said.contains("press Ctrl-C"))
        })?;
        Ok(machine)
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Everything that `up` said so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.up.printed()
    }

    /// Waits for something that has to come.
    ///
    /// # Errors
    /// When it does not come, with what `up` said.
    pub fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() > until || !self.up.is_running() {
                bail!("waited in vain until {what}; it said:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What `up` wrote down for the other commands.
    fn state(&self) -> Result<Value> {
        let state = fs::read(self.data.join("state.json")).context("nothing was written down")?;
        serde_json::from_slice(&state).context("state.json cannot be read")
    }

    fn state_text(&self, key: &str) -> Result<String> {
        let state = self.state()?;
        let text = state[key].as_str().with_context(|| format!("state.json has no {key}"))?;
        Ok(text.trim_start_matches("http://").to_owned())
    }

    /// Where mail clients connect.
    ///
    /// # Errors
    /// When `up` never got so far.
    pub fn edge(&self) -> Result<SocketAddr> {
        self.state_text("edge")?.parse().context("the edge has no address")
    }

    /// The edge's page of metrics.
    ///
    /// # Errors
    /// As [`OneMachine::edge`].
    pub fn edge_admin(&self) -> Result<SocketAddr> {
        self.state_text("edge_admin")?.parse().context("the edge has no admin page")
    }

    /// The writer's page of metrics.
    ///
    /// # Errors
    /// As [`OneMachine::edge`].
    pub fn writer_admin(&self) -> Result<SocketAddr> {
        self.state_text("writer_admin")?.parse().context("the writer has no admin page")
    }

    /// Where ClickHouse answers.
    ///
    /// # Errors
    /// As [`OneMachine::edge`].
    pub fn clickhouse(&self) -> Result<SocketAddr> {
        self.state_text("clickhouse")?.parse().context("ClickHouse has no address")
    }

    /// The password that ClickHouse asks for, as `up` drew it.
    ///
    /// # Errors
    /// As [`OneMachine::edge`].
    pub fn clickhouse_password(&self) -> Result<String> {
        let file = self.state_text("clickhouse_password_file")?;
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        Ok(text.trim().to_owned())
    }

    /// ClickHouse, as the writer asks it.
    ///
    /// # Errors
    /// As [`OneMachine::edge`].
    pub fn store(&self) -> Result<Address> {
        let url = format!("http://{}", self.clickhouse()?);
        let password = Some(self.clickhouse_password()?.into());
        Ok(Address { url, tls: None, user: None, password })
    }

    /// Runs a statement that has to succeed.
    ///
    /// # Errors
    /// What ClickHouse says.
    pub fn query(&self, sql: &str) -> Result<Answer> {
        let (address, password) = (self.clickhouse()?, self.clickhouse_password()?);
        let answer = http::post_with_password(address, &password, sql.as_bytes(), PATIENCE * 2)?;
        ensure!(answer.status == 200, "ClickHouse refuses `{sql}`: {}", answer.text());
        Ok(answer)
    }

    /// What tracked links begin with.
    ///
    /// # Errors
    /// As [`OneMachine::edge`].
    pub fn base_url(&self) -> Result<String> {
        let state = self.state()?;
        let text = state["base_url"].as_str().context("state.json has no base_url")?;
        Ok(text.trim_end_matches('/').to_owned())
    }

    /// The children's process ids by name, as `up` wrote them down.
    ///
    /// # Errors
    /// As [`OneMachine::edge`].
    pub fn children(&self) -> Result<BTreeMap<String, i32>> {
        let state = self.state()?;
        let children = state["children"].as_array().context("state.json has no children")?;
        let child = |child: &Value| {
            Some((child["name"].as_str()?.to_owned(), child["pid"].as_i64()?.try_into().ok()?))
        };
        children.iter().map(child).collect::<Option<_>>().context("a child has no name or number")
    }

    /// Runs a command on the same folder, whether or not it succeeds.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        run(&self.tools, &self.data, arguments)
    }

    /// Runs a command that has to succeed, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it complained of.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}\n{complained}", output.status);
        String::from_utf8(output.stdout).context("it printed what is no text")
    }

    /// Kills `up` itself; its children stay.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill9(&self) -> Result<()> {
        self.up.kill9()
    }

    /// Ctrl-C, and what was said until the end.
    ///
    /// # Errors
    /// When it fails, or does not end.
    pub fn stop(self) -> Result<String> {
        self.up.interrupt(PATIENCE)?;
        Ok(self.said())
    }
}

impl Drop for OneMachine {
    /// What failed leaves nothing running: the next `up` would stop it, but there is none.
    fn drop(&mut self) {
        if self.up.is_running() && self.up.signal(Signal::INT).is_ok() {
            drop(self.up.wait_for_end(PATIENCE));
        }
    }
}

/// Runs a command on a data folder where nothing has to run.
///
/// # Errors
/// When it does not start.
pub fn run(tools: &Tools, data: &Path, arguments: &[&str]) -> Result<Output> {
    Command::new(tools.program("hushmark")?)
        .arg("--data")
        .arg(data)
        .args(arguments)
        .env("HUSHMARK_ENGINE_LIB", tools.engine_lib()?)
        .output()
        .context("hushmark does not start")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the name of {} is not text", path.display()))
}
