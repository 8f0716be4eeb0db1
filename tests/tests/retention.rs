//! The short form of the proof `retention`.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn what_was_announced_is_what_was_removed() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("retention", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
