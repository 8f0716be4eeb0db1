//! What a proof measured and whether it holds, one JSON object a line: the contract with
//! `cargo xtask prove`.

use std::io::Write;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// One thing measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub figure: String,
    /// How much.
    pub value: Value,
    /// Of what.
    pub unit: &'static str,
    /// What it has to be, in words; empty where there is no target.
    pub target: String,
    /// Whether it is; `None` where there is no target.
    pub holds: Option<bool>,
}

/// Collects a proof's figures.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// A figure without a target.
    pub fn tell(&mut self, figure: impl Into<String>, value: impl Into<Value>, unit: &'static str) {
        self.add(figure.into(), value.into(), unit, String::new(), None);
    }

    /// A figure that has to be at most so much.
    pub fn at_most(&mut self, figure: &str, value: f64, limit: f64, unit: &'static str) {
        self.add(
            figure.into(),
            rounded(value),
            unit,
            format!("at most {limit}"),
            Some(value <= limit),
        );
    }

    /// A figure that has to be at least so much.
    pub fn at_least(&mut self, figure: &str, value: u64, limit: u64, unit: &'static str) {
        self.add(
            figure.into(),
            value.into(),
            unit,
            format!("at least {limit}"),
            Some(value >= limit),
        );
    }

    /// A count that has to be exactly so much.
    pub fn exactly(&mut self, figure: &str, value: u64, wanted: u64, unit: &'static str) {
        self.add(figure.into(), value.into(), unit, wanted.to_string(), Some(value == wanted));
    }

    /// Something that has to be true.
    pub fn must(
        &mut self,
        figure: impl Into<String>,
        found: impl Into<Value>,
        target: &str,
        holds: bool,
    ) {
        self.add(figure.into(), found.into(), "", target.into(), Some(holds));
    }

    /// A measured number without a target.
    pub fn measure(&mut self, figure: impl Into<String>, value: f64, unit: &'static str) {
        self.add(figure.into(), rounded(value), unit, String::new(), None);
    }

    fn add(
        &mut self,
        figure: String,
        value: Value,
        unit: &'static str,
        target: String,
        holds: Option<bool>,
    ) {
        let verdict = match holds {
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
            None => "",
        };
        progress(&format!("{figure}: {value} {unit} ({target}) {verdict}"));
        self.0.push(Figure { figure, value, unit, target, holds });
    }

    /// Whether nothing that was measured misses its target.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.0.iter().all(|figure| figure.holds != Some(false))
    }

    /// The figures that miss their target, for a test's message.
    #[must_use]
    pub fn failures(&self) -> Vec<&Figure> {
        self.0.iter().filter(|figure| figure.holds == Some(false)).collect()
    }

    /// Writes a line a figure and last the verdict.
    ///
    /// # Errors
    /// When the output is closed.
    pub fn write(&self, out: &mut impl Write, proof: &str, short: bool) -> Result<()> {
        for figure in &self.0 {
            writeln!(out, "{}", serde_json::to_string(figure)?)?;
        }
        writeln!(out, "{}", json!({"proof": proof, "holds": self.hold(), "short": short}))?;
        Ok(())
    }
}

/// Three decimals are more than any of these measurements carries.
fn rounded(value: f64) -> Value {
    json!((value * 1_000.0).round() / 1_000.0)
}

/// The middle and the end of what was measured several times.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The last one.
    pub longest: f64,
}

impl Spread {
    /// Of all values.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(mut all: Vec<f64>) -> Result<Self> {
        all.sort_by(f64::total_cmp);
        let longest = *all.last().context("nothing was measured")?;
        Ok(Self { median: all[all.len() / 2], longest })
    }
}

/// A line for the person who watches a proof.
#[allow(clippy::print_stderr, reason = "a proof's stderr is for people")]
pub fn progress(text: &str) {
    eprintln!("{text}");
}
