//! The short form of the proof `unlinking`: 400 pairs of messages, 1,000 of cells, 300 recipients.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn who_holds_all_but_the_dead_salt_guesses_as_a_coin_does() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("unlinking", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
