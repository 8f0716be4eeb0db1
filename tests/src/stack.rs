//! A whole stack on one machine: Redis, the engine, edges, a writer and its standby. Each part can
//! be killed, stopped and started again; all of them die with us.

mod authority;
mod clickhouse;
mod redis_server;

pub use authority::{Authority, End, Hops};
pub use clickhouse::ClickHouse;
pub use redis_server::Redis;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_event::redis_keys::REFUSALS_HEAD;
use hushmark_event::refusal::RefusalLog;
use tempfile::TempDir;

use crate::http;
use crate::keys::Keys;
use crate::plan::Minter;
use crate::ports;
use crate::process::{Process, Recipe};
use crate::tools::Tools;

/// How long a part may take to be ready: an engine that recovers many parts on a busy machine.
const READY: Duration = Duration::from_secs(90);

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Edge processes.
    pub edges: usize,
    /// Runtimes, and so lanes, of each edge.
    pub threads: usize,
    /// Writers: one works, the others stand by.
    pub writers: usize,
    /// Which program writes; one with failpoints for scenes.
    pub writer_program: &'static str,
    /// The window in which behaviour is judged; ten seconds by default.
    pub window_seconds: u64,
    /// Further arguments of every edge.
    pub edge_args: Vec<String>,
    /// Further arguments of every writer.
    pub writer_args: Vec<String>,
    /// `appendfsync`: `always` is the shipped default, `everysec` is measured beside it.
    pub fsync: &'static str,
    /// Whether edges and writers reach both stores by mutual TLS alone.
    pub tls: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            edges: 1,
            threads: 1,
            writers: 2,
            writer_program: "hushmark-writer",
            window_seconds: 1,
            edge_args: Vec::new(),
            writer_args: Vec::new(),
            fsync: "always",
            tls: false,
        }
    }
}

/// One of our servers: its process and where it listens.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Where mail clients connect; only an edge has it.
    pub listen: Option<SocketAddr>,
    /// `/readyz`, `/metrics`.
    pub admin: SocketAddr,
    /// Its own folder: an edge's lane log, a writer's state.
    pub folder: PathBuf,
}

impl Server {
    /// Whether it says that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        http::get(self.admin, "/readyz", Duration::from_secs(2)).is_ok_and(|a| a.status == 200)
    }

    /// A metric's value, summed over its labels; `None` where there is no such metric.
    ///
    /// # Errors
    /// When its admin port does not answer.
    pub fn metric(&self, name: &str) -> Result<Option<f64>> {
        let text = http::get(self.admin, "/metrics", Duration::from_secs(5))?.text();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.as_bytes().first()? {
                b' ' => rest,
                b'{' => rest.rsplit_once('}')?.1,
                _ => return None,
            };
            value.trim().parse::<f64>().ok()
        });
        Ok(values.reduce(|sum, value| sum + value))
    }
}

/// The running stack.
pub struct Stack {
    /// The keys of its region.
    pub keys: Keys,
    /// Redis.
    pub redis: Redis,
    /// The engine behind ClickHouse's HTTP interface.
    pub clickhouse: ClickHouse,
    /// The certificates of all of them, where they use any.
    pub hops: Option<Hops>,
    /// The edges.
    pub edges: Vec<Server>,
    /// The writers.
    pub writers: Vec<Server>,
    folder: TempDir,
}

impl Stack {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// Which part did not start, with the end of its log.
    pub fn start(tools: &Tools, shape: &Shape, seed: u64) -> Result<Arc<Self>> {
        let stack = Self::prepare(tools, shape, seed)?;
        stack.start_all()?;
        Ok(Arc::new(stack))
    }

    /// Everything that a stack needs, with nothing started.
    ///
    /// # Errors
    /// When a program is missing or a file cannot be written.
    pub fn prepare(tools: &Tools, shape: &Shape, seed: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hushmark-").tempdir()?;
        let path = folder.path();
        let logs = path.join("logs");
        std::fs::create_dir_all(&logs)?;
        let keys = Keys::create(&path.join("keys"), seed)?;
        let hops = if shape.tls { Some(Hops::new(path)?) } else { None };
        let redis = Redis::new(path, &logs, shape.fsync, hops.as_ref())?;
        let clickhouse = ClickHouse::new(tools, path, &logs, hops.as_ref())?;
        let stores = (&redis, &clickhouse, hops.as_ref());
        let edges = (0..shape.edges)
            .map(|n| edge(tools, shape, n, path, &keys, stores))
            .collect::<Result<_>>()?;
        let writers = (0..shape.writers)
            .map(|n| writer(tools, shape, n, path, &keys, stores))
            .collect::<Result<_>>()?;
        Ok(Self { keys, redis, clickhouse, hops, edges, writers, folder })
    }

    fn start_all(&self) -> Result<()> {
        self.start_stores()?;
        for server in self.writers.iter().chain(&self.edges) {
            server.process.start()?;
        }
        for server in self.writers.iter().chain(&self.edges) {
            wait_ready(&server.process.name(), &server.process, || server.is_ready())?;
        }
        Ok(())
    }

    /// Starts the edges alone, for one who lets writers in one by one.
    ///
    /// # Errors
    /// Which edge did not start, with the end of its log.
    pub fn start_edges(&self) -> Result<()> {
        for edge in &self.edges {
            edge.process.start()?;
            wait_ready(&edge.process.name(), &edge.process, || edge.is_ready())?;
        }
        Ok(())
    }

    /// Starts Redis, with an empty refusal log, and the engine.
    ///
    /// # Errors
    /// Which of them did not start, with the end of its log.
    pub fn start_stores(&self) -> Result<()> {
        self.redis.process.start()?;
        self.clickhouse.process.start()?;
        wait_ready("redis-server", &self.redis.process, || self.redis.is_ready())?;
        self.publish_refusals()?;
        wait_ready("the engine", &self.clickhouse.process, || self.clickhouse.is_ready())
    }

    /// What the operator does first: an empty refusal log with a signed head.
    ///
    /// # Errors
    /// When Redis does not take it.
    pub fn publish_refusals(&self) -> Result<()> {
        let head = serde_json::to_string(&RefusalLog::default().sign_head(&self.keys.signing))?;
        redis::cmd("SET").arg(REFUSALS_HEAD).arg(head).exec(&mut self.redis.connect()?)?;
        Ok(())
    }

    /// Where mail clients connect.
    #[must_use]
    pub fn targets(&self) -> Vec<SocketAddr> {
        self.edges.iter().filter_map(|edge| edge.listen).collect()
    }

    /// Seals tokens of this region.
    #[must_use]
    pub fn minter(&self) -> Minter {
        Minter::new(self.keys.kid, &self.keys.region, Keys::last_day())
    }

    /// The folder that holds all of it until the stack is dropped.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The ends of all logs, for a message about a failure.
    #[must_use]
    pub fn logs(&self) -> String {
        let all = self.writers.iter().chain(&self.edges).map(|server| &server.process);
        let all = all.chain([&self.redis.process, &self.clickhouse.process]);
        all.map(Process::last_words).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Set it to look at what a failed proof left behind.
        if std::env::var_os("HUSHMARK_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            crate::figure::progress(&format!("kept {}", self.folder.path().display()));
        }
    }
}

/// Waits until a part is ready.
///
/// # Errors
/// When it ends or is not ready in time, with the end of its log.
pub fn wait_ready(name: &str, process: &Process, ready: impl Fn() -> bool) -> Result<()> {
    let until = Instant::now() + READY;
    while Instant::now() < until {
        if ready() {
            return Ok(());
        }
        if !process.is_running() {
            bail!("{name} ended before it was ready:\n{}", process.last_words());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("{name} was not ready within {READY:?}:\n{}", process.last_words())
}

/// What edges and writers connect to, and what they show there.
type Stores<'a> = (&'a Redis, &'a ClickHouse, Option<&'a Hops>);

fn edge(
    tools: &Tools,
    shape: &Shape,
    n: usize,
    path: &Path,
    keys: &Keys,
    (redis, _, hops): Stores<'_>,
) -> Result<Server> {
    let name = format!("edge-{n}");
    let folder = path.join(&name);
    std::fs::create_dir_all(&folder)?;
    let (listen, admin) = (ports::free()?, ports::free()?);
    let mut args = arguments([
        ("--listen", listen.to_string()),
        ("--admin", admin.to_string()),
        ("--keys", text(&keys.region_folder())?),
        ("--ring", text(&keys.batch_folder())?),
        ("--redis", redis.url()),
        ("--lane-log", text(&folder)?),
        ("--metrics-step", "1".into()),
        ("--threads", shape.threads.to_string()),
        ("--refusal-key", text(&keys.refusal_key())?),
    ]);
    if let Some(hops) = hops {
        args.extend(hops.options(End::Edge, "redis")?);
    }
    args.extend(shape.edge_args.iter().cloned());
    let program = tools.program("hushmark-edge")?;
    let recipe = Recipe { name, program, args, env: BTreeMap::new() };
    let process = Process::new(recipe, &path.join("logs"));
    Ok(Server { process, listen: Some(listen), admin, folder })
}

fn writer(
    tools: &Tools,
    shape: &Shape,
    n: usize,
    path: &Path,
    keys: &Keys,
    (redis, clickhouse, hops): Stores<'_>,
) -> Result<Server> {
    let name = format!("writer-{n}");
    let folder = path.join(&name);
    std::fs::create_dir_all(&folder)?;
    let admin = ports::free()?;
    let mut args = arguments([
        ("--redis", redis.url()),
        ("--clickhouse", clickhouse.url()),
        ("--ring", text(&keys.batch_folder())?),
        ("--salts", text(&keys.salt_folder())?),
        ("--admin", admin.to_string()),
        ("--refusal-key", text(&keys.refusal_key())?),
        ("--state", text(&folder)?),
        ("--epoch-seconds", "10".into()),
        ("--window-seconds", shape.window_seconds.to_string()),
        ("--metrics-step", "1".into()),
    ]);
    if let Some(hops) = hops {
        args.extend(hops.options(End::Writer, "redis")?);
        args.extend(hops.options(End::Writer, "clickhouse")?);
    }
    args.extend(shape.writer_args.iter().cloned());
    let program = tools.program(shape.writer_program)?;
    let recipe = Recipe { name, program, args, env: BTreeMap::new() };
    let process = Process::new(recipe, &path.join("logs"));
    Ok(Server { process, listen: None, admin, folder })
}

fn arguments<const N: usize>(pairs: [(&str, String); N]) -> Vec<String> {
    pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("the temporary folder's name is not text")?.to_owned())
}
