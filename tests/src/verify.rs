//! What was answered against what was stored, to the hit.
//!
//! For every cell: at least as many hits as were answered have to be stored, dead-lettered or
//! counted as dropped, and at most as many as were sent.

mod dead;
mod drained;
mod stored;

pub use drained::{drops, wait_until_drained};
pub use stored::Stored;

use std::collections::HashMap;

use anyhow::Result;

use crate::figure::Figures;
use crate::load::Outcome;
use crate::plan::{Cell, Plan};
use crate::stack::Stack;

/// Hits sent and answered in one cell.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    sent: u64,
    answered: u64,
}

/// What came of every hit.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Hits sent.
    pub sent: u64,
    /// Hits answered.
    pub answered: u64,
    /// Hits in the counters.
    pub stored: u64,
    /// Hits in dead letters.
    pub dead: u64,
    /// Hits that an edge or writer counted as dropped.
    pub drops: u64,
    /// Answered hits that are neither stored nor dead-lettered; drops have to account for them.
    pub missing: u64,
    /// Hits stored more often than they were sent: doubled, or never sent at all.
    pub surplus: u64,
    /// Answered `individual` hits without a row.
    pub rows_missing: u64,
    /// Rows of `individual` hits beyond what was sent.
    pub rows_surplus: u64,
    /// Dimensions whose sum differs from the total's, by name.
    pub uneven: Vec<String>,
    /// The first few cells that are wrong, for people.
    pub examples: Vec<String>,
}

impl Account {
    /// Compares a load's outcome with what the stores hold. Everything has to be drained.
    ///
    /// # Errors
    /// When a store cannot be read.
    pub fn of(stack: &Stack, plan: Plan, outcome: &Outcome) -> Result<Self> {
        let stored = Stored::read(&stack.clickhouse)?;
        let dead = dead::letters(stack)?;
        let mut account = Self {
            sent: outcome.sent.count(),
            answered: outcome.answered.count(),
            stored: stored.counters.values().sum(),
            dead: dead.values().sum(),
            drops: drops(stack)?,
            uneven: stored.uneven.clone(),
            ..Self::default()
        };
        let mut counters = expected(plan, outcome, |_| true);
        for cell in stored.counters.keys().chain(dead.keys()) {
            counters.entry(*cell).or_default();
        }
        for (cell, expected) in &counters {
            let dead = dead.get(cell).copied().unwrap_or(0);
            let found = stored.counters.get(cell).copied().unwrap_or(0) + dead;
            account.missing += expected.answered.saturating_sub(found);
            account.surplus += found.saturating_sub(expected.sent);
            account.example("counters", *cell, *expected, found);
        }
        let mut rows = expected(plan, outcome, |mode| mode == hushmark_policy::Mode::Individual);
        for cell in stored.rows.keys() {
            rows.entry(*cell).or_default();
        }
        for (cell, expected) in &rows {
            let dead = dead.get(cell).copied().unwrap_or(0);
            let found = stored.rows.get(cell).copied().unwrap_or(0);
            account.rows_missing += expected.answered.saturating_sub(found + dead);
            account.rows_surplus += found.saturating_sub(expected.sent);
            account.example("rows", *cell, *expected, found + dead);
        }
        Ok(account)
    }

    fn example(&mut self, what: &str, cell: Cell, expected: Expected, found: u64) {
        let wrong = found < expected.answered || found > expected.sent;
        if wrong && self.examples.len() < 12 {
            self.examples.push(format!(
                "{what} of campaign {} link {}: sent {}, answered {}, found {found}",
                cell.campaign, cell.link, expected.sent, expected.answered
            ));
        }
    }

    /// Whether every answered hit was stored once, dead-lettered or a counted drop, and nothing
    /// else is stored.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing <= self.drops
            && self.rows_missing <= self.drops
            && self.surplus == 0
            && self.rows_surplus == 0
            && self.uneven.is_empty()
    }

    /// Reports what was found.
    pub fn tell(&self, label: &str, figures: &mut Figures) {
        let mut tell = |what: &str, n: u64| figures.tell(format!("{label}{what}"), n, "hits");
        tell("sent", self.sent);
        tell("answered", self.answered);
        tell("stored", self.stored);
        tell("dead-lettered", self.dead);
        tell("counted drops", self.drops);
        let lost = self.missing.saturating_sub(self.drops);
        let rows_lost = self.rows_missing.saturating_sub(self.drops);
        figures.exactly(&format!("{label}answered and lost"), lost, 0, "hits");
        figures.exactly(&format!("{label}stored twice or never sent"), self.surplus, 0, "hits");
        figures.exactly(&format!("{label}individual rows lost"), rows_lost, 0, "rows");
        figures.exactly(&format!("{label}individual rows too many"), self.rows_surplus, 0, "rows");
        figures.must(
            format!("{label}dimensions that do not add up to the total"),
            self.uneven.join("; "),
            "none",
            self.uneven.is_empty(),
        );
        for example in &self.examples {
            crate::figure::progress(example);
        }
    }
}

fn expected(
    plan: Plan,
    outcome: &Outcome,
    counts: impl Fn(hushmark_policy::Mode) -> bool,
) -> HashMap<Cell, Expected> {
    let mut cells: HashMap<Cell, Expected> = HashMap::new();
    for n in outcome.sent.iter() {
        let hit = plan.hit(n);
        if let Some(cell) = hit.cell().filter(|_| counts(hit.mode)) {
            let expected = cells.entry(cell).or_default();
            expected.sent += 1;
            expected.answered += u64::from(outcome.answered.contains(n));
        }
    }
    cells
}
