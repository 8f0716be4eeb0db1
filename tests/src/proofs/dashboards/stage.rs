//! The whole stack under Prometheus' eyes: an operator on a control plane, edges and writers on a
//! real Redis and the real engine, and readers.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hushmark_event::redis_keys::REFUSALS_HEAD;
use hushmark_event::refusal::{RefusalLog, SignedHead};
use hushmark_policy::Day;
use serde_json::Value;
use tempfile::TempDir;

use super::prometheus::Prometheus;
use crate::cluster::Scene;
use crate::load::{Job, Load};
use crate::plan::Plan;
use crate::ports;
use crate::process::{Process, Recipe};
use crate::stack::{Server, Shape, Stack, wait_ready};
use crate::tools::Tools;

/// Hits a second: enough for figures, little for a machine that does all of this.
const RATE: u64 = 50;

/// The edge whose lane log is small, so that it is full soon.
const SMALL_LOG: usize = 1;

/// The edge that takes few connections and follows a Redis of its own; it gets no load.
pub(super) const APART: usize = 2;

/// How few connections that is.
pub(super) const CONNECTIONS: usize = 4;

/// Everything, in the order in which it is ended.
pub(super) struct Stage {
    load: Load,
    pub(super) prometheus: Prometheus,
    pub(super) scene: Scene,
    /// The Redis that one edge follows alone.
    pub(super) redis_apart: Process,
    redis_apart_at: SocketAddr,
    pub(super) stack: Arc<Stack>,
    pub(super) folder: TempDir,
}

impl Stage {
    pub(super) fn set(tools: &Tools) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let scene = Scene::start(tools, "")?;
        scene.cluster.apply(&scene.release.tenant("acme", 3))?;
        let shape = Shape { edges: 3, ..Shape::default() };
        let stack = Arc::new(Stack::prepare(tools, &shape, 4)?);
        let (redis_apart, redis_apart_at) = redis_apart(&folder)?;
        differ(&stack, redis_apart_at);
        // Yesterday may be closed today, and nobody here closes days.
        for keys in [stack.keys.batch_folder(), stack.keys.salt_folder()] {
            fs::remove_file(keys.join(Day(today().0 - 1).to_string()))?;
        }
        stack.start_stores()?;
        for server in stack.writers.iter().chain(&stack.edges) {
            server.process.start()?;
        }
        head(&mut connect(redis_apart_at)?, &stack, &RefusalLog::default())?;
        wait_all(&stack.writers)?;
        wait_all(&stack.edges)?;
        let load = Load::start(Job {
            targets: stack.targets()[..APART].to_vec(),
            connections: 4,
            plan: Plan::EachItsOwn { seed: 4 },
            minter: stack.minter(),
            first: 0,
            count: u64::MAX,
            rate: Some(RATE),
            patience: Duration::from_secs(30),
            latency_every: 100,
        });
        let named = |what: &'static str| {
            move |(n, server): (usize, &Server)| (format!("eu-{what}-{n}"), server.admin)
        };
        let edges = stack.edges.iter().enumerate().map(named("edge"));
        let writers = stack.writers.iter().enumerate().map(named("writer"));
        let operator = [("eu-operator-0".to_owned(), scene.operator.admin)];
        let targets: Vec<_> = edges.chain(writers).chain(operator).collect();
        let rules = rules(&scene)?;
        let namespace = scene.release.namespace.as_str();
        let prometheus = Prometheus::start(folder.path(), &rules, namespace, &targets)?;
        Ok(Self { load, prometheus, scene, redis_apart, redis_apart_at, stack, folder })
    }

    /// Every query of every dashboard of the release, with what Grafana puts in place of its
    /// variables.
    pub(super) fn dashboards(&self) -> Result<Vec<(String, String)>> {
        let list = self.scene.get(&["configmaps"])?;
        let maps = list["items"].as_array().into_iter().flatten();
        let files = maps.filter_map(|map| map["data"].as_object()).flatten();
        let mut queries = Vec::new();
        for (file, text) in files.filter(|(name, _)| name.ends_with(".json")) {
            let board: Value = serde_json::from_str(text.as_str().unwrap_or_default())?;
            for panel in board["panels"].as_array().into_iter().flatten() {
                for target in panel["targets"].as_array().into_iter().flatten() {
                    let query = target["expr"].as_str().context("a target without expr")?;
                    let query = query
                        .replace("$__rate_interval", "15s")
                        .replace("$__range", "1h")
                        .replace("$namespace", &self.scene.release.namespace)
                        .replace("$pod", ".*");
                    let title = panel["title"].as_str().unwrap_or_default();
                    queries.push((format!("{file}: {title}"), query));
                }
            }
        }
        Ok(queries)
    }

    /// Puts an entry under a signed head into the Redis that two of the edges follow, or into both.
    pub(super) fn refuse(&self, log: &mut RefusalLog, everywhere: bool) -> Result<()> {
        let n = log.length() + 1;
        let url = format!("https://example.org/{n}");
        let entry =
            format!(r#"{{"n":{n},"at_ms":{n},"refuses":{{"takedown":{{"url":"{url}"}}}}}}"#);
        log.append(entry.as_bytes())?;
        let mut all = vec![self.stack.redis.connect()?];
        if everywhere {
            all.push(connect(self.redis_apart_at)?);
        }
        for redis in &mut all {
            // The one that has it already says so.
            let mut add = redis::cmd("XADD");
            add.arg("refusals").arg(format!("{n}-0")).arg("e").arg(&entry);
            add.query::<String>(redis).ok();
            head(redis, &self.stack, log)?;
        }
        Ok(())
    }

    /// Waits until every edge and writer that was started again is ready.
    pub(super) fn wait_ready(&self) -> Result<()> {
        wait_all(&self.stack.edges)?;
        wait_all(&self.stack.writers)
    }

    pub(super) fn last_words(&self) -> String {
        let operator = self.scene.operator.process.last_words();
        format!("{}\n{operator}\n{}", self.stack.logs(), self.prometheus.process.last_words())
    }

    /// Ends the load; that answers were wrong while everything was broken is no matter here.
    pub(super) fn end(self) -> Result<()> {
        self.load.stop().map(drop)
    }
}

/// One edge has little room on its disk; another lets few people in and follows another Redis.
fn differ(stack: &Stack, redis_apart: SocketAddr) {
    let add = |n: usize, flag: &str, value: String| {
        let args = [flag.to_owned(), value];
        stack.edges[n].process.change(|recipe| recipe.args.extend(args));
    };
    add(SMALL_LOG, "--lane-log-max-bytes", "2000".into());
    add(APART, "--max-connections", CONNECTIONS.to_string());
    stack.edges[APART].process.change(|recipe| {
        let at = recipe.args.iter().position(|arg| arg == "--redis").expect("an edge has a Redis");
        recipe.args[at + 1] = format!("redis://{redis_apart}");
    });
}

fn redis_apart(folder: &TempDir) -> Result<(Process, SocketAddr)> {
    let address = ports::free()?;
    let port = address.port().to_string();
    // It keeps the head over its death: an edge is not ready without one.
    let kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    let args = [&["--port", &port, "--bind", "127.0.0.1"][..], &kept, &["--dir"]].concat();
    let mut args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    args.push(folder.path().display().to_string());
    let name = "redis-apart".to_owned();
    let recipe = Recipe { name, program: "redis-server".into(), args, env: BTreeMap::new() };
    let process = Process::new(recipe, folder.path());
    process.start()?;
    wait_ready("the other redis", &process, || connect(address).is_ok())?;
    Ok((process, address))
}

fn connect(address: SocketAddr) -> Result<redis::Connection> {
    let client = redis::Client::open(format!("redis://{address}"))?;
    Ok(client.get_connection_with_timeout(Duration::from_secs(2))?)
}

fn head(redis: &mut redis::Connection, stack: &Stack, log: &RefusalLog) -> Result<()> {
    let head: SignedHead = log.sign_head(&stack.keys.signing);
    let head = serde_json::to_string(&head)?;
    Ok(redis::cmd("SET").arg(REFUSALS_HEAD).arg(head).exec(redis)?)
}

fn wait_all(servers: &[Server]) -> Result<()> {
    for server in servers {
        wait_ready(&server.process.name(), &server.process, || server.is_ready())?;
    }
    Ok(())
}

/// The release's rule file, as the chart put it into the cluster.
fn rules(scene: &Scene) -> Result<String> {
    let map = scene.get(&["configmap", &scene.named("alerts")])?;
    let mut files = map["data"].as_object().context("no rule file")?.values();
    match files.next().and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => bail!("the ConfigMap of the alerts is empty"),
    }
}

pub(super) fn today() -> Day {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Day::of_unix_ms(since.map_or(0, |since| since.as_millis() as u64))
}
