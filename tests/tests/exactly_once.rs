//! The short form of the proof `exactly-once`. Twenty thousand hits under a dozen kills, and every scene with and without its part.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn every_hit_is_stored_once_whatever_is_killed() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("exactly-once", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
