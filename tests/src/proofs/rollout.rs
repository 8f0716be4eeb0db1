//! Proof `rollout`: while mail of a region is read at a steady rate on a real node, all its pods
//! are upgraded, its edges scaled from one to four and back, its node drained, and its keys
//! rotated. No request fails, no token is refused, and every answered hit is stored once.
//!
//! What one node can show of a drain: nothing that is evicted can start elsewhere, so Redis,
//! ClickHouse and the operator are away at once, while the disruption budgets keep one edge and one
//! writer from being evicted. Hits go to the edge's lane log until the node is back.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Run;
use crate::cluster::{Campaign, Cluster, Hit, Installed, Reader, Release, Shape};
use crate::figure::{Figures, progress};

/// The quickstart's Region.
const REGION: &str = include_str!("../../../examples/kubernetes/eu.yaml");

/// Readers, and how often each follows a link: two hundred requests a second, each over a
/// connection of its own.
const READERS: usize = 4;
const EVERY: Duration = Duration::from_millis(20);

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long eviction is tried: it has to end in vain.
const DRAIN: &str = "--timeout=20s";

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let cluster = Cluster::start_as(&run.tools, &Shape::real())?;
    Release::install_crds(&cluster)?;
    let release = Installed::install(&cluster, "eu", &[])?;
    cluster.apply(REGION)?;
    release.wait_ready(&cluster)?;
    cluster.apply(&tenant())?;
    let ready = ["wait", "tenant", "acme", "-n", "acme", "--for=condition=Ready", "--timeout=60s"];
    cluster.kubectl(&ready)?;

    let stage = Stage { cluster: &cluster, release: &release, calm: run.size(20, 2) };
    let readers = stage.readers("before")?;
    let steps: [(&str, Step<'_>); 4] = [
        ("every image upgraded", Stage::upgrade),
        ("edges scaled to 1, 4, 1 and 2", Stage::scale),
        ("the node drained", Stage::drain),
        ("keys rotated", Stage::rotate),
    ];
    for (what, step) in steps {
        let began = Instant::now();
        let done = step(&stage);
        let told =
            done.with_context(|| format!("{what}:\n{}", cluster.pods_report(&release.namespace)))?;
        figures.measure(format!("{what}: {told}"), began.elapsed().as_secs_f64(), "s");
        sleep(Duration::from_secs(stage.calm));
    }
    // Mail that is sealed from now on, beside what was sent before.
    let newer = stage.readers("after")?;
    sleep(Duration::from_secs(stage.calm + 2));
    stage.tell(&mut figures, [readers, newer].into_iter().flatten().collect())?;
    Ok(figures)
}

type Step<'a> = fn(&Stage<'a>) -> Result<String>;

/// What the steps are done to.
struct Stage<'a> {
    cluster: &'a Cluster,
    release: &'a Installed,
    /// Seconds between two steps.
    calm: u64,
}

impl Stage<'_> {
    /// Readers of mail that is sealed under the newest key.
    fn readers(&self, when: &str) -> Result<Vec<Reader>> {
        let key = self.release.region_key(self.cluster)?;
        let edge = self.release.edge(self.cluster)?;
        let campaign = |n| Campaign::new(&self.release.name, "acme", &format!("{when}-{n}"));
        Ok((0..READERS).map(|n| Reader::start(&campaign(n), &key, edge, EVERY)).collect())
    }

    fn upgrade(&self) -> Result<String> {
        self.cluster.tag_images("next")?;
        let images = ["operator", "edge", "writer", "redis", "clickhouse"];
        let values = images.map(|name| format!("image.{name}.tag=next"));
        self.release.upgrade(self.cluster, &values.each_ref().map(String::as_str))?;
        self.wait("every pod is of the new images and Ready", || {
            let pods = self.cluster.get(&["pods", "-n", &self.release.namespace])?;
            let pods = pods["items"].as_array().cloned().unwrap_or_default();
            Ok(pods.iter().all(|pod| {
                let image = pod["spec"]["containers"][0]["image"].as_str();
                let ready = &pod["status"]["containerStatuses"][0]["ready"];
                image.is_some_and(|image| image.ends_with(":next")) && *ready == true
            }))
        })?;
        self.release.wait_ready(self.cluster)?;
        Ok("all pods replaced".into())
    }

    fn scale(&self) -> Result<String> {
        for edges in [1, 4, 1, 2] {
            let patch = format!(r#"{{"spec":{{"edge":{{"replicas":{edges}}}}}}}"#);
            let name = &self.release.name;
            self.cluster.kubectl(&["patch", "region", name, "--type=merge", "-p", &patch])?;
            self.wait("as many edges serve as were asked for", || {
                let (name, namespace) = (self.release.named("edge"), &self.release.namespace);
                let set = self.cluster.get(&["statefulset", &name, "-n", namespace])?;
                let status = &set["status"];
                Ok(set["spec"]["replicas"] == edges
                    && status["replicas"] == edges
                    && status["readyReplicas"] == edges)
            })?;
            sleep(Duration::from_secs(self.calm));
        }
        Ok("each waited for".into())
    }

    fn drain(&self) -> Result<String> {
        let drain = ["drain", "node-1", "--ignore-daemonsets", "--delete-emptydir-data", "--force"];
        let drained = self.cluster.kubectl(&[&drain[..], &[DRAIN]].concat());
        let said = drained.err().context("the last edge was evicted")?;
        let said = format!("{said:#}");
        ensure!(said.contains("disruption budget"), "{said}");
        self.cluster.kubectl(&["uncordon", "node-1"])?;
        self.release.wait_ready(self.cluster)?;
        Ok("the last edge stayed, the stores were away".into())
    }

    fn rotate(&self) -> Result<String> {
        let before = self.release.region_key(self.cluster)?.0;
        let ask = format!("hushmark.io/rotate-keys={}", before.0 + 1);
        self.cluster.kubectl(&["annotate", "region", &self.release.name, &ask])?;
        self.wait("there is a newer key, and it is sealed with", || {
            let region = self.cluster.get(&["region", &self.release.name])?;
            let sealing = region["status"]["keys"]["sealing"].as_u64();
            Ok(sealing.is_some_and(|kid| kid > u64::from(before.0)))
        })?;
        let after = self.release.region_key(self.cluster)?.0;
        Ok(format!("from kid {} to {}", before.0, after.0))
    }

    fn wait(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !done()? {
            if Instant::now() > until {
                bail!("waited {PATIENCE:?} in vain until {what}");
            }
            sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// What was answered against what was counted, to the hit.
    fn tell(&self, figures: &mut Figures, readers: Vec<Reader>) -> Result<()> {
        let mut read = Vec::new();
        for reader in readers {
            let campaign = reader.campaign.clone();
            read.push((campaign, reader.stop()?));
        }
        let hits = || read.iter().flat_map(|(_, hits)| hits);
        let silent: Vec<&String> = hits().filter_map(|hit| hit.answer.as_ref().err()).collect();
        for why in silent.iter().take(5) {
            progress(why);
        }
        let refused = hits().filter(|hit| hit.answer.is_ok() && !hit.was_led_on()).count();
        figures.tell("requests", hits().count(), "requests");
        figures.exactly("requests without an answer", silent.len() as u64, 0, "requests");
        figures.exactly("tokens refused", refused as u64, 0, "tokens");

        let clickhouse = self.release.clickhouse(self.cluster)?;
        let until = Instant::now() + PATIENCE;
        let (lost, twice) = loop {
            let (mut lost, mut twice) = (0, 0);
            for (campaign, hits) in &read {
                let counted = campaign.counted(&clickhouse)?;
                lost += missing(hits, &counted);
                twice += counted.values().filter(|count| **count != 1).count();
            }
            if lost == 0 || twice > 0 || Instant::now() > until {
                break (lost, twice);
            }
            sleep(Duration::from_millis(500));
        };
        figures.exactly("answered hits that are not stored", lost as u64, 0, "hits");
        figures.exactly("hits stored more than once", twice as u64, 0, "hits");
        let mut slowest: Vec<f64> = hits().map(|hit| hit.took.as_secs_f64()).collect();
        slowest.sort_by(f64::total_cmp);
        if let Some(longest) = slowest.last() {
            figures.measure("median answer", 1_000.0 * slowest[slowest.len() / 2], "ms");
            figures.measure("longest answer", 1_000.0 * longest, "ms");
        }
        Ok(())
    }
}

fn missing(hits: &[Hit], counted: &HashMap<u16, u64>) -> usize {
    hits.iter().filter(|hit| hit.was_led_on() && !counted.contains_key(&hit.link)).count()
}

fn tenant() -> String {
    "apiVersion: v1
kind: Namespace
metadata: {name: acme}
---
apiVersion: hushmark.io/v1alpha1
kind: Tenant
metadata: {name: acme, namespace: acme}
spec:
  region: eu
  defaults: {campaign: {opens: anonymous, clicks: anonymous}}
"
    .to_owned()
}
