//! The short form of the proof `stillness`.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn an_operator_at_rest_writes_nothing_but_its_lease() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("stillness", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
