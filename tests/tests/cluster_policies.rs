//! Retention in a cluster, on a real API server, with a real Redis, engine, operator and writer: a
//! policy's status says about how much is due, the plan how much exactly, and what was announced is
//! what goes, once the audit log has who demanded it; a legal hold keeps.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hushmark_policy::{CampaignId, TenantId};
use hushmark_tests::cluster::{Cluster, Deployed, Release, condition};
use hushmark_tests::proofs::kill_switch::readers::Servers;
use hushmark_tests::stack::{Shape, Stack, wait_ready};
use hushmark_tests::tools::Tools;
use serde_json::Value;

/// Rows of each campaign that are older than thirty days, and younger ones.
const OLD: u64 = 312;
const YOUNG: u64 = 150;

struct Stage {
    cluster: Cluster,
    /// Its Redis ends with it.
    _release: Release,
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
        cluster.apply(&release.tenant("acme", 2))?;
        let wait = ["wait", "tenant", "acme", "-n", "acme", "--for=condition=Ready"];
        let ready = cluster.kubectl(&[&wait[..], &["--timeout=60s"]].concat());
        ready.with_context(|| operator.process.last_words())?;
        let stack = Stack::prepare(&tools, &Shape { edges: 0, writers: 0, ..Shape::default() }, 1)?;
        stack.clickhouse.process.start()?;
        wait_ready("the engine", &stack.clickhouse.process, || stack.clickhouse.is_ready())?;
        let servers = Servers::start(&tools, &cluster, &release, &stack)?;
        Ok(Self { cluster, _release: release, operator, stack, servers })
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

    /// `kubectl hushmark …` about a policy, to the operator by its own address.
    fn hushmark(&self, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
        let asks = self.operator.asks.to_string();
        let more = ["-n", "acme", "--operator", &asks];
        let output = self.cluster.hushmark_ended(&[arguments, &more].concat())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }

    /// What has to be refused.
    fn refused(&self, hash: &str, says: &str) -> Result<()> {
        let enforce = ["enforce", "retentionpolicy/short", "--plan", hash];
        let (code, out, error) = self.hushmark(&enforce)?;
        ensure!(code == Some(1) && error.contains(says), "{code:?} {out}{error}");
        Ok(())
    }

    /// The newest plan, once it is one of what the policy says now.
    fn plan(&self) -> Result<Value> {
        let show = ["plan", "retentionpolicy/short", "--json"];
        // What the policy says may change at any moment, and then there is no plan of it for some.
        let text = RefCell::new(String::new());
        self.until("there is a plan", || {
            let (code, told, _) = self.hushmark(&show)?;
            text.replace(told);
            Ok(code == Some(3))
        })?;
        serde_json::from_str(&text.into_inner()).context("the plan is no JSON")
    }

    fn hash(&self) -> Result<String> {
        Ok(self.plan()?["hash"].as_str().context("a plan has a hash")?.to_owned())
    }

    fn policy(&self) -> Result<Value> {
        self.cluster.get(&["retentionpolicy", "short", "-n", "acme"])
    }

    /// Applies the policy, with more of a spec.
    fn say(&self, more: &str) -> Result<()> {
        self.cluster.apply(&format!(
            "apiVersion: hushmark.io/v1alpha1
kind: RetentionPolicy
metadata: {{name: short, namespace: acme}}
spec:
  keep: {{rowsDays: 30}}
  {more}
"
        ))?;
        Ok(())
    }

    /// Rows of hits of a campaign, `age` days old.
    fn store(&self, campaign: &str, rows: u64, age: u32) -> Result<()> {
        let tenant = TenantId::derive("eu", "acme").0;
        let id = CampaignId::derive("eu", "acme", campaign).0;
        self.stack.clickhouse.query(&format!(
            "INSERT INTO hits (tenant, campaign, contact, at, kind, link, verdict, rules, month) \
             SELECT {tenant}, {id}, number + 1, now() - INTERVAL {age} DAY AS at, 'open', 0, \
             'human', 1, toStartOfMonth(at) FROM numbers({rows})"
        ))?;
        Ok(())
    }

    fn rows(&self, campaign: &str) -> Result<u64> {
        let id = CampaignId::derive("eu", "acme", campaign).0;
        let count = format!("SELECT count() FROM hits WHERE campaign = {id}");
        self.stack.clickhouse.number(&count)
    }

    fn name_policy(&self, campaign: &str) -> Result<()> {
        let patch = r#"{"spec":{"retentionPolicy":"short"}}"#;
        let patch = ["patch", "campaign", campaign, "-n", "acme", "--type=merge", "-p", patch];
        self.cluster.kubectl(&patch)?;
        Ok(())
    }
}

#[test]
fn what_a_plan_of_a_cluster_announced_is_what_goes_once_it_is_demanded() -> Result<()> {
    let stage = Stage::set()?;
    for campaign in ["letter-1", "letter-2"] {
        stage.store(campaign, OLD, 60)?;
        stage.store(campaign, YOUNG, 3)?;
    }
    let old = only_planned(&stage)?;
    stands_still(&stage)?;
    carried_out(&stage, &old)?;
    held(&stage)
}

/// A policy with `mode: plan` shows what is due, and nothing can be removed by it.
fn only_planned(stage: &Stage) -> Result<String> {
    stage.say("mode: plan")?;
    stage.name_policy("letter-1")?;
    stage.until("the status says what is due", || {
        let planned = condition(&stage.policy()?, "Planned").unwrap_or_default();
        Ok(planned.starts_with("True Due: rows are due; `kubectl hushmark plan retentionpolicy"))
    })?;
    let plan = stage.policy()?["status"]["plan"].clone();
    assert_eq!(plan["campaigns"], 1, "{plan}");
    assert_eq!(plan["steps"][0]["step"], "rows");
    assert_eq!(plan["steps"][0]["rows"], "about 300", "no exact figure is in a status");
    let shown = stage.plan()?;
    assert_eq!(shown["plan"]["steps"][0]["found"][0]["rows"], OLD, "{shown}");
    let (_, text, _) = stage.hushmark(&["plan", "short"])?;
    ensure!(text.contains(&format!("{OLD} rows removed")), "{text}");
    ensure!(text.contains("the policy has mode: plan, so nothing can be removed by it"), "{text}");
    let hash = stage.hash()?;
    stage.refused(&hash, "has mode: plan, so nothing was changed")?;
    Ok(hash)
}

/// Nobody writes what is said already, an operator that was started anew neither.
fn stands_still(stage: &Stage) -> Result<()> {
    let before = stage.policy()?["metadata"]["resourceVersion"].clone();
    stage.operator.process.terminate(Duration::from_secs(30))?;
    stage.operator.process.start()?;
    stage.until("the operator works again", || {
        Ok(stage.hushmark(&["plan", "short"])?.0 == Some(3))
    })?;
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(stage.policy()?["metadata"]["resourceVersion"], before);
    Ok(())
}

/// An old hash is refused; the newest one is carried out, to the row, and told of.
fn carried_out(stage: &Stage, old: &str) -> Result<()> {
    stage.say("mode: enforce")?;
    stage.until("there is another plan", || Ok(stage.hash()? != old))?;
    stage.refused(old, "is not the newest one")?;
    stage.refused(&"0".repeat(64), "is not the newest one")?;
    assert_eq!(stage.rows("letter-1")?, OLD + YOUNG, "nothing was changed");
    let hash = stage.hash()?;
    let (code, text, error) =
        stage.hushmark(&["enforce", "retentionpolicy/short", "--plan", &hash])?;
    ensure!(code == Some(0), "{text}{error}\n{}", stage.servers.last_words());
    ensure!(text.contains("RetentionPolicy acme/short is enforced"), "{text}");
    ensure!(text.contains(&format!("{OLD} rows removed")), "{text}");
    assert_eq!(stage.rows("letter-1")?, YOUNG, "what was announced, and nothing else");
    assert_eq!(stage.rows("letter-2")?, OLD + YOUNG, "it does not name the policy");
    stage.until("the status says that it was done", || {
        let enforced = condition(&stage.policy()?, "Enforced").unwrap_or_default();
        Ok(enforced.starts_with("True Enforced: what entry "))
    })?;
    stage.refused(&hash, "this plan was carried out")?;
    let asks = stage.operator.asks.to_string();
    let log = stage.cluster.hushmark(&["audit", "--operator", &asks])?;
    let told = |plan: &str, outcome: &str| {
        let tells = |line: &&str| line.contains(plan) && line.contains(outcome);
        log.lines().filter(tells).count()
    };
    ensure!(told(&hash, "allowed") == 1, "it was demanded once:\n{log}");
    ensure!(told(old, "refused") == 2, "once with mode: plan, once as an old one:\n{log}");
    let enforced = "SELECT count() FROM enforced WHERE step = 'rows'";
    assert_eq!(stage.stack.clickhouse.number(enforced)?, 1);
    Ok(())
}

/// A hold that comes after the plan keeps everything.
fn held(stage: &Stage) -> Result<()> {
    stage.name_policy("letter-2")?;
    stage.until("the plan reaches both", || {
        Ok(stage.plan()?["plan"]["campaigns"].as_array().is_some_and(|all| all.len() == 2))
    })?;
    let hash = stage.hash()?;
    stage.say("mode: enforce\n  legalHold: {reason: a letter of the court}")?;
    let enforce = ["enforce", "retentionpolicy/short", "--plan", &hash];
    let (code, text, error) = stage.hushmark(&enforce)?;
    ensure!(code == Some(1), "{text}{error}");
    assert_eq!(stage.rows("letter-2")?, OLD + YOUNG, "it is kept");
    stage.until("the plan says who holds it", || {
        let (code, text, _) = stage.hushmark(&["plan", "short"])?;
        let reaches_nobody = text.contains("reaches  no campaign");
        Ok(code == Some(0)
            && reaches_nobody
            && text.contains("acme/letter-2: a letter of the court"))
    })
}
