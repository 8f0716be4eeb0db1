//! The short form of the proof `permissions`.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn a_right_that_is_taken_away_is_named_and_none_is_unused() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("permissions", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
