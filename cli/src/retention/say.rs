//! Plans and what became of them, as text and as JSON. Pure.

use std::fmt::Write as _;

use hushmark_event::chain::Hash32;
use hushmark_event::plans::{Done, Found, Held, Plan, Planned, PolicyKind};
use hushmark_policy::Day;
use hushmark_policy::retention::Step;
use serde::Serialize;

use super::stores::Beyond;
use crate::stamp::plural;

/// A plan as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct Json<'a> {
    pub(crate) hash: Hash32,
    pub(crate) made_ms: u64,
    pub(crate) plan: &'a Plan,
    pub(crate) beyond: &'a [Beyond],
}

/// What was carried out, as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct JsonDone<'a> {
    pub(crate) plan: Hash32,
    pub(crate) policy: &'a str,
    pub(crate) steps: &'a [Done],
}

/// How the plan of a policy is carried out.
pub(crate) struct Way {
    /// The program.
    pub(crate) tool: &'static str,
    /// The policy as it is typed there.
    pub(crate) policy: String,
    /// Whether the policy has `mode: enforce`.
    pub(crate) enforces: bool,
}

/// The plan of a policy.
pub(crate) fn plan(plan: &Plan, beyond: &[Beyond], today: Day, way: &Way) -> String {
    let mut out =
        format!("{} {}, region {}, on {today}\n", plan.kind.name(), plan.policy, plan.region);
    let names: Vec<&str> = plan.campaigns.iter().map(|one| one.name.as_str()).collect();
    let reached = if names.is_empty() { "no campaign".to_owned() } else { names.join(", ") };
    _ = writeln!(out, "  reaches  {reached}");
    for Held { name, reason } in &plan.held {
        _ = writeln!(out, "  on hold  {name}: {reason}");
    }
    for step in &plan.steps {
        let Planned { before, found, .. } = step;
        _ = writeln!(out, "\n{}, of hits that arrived before {before}", meaning(&step.step));
        if found.is_empty() {
            out += "  nothing is due\n";
        }
        for found in found {
            _ = writeln!(out, "{}", line(&step.step, found));
        }
    }
    out += "\nNOT REACHED\n";
    for Beyond { store, holds, because } in beyond {
        let colon = if holds.is_empty() { "" } else { ": " };
        _ = writeln!(out, "  {store}{colon}{holds}\n    {because}");
    }
    _ = writeln!(out, "\nplan {}", plan.hash());
    if plan.is_empty() {
        out += "nothing is due\n";
    } else if way.enforces {
        _ = writeln!(out, "to carry it out: {} enforce {} --plan HASH", way.tool, way.policy);
    } else {
        out += "the policy has mode: plan, so nothing can be removed by it\n";
    }
    out
}

fn meaning(step: &str) -> &'static str {
    match Step::ALL.into_iter().find(|known| known.name() == step) {
        Some(Step::Rows) => "rows go; their counters and sketches stay",
        Some(Step::Place) => "the place goes",
        Some(Step::Hour) => "of the hour the day is left in rows; counters of hours go",
        Some(Step::Client) => "device, client and system go",
        Some(Step::Counters) => "counters and sketches go, whole months at a time",
        None => "a step that this version does not know",
    }
}

/// A table's share of a step: `hits    1,200 rows changed, about 40 kB, 2026-07, 2026-08; oldest …`.
fn line(step: &str, found: &Found) -> String {
    let Found { table, part, rows, bytes, partitions, oldest } = found;
    let name = match (table.as_str(), part.as_str()) {
        ("published", _) | (_, "") => table.clone(),
        (table, part) => format!("{table} of {part}"),
    };
    let done = match (table.as_str(), part.as_str()) {
        ("published", "withheld") => "withheld",
        ("hits", _) if step != Step::Rows.name() => "changed",
        _ => "removed",
    };
    let mut text =
        format!("  {name:<20} {:>12} {done}, about {}", plural(*rows, "row"), size(*bytes));
    if !partitions.is_empty() {
        _ = write!(text, "; {}", partitions.join(", "));
    }
    if !oldest.is_empty() {
        _ = write!(text, "; oldest {oldest}");
    }
    text
}

fn size(bytes: u64) -> String {
    match bytes {
        n if n >= 10_000_000 => format!("{} MB", n / 1_000_000),
        n if n >= 10_000 => format!("{} kB", n / 1_000),
        n => plural(n, "byte"),
    }
}

/// What was removed.
pub(crate) fn done((kind, policy): (PolicyKind, &str), done: &[Done]) -> String {
    let mut out = format!("{} {policy} is enforced\n", kind.name());
    for Done { step, before, removed } in done {
        _ = writeln!(out, "\n{}, of hits that arrived before {before}", meaning(step));
        if removed.is_empty() {
            out += "  nothing was due\n";
        }
        for found in removed {
            _ = writeln!(out, "{}", line(step, found));
        }
    }
    out + "\nnothing that is due is left; reports say so from the next epoch on\n"
}
