//! The short form of the proof `kill-switch`: three switches.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn a_kill_switch_stops_one_tenants_counting_and_nobody_elses() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("kill-switch", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
