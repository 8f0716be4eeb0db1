//! The short form of the proof `hostility`.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn what_is_broken_is_put_right_and_nothing_fights() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("hostility", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
