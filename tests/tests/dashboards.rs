//! The short form of the proof `dashboards`.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn no_query_shows_nothing_and_alerts_fire_when_their_faults_are_caused() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("dashboards", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
