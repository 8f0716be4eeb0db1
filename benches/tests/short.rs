//! The short forms of the proofs that measure: a second of load on the real edge and Redis, nothing
//! refused, and what was sent stored by the real writer and engine. No time is judged.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Both have their servers on one core and their load on the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a proof's short form, which has to hold.
fn holds(program: &str, proof: &str) {
    let program = Path::new(program);
    holds_with(program, proof, &binaries(program));
}

/// The programs that are measured.
fn binaries(program: &Path) -> PathBuf {
    let own_folder = program.parent().map(Path::to_path_buf);
    env::var_os("HUSHMARK_BIN_DIR").map(Into::into).or(own_folder).unwrap()
}

fn holds_with(program: &Path, proof: &str, binaries: &Path) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = env::var_os("HUSHMARK_ENGINE_LIB")
        .expect("HUSHMARK_ENGINE_LIB is not set: run `cargo xtask test`, which fetches the engine");
    let mut bench = Command::new(program);
    bench.args([proof, "--short", "--json", "--bin-dir"]).arg(binaries);
    let output = bench.arg("--engine-lib").arg(engine).output().unwrap();
    let (told, said) = (&output.stdout, &output.stderr);
    let (told, said) = (String::from_utf8_lossy(told), String::from_utf8_lossy(said));
    assert!(output.status.success(), "{told}\n{said}");
    assert!(told.lines().last().unwrap().contains(r#""holds":true"#), "{told}");
}

#[test]
fn a_second_of_load_is_measured_and_every_hit_of_it_is_stored() {
    holds(env!("CARGO_BIN_EXE_hushmark-bench-edge"), "edge");
}

/// Beside itself: no older build is at hand.
#[test]
fn an_edge_takes_its_turn_beside_an_older_one() {
    let (programs, linked) = (binaries(bench_before()), tempfile::tempdir().unwrap());
    std::fs::create_dir(linked.path().join("before")).unwrap();
    for (name, of) in [
        ("before/hushmark-edge", "hushmark-edge"),
        ("hushmark-edge", "hushmark-edge"),
        ("hushmark-writer", "hushmark-writer"),
        ("hushmark-embedded", "hushmark-embedded"),
        ("bare-hyper", "bare-hyper"),
    ] {
        std::os::unix::fs::symlink(programs.join(of), linked.path().join(name)).unwrap();
    }
    holds_with(bench_before(), "edge-before", linked.path());
}

fn bench_before() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hushmark-bench-before"))
}

/// Beside nginx with the same certificate, with and without resumption.
#[test]
fn every_hit_of_a_connection_of_its_own_is_stored() {
    holds(env!("CARGO_BIN_EXE_hushmark-bench-fresh"), "edge-fresh");
}
