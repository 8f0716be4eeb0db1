//! Tenants and campaigns on a real API server, with a real Redis: what `kubectl` shows, what the
//! refusal log refuses, and what never hangs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hushmark_tests::cluster::{Cluster, Deployed, Release};
use hushmark_tests::figure::progress;
use hushmark_tests::tools::Tools;
use serde_json::Value;

/// A region, its operator, and a tenant with two campaigns.
struct Stage {
    cluster: Cluster,
    release: Release,
    operator: Deployed,
    redis: redis::Connection,
}

impl Stage {
    fn set() -> Result<Self> {
        let tools = Tools::from_env()?;
        let cluster = Cluster::start(&tools)?;
        Release::install_crds(&cluster)?;
        let release = Release::install(&cluster, "eu", "eu-central")?;
        cluster.apply(&release.region())?;
        let program = tools.program("hushmark-operator")?;
        let operator = release.operator(&cluster, &program, "operator-0")?;
        operator.process.start()?;
        cluster.wait("the operator is ready", || {
            if !operator.process.is_running() {
                bail!("the operator ended:\n{}", operator.process.last_words());
            }
            Ok(operator.is_ready())
        })?;
        let redis = redis_of(&cluster, &release)?;
        let stage = Self { cluster, release, operator, redis };
        stage.cluster.apply(&stage.release.tenant("acme", 2))?;
        stage.until("acme is Ready", || {
            Ok(stage.ready("tenant", "acme", "acme")?.starts_with("True")
                && stage.ready("campaign", "acme", "letter-1")?.starts_with("True"))
        })?;
        Ok(stage)
    }

    /// Waits, and shows the operator's log if it is in vain.
    fn until(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        self.cluster.wait(what, done).with_context(|| self.operator.process.last_words())
    }

    fn status(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        Ok(self.cluster.get(&[kind, name, "-n", namespace])?["status"].clone())
    }

    /// Status, reason and message of an object's condition `Ready`.
    fn ready(&self, kind: &str, namespace: &str, name: &str) -> Result<String> {
        let status = self.status(kind, namespace, name)?;
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        let ready = all.iter().find(|condition| condition["type"] == "Ready");
        Ok(ready.map_or_else(String::new, |ready| {
            let word = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}: {}", word("status"), word("reason"), word("message"))
        }))
    }

    /// Number of entries under the signed head.
    fn log(&mut self) -> Result<u64> {
        let head: Option<String> = redis::cmd("GET").arg("refusals:head").query(&mut self.redis)?;
        let head: Value = serde_json::from_str(&head.context("there is no head")?)?;
        head["length"].as_u64().context("the head has no length")
    }

    fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &str) -> Result<()> {
        let what = ["patch", kind, name, "-n", namespace, "--type=merge", "-p", patch];
        self.cluster.kubectl(&what).map(drop)
    }
}

/// A connection with what the operator's Secret says.
fn redis_of(cluster: &Cluster, release: &Release) -> Result<redis::Connection> {
    let of = |key: &str| {
        let template = format!("go-template={{{{.data.{key} | base64decode}}}}");
        let namespace = release.namespace.as_str();
        cluster.kubectl(&["get", "secret", "redis-outside", "-n", namespace, "-o", &template])
    };
    let (url, password) = (of("url")?, of("password")?);
    let address = url.trim().strip_prefix("redis://").context("the url is no redis:// url")?;
    let client = redis::Client::open(format!("redis://:{}@{address}", password.trim()))?;
    Ok(client.get_connection_with_timeout(Duration::from_secs(5))?)
}

#[test]
fn a_tenants_life_on_a_real_api_server() -> Result<()> {
    let mut stage = Stage::set()?;
    kill_switch(&mut stage)?;
    asks(&mut stage)?;
    wrong_ones(&stage)?;
    counts(&mut stage)?;
    a_region_goes(&stage)?;
    namespaces_go(&stage)?;
    Ok(())
}

/// On, it is in the log within a second of `kubectl apply`; off again, new mail is of the next
/// generation.
fn kill_switch(stage: &mut Stage) -> Result<()> {
    let mut took = Vec::new();
    for round in 1..=5u64 {
        let before = stage.log()?;
        let began = Instant::now();
        stage.patch("tenant", "acme", "acme", r#"{"spec":{"killSwitch":true}}"#)?;
        let until = began + Duration::from_secs(10);
        while stage.log()? < before + 2 {
            ensure!(Instant::now() < until, "no cap:\n{}", stage.operator.process.last_words());
            std::thread::sleep(Duration::from_millis(5));
        }
        took.push(began.elapsed());
        stage.until("the campaign says why it is off", || {
            Ok(stage.ready("campaign", "acme", "letter-1")?.contains("kill switch"))
        })?;
        stage.patch("tenant", "acme", "acme", r#"{"spec":{"killSwitch":false}}"#)?;
        stage.until("the next generation", || {
            let status = stage.status("tenant", "acme", "acme")?;
            Ok(status["campaign"]["generation"] == round)
        })?;
        stage.until("the campaign is free", || {
            Ok(stage.ready("campaign", "acme", "letter-1")?.contains("the campaign says so"))
        })?;
    }
    took.sort();
    progress(&format!("kubectl's start to the cap under a signed head: {took:?}"));
    let head = stage.cluster.get(&["region", "eu"])?["status"]["refusalLog"]["length"].clone();
    let length = stage.log()?;
    stage.until("the Region names the head", || {
        let region = stage.cluster.get(&["region", "eu"])?;
        Ok(region["status"]["refusalLog"]["length"] == length)
    })?;
    ensure!(head.is_u64(), "the Region's status has no head: {head}");
    Ok(())
}

/// As the writer asks for it.
const OBJECTION: &str = r#"{"contact":{"tenant":"0000000000000001","id":"0000000000000009"}}"#;

/// What a recipient's page asks for is appended within a second, too.
fn asks(stage: &mut Stage) -> Result<()> {
    let before = stage.log()?;
    redis::cmd("XADD").arg(&["asks", "*", "e", OBJECTION]).query::<String>(&mut stage.redis)?;
    let until = Instant::now() + Duration::from_secs(10);
    while stage.log()? == before {
        ensure!(Instant::now() < until, "not appended:\n{}", stage.operator.process.last_words());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Each wrong thing has a condition that says what to do next.
fn wrong_ones(stage: &Stage) -> Result<()> {
    let cluster = &stage.cluster;
    cluster.apply(
        "apiVersion: hushmark.io/v1alpha1
kind: Tenant
metadata: {name: second, namespace: acme}
spec: {region: eu}
---
apiVersion: v1
kind: Namespace
metadata: {name: lost}
---
apiVersion: hushmark.io/v1alpha1
kind: Tenant
metadata: {name: lost, namespace: lost}
spec: {region: mars}
---
apiVersion: v1
kind: Namespace
metadata: {name: nobody}
---
apiVersion: hushmark.io/v1alpha1
kind: Campaign
metadata: {name: letter, namespace: nobody}
spec:
  type: campaign
  subject: A letter
  from: news@nobody.example
  content: {path: letter.html}
  list: {path: recipients.csv}
",
    )?;
    for (kind, namespace, name, says) in [
        ("tenant", "acme", "second", "the namespace has the Tenant \"acme\" already"),
        ("tenant", "lost", "lost", "there is no Region \"mars\" in this cluster; there: eu"),
        ("campaign", "nobody", "letter", "the namespace \"nobody\" has no Tenant"),
    ] {
        stage.until(says, || Ok(stage.ready(kind, namespace, name)?.contains(says)))?;
    }
    stage.patch("campaign", "acme", "letter-2", r#"{"spec":{"retentionPolicy":"ten-years"}}"#)?;
    let says = "the namespace \"acme\" has no RetentionPolicy \"ten-years\"; there: none";
    stage.until(says, || Ok(stage.ready("campaign", "acme", "letter-2")?.contains(says)))?;
    // kubectl wait believes what it reads.
    let wait = ["wait", "campaign", "letter-1", "-n", "acme", "--for=condition=Ready"];
    cluster.kubectl(&[&wait[..], &["--timeout=10s"]].concat())?;
    let events = cluster.kubectl(&["get", "events", "-n", "acme"])?;
    ensure!(events.contains("ten-years"), "people are told by an event: {events}");
    Ok(())
}

/// What an epoch published reaches the status, and an epoch that shows nothing else writes nothing.
fn counts(stage: &mut Stage) -> Result<()> {
    let status = stage.status("campaign", "acme", "letter-1")?;
    let id = status["id"].as_str().context("the campaign has no id")?.to_owned();
    let publish = |redis: &mut redis::Connection, epoch: u32| -> Result<()> {
        let total = |raw: &str| {
            format!(r#"{{"raw":{raw},"human":null,"messages":null,"human_messages":null}}"#)
        };
        let (opens, clicks) = (total("60"), total("null"));
        let totals = format!(r#"{{"epoch":{epoch},"opens":{opens},"clicks":{clicks}}}"#);
        redis::cmd("HSET").arg(&["published", &id, &totals]).exec(redis)?;
        redis::cmd("SET").arg("published:epoch").arg(epoch).exec(redis)?;
        Ok(())
    };
    publish(&mut stage.redis, 1_795_000_000)?;
    stage.until("the status shows the epoch", || {
        let counts = &stage.status("campaign", "acme", "letter-1")?["counts"];
        Ok(counts["opens"]["shown"] == "60" && counts["clicks"]["shown"] == "withheld")
    })?;
    let shown = stage.cluster.kubectl(&["get", "campaign", "letter-1", "-n", "acme"])?;
    ensure!(shown.contains("OPENED") && shown.contains("withheld"), "{shown}");
    let mark = stage.cluster.mark()?;
    publish(&mut stage.redis, 1_795_003_600)?;
    std::thread::sleep(Duration::from_secs(8));
    let writes = stage.cluster.writes_since(&mark, &stage.operator.user)?;
    let of_campaigns = writes.iter().filter(|call| call.resource.starts_with("campaigns")).count();
    ensure!(of_campaigns == 0, "{writes:?}");
    Ok(())
}

/// Those that were of a Region say that it is gone, and nothing holds them.
fn a_region_goes(stage: &Stage) -> Result<()> {
    stage.cluster.kubectl(&["delete", "region", "eu", "--timeout=30s"])?;
    let says = "there is no Region \"eu\" in this cluster; there: none";
    for (kind, name) in [("tenant", "acme"), ("campaign", "letter-1")] {
        stage.until(says, || Ok(stage.ready(kind, "acme", name)?.contains(says)))?;
    }
    Ok(())
}

/// Deleting a namespace does not wait for anybody, not even for an operator that is gone.
fn namespaces_go(stage: &Stage) -> Result<()> {
    stage.operator.process.kill9()?;
    let delete = ["delete", "namespace", "acme", "lost", "nobody", "--timeout=60s"];
    stage.cluster.kubectl(&delete).map(drop)
}
