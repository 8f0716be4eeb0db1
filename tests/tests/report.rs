//! The short form of the proof `report`: 300,000 hits of 20 campaigns, and no time.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn a_report_shows_what_was_loaded_to_the_hit() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("report", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
