//! The short form of the proof `soak`. Twenty seconds over forty lanes.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn nothing_piles_up_over_forty_lanes() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("soak", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
