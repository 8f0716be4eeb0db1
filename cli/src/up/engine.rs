//! Which ClickHouse: a URL given, a binary on PATH that is new enough, or the embedded engine.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::child::Start;
use super::plan;
use crate::data::DataFolder;
use crate::files;

/// The oldest ClickHouse that the tests run on, as year and month of its version.
const OLDEST_TESTED: (u32, u32) = (26, 7);

/// Where the set-up leaves the library, below the cache folder.
const LIBRARY: &str = "engine/26.7.3-stable.1/libchdb.so";

/// What can be chosen.
enum Choice {
    /// It runs already.
    Given { url: String },
    /// `clickhouse server`, started here.
    Binary { program: PathBuf, version: String, port: u16 },
    /// The engine as a library, in a process of its own.
    Embedded { library: PathBuf, port: u16 },
}

/// Chooses in the order that the documentation gives, and says why a candidate was passed over.
pub(super) fn choose(folder: &DataFolder, given: Option<&str>) -> Result<Engine> {
    if let Some(url) = given {
        return Ok(Engine::new(Choice::Given { url: url.trim_end_matches('/').to_owned() }));
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .context("no free port for ClickHouse")?
        .port();
    // A folder that one of the two wrote is not readable for the other.
    let embedded_before = folder.path("clickhouse/embedded").exists();
    if let Some(program) = plan::on_path("clickhouse").filter(|_| !embedded_before) {
        match version(&program) {
            Some((text, at)) if at >= OLDEST_TESTED => {
                return Ok(Engine::new(Choice::Binary { program, version: text, port }));
            }
            Some((text, _)) => println!(
                "passing over {} {text}: the oldest that is tested is {}.{}",
                program.display(),
                OLDEST_TESTED.0,
                OLDEST_TESTED.1
            ),
            None => println!("passing over {}: it does not tell its version", program.display()),
        }
    }
    let Some(library) = library() else {
        bail!(
            "there is no ClickHouse to be had: run `cargo xtask up` once, which fetches the \
             embedded engine; or set HUSHMARK_ENGINE_LIB to a libchdb.so; or give --clickhouse URL"
        );
    };
    Ok(Engine::new(Choice::Embedded { library, port }))
}

/// The chosen ClickHouse, and where it answers.
pub(super) struct Engine {
    choice: Choice,
    url: String,
}

impl Engine {
    fn new(choice: Choice) -> Self {
        let url = match &choice {
            Choice::Given { url } => url.clone(),
            Choice::Binary { port, .. } | Choice::Embedded { port, .. } => {
                format!("http://127.0.0.1:{port}")
            }
        };
        Self { choice, url }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> String {
        match &self.choice {
            Choice::Given { .. } => "given".to_owned(),
            Choice::Binary { version, .. } => format!("clickhouse {version}"),
            Choice::Embedded { .. } => "embedded engine".to_owned(),
        }
    }

    /// What to start, unless it runs already.
    pub(super) fn command(&self, folder: &DataFolder) -> Result<Option<Start>> {
        match &self.choice {
            Choice::Given { .. } => Ok(None),
            Choice::Binary { program, port, .. } => {
                let config = folder.path("clickhouse/config.yaml");
                files::private_folder(&folder.path("clickhouse/server"))?;
                let data = folder.path("clickhouse/server");
                files::replace(
                    &config,
                    server_config(&data.display().to_string(), *port).as_bytes(),
                )?;
                let arguments =
                    ["server".into(), "--config-file".into(), config.into_os_string()].into();
                Ok(Some(Start { name: "clickhouse", program: program.clone(), arguments }))
            }
            Choice::Embedded { library, port } => {
                let mut arguments = plan::Arguments::default();
                arguments.flag("--lib", library);
                arguments.flag("--data", folder.path("clickhouse/embedded"));
                arguments.flag("--listen", format!("127.0.0.1:{port}"));
                let program = plan::sibling("hushmark-embedded")?;
                Ok(Some(Start { name: "clickhouse", program, arguments: arguments.into() }))
            }
        }
    }
}

/// A server for one machine: loopback alone, no log of queries, its own folder.
fn server_config(data: &str, port: u16) -> String {
    format!(
        "listen_host: 127.0.0.1\nhttp_port: {port}\npath: {data}/\n\
         tmp_path: {data}/tmp/\nuser_files_path: {data}/user_files/\n\
         logger: {{level: warning, console: 1}}\n\
         users: {{default: {{password: '', networks: {{ip: '127.0.0.1'}}, profile: default, quota: default}}}}\n\
         profiles: {{default: {{}}}}\nquotas: {{default: {{}}}}\n"
    )
}

/// The version that `clickhouse --version` prints, and its year and month.
fn version(program: &PathBuf) -> Option<(String, (u32, u32))> {
    let output = Command::new(program).args(["server", "--version"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version =
        text.split_whitespace().map(|word| word.trim_end_matches(['.', ','])).find(|word| {
            word.split('.').count() >= 3 && word.starts_with(|c: char| c.is_ascii_digit())
        })?;
    let mut parts = version.split('.').map(str::parse::<u32>);
    Some((version.to_owned(), (parts.next()?.ok()?, parts.next()?.ok()?)))
}

/// The engine as a library: named by the environment, or where the set-up leaves it.
fn library() -> Option<PathBuf> {
    let named = env::var_os("HUSHMARK_ENGINE_LIB").map(PathBuf::from);
    let cache = env::var_os("HUSHMARK_CACHE").map(PathBuf::from).or_else(|| {
        let base = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
        Some(base.join("hushmark"))
    });
    named
        .or_else(|| cache.map(|cache| cache.join(LIBRARY)))
        .filter(|path| fs::metadata(path).is_ok())
}
