//! Starting, refusing to start, and stopping.

use crate::support::{Reply, Server, command, escape, folder, refusal};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn sigterm_lets_a_statement_end_and_exits_with_0() {
    let (_parent, data) = folder();
    let mut server = Server::start(&data);
    server.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let query = escape("INSERT INTO t FORMAT CSV");
    let head = format!(
        "POST /?query_id=last&query={query} HTTP/1.1\r\nHost: localhost\r\n\
         Content-Length: 2\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Under way once its id is taken.
    crate::support::wait_for("the insert to begin", || {
        Some(server.post("query_id=last", "SELECT 1")).filter(|reply| reply.status != 200)
    });
    server.ask_to_stop();
    crate::support::wait_for("the server to take no more", || {
        TcpStream::connect(&server.address).is_err().then_some(())
    });
    stream.write_all(b"1\n").unwrap();
    assert_eq!(Reply::read(stream).status, 200);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(!server.is_announced());
    let server = Server::start(&data);
    assert_eq!(server.ask("SELECT count() FROM t"), "1");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let _idle = TcpStream::connect(&server.address).unwrap();
    server.ask("SELECT 1");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_second_process_on_the_same_data_is_refused_and_told_who_has_it() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let said = refusal(command(&data));
    assert!(said.contains(&format!("in use by process {}", server.child.id())), "{said}");
    assert_eq!(server.ask("SELECT 1"), "1");
}

#[test]
fn a_port_in_use_is_named() {
    let (_parent, data) = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refusal(with(&data, &["--listen", &address]));
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}

#[test]
fn an_address_that_others_reach_needs_a_word() {
    let (_parent, data) = folder();
    let said = refusal(with(&data, &["--listen", "0.0.0.0:0"]));
    assert!(said.contains("--allow-remote"), "{said}");
}

#[test]
fn a_password_file_that_is_missing_or_empty_is_refused() {
    let (parent, data) = folder();
    let file = parent.path().join("password");
    let start = || refusal(with(&data, &["--password-file", file.to_str().unwrap()]));
    let said = start();
    assert!(said.contains("cannot read the password file"), "{said}");
    std::fs::write(&file, "\n").unwrap();
    let said = start();
    assert!(said.contains("password file") && said.contains("is empty"), "{said}");
}

#[test]
fn a_library_that_is_missing_broken_or_another_one_is_refused_with_the_way_out() {
    let (parent, data) = folder();
    let missing = parent.path().join("libchdb.so");
    let broken = parent.path().join("broken.so");
    std::fs::write(&broken, "not a library").unwrap();
    for (library, reason) in [
        (missing, "does not exist"),
        (broken, "cannot be loaded"),
        (libc(), "is a library but not the engine"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushmark-embedded"));
        command.arg("--lib").arg(&library).arg("--data").arg(&data);
        let said = refusal({
            command.args(["--listen", "127.0.0.1:0"]);
            command
        });
        assert!(said.contains(reason) && said.contains("cargo xtask up"), "{said}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let (parent, _) = folder();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    let said = refusal(command(&file.join("data")));
    assert!(said.contains("cannot be used"), "{said}");
}

fn with(data: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushmark-embedded"));
    command.arg("--lib").arg(crate::support::engine_library()).arg("--data").arg(data).args(more);
    command
}

/// A library that is on every machine that runs this test: the one it uses itself.
fn libc() -> PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.contains("/libc.so") || line.contains("/libc-"));
    PathBuf::from(line.unwrap().split_whitespace().last().unwrap())
}
