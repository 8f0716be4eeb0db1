//! The short form of the proof `tokens`. Ten thousand valid tokens and a hundred thousand others.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn what_was_sealed_opens_and_nothing_else() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("tokens", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
