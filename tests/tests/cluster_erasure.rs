//! The audit log and erasures of a cluster, on a real API server, with a real Redis, engine, edge and
//! writer: who asked is told and verifies offline, what is erased is gone, and the log outlives a
//! Redis that lost it.

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hushmark_event::plans::{Policy, PolicyKind, field};
use hushmark_event::redis_keys::POLICIES;
use hushmark_tests::cluster::{Cluster, Deployed, Release, condition};
use hushmark_tests::proofs::kill_switch::readers::{self, Reader, Servers};
use hushmark_tests::stack::{Shape, Stack, wait_ready};
use hushmark_tests::tools::Tools;
use serde_json::Value;

struct Stage {
    tools: Tools,
    cluster: Cluster,
    release: Release,
    operator: Deployed,
    stack: Stack,
    servers: Servers,
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
        for tenant in ["acme", "other"] {
            cluster.apply(&release.tenant(tenant, 1))?;
            let wait = ["wait", "tenant", tenant, "-n", tenant, "--for=condition=Ready"];
            let ready = cluster.kubectl(&[&wait[..], &["--timeout=60s"]].concat());
            ready.with_context(|| operator.process.last_words())?;
        }
        let stack = Stack::prepare(&tools, &Shape { edges: 0, writers: 0, ..Shape::default() }, 1)?;
        stack.clickhouse.process.start()?;
        wait_ready("the engine", &stack.clickhouse.process, || stack.clickhouse.is_ready())?;
        let servers = Servers::start(&tools, &cluster, &release, &stack)?;
        // Parts stay for 45 seconds after they were written anew, which is too long for a test.
        for table in ["counters", "hits", "published", "published_campaigns"] {
            let sooner = format!("ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1");
            stack.clickhouse.query(&sooner)?;
        }
        Ok(Self { tools, cluster, release, operator, stack, servers })
    }

    fn until(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let look = || {
            if !self.operator.process.is_running() {
                bail!("the operator ended");
            }
            done()
        };
        let ended = self.cluster.wait(what, look);
        ended.with_context(|| {
            format!("{}\n{}", self.operator.process.last_words(), self.servers.last_words())
        })
    }

    /// `kubectl hushmark …`, to the operator by its own address: nobody forwards ports here.
    fn hushmark(&self, arguments: &[&str]) -> Result<String> {
        let asks = self.operator.asks.to_string();
        let said = self.cluster.hushmark(&[arguments, &["--operator", &asks]].concat());
        said.with_context(|| self.servers.last_words())
    }

    /// `hushmark …`, without a cluster.
    fn offline(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.tools.program("hushmark")?);
        command.args(arguments).env("KUBECONFIG", "/dev/null").env_remove("HOME");
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }

    fn file(&self, name: &str) -> Result<(PathBuf, String)> {
        let path = self.cluster.folder().join(name);
        let text = path.to_str().context("the folder's name is not text")?.to_owned();
        Ok((path, text))
    }

    fn status(&self) -> Result<Value> {
        Ok(self.cluster.get(&["region", "eu"])?["status"].clone())
    }

    /// What Redis and ClickHouse have, by their lengths.
    fn audit_lengths(&self) -> Result<(u64, u64)> {
        let (mut redis, copy) = (self.redis()?, "SELECT max(n) FROM audit");
        let there = redis::cmd("XLEN").arg("audit").query(&mut redis)?;
        Ok((there, self.stack.clickhouse.number(copy)?))
    }

    fn redis(&self) -> Result<redis::Connection> {
        let secret = |entry| self.cluster.secret(&self.release.namespace, "redis-outside", entry);
        let (url, password) =
            (String::from_utf8(secret("url")?)?, String::from_utf8(secret("password")?)?);
        let address = url.trim().strip_prefix("redis://").context("the url is no redis:// url")?;
        let client = redis::Client::open(format!("redis://:{}@{address}", password.trim()))?;
        Ok(client.get_connection_with_timeout(Duration::from_secs(5))?)
    }

    /// The head of the audit log that the Region publishes, as `--head` takes it.
    fn published(&self) -> Result<String> {
        let head = self.status()?["auditLog"].clone();
        let hash = head["hash"].as_str().context("the status names no head")?;
        Ok(format!("{}:{hash}", head["length"]))
    }
}

#[test]
fn what_is_erased_in_a_cluster_is_gone_and_who_asked_for_it_is_told() -> Result<()> {
    let stage = Stage::set()?;
    for tenant in ["acme", "other"] {
        let reader = Reader::start(&stage.stack, &stage.servers, tenant);
        sleep(Duration::from_secs(1));
        let hits = reader.stop()?;
        let counted = readers::counted(&stage.stack, tenant, hits.len())?;
        assert_eq!(counted.len(), hits.len(), "{}", stage.servers.last_words());
    }
    refused(&stage)?;
    held(&stage)?;
    a_campaign(&stage)?;
    the_log(&stage)?;
    redis_loses_it(&stage)?;
    a_tenant(&stage)
}

/// Nothing is changed by what cannot be.
fn refused(stage: &Stage) -> Result<()> {
    for (arguments, says) in [
        (
            &["erase", "--tenant", "acme", "--people", "who.txt", "--yes"][..],
            "a cluster has none yet",
        ),
        (&["erase", "--tenant", "acme", "--yes"], "--all for everything; nothing was changed"),
        (&["erase", "--campaign", "acme/winter", "--yes"], "there is no campaign acme/winter"),
        (&["takedown", "--kid", "7", "--yes"], "has no key 7"),
    ] {
        let error = format!("{:#}", stage.hushmark(arguments).expect_err("it is refused"));
        ensure!(error.contains(says), "{error}");
    }
    Ok(())
}

/// A legal hold wins over an erasure of the campaign and of its tenant, for as long as it is there.
fn held(stage: &Stage) -> Result<()> {
    let policy = serde_json::json!({
        "apiVersion": "hushmark.io/v1alpha1",
        "kind": "RetentionPolicy",
        "metadata": { "name": "held", "namespace": "acme" },
        "spec": { "keep": { "countersDays": 30 }, "legalHold": { "reason": "a letter of the court" } },
    });
    stage.cluster.apply(&policy.to_string())?;
    let name_policy = |name: &str| {
        let patch = format!("{{\"spec\":{{\"retentionPolicy\":{name}}}}}");
        let what = ["patch", "campaign", "letter-1", "-n", "acme", "--type=merge", "-p", &patch];
        stage.cluster.kubectl(&what).map(drop)
    };
    let is_told = || -> Result<bool> {
        let field = field(PolicyKind::Retention, "acme/held");
        let told: Option<String> =
            redis::cmd("HGET").arg(POLICIES).arg(field).query(&mut stage.redis()?)?;
        let told: Policy = serde_json::from_str(&told.unwrap_or_else(|| "null".into()))?;
        Ok(told.held.iter().any(|held| held.name == "acme/letter-1"))
    };
    name_policy("\"held\"")?;
    stage.until("the hold is known", || Ok(is_told().unwrap_or(false)))?;
    for of in [&["--campaign", "acme/letter-1"][..], &["--tenant", "acme", "--all"]] {
        let erase = [&["erase"], of, &["--yes"]].concat();
        let error = format!("{:#}", stage.hushmark(&erase).expect_err("it is held"));
        ensure!(error.contains("a legal hold keeps some of it"), "{error}");
        ensure!(error.contains("acme/letter-1 (a letter of the court)"), "{error}");
    }
    assert!(!readers::counted(&stage.stack, "acme", 0)?.is_empty(), "nothing went");
    name_policy("null")?;
    stage.until("the hold is lifted", || Ok(!is_told()?))
}

fn a_campaign(stage: &Stage) -> Result<()> {
    let (receipt, name) = stage.file("receipt.json")?;
    let erase = ["erase", "--campaign", "acme/letter-1", "--yes", "--out", &name];
    let said = stage.hushmark(&erase)?;
    ensure!(said.contains("verified") && said.contains("reached      ClickHouse"), "{said}");
    ensure!(said.contains("NOT reached  etcd"), "{said}");
    assert!(readers::counted(&stage.stack, "acme", 0)?.is_empty(), "it is gone");
    assert!(!readers::counted(&stage.stack, "other", 0)?.is_empty(), "nobody else's is");
    let campaign = || stage.cluster.get(&["campaign", "letter-1", "-n", "acme"]);
    stage.until("the campaign says that it was erased", || {
        let ready = condition(&campaign()?, "Ready").unwrap_or_default();
        Ok(ready.starts_with("False Erased: it was erased on 20"))
    })?;
    let first = std::fs::read(&receipt)?;
    stage.hushmark(&erase)?;
    assert_eq!(std::fs::read(&receipt)?, first, "asked again, it is the same receipt");

    let key = stage.status()?["logKey"].as_str().context("no key is published")?.to_owned();
    let (path, key_file) = stage.file("log.key")?;
    std::fs::write(path, key)?;
    stage.offline(&["receipt", "verify", &name, "--key", &key_file])?;
    Ok(())
}

/// Who asked for what, read by the plugin and verified offline.
fn the_log(stage: &Stage) -> Result<()> {
    let text = stage.hushmark(&["audit"])?;
    for says in [
        "asked to take down key 7: refused, because there is no such thing",
        "asked to erase campaign ",
        "refused, because a legal hold keeps the data",
        "allowed, entry ",
        "is erased, as entry ",
    ] {
        ensure!(text.contains(says), "{says:?} is not in\n{text}");
    }
    let by =
        stage.cluster.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])?;
    ensure!(text.contains(&format!("{} asked to", by.trim())), "{by} is not in\n{text}");
    let ((_, log), (_, key)) = (stage.file("audit.jsonl")?, stage.file("log.key")?);
    stage.until("the Region publishes the head", || {
        let length = stage.audit_lengths()?.0;
        Ok(stage.status()?["auditLog"]["length"] == length)
    })?;
    stage.hushmark(&["audit", "-o", &log])?;
    let head = stage.published()?;
    let said = stage.offline(&["audit", "verify", &log, "--key", &key, "--head", &head])?;
    ensure!(said.contains("the published head agrees"), "{said}");
    Ok(())
}

/// The writer brings it back, and until then nothing is asked for.
fn redis_loses_it(stage: &Stage) -> Result<()> {
    stage.until("ClickHouse has all of it", || {
        let (there, copied) = stage.audit_lengths()?;
        Ok(there == copied)
    })?;
    stage.operator.process.terminate(Duration::from_secs(30))?;
    let before = stage.published()?;
    let mut redis = stage.redis()?;
    redis::cmd("DEL").arg(&["audit", "audit:head"]).query::<()>(&mut redis)?;
    stage.operator.process.start()?;
    let (_, log) = stage.file("audit.jsonl")?;
    stage.until("the log is back", || Ok(stage.hushmark(&["audit", "-o", &log]).is_ok()))?;
    assert_eq!(stage.published()?, before, "and it is the same one");
    let (_, key) = stage.file("log.key")?;
    stage.offline(&["audit", "verify", &log, "--key", &key, "--head", &before])?;
    Ok(())
}

fn a_tenant(stage: &Stage) -> Result<()> {
    let (_, name) = stage.file("receipt-of-tenant.json")?;
    let erase = ["erase", "--tenant", "other", "--all", "--yes", "--out", &name];
    let said = stage.hushmark(&erase)?;
    ensure!(said.contains("before it    the receipt of entry "), "{said}");
    assert!(readers::counted(&stage.stack, "other", 0)?.is_empty(), "it is gone");
    for kind in ["tenant", "campaign"] {
        let object = if kind == "tenant" { "other" } else { "letter-1" };
        stage.until("it says that it was erased", || {
            let found = stage.cluster.get(&[kind, object, "-n", "other"])?;
            Ok(condition(&found, "Ready").unwrap_or_default().starts_with("False Erased"))
        })?;
    }
    let ((_, first), (_, key)) = (stage.file("receipt.json")?, stage.file("log.key")?);
    let both = stage.offline(&["receipt", "verify", &first, &name, "--key", &key])?;
    ensure!(both.contains("2 receipts verified, none is missing between them"), "{both}");
    Ok(())
}
