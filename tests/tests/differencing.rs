//! The short form of the proof `differencing`: sixty campaigns, and a thousand guesses a list.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn who_subtracts_what_is_shown_is_left_with_no_small_group() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("differencing", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
