//! What is sent by mistake or in malice ends within its limit.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::Duration;

use hushmark_policy::Mode;

use crate::fixture::{Answer, Mail, Region, until};

#[test]
fn other_methods_and_bodies_are_refused() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let pixel = Mail::new(Mode::Overall).pixel();
    let answer = edge.ask("POST", &pixel, "content-length: 0\r\n");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    let answer = edge.ask("GET", &pixel, "content-length: 1000000\r\n");
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    let answer = edge.ask("GET", &pixel, "transfer-encoding: chunked\r\n");
    assert_eq!(answer.status, 413);
    assert!(region.stored().is_empty());
}

#[test]
fn long_targets_and_header_bombs_are_refused() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let answer = edge.get(&format!("/o/{}", "A".repeat(5_000)));
    assert_eq!((answer.status, answer.header("connection")), (414, Some("close")));
    let pixel = Mail::new(Mode::Overall).pixel();
    let bombs = [
        format!("GET /o/{} HTTP/1.1\r\nhost: t\r\n\r\n", "A".repeat(64 << 10)),
        format!("GET {pixel} HTTP/1.1\r\nx: {}\r\n\r\n", "A".repeat(64 << 10)),
        format!("GET {pixel} HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(10_000)),
        "not http at all\r\n\r\n".to_owned(),
    ];
    for bomb in bombs {
        let mut stream = edge.connect();
        // The edge may hang up before it was all sent.
        drop(stream.write_all(bomb.as_bytes()));
        let status = Answer::read(&mut stream, false).status;
        assert!(matches!(status, 0 | 400 | 414 | 431), "{status} for {}", &bomb[..20]);
    }
    assert!(region.stored().is_empty());
    assert_eq!(edge.get(&pixel).status, 200);
}

#[test]
fn slow_heads_and_idle_connections_are_closed() {
    let region = Region::new();
    let edge = region.ready_edge(&["--header-timeout", "500ms", "--idle-timeout", "1s"]);
    let mut slow = edge.connect();
    slow.write_all(b"GET /o/").unwrap();
    let mut silent = edge.connect();
    let mut kept = edge.connect();
    let pixel = Mail::new(Mode::Overall).pixel();
    write!(kept, "GET {pixel} HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    assert_eq!(Answer::read(&mut kept, false).status, 200);
    for stream in [&mut slow, &mut silent, &mut kept] {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "closed without a word");
    }
    until("they are gone", || (edge.metric("hushmark_edge_connections") == 0.0).then_some(()));
    let timed_out = "hushmark_edge_connections_total{outcome=\"timed_out\"}";
    assert_eq!(edge.metric(timed_out), 3.0);
}

/// With hyper's `pipeline_flush` this client would never be answered, and its answers would pile up
/// in the edge's memory.
#[test]
fn a_client_that_never_reads_costs_no_memory() {
    let region = Region::new();
    let edge = region.ready_edge(&["--header-timeout", "2s"]);
    let request = format!("GET {} HTTP/1.1\r\nhost: t\r\n\r\n", Mail::new(Mode::Overall).pixel());
    let before = edge.resident_kib();
    let mut stream = edge.connect();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let block = request.repeat(500);
    // Until the sockets' buffers are full, or the edge hangs up.
    for _ in 0..200 {
        if stream.write_all(&block.as_bytes()[..block.len() - 9]).is_err() {
            break;
        }
        drop(stream.write_all(&block.as_bytes()[block.len() - 9..]));
    }
    let grown = edge.resident_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB more");
}

/// An empty slice of hyper's buffer once kept all of it alive, for every connection that waited.
#[test]
fn a_crowd_of_kept_connections_costs_little_more_than_its_sockets() {
    const CROWD: u64 = 2_500;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: Some(CROWD + 500), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let request = format!("GET {} HTTP/1.1\r\nhost: t\r\n\r\n", Mail::new(Mode::Overall).pixel());
    let before = edge.resident_kib();
    let mut crowd: Vec<_> = (0..CROWD).map(|_| edge.connect()).collect();
    for _ in 0..2 {
        crowd.iter_mut().for_each(|stream| stream.write_all(request.as_bytes()).unwrap());
        for stream in &mut crowd {
            assert_eq!(Answer::read(stream, false).status, 200);
        }
    }
    let grown = edge.resident_kib().saturating_sub(before);
    assert!(grown < CROWD * 6, "{grown} KiB for {CROWD} connections");
    assert_eq!(region.stored_hits().len() as u64, 2 * CROWD);
}

#[test]
fn connections_above_the_limit_are_turned_away() {
    let region = Region::new();
    let edge = region.ready_edge(&["--max-connections", "3"]);
    let kept: Vec<_> = (0..3).map(|_| edge.connect()).collect();
    let connections = "hushmark_edge_connections";
    until("three are open", || (edge.metric(connections) == 3.0).then_some(()));
    let mut fourth = edge.connect();
    assert_eq!(fourth.read(&mut [0]).unwrap_or(0), 0);
    drop(kept);
    until("there is room again", || (edge.metric(connections) == 0.0).then_some(()));
    assert_eq!(edge.get(&Mail::new(Mode::Overall).pixel()).status, 200);
}

/// Runs an edge that must not start, and returns its last words.
fn refused(region: &Region, change: impl FnOnce(&mut Vec<String>)) -> String {
    let mut arguments = region.arguments();
    change(&mut arguments);
    let output =
        Command::new(env!("CARGO_BIN_EXE_hushmark-edge")).args(arguments).output().unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8(output.stderr).unwrap();
    words.lines().last().unwrap().replace(&region.folder.path().display().to_string(), "DIR")
}

#[test]
fn an_edge_that_cannot_start_says_why_and_what_to_do() {
    let region = Region::new();
    let key = region.path("keys/1.key");

    std::fs::write(&key, [1; 31]).unwrap();
    let words = refused(&region, |_| ());
    assert!(words.contains("DIR/keys/1.key holds 31 bytes, a region key has 32"), "{words}");

    std::fs::remove_file(&key).unwrap();
    let words = refused(&region, |_| ());
    assert!(words.contains("DIR/keys holds no region key"), "{words}");

    std::fs::write(&key, [7; 32]).unwrap();
    let words = refused(&region, |arguments| arguments[5] = "/nowhere".into());
    assert!(words.contains("cannot read /nowhere"), "{words}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let words = refused(&region, |arguments| arguments[1] = addr.clone());
    assert!(words.contains(&format!("cannot listen on {addr} (--listen)")), "{words}");
    assert!(words.contains("another program has it"), "{words}");

    // A second edge would share the port silently if nobody asked.
    let edge = region.ready_edge(&[]);
    std::fs::create_dir(region.path("another-log")).unwrap();
    let words = refused(&region, |arguments| {
        arguments[1] = edge.addr.to_string();
        let log = arguments.iter().position(|argument| argument == "--lane-log").unwrap();
        arguments[log + 1] = region.path("another-log").display().to_string();
    });
    assert!(words.contains("another program has it"), "{words}");
    // Nor may two of them write one lane log.
    let words = refused(&region, |_| ());
    assert!(words.contains("DIR/lane-log is in use by another process"), "{words}");
    drop(edge);

    std::fs::write(region.path("refusal.pub"), [1; 5]).unwrap();
    let words = refused(&region, |_| ());
    assert!(words.contains("DIR/refusal.pub is no Ed25519 verifying key of 32 bytes"), "{words}");
}
