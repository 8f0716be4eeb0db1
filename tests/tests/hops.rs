//! The short form of the proof `hops`. Four thousand hits by mutual TLS, seven strangers, and a renewed authority.

use anyhow::Result;
use hushmark_tests::proofs::{self, Run};
use hushmark_tests::tools::Tools;

#[test]
fn hits_cross_by_mutual_tls_and_a_renewed_certificate_needs_no_restart() -> Result<()> {
    let run = Run { tools: Tools::from_env()?, short: true, seed: None };
    let figures = proofs::run("hops", &run)?;
    assert!(figures.hold(), "{:#?}", figures.failures());
    Ok(())
}
