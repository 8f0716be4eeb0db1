//! Too much of anything is refused, with a reason.

use crate::support::{Reply, Server, folder, wait_for};
use std::io::Write as _;
use std::net::TcpStream;

#[test]
fn a_header_bomb_is_refused() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let reply = server.get(&format!("query={}", "x".repeat(200 << 10)));
    assert_eq!(reply.status, 431);
}

#[test]
fn a_statement_without_end_is_refused() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let reply = server.post("", format!("SELECT '{}'", "x".repeat(5 << 20)));
    assert_eq!((reply.status, reply.header("x-clickhouse-exception-code")), (413, Some("229")));
}

#[test]
fn a_body_over_the_bound_is_refused_and_stores_nothing() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE t (a FixedString(256)) ENGINE = Null");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = "POST /?query=INSERT+INTO+t+FORMAT+RowBinary HTTP/1.1\r\nHost: localhost\r\n\
                Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"100000\r\n".as_slice(), &[b'x'; 1 << 20], b"\r\n"].concat();
    for _ in 0..513 {
        stream.write_all(&chunk).unwrap();
    }
    let reply = Reply::read(stream);
    assert_eq!((reply.status, reply.header("x-clickhouse-exception-code")), (413, Some("229")));
}

#[test]
fn a_query_over_the_memory_bound_fails_alone() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let reply =
        server.post("max_memory_usage=10000000", "SELECT groupArray(number) FROM numbers(9000000)");
    assert_eq!(reply.header("x-clickhouse-exception-code"), Some("241"), "{}", reply.text());
    assert_eq!(server.ask("SELECT 1"), "1");
}

#[test]
fn when_every_place_is_taken_and_the_queue_is_full_the_next_is_told_so() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    // 8 places and 64 waiting, each an insert whose one row is still to come.
    let mut inserts: Vec<TcpStream> = (0..72)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            let head = "POST /?query=INSERT+INTO+t+FORMAT+CSV HTTP/1.1\r\nHost: localhost\r\n\
                        Connection: close\r\nContent-Length: 2\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    // Asked with a row already there, so that it never waits for anything but a place.
    let full = wait_for("the queue to be full", || {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let head = "POST /?query=INSERT+INTO+t+FORMAT+CSV HTTP/1.1\r\nHost: localhost\r\n\
                    Connection: close\r\nContent-Length: 2\r\n\r\n1\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 1];
        stream.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        // One that got the last place in the queue waits like the rest.
        match stream.peek(&mut first) {
            Ok(_) => Some(Reply::read(stream)),
            Err(_) => {
                inserts.push(stream);
                None
            }
        }
    });
    assert_eq!((full.status, full.header("x-clickhouse-exception-code")), (503, Some("202")));
    assert!(full.text().contains("try again"), "{}", full.text());
    for insert in inserts.iter_mut().take(72) {
        insert.write_all(b"1\n").unwrap();
    }
    let stored = inserts.into_iter().map(Reply::read).filter(|reply| reply.status == 200).count();
    assert_eq!(server.ask("SELECT count() FROM t"), stored.to_string());
}
