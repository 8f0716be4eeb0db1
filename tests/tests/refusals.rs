//! The short form of the proof `refusals`. A few hundred requests of each class: their bytes are compared, their times are only told.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn an_answer_does_not_tell_why() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("refusals", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
