//! The short form of the proof `edge-fresh`: a second of TLS connections with and without
//! resumption on the real edge, beside nginx, and what was sent stored. No time is judged.

use std::env;
use std::path::Path;
use std::process::Command;

#[test]
fn every_hit_of_a_connection_of_its_own_is_stored() {
    let program = Path::new(env!("CARGO_BIN_EXE_hushmark-bench-fresh"));
    let engine = env::var_os("HUSHMARK_ENGINE_LIB")
        .expect("HUSHMARK_ENGINE_LIB is not set: run `cargo xtask test`, which fetches the engine");
    let own_folder = program.parent().map(Path::to_path_buf);
    let binaries = env::var_os("HUSHMARK_BIN_DIR").map(Into::into).or(own_folder).unwrap();
    let mut bench = Command::new(program);
    bench.args(["edge-fresh", "--short", "--json", "--bin-dir"]).arg(binaries);
    let output = bench.arg("--engine-lib").arg(engine).output().unwrap();
    let (told, said) = (&output.stdout, &output.stderr);
    let (told, said) = (String::from_utf8_lossy(told), String::from_utf8_lossy(said));
    assert!(output.status.success(), "{told}\n{said}");
    assert!(told.lines().last().unwrap().contains(r#""holds":true"#), "{told}");
}
