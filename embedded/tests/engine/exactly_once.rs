//! What the writer's exactly-once rests on, shown on the engine itself.

use crate::support::{Server, escape, folder};
use std::path::{Path, PathBuf};

/// As the writer sends it. The last four keep an insert one block, and so one part a partition.
const WRITER: &str = "insert_deduplicate=1&deduplicate_blocks_in_dependent_materialized_views=1\
     &async_insert=0&max_insert_threads=1\
     &max_insert_block_size=100000000&min_insert_block_size_rows=100000000\
     &min_insert_block_size_bytes=17179869184";

/// A landing table that keeps nothing and two rollups behind views. A window of 0 is none.
fn make_tables(server: &Server, windows: [(&str, u32); 2]) {
    server.ask("CREATE TABLE landing (cell UInt64, month UInt32, mark UInt64) ENGINE = Null");
    for (name, window) in windows {
        server.ask(&format!(
            "CREATE TABLE {name} (cell UInt64, month UInt32, \
             raw SimpleAggregateFunction(sum, UInt64), \
             marks AggregateFunction(uniqCombined64(14), UInt64)) \
             ENGINE = AggregatingMergeTree PARTITION BY month ORDER BY cell \
             SETTINGS non_replicated_deduplication_window = {window}, fsync_after_insert = 1, \
             fsync_part_directory = 1"
        ));
        server.ask(&format!(
            "CREATE MATERIALIZED VIEW {name}_view TO {name} AS SELECT cell, month, \
             count() AS raw, uniqCombined64State(14)(mark) AS marks \
             FROM landing GROUP BY cell, month"
        ));
    }
}

fn insert(server: &Server, token: &str, settings: &str, rows: &[u8]) {
    let query = escape("INSERT INTO landing FORMAT RowBinary");
    let address = format!("query={query}&insert_deduplication_token={token}&{settings}");
    let reply = server.post(&address, rows);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn rows(count: u64, months: u64) -> Vec<u8> {
    (0..count)
        .flat_map(|n| {
            let month = (202_601 + n % months) as u32;
            [&n.to_le_bytes()[..], &month.to_le_bytes(), &n.to_le_bytes()].concat()
        })
        .collect()
}

fn sum(server: &Server, table: &str) -> String {
    server.ask(&format!("SELECT sum(raw) FROM {table}"))
}

#[test]
fn a_repeat_is_counted_once_where_the_target_has_a_window_and_twice_where_not() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_tables(&server, [("guarded", 1000), ("open", 0)]);
    for _ in 0..2 {
        insert(&server, "cut-1", WRITER, &rows(1000, 1));
    }
    assert_eq!((sum(&server, "guarded"), sum(&server, "open")), ("1000".into(), "2000".into()));
    // The same rows under another token are another batch.
    insert(&server, "cut-2", WRITER, &rows(1000, 1));
    assert_eq!(sum(&server, "guarded"), "2000");
}

#[test]
fn a_token_outlives_kill_9() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_tables(&server, [("one", 1000), ("two", 1000)]);
    insert(&server, "cut-1", WRITER, &rows(1000, 3));
    server.kill();
    let server = Server::start(&data);
    insert(&server, "cut-1", WRITER, &rows(1000, 3));
    assert_eq!((sum(&server, "one"), sum(&server, "two")), ("1000".into(), "1000".into()));
}

/// The record in the log and the part's rename are two steps, and a kill can fall between them.
/// The rows are there, the token is forgotten: this is why the writer asks the ledger that rides
/// in the part before it sends again.
#[test]
fn a_token_whose_record_is_lost_counts_twice_but_its_part_is_still_there_to_ask() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_tables(&server, [("one", 1000), ("two", 0)]);
    insert(&server, "cut-1", WRITER, &rows(1000, 1));
    insert(&server, "cut-2", WRITER, &rows(1000, 1));
    server.kill();
    cut_last_record(&data);
    let server = Server::start(&data);
    assert_eq!(sum(&server, "one"), "2000");
    insert(&server, "cut-1", WRITER, &rows(1000, 1));
    assert_eq!(sum(&server, "one"), "2000", "the record before the lost one still holds");
    insert(&server, "cut-2", WRITER, &rows(1000, 1));
    assert_eq!(sum(&server, "one"), "3000");
}

fn cut_last_record(data: &Path) {
    let logs = deduplication_logs(&data.join("engine/store"));
    let [log] = logs.as_slice() else { panic!("one table has a log, found {logs:?}") };
    let text = std::fs::read_to_string(log).unwrap();
    let (kept, _lost) = text.trim_end().rsplit_once('\n').expect("two records");
    std::fs::write(log, format!("{kept}\n")).unwrap();
}

fn deduplication_logs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            found.extend(deduplication_logs(&path));
        } else if name.starts_with("deduplication_log_")
            && std::fs::metadata(&path).unwrap().len() > 0
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn one_insert_is_one_part_a_partition_even_with_300_000_groups() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_tables(&server, [("one", 1000), ("two", 1000)]);
    server.ask("SYSTEM STOP MERGES");
    insert(&server, "cut-1", WRITER, &rows(300_000, 2));
    for table in ["one", "two"] {
        assert_eq!(parts(&server, table), "202601\t1\t150000\n202602\t1\t150000");
    }
}

/// Without the pinned settings a batch is cut at 1,048,449 rows, and views' output at 256 MiB.
#[test]
fn the_writers_settings_keep_a_large_batch_in_one_part() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_tables(&server, [("one", 1000), ("two", 1000)]);
    server.ask("SYSTEM STOP MERGES");
    let rows = rows(1_500_000, 1);
    insert(&server, "cut-1", WRITER, &rows);
    assert_eq!(parts(&server, "one"), "202601\t1\t1500000");
    server.ask("TRUNCATE TABLE one");
    insert(&server, "cut-2", "async_insert=0", &rows);
    assert_ne!(parts(&server, "one"), "202601\t1\t1500000");
}

fn parts(server: &Server, table: &str) -> String {
    server.ask(&format!(
        "SELECT partition, count(), sum(rows) FROM system.parts \
         WHERE table = '{table}' AND active GROUP BY 1 ORDER BY 1"
    ))
}

#[test]
fn what_was_answered_is_there_after_any_kill_9() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_tables(&server, [("one", 1000), ("two", 1000)]);
    server.kill();
    let mut answered = 0;
    for round in 0..8 {
        let server = Server::start(&data);
        assert_eq!(sum(&server, "one"), (answered * 1000).to_string(), "round {round}");
        // The batch under way at the kill is repeated: it is stored once, whether it was or not.
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let query = escape("INSERT INTO landing FORMAT RowBinary");
                let token = format!("insert_deduplication_token=cut-{answered}");
                try_post(&server, &format!("query={query}&{token}&{WRITER}"), &rows(1000, 2));
            });
            std::thread::sleep(std::time::Duration::from_millis(round * 4));
            let pid = rustix::process::Pid::from_child(&server.child);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            sending.join().unwrap();
        });
        drop(server);
        let server = Server::start(&data);
        insert(&server, &format!("cut-{answered}"), WRITER, &rows(1000, 2));
        answered += 1;
        assert_eq!(sum(&server, "two"), (answered * 1000).to_string(), "round {round}");
        server.kill();
    }
}

/// The server may be gone at any point of this.
fn try_post(server: &Server, address: &str, body: &[u8]) {
    use std::io::{Read as _, Write as _};
    let attempt = || -> std::io::Result<()> {
        let mut stream = std::net::TcpStream::connect(&server.address)?;
        let length = body.len();
        let head = format!(
            "POST /?{address} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        stream.read_exact(&mut [0])
    };
    attempt().unwrap_or_default();
}
