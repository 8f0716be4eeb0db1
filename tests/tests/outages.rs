//! The short form of the proof `outages`. Each store goes away for seconds.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn every_outage_is_answered_and_made_up_for() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("outages", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
