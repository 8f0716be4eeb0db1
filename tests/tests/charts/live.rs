//! Every query of every dashboard and every rule of the alerts, by a real Prometheus that scrapes a
//! real edge, writers and operator: none is refused, and none shows nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hushmark_tests::cluster::{Cluster, Deployed, Release};
use hushmark_tests::http;
use hushmark_tests::load::{Job, Load};
use hushmark_tests::plan::Plan;
use hushmark_tests::ports;
use hushmark_tests::process::{Process, Recipe};
use hushmark_tests::stack::{Shape, Stack, wait_ready};
use hushmark_tests::tools::Tools;
use serde_json::{Value, json};

use crate::alerts::rule_file;
use crate::dashboards::{BOARDS, board, queries};
use crate::promtool;

/// What alerts and dashboards select by.
const NAMESPACE: &str = "hushmark-eu";

/// A second apart, so that a rate is there soon.
const SCRAPE: &str = "1s";
const RATE_INTERVAL: &str = "15s";

/// Until the last figure is there: the writer looks at parts every twenty seconds.
const PATIENCE: Duration = Duration::from_secs(150);

/// The region's data plane, with a reader's load on it.
struct Plane {
    stack: Arc<Stack>,
    load: Load,
}

impl Plane {
    fn start(tools: &Tools) -> Result<Self> {
        let stack = Stack::start(tools, &Shape { edges: 2, ..Shape::default() }, 4)?;
        let load = Load::start(Job {
            targets: stack.targets(),
            connections: 4,
            plan: Plan::EachItsOwn { seed: 4 },
            minter: stack.minter(),
            first: 0,
            count: u64::MAX,
            rate: Some(50),
            patience: Duration::from_secs(30),
            latency_every: 100,
        });
        Ok(Self { stack, load })
    }

    fn targets(&self) -> Vec<(String, SocketAddr)> {
        let named = |what: &'static str| {
            move |(n, server): (usize, &hushmark_tests::stack::Server)| {
                (format!("eu-{what}-{n}"), server.admin)
            }
        };
        let edges = self.stack.edges.iter().enumerate().map(named("edge"));
        edges.chain(self.stack.writers.iter().enumerate().map(named("writer"))).collect()
    }
}

/// An operator at work: a Region, a tenant with campaigns, and an object that somebody deletes.
struct Control {
    operator: Deployed,
    release: Release,
    cluster: Cluster,
}

impl Control {
    fn start(tools: &Tools) -> Result<Self> {
        let cluster = Cluster::start(tools)?;
        Release::install_crds(&cluster)?;
        let release = Release::install(&cluster, "eu", "eu-central")?;
        let program = tools.program("hushmark-operator")?;
        let operator = release.operator(&cluster, &program, "eu-operator-0")?;
        operator.process.start()?;
        wait_ready("the operator", &operator.process, || operator.is_ready())?;
        cluster.apply(&release.region())?;
        cluster.apply(&release.tenant("acme", 3))?;
        Ok(Self { operator, release, cluster })
    }

    /// Deletes a Service as soon as there is one: drift, which is put right again.
    fn disturb(&self) -> Result<()> {
        let namespace = &self.release.namespace;
        self.cluster.wait("the edge has its Service", || {
            Ok(self.cluster.kubectl(&["-n", namespace, "get", "service", "eu-edge"]).is_ok())
        })?;
        self.cluster.kubectl(&["-n", namespace, "delete", "service", "eu-edge"])?;
        Ok(())
    }
}

/// Prometheus with our alerts, scraping what a cluster's discovery would have found.
fn prometheus(folder: &Path, targets: &[(String, SocketAddr)]) -> Result<(Process, SocketAddr)> {
    let scraped: Vec<Value> = targets
        .iter()
        .map(|(pod, address)| {
            let labels = json!({"namespace": NAMESPACE, "pod": pod});
            json!({"targets": [address.to_string()], "labels": labels})
        })
        .collect();
    let config = json!({
        "global": {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "hushmark", "static_configs": scraped}],
    });
    fs::write(folder.join("prometheus.json"), serde_json::to_vec(&config)?)?;
    fs::write(folder.join("rules.yaml"), rule_file()?)?;
    let listen = ports::free()?;
    let path = |name: &str| folder.join(name).display().to_string();
    let recipe = Recipe {
        name: "prometheus".into(),
        program: "prometheus".into(),
        args: vec![
            format!("--config.file={}", path("prometheus.json")),
            format!("--storage.tsdb.path={}", path("tsdb")),
            format!("--web.listen-address={listen}"),
        ],
        env: BTreeMap::new(),
    };
    let process = Process::new(recipe, folder);
    process.start()?;
    wait_ready("prometheus", &process, || {
        let answer = http::get(listen, "/-/ready", Duration::from_secs(2));
        answer.is_ok_and(|answer| answer.status == 200)
    })?;
    Ok((process, listen))
}

/// What no panel may ask in vain.
fn all_queries() -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for name in BOARDS {
        let queries = queries(&board(name)?, RATE_INTERVAL);
        all.extend(queries.into_iter().map(|(title, query)| (format!("{name}: {title}"), query)));
    }
    Ok(all)
}

#[test]
fn no_query_is_refused_and_none_shows_nothing() -> Result<()> {
    let tools = Tools::from_env()?;
    let control = Control::start(&tools)?;
    let plane = Plane::start(&tools)?;
    let mut targets = plane.targets();
    targets.push(("eu-operator-0".into(), control.operator.admin));
    let folder = tempfile::tempdir()?;
    let (prometheus, address) = prometheus(folder.path(), &targets)?;
    control.disturb()?;
    let server = format!("http://{address}");
    let mut empty = all_queries()?;
    let until = Instant::now() + PATIENCE;
    while !empty.is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_secs(2));
        let mut still = Vec::new();
        for (title, query) in empty {
            let shown = promtool::run(folder.path(), &["query", "instant", &server, &query])?;
            if shown.trim().is_empty() {
                still.push((title, query));
            }
        }
        empty = still;
    }
    assert_eq!(empty, [], "shows nothing; {}", prometheus.last_words());
    rules_are_well(address)?;
    plane.load.stop()?;
    Ok(())
}

/// Every rule was evaluated, and of a region that is well none fires.
fn rules_are_well(address: SocketAddr) -> Result<()> {
    let answer = http::get(address, "/api/v1/rules", Duration::from_secs(10))?;
    let rules: Value = serde_json::from_slice(&answer.body)?;
    let groups = rules["data"]["groups"].as_array().into_iter().flatten();
    let mut seen = 0;
    for rule in groups.filter_map(|group| group["rules"].as_array()).flatten() {
        let name = &rule["name"];
        ensure!(rule["health"] == "ok", "{name}: {}", rule["lastError"]);
        ensure!(rule["state"] != "firing", "{name} fires: {}", rule["alerts"]);
        seen += 1;
    }
    ensure!(seen > 20, "only {seen} rules were evaluated");
    Ok(())
}
