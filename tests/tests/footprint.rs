//! The short form of the proof `footprint`: a few hundred connections, one start of the
//! quickstart, and no limit on a debug build.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn an_edge_holds_its_connections_and_up_answers_hits() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("footprint", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
