//! The short form of the proof `charts`.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn what_a_user_installs_is_valid_and_keeps_data() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("charts", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
