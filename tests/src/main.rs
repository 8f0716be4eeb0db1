//! `hushmark-prove NAME`: runs a proof.

use std::process::ExitCode;

use anyhow::Result;
use hushmark_tests::{command, proofs};

fn main() -> Result<ExitCode> {
    command::run(proofs::run)
}
