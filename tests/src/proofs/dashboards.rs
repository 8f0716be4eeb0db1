//! Proof `dashboards`: a real Prometheus scrapes a real stack. Every query of every dashboard shows
//! something, every rule is evaluated and none fires while all is well; then each fault that an
//! alert is for is caused, and the alert has to fire.
//!
//! What is rewritten for it: how long a fault has to last, and thresholds that would take hours or
//! gigabytes. [`prometheus::REWRITTEN`] lists all of it.

mod edges;
mod operators;
mod prometheus;
mod stage;
mod writers;

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::Run;
use crate::figure::{Figures, progress};
use prometheus::Rule;
use stage::Stage;

/// Until the last figure is there: the writer looks at parts every twenty seconds.
const SHOWN_WITHIN: Duration = Duration::from_secs(150);

/// Until an alert fires after its fault, or is silent again after that was mended.
const FIRES_WITHIN: Duration = Duration::from_secs(180);

/// What says that something is slow, which a machine that does all of this may well be.
const SPEED: [&str; 4] =
    ["HushmarkCommitSlow", "HushmarkInsertSlow", "HushmarkPublicationLate", "HushmarkWriterLags"];

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// A fault, and the alerts that are for it.
struct Fault {
    /// What is done, in words.
    how: &'static str,
    alerts: &'static [&'static str],
    cause: Cause,
    mend: fn(&Stage) -> Result<()>,
    /// Whether the short form has time for it.
    quick: bool,
}

enum Cause {
    /// Done once, it stays.
    Once(fn(&Stage) -> Result<()>),
    /// Done again and again until the alerts fire.
    Again(fn(&Stage) -> Result<()>),
}

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let stage = Stage::set(&run.tools)?;
    nothing_is_empty(&mut figures, &stage)?;
    at_rest(&mut figures, &stage)?;
    let faults = operators::FAULTS.iter().chain(edges::FAULTS).chain(writers::FAULTS);
    let mut fired = BTreeSet::new();
    for fault in faults.filter(|fault| fault.quick || !run.short) {
        happens(&stage, fault).with_context(|| format!("fault: {}", fault.how))?;
        for alert in fault.alerts {
            fired.insert(*alert);
            figures.tell(*alert, fault.how, "");
        }
    }
    let all: BTreeSet<String> =
        stage.prometheus.rules()?.into_iter().map(|rule| rule.name).collect();
    let silent: Vec<&String> = all.iter().filter(|name| !fired.contains(name.as_str())).collect();
    if run.short {
        figures.tell("alerts that fired", fired.len(), "alerts");
    } else {
        figures.exactly("alerts that fired", fired.len() as u64, all.len() as u64, "alerts");
        figures.must("alerts that nothing made fire", json!(silent), "none", silent.is_empty());
    }
    stage.end()?;
    Ok(figures)
}

/// Every query of every dashboard, and every series that an alert looks at: a figure that appears
/// with its first event is not seen to rise by it.
fn nothing_is_empty(figures: &mut Figures, stage: &Stage) -> Result<()> {
    let mut empty = stage.dashboards()?;
    figures.at_least("queries of dashboards", empty.len() as u64, 60, "queries");
    for rule in stage.prometheus.rules()? {
        let series = prometheus::selectors(&rule.query);
        ensure!(!series.is_empty(), "{} looks at nothing: {}", rule.name, rule.query);
        empty.extend(series.into_iter().map(|series| (rule.name.clone(), series)));
    }
    let asked = empty.len();
    let until = Instant::now() + SHOWN_WITHIN;
    while !empty.is_empty() && Instant::now() < until {
        sleep(LOOK);
        let mut still = Vec::new();
        for (place, query) in empty {
            if stage.prometheus.samples(&query)? == 0 {
                still.push((place, query));
            }
        }
        empty = still;
    }
    figures.tell("queries that were asked", asked, "queries");
    figures.must("queries that show nothing", json!(empty), "none", empty.is_empty());
    Ok(())
}

/// Of a region that is well nothing fires, though a fault need last no longer than a second.
fn at_rest(figures: &mut Figures, stage: &Stage) -> Result<()> {
    sleep(Duration::from_secs(5));
    let rules = stage.prometheus.rules()?;
    let sick: Vec<String> =
        rules.iter().filter(|rule| !rule.error.is_empty()).map(|rule| rule.error.clone()).collect();
    figures.at_least("rules", rules.len() as u64, 20, "rules");
    figures.must("rules that are refused", json!(sick), "none", sick.is_empty());
    let is_wrong = |rule: &&Rule| rule.state == "firing" && !SPEED.contains(&rule.name.as_str());
    let fires: Vec<&String> = rules.iter().filter(is_wrong).map(|rule| &rule.name).collect();
    figures.must("alerts that fire at rest", json!(fires), "none", fires.is_empty());
    Ok(())
}

/// Its alerts are silent, then fire; afterwards it is mended.
fn happens(stage: &Stage, fault: &Fault) -> Result<()> {
    let firing = || -> Result<BTreeSet<String>> {
        let rules = stage.prometheus.rules()?;
        let firing = rules.into_iter().filter(|rule| rule.state == "firing");
        Ok(firing.map(|rule| rule.name).collect())
    };
    let until = Instant::now() + FIRES_WITHIN;
    while fault.alerts.iter().any(|alert| firing().is_ok_and(|all| all.contains(*alert))) {
        ensure!(Instant::now() < until, "fires before its fault: {:?}", firing()?);
        sleep(LOOK);
    }
    let began = Instant::now();
    if let Cause::Once(cause) = fault.cause {
        cause(stage)?;
    }
    let mut fires = BTreeSet::new();
    loop {
        if let Cause::Again(cause) = fault.cause {
            cause(stage)?;
        }
        // One may be over before another begins.
        fires.extend(firing()?);
        if fault.alerts.iter().all(|alert| fires.contains(*alert)) {
            break;
        }
        if began.elapsed() > FIRES_WITHIN {
            let silent: Vec<_> = fault.alerts.iter().filter(|a| !fires.contains(**a)).collect();
            bail!("{silent:?} do not fire; these do: {fires:?}\n{}", stage.last_words());
        }
        sleep(LOOK);
    }
    progress(&format!("{}: {:?} after {:?}", fault.how, fault.alerts, began.elapsed()));
    (fault.mend)(stage)
}
