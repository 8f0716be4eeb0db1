//! The short form of the proof `edge`: a second of load on the real edge and Redis, nothing refused,
//! and what was sent stored by the real writer and engine. No time is judged.

use std::env;
use std::path::Path;
use std::process::Command;

#[test]
fn a_second_of_load_is_measured_and_every_hit_of_it_is_stored() {
    let program = Path::new(env!("CARGO_BIN_EXE_hushmark-bench-edge"));
    let engine = env::var_os("HUSHMARK_ENGINE_LIB")
        .expect("HUSHMARK_ENGINE_LIB is not set: run `cargo xtask test`, which fetches the engine");
    let own_folder = program.parent().map(Path::to_path_buf);
    let binaries = env::var_os("HUSHMARK_BIN_DIR").map(Into::into).or(own_folder).unwrap();
    let mut bench = Command::new(program);
    bench.args(["edge", "--short", "--json", "--bin-dir"]).arg(binaries);
    let output = bench.arg("--engine-lib").arg(engine).output().unwrap();
    let (told, said) = (&output.stdout, &output.stderr);
    let (told, said) = (String::from_utf8_lossy(told), String::from_utf8_lossy(said));
    assert!(output.status.success(), "{told}\n{said}");
    assert!(told.lines().last().unwrap().contains(r#""holds":true"#), "{told}");
}
