//! Proof `retention`: what a plan announced is what enforcing it removed, counted row by row by
//! queries of this proof's own, while hits come in.
//!
//! Years of mail are played as months: loaded as the writer stores, then `hushmark plan` and
//! `hushmark enforce` are run as a person runs them.

mod manifests;
mod model;
mod refused;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hushmark_policy::{Day, Kind};
use hushmark_token::{Kid, RegionKeys};
use serde_json::Value;

use super::Run;
use super::report::expected::Expected;
use super::report::loader;
use super::report::morning::{self, Morning};
use crate::bitmap::Bitmap;
use crate::figure::{Figures, progress};
use crate::keys::today;
use crate::load::{Job, Load};
use crate::one_machine::OneMachine;
use crate::plan::{Minter, Plan};
use manifests::Folder;
use model::Rows;

/// Campaigns, in pairs of `individual` and `anonymous`: under both policies, under a legal hold,
/// and without a policy.
const CAMPAIGNS: u64 = 6;

/// How many months back mail goes.
const MONTHS: u16 = 7;

/// Hits a second that come in meanwhile.
const INTAKE: u64 = 500;

/// A scene: the manifests, and what runs with them.
struct Scene {
    folder: Folder,
    program: PathBuf,
    up: OneMachine,
    /// The hour that all of it is judged by.
    today: Day,
}

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let (folder, data) = (Folder::new()?, tempfile::tempdir()?);
    let up = OneMachine::start_with(&run.tools, data.path(), folder.path())?;
    let hits = load(run, &up)?;
    figures.tell("hits of seven months", hits, "hits");
    // A writer that starts publishes all that there is.
    up.stop()?;
    let up = OneMachine::start_with(&run.tools, data.path(), folder.path())?;
    let scene = Scene { folder, program: run.tools.program("hushmark")?, up, today: today() };
    scene.wait_published()?;

    let before = Rows::read(&scene.up)?;
    let counted = before.hits_counted();
    figures.exactly("rows of hits, one a hit that was counted", before.hits(), counted, "rows");
    let intake = scene.intake(run)?;
    refused::prove(&scene, &mut figures)?;
    let unchanged = Rows::read(&scene.up)?;
    // What is refused changes nothing, but for the rows that were put there to make counts drift.
    figures.exactly(
        "rows that refused commands removed",
        before.missing_from(&unchanged),
        0,
        "rows",
    );

    let on_its_way = Duration::from_millis(run.size(1_500, 150));
    enforce(&scene, "fade", Some(on_its_way), &mut figures)?;
    enforce(&scene, "keep", None, &mut figures)?;
    let after = Rows::read(&scene.up)?;
    model::compare(&scene, &unchanged, &after, &mut figures)?;
    let intake = intake.stop()?;
    figures.tell("hits that came in meanwhile", intake.answered.count(), "hits");
    figures.exactly("of these answered wrongly", intake.wrong_count, 0, "hits");
    scene.counted_once(&before, &intake.answered, &mut figures)?;
    scene.shown_is_what_is_left(&mut figures)?;
    let audit = std::fs::read_to_string(scene.up.data().join("audit/log.jsonl"))?;
    let asked = audit.matches("\"enforce_plan\"").count() as u64;
    // The one that was killed was asked for twice.
    figures.at_least("times that the audit log says a plan was enforced", asked, 2, "times");
    scene.up.stop()?;
    Ok(figures)
}

/// Loads seven months of mail, and says how many hits that were.
fn load(run: &Run, up: &OneMachine) -> Result<u64> {
    let of_a_month = run.size(400_000, 6_000);
    let (mut first, mut to_ms) = (Day(today().0 - 1).month().first_day(), today().start_ms());
    for n in 0..MONTHS {
        progress(&format!("the mail of {} is loaded", first.month()));
        let span = (first.start_ms(), to_ms - 1);
        let seed = run.seed() + u64::from(n);
        let readers = run.size(20_000, 500);
        let mail = Morning::new(seed, (of_a_month, CAMPAIGNS, readers), span, today().plus(2));
        let salts = up.data().join("ring/salt");
        loader::load(&up.store()?, &salts, &mail, &mut Expected::of(Vec::new()))?;
        to_ms = first.start_ms();
        first = Day(first.0 - 1).month().first_day();
    }
    Ok(of_a_month * u64::from(MONTHS))
}

/// Plans a policy and carries it out; where it is to be killed on its way, says it again.
fn enforce(
    scene: &Scene,
    policy: &str,
    killed_after: Option<Duration>,
    figures: &mut Figures,
) -> Result<()> {
    let plan = scene.plan(policy)?;
    let announced = rows_of(&plan["plan"]["steps"], "found")?;
    let counted = Rows::read(&scene.up)?;
    let (hash, policy_name) = (text(&plan["hash"])?, format!("tenant/{policy}"));
    let command = ["enforce", &policy_name, "--plan", &hash, "--json"];
    let began = Instant::now();
    let mut removed = announced.clone();
    if let Some(after) = killed_after {
        scene.cut_short(&command, after, figures)?;
        let again = scene.up.run(&command)?;
        let complained = String::from_utf8_lossy(&again.stderr).into_owned();
        let is_done = again.status.success() || complained.contains("this plan was carried out");
        ensure!(is_done, "{}: {complained}", again.status);
    } else {
        let done: Value = serde_json::from_str(&scene.up.ask(&command)?)?;
        removed = rows_of(&done["steps"], "removed")?;
    }
    figures.measure(format!("enforcing {policy} took"), began.elapsed().as_secs_f64(), "s");
    figures.exactly(
        &format!("lines of what {policy} removed that were announced otherwise"),
        announced.iter().zip(&removed).filter(|(a, b)| a != b).count() as u64
            + announced.len().abs_diff(removed.len()) as u64,
        0,
        "lines",
    );
    let after = Rows::read(&scene.up)?;
    for (table, by_hand) in model::taken(&counted, &after, scene)? {
        let told = removed.iter().filter(|(line, _)| line.starts_with(&format!("{table}:")));
        let told: u64 = told.map(|(_, rows)| rows).sum();
        figures.exactly(
            &format!("rows of {table} that {policy} says it took, beside those that are gone"),
            told,
            by_hand,
            "rows",
        );
    }
    let again = scene.up.run(&["plan", &policy_name, "--json"])?;
    let again_said: Value = serde_json::from_slice(&again.stdout)?;
    let left: u64 = rows_of(&again_said["plan"]["steps"], "found")?.iter().map(|(_, n)| n).sum();
    figures.exactly(&format!("rows due by {policy} afterwards"), left, 0, "rows");
    ensure!(again.status.code() == Some(0), "nothing is due, and it ended {}", again.status);
    Ok(())
}

/// Rows a line of a plan, or of what became of it: `hits:…` by step, and `counters:…` by dimension.
fn rows_of(steps: &Value, key: &str) -> Result<Vec<(String, u64)>> {
    let mut all = Vec::new();
    for step in steps.as_array().context("there are no steps")? {
        for found in step[key].as_array().context("a step has no rows")? {
            let (table, part) = (text(&found["table"])?, text(&found["part"])?);
            // What is published follows the counters, and an epoch may come between.
            if table != "published" {
                let rows = found["rows"].as_u64().context("rows are a number")?;
                all.push((format!("{table}:{}:{part}", text(&step["step"])?), rows));
            }
        }
    }
    Ok(all)
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("it is no text")?.to_owned())
}

impl Scene {
    fn plan(&self, policy: &str) -> Result<Value> {
        let planned = self.up.run(&["plan", &format!("tenant/{policy}"), "--json"])?;
        let complained = String::from_utf8_lossy(&planned.stderr);
        ensure!(planned.status.code() == Some(3), "{}: {complained}", planned.status);
        serde_json::from_slice(&planned.stdout).context("plan printed no JSON")
    }

    /// Hits of both campaigns under policy, as fast as mail clients come.
    fn intake(&self, run: &Run) -> Result<Load> {
        let keys = RegionKeys::load(&self.up.data().join("keys"))?;
        let key = keys.get(Kid(1)).context("there is no first region key")?;
        Ok(Load::start(Job {
            targets: vec![self.up.edge()?],
            connections: 8,
            plan: Plan::Between { seed: run.seed(), campaigns: [morning::id(0), morning::id(1)] },
            minter: Minter::new(Kid(1), key, self.today.plus(2)),
            first: 0,
            count: u64::MAX,
            rate: Some(INTAKE),
            patience: Duration::from_secs(30),
            latency_every: 1_000,
        }))
    }

    /// Runs the command that carries a plan out, and kills it once it began to.
    fn cut_short(&self, command: &[&str], after: Duration, figures: &mut Figures) -> Result<()> {
        let mut child = Command::new(&self.program)
            .arg("--data")
            .arg(self.up.data())
            .args(command)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("hushmark does not start")?;
        let plan = self.up.data().join(format!("plans/{}.json", command[3]));
        let has_begun = || -> Result<bool> {
            let kept: Value = serde_json::from_slice(&std::fs::read(&plan)?)?;
            Ok(kept["begun_ms"].is_number())
        };
        while !has_begun()? && child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(after);
        let was_over = child.try_wait()?.is_some();
        child.kill()?;
        child.wait()?;
        figures.tell("commands that were killed on their way", u64::from(!was_over), "commands");
        Ok(())
    }

    fn query(&self, sql: &str) -> Result<String> {
        query(&self.up, sql)
    }

    fn number(&self, sql: &str) -> Result<u64> {
        let text = self.query(sql)?;
        text.trim().parse().with_context(|| format!("`{sql}` yields {text:?}, not a number"))
    }

    fn wait_published(&self) -> Result<()> {
        self.up.wait("every campaign is published", |_| {
            self.number("SELECT count(DISTINCT campaign) FROM published WHERE tenant != 0")
                .is_ok_and(|n| n >= CAMPAIGNS)
        })
    }

    /// All that was answered is in the counters, and of `individual` in the rows, once.
    fn counted_once(&self, before: &Rows, sent: &Bitmap, figures: &mut Figures) -> Result<()> {
        let answered = sent.count();
        let month = self.today.month().first_day();
        let ids = [morning::id(0).0, morning::id(1).0];
        let counted = || -> Result<u64> {
            let stored = self.number(&format!(
                "SELECT sum(raw) FROM counters WHERE campaign IN ({},{}) AND kind = 'open' AND \
                 dimension = 'total' AND month >= '{month}'",
                ids[0], ids[1]
            ))?;
            Ok(stored - before.total_of(&ids, Kind::Open, month))
        };
        self.up.wait("what was answered is stored", |_| counted().is_ok_and(|n| n >= answered))?;
        figures.exactly(
            "hits that came in meanwhile, in the counters",
            counted()?,
            answered,
            "hits",
        );
        let rows = format!(
            "SELECT count() FROM hits WHERE campaign = {} AND at >= toDateTime({}, 'UTC')",
            ids[0],
            self.today.start_ms() / 1_000
        );
        let individual = sent.iter().filter(|n| n.is_multiple_of(2)).count() as u64;
        // Rows of a cut follow its counters.
        self.up
            .wait("their rows are stored", |_| self.number(&rows).is_ok_and(|n| n >= individual))?;
        figures.exactly("of these with a row", self.number(&rows)?, individual, "rows");
        Ok(())
    }

    /// Nothing is shown that is not counted any more. What a table added up to is shown to nobody.
    fn shown_is_what_is_left(&self, figures: &mut Figures) -> Result<()> {
        let keys = "tenant, campaign, kind, dimension, value";
        let shown = format!(
            "SELECT count() FROM (SELECT {keys}, raw FROM published FINAL WHERE raw IS NOT NULL \
             AND (value != '' OR dimension = 'total')) AS p LEFT JOIN (SELECT {keys}, sum(c.raw) AS now FROM counters AS c GROUP BY {keys}) \
             AS c USING ({keys}) WHERE p.raw > c.now"
        );
        // An epoch that began before the end may still have been written after it.
        self.up
            .wait("the next epoch is published", |_| self.number(&shown).is_ok_and(|n| n == 0))?;
        figures.exactly("cells that show more than is left", self.number(&shown)?, 0, "cells");
        let report: Value =
            serde_json::from_str(&self.up.ask(&["report", &morning::name(0), "--json"])?)?;
        ensure!(report["kinds"][0]["uniques"] == "sketch", "rows are gone: {report}");
        Ok(())
    }
}

fn query(up: &OneMachine, sql: &str) -> Result<String> {
    up.query(sql).map(|answer| answer.text())
}
