//! What curl sends and gets.

use crate::support::{Reply, Server, escape, folder, wait_for};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn a_query_may_stand_in_the_address_in_the_body_or_in_both() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    assert_eq!(server.get(&format!("query={}", escape("SELECT 1"))).text(), "1\n");
    assert_eq!(server.post("", "SELECT 2").text(), "2\n");
    assert_eq!(server.post(&format!("query={}", escape("SELECT 3")), "+ 4").text(), "7\n");
    assert_eq!(server.get("").text(), "Ok.\n");
}

#[test]
fn an_answer_says_its_format_its_id_and_its_counts() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let reply = server.post("query_id=mine&default_format=CSV", "SELECT 1, 'a' FROM numbers(2)");
    assert_eq!(reply.text(), "1,\"a\"\n1,\"a\"\n");
    assert_eq!(reply.header("x-clickhouse-query-id"), Some("mine"));
    assert_eq!(reply.header("x-clickhouse-format"), Some("csv"));
    assert!(reply.header("x-clickhouse-summary").unwrap().contains("\"read_rows\":\"2\""));
    let json = server.post("", "SELECT 1 AS one FORMAT JSONEachRow");
    assert_eq!(json.text(), "{\"one\":1}\n");
    assert_eq!(json.header("x-clickhouse-format"), Some("jsoneachrow"));
}

#[test]
fn a_parameter_is_bound_never_pasted() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let hostile = "it's '; DROP TABLE t --";
    let reply = server.post(
        &format!("param_x={}&param_n=7", escape(hostile)),
        "SELECT {x:String}, {n:UInt8} + 1 FORMAT JSONCompactEachRow",
    );
    assert_eq!(reply.text(), "[\"it's '; DROP TABLE t --\", 8]\n");
    assert_eq!(
        server.post("", "SELECT {x:String}").header("x-clickhouse-exception-code"),
        Some("456")
    );
}

#[test]
fn rows_arrive_in_every_format_whatever_bytes_are_in_them() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a");
    let insert = |format: &str, rows: &[u8]| {
        let reply =
            server.post(&format!("query={}", escape(&format!("INSERT INTO t {format}"))), rows);
        assert_eq!(reply.status, 200, "{format}: {}", reply.text());
    };
    insert("FORMAT CSV", b"1,\"x;y\"\n");
    insert("FORMAT JSONEachRow", b"{\"a\":2,\"s\":\"j\"}\n");
    insert("(s, a) FORMAT TabSeparated", b"t\t3\n");
    insert("VALUES", b"(4, 'a;b'), (5, '')");
    insert("", b"(6, 'values are the default')");
    // Statement ends, blank lines and NUL bytes are only bytes in a binary row.
    insert("FORMAT RowBinary", b"\x07\0\0\0\0\0\0\0\x06;\n\n;\0'");
    let names = b"\x02\x01a\x01s\x06UInt64\x06String\x08\0\0\0\0\0\0\0\x01n";
    insert("FORMAT RowBinaryWithNamesAndTypes", names);
    // The statement may stand before its rows in the body.
    let reply = server.post("", b"INSERT INTO t FORMAT CSV\n9,\"in the body\"\n");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        server.ask("SELECT a, hex(s) FROM t WHERE a = 7 OR a = 1 ORDER BY a"),
        "1\t783B79\n7\t3B0A0A3B0027"
    );
    assert_eq!(
        server.ask("SELECT groupArray(a) FROM (SELECT a FROM t ORDER BY a)"),
        "[1,2,3,4,5,6,7,8,9]"
    );
}

#[test]
fn errors_carry_clickhouses_code_status_and_words() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let cases: &[(&str, &str, u16, u32)] = &[
        ("", "SELECT * FROM nope", 404, 60),
        ("", "SELECT nope", 404, 47),
        ("", "foo", 400, 62),
        ("", "", 400, 62),
        ("", "SELECT 1; SELECT 2", 400, 62),
        ("", "SELECT * FROM nope.nope", 404, 81),
        ("", "SELECT throwIf(1)", 500, 395),
        ("nope=1", "SELECT 1", 404, 115),
        ("a%3D1%2Cb=1", "SELECT 1", 404, 115),
        ("database=nope", "SELECT 1", 404, 81),
        ("compress=1", "SELECT 1", 501, 48),
        ("session_id=s", "SELECT 1", 501, 48),
        ("", "INSERT INTO nope FORMAT CSV\n1\n", 404, 60),
        ("", "INSERT INTO t FORMAT Nope\n1\n", 404, 73),
        ("", "INSERT INTO t FORMAT CSV\n1,x,y\n", 400, 117),
        ("", "INSERT INTO t FORMAT RowBinary\n123", 500, 33),
        ("decompress=1", "0123456789abcdef\u{1}0123456789", 500, 271),
    ];
    for (address, body, status, code) in cases {
        let reply = server.post(address, body);
        let said = reply.text();
        assert_eq!(
            (reply.status, reply.header("x-clickhouse-exception-code")),
            (*status, Some(code.to_string().as_str())),
            "{address} {body}: {said}"
        );
        assert!(said.starts_with(&format!("Code: {code}. DB::Exception: ")), "{said}");
        assert!(said.ends_with(")\n") && said.contains("(version 26."), "{said}");
    }
    assert_eq!(server.ask("SELECT count() FROM t"), "0");
}

#[test]
fn a_link_reads_and_never_writes() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    for statement in ["INSERT INTO t VALUES (1)", "DROP TABLE t", "INSERT INTO t SELECT 1"] {
        let reply = server.get(&format!("readonly=0&query={}", escape(statement)));
        assert_eq!(reply.header("x-clickhouse-exception-code"), Some("164"), "{statement}");
    }
    assert_eq!(server.ask("SELECT count() FROM t"), "0");
}

#[test]
fn a_page_in_a_browser_is_turned_away() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    for header in ["Origin: http://a.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(server.send("POST", "", header, b"SELECT 1").status, 403, "{header}");
    }
}

#[test]
fn a_page_whose_name_leads_here_is_turned_away() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let ask = |host: &str| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let query = escape("SELECT 1");
        let head =
            format!("GET /?query={query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Reply::read(stream).status
    };
    assert_eq!((ask(&server.address), ask("localhost:8123")), (200, 200));
    assert_eq!((ask("a.example"), ask("127.0.0.1.a.example:8123")), (403, 403));
}

#[test]
fn who_does_not_know_the_password_reads_and_changes_nothing() {
    let (parent, data) = folder();
    let file = parent.path().join("password");
    std::fs::write(&file, "a long secret\n").unwrap();
    let server = Server::start_with(&data, &["--password-file", file.to_str().unwrap()]);
    let ask = |headers: &str, sql: &str| server.send("POST", "", headers, sql.as_bytes());
    let create = "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a AS SELECT 7 AS a";
    let right = "X-ClickHouse-Key: a long secret\r\n";
    assert_eq!(ask(right, create).status, 200);

    let bare = ask("", "SELECT a FROM t");
    assert_eq!((bare.status, bare.header("x-clickhouse-exception-code")), (401, Some("194")));
    assert!(bare.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("basic ")));
    for wrong in [
        "X-ClickHouse-Key: another secret\r\n",
        "X-ClickHouse-User: default\r\nX-ClickHouse-Key: \r\n",
        "X-ClickHouse-User: admin\r\nX-ClickHouse-Key: a long secret\r\n",
        // default:wrong
        "Authorization: Basic ZGVmYXVsdDp3cm9uZw==\r\n",
    ] {
        for sql in ["SELECT a FROM t", "SELECT file('/etc/hostname')", "TRUNCATE TABLE t"] {
            let reply = ask(wrong, sql);
            assert_eq!(reply.header("x-clickhouse-exception-code"), Some("516"), "{wrong}{sql}");
            assert_eq!(reply.status, 403);
        }
    }
    // Whoever has it in an address has it in the list of processes too.
    assert_eq!(server.post("user=default&password=a+long+secret", "SELECT 1").status, 401);
    assert_eq!(server.get(&format!("query={}", escape("SELECT a FROM t"))).status, 401);
    // An insert that is refused is read to its end, so that its sender gets to know why.
    assert_eq!(ask("", &format!("INSERT INTO t VALUES {}", "(1),".repeat(500_000))).status, 401);
    assert_eq!(ask(right, "SELECT groupArray(a) FROM t").text(), "[7]\n");
    // default:a long secret
    let basic = "Authorization: Basic ZGVmYXVsdDphIGxvbmcgc2VjcmV0\r\n";
    assert_eq!(ask(basic, "SELECT a FROM t").text(), "7\n");
}

#[test]
fn a_statement_reaches_nothing_outside_the_engine() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    for source in [
        "file('/etc/hostname', 'RawBLOB')",
        "url('http://127.0.0.1:1/', 'RawBLOB')",
        "remote('127.0.0.1', system.one)",
        "default.`/etc/hostname`",
    ] {
        let reply = server.post("", format!("SELECT * FROM {source}"));
        assert_eq!(reply.header("x-clickhouse-exception-code"), Some("497"), "{source}");
    }
}

#[test]
fn nothing_of_one_request_shows_in_the_next() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    let probe = "SELECT getSetting('max_block_size'), currentDatabase()";
    let before = server.ask(probe);
    assert_eq!(server.post("max_block_size=77&database=system", probe).text(), "77\tsystem\n");
    server.ask("SET max_block_size = 78");
    server.ask("USE system");
    server.ask("CREATE TEMPORARY TABLE left (a UInt8)");
    server.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    server.post("max_block_size=79", "INSERT INTO t SETTINGS max_block_size = 80 FORMAT CSV\n1\n");
    // More than there are places, so every one of them has been used.
    for _ in 0..20 {
        assert_eq!(server.ask(probe), before);
        assert_eq!(
            server.post("", "SELECT * FROM left").header("x-clickhouse-exception-code"),
            Some("60")
        );
    }
}

#[test]
fn a_query_id_that_still_runs_is_refused() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE t (a UInt64) ENGINE = Null");
    // An insert whose rows have not come yet runs for as long as we like.
    let mut first = begin_insert(&server, "query_id=one", 2);
    let second = || server.post("query_id=one", "SELECT 1");
    let refused =
        wait_for("the first to hold its id", || Some(second()).filter(|reply| reply.status != 200));
    assert_eq!((refused.status, refused.header("x-clickhouse-exception-code")), (500, Some("216")));
    assert!(refused.text().contains("is already running"), "{}", refused.text());
    first.write_all(b"1\n").unwrap();
    assert_eq!(Reply::read(first).status, 200);
    assert_eq!(second().status, 200);
}

#[test]
fn an_insert_that_is_not_sent_to_its_end_stores_nothing() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let mut stream = begin_insert(&server, "query_id=cut", 1000);
    stream.write_all(b"1\n2\n3\n").unwrap();
    drop(stream);
    // Its id is free again once the engine has let go of it.
    wait_for("the insert to be cancelled", || {
        Some(server.post("query_id=cut", "SELECT 1")).filter(|reply| reply.status == 200)
    });
    assert_eq!(server.ask("SELECT count() FROM t"), "0");
}

#[test]
fn twenty_clients_at_once_each_get_their_own_answer() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    std::thread::scope(|scope| {
        for client in 0..20 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..5 {
                    let number = client * 100 + round;
                    server.ask(&format!("INSERT INTO t FORMAT CSV\n{number}\n"));
                    let sql = format!("SELECT sleepEachRow(0.01), a FROM t WHERE a = {number}");
                    assert_eq!(server.ask(&sql), format!("0\t{number}"));
                }
            });
        }
    });
    assert_eq!(server.ask("SELECT count(), uniqExact(a) FROM t"), "100\t100");
}

fn begin_insert(server: &Server, address: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let query = escape("INSERT INTO t FORMAT CSV");
    let head = format!(
        "POST /?{address}&query={query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn who_shows_no_password_cannot_hold_the_places_of_others() {
    let (parent, data) = folder();
    let file = parent.path().join("password");
    std::fs::write(&file, "a long secret").unwrap();
    let server = Server::start_with(&data, &["--password-file", file.to_str().unwrap()]);
    let mut strangers: Vec<TcpStream> = (0..256)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\n").unwrap();
            stream
        })
        .collect();
    let first = strangers.first_mut().unwrap();
    first.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(first.read(&mut [0; 1]).unwrap(), 0, "it is closed");
    let known = server.send("POST", "", "X-ClickHouse-Key: a long secret\r\n", b"SELECT 1");
    assert_eq!(known.text(), "1\n");
}
