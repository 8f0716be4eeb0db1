//! The short form of the proof `planted-secrets`: 4,000 hits of 40 people, searched for in every place
//! and every form, then planted there.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn nobody_is_anywhere() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("planted-secrets", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
