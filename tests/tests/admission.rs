//! The proof `admission`: it is short as it is.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn an_api_server_refuses_what_one_machine_refuses_with_the_same_words() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("admission", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
