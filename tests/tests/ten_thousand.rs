//! The short form of the proof `ten-thousand`: 200 campaigns of 10 tenants.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn a_cold_operator_makes_all_campaigns_ready_with_few_writes() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("ten-thousand", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
