//! The short form of the proof `pipeline`: few hits, no time; the size of a row on disk holds.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn every_part_of_the_path_is_measured_and_a_row_is_small() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("pipeline", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
