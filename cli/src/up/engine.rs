//! Which ClickHouse: a URL given, a binary on PATH that is new enough, or the embedded engine.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use hushmark_hop::PasswordFile;
use sha2::{Digest, Sha256};

use super::child::Start;
use super::plan;
use crate::args::Up;
use crate::data::DataFolder;
use crate::{files, keys};

/// The oldest ClickHouse that the tests run on, as year and month of its version.
const OLDEST_TESTED: (u32, u32) = (26, 7);

/// Where the set-up leaves the library, below the cache folder.
const LIBRARY: &str = "engine/26.7.3-stable.1/libchdb.so";

/// What can be chosen.
enum Choice {
    /// It runs already.
    Given { url: String, user: Option<String>, password_file: Option<PathBuf> },
    /// `clickhouse server`, started here.
    Binary { program: PathBuf, version: String, own: Own },
    /// The engine as a library, in a process of its own.
    Embedded { library: PathBuf, own: Own },
}

/// Where one that is started here answers. Every user of this machine reaches the port, so it takes
/// a password, which is another one at each start.
struct Own {
    port: u16,
    password_file: PathBuf,
}

impl Own {
    fn new(folder: &DataFolder) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .context("no free port for ClickHouse")?
            .port();
        let password_file = folder.path("clickhouse.password");
        keys::random_password(&password_file)?;
        Ok(Self { port, password_file })
    }
}

/// Chooses in the order that the documentation gives, and says why a candidate was passed over.
pub(super) fn choose(folder: &DataFolder, options: &Up) -> Result<Engine> {
    if let Some(url) = &options.clickhouse {
        let (url, user) = (url.clone(), options.clickhouse_user.clone());
        let password_file =
            options.clickhouse_password_file.as_deref().map(readable).transpose()?;
        return Ok(Engine::new(Choice::Given { url, user, password_file }));
    }
    // A folder that one of the two wrote is not readable for the other.
    let embedded_before = folder.path("clickhouse/embedded").exists();
    if let Some(program) = plan::on_path("clickhouse").filter(|_| !embedded_before) {
        match version(&program) {
            Some((text, at)) if at >= OLDEST_TESTED => {
                let own = Own::new(folder)?;
                return Ok(Engine::new(Choice::Binary { program, version: text, own }));
            }
            Some((text, _)) => said!(
                "passing over {} {text}: the oldest that is tested is {}.{}",
                program.display(),
                OLDEST_TESTED.0,
                OLDEST_TESTED.1
            ),
            None => said!("passing over {}: it does not tell its version", program.display()),
        }
    }
    let Some(library) = library() else {
        bail!(
            "there is no ClickHouse to be had: run `cargo xtask up` once, which fetches the \
             embedded engine; or set HUSHMARK_ENGINE_LIB to a libchdb.so; or give --clickhouse URL"
        );
    };
    Ok(Engine::new(Choice::Embedded { library, own: Own::new(folder)? }))
}

/// The chosen ClickHouse, and where it answers.
pub(super) struct Engine {
    choice: Choice,
    url: String,
}

impl Engine {
    fn new(choice: Choice) -> Self {
        let url = match &choice {
            Choice::Given { url, .. } => url.clone(),
            Choice::Binary { own, .. } | Choice::Embedded { own, .. } => {
                format!("http://127.0.0.1:{}", own.port)
            }
        };
        Self { choice, url }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Who asks it, where that is not its default user.
    pub(super) fn user(&self) -> Option<&str> {
        match &self.choice {
            Choice::Given { user, .. } => user.as_deref(),
            Choice::Binary { .. } | Choice::Embedded { .. } => None,
        }
    }

    /// The file with the user's password.
    pub(super) fn password_file(&self) -> Option<&Path> {
        match &self.choice {
            Choice::Given { password_file, .. } => password_file.as_deref(),
            Choice::Binary { own, .. } | Choice::Embedded { own, .. } => Some(&own.password_file),
        }
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
            Choice::Binary { program, own, .. } => {
                let config = folder.path("clickhouse/config.yaml");
                files::private_folder(&folder.path("clickhouse/server"))?;
                let data = folder.path("clickhouse/server");
                let password = PasswordFile::new(&own.password_file)?.read()?;
                let text = server_config(&data.display().to_string(), own.port, &password);
                files::replace(&config, text.as_bytes())?;
                let arguments =
                    ["server".into(), "--config-file".into(), config.into_os_string()].into();
                Ok(Some(Start { name: "clickhouse", program: program.clone(), arguments }))
            }
            Choice::Embedded { library, own } => {
                let mut arguments = plan::Arguments::default();
                arguments.flag("--lib", library);
                arguments.flag("--data", folder.path("clickhouse/embedded"));
                arguments.flag("--listen", format!("127.0.0.1:{}", own.port));
                arguments.flag("--password-file", &own.password_file);
                let program = plan::sibling("hushmark-embedded")?;
                Ok(Some(Start { name: "clickhouse", program, arguments: arguments.into() }))
            }
        }
    }
}

/// A password file, named so that commands in other folders find it too.
fn readable(path: &Path) -> Result<PathBuf> {
    PasswordFile::new(path)?;
    path.canonicalize().with_context(|| format!("cannot find {}", path.display()))
}

/// A server for one machine: loopback alone, no log of queries, its own folder.
fn server_config(data: &str, port: u16, password: &str) -> String {
    let hash = hex::encode(Sha256::digest(password));
    format!(
        "listen_host: 127.0.0.1\nhttp_port: {port}\npath: {data}/\n\
         tmp_path: {data}/tmp/\nuser_files_path: {data}/user_files/\n\
         logger: {{level: warning, console: 1}}\n\
         users: {{default: {{password_sha256_hex: '{hash}', networks: {{ip: '127.0.0.1'}}, profile: default, quota: default}}}}\n\
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
