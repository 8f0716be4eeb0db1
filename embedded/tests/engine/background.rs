//! What happens in the engine without a client: merges, mutations, deletion.

use crate::support::{Server, folder, wait_for};

fn make_table(server: &Server) {
    server.ask(
        "CREATE TABLE t (a UInt64, at DateTime DEFAULT now(), n SimpleAggregateFunction(sum, UInt64)) \
         ENGINE = AggregatingMergeTree ORDER BY (a, at) SETTINGS old_parts_lifetime = 1, \
         cleanup_delay_period = 1, max_cleanup_delay_period = 2, \
         cleanup_delay_period_random_add = 0",
    );
}

#[test]
fn parts_merge_by_themselves() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_table(&server);
    for number in 0..40 {
        server.ask(&format!("INSERT INTO t VALUES ({number}, 0, 1)"));
    }
    let active = "SELECT count() < 40 FROM system.parts WHERE table = 't' AND active";
    wait_for("a merge", || (server.ask(active) == "1").then_some(()));
    server.ask("OPTIMIZE TABLE t FINAL");
    let parts = "SELECT count(), sum(rows) FROM system.parts WHERE table = 't' AND active";
    assert_eq!(server.ask(parts), "1\t40");
    let left = "SELECT count() FROM system.parts WHERE table = 't'";
    wait_for("the old parts to be deleted", || (server.ask(left) == "1").then_some(()));
}

#[test]
fn a_delete_mutation_completes_waited_for_or_not() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_table(&server);
    server.ask("INSERT INTO t SELECT number, 0, 1 FROM numbers(1000)");
    let waited = server.post("mutations_sync=2", "ALTER TABLE t DELETE WHERE a < 100");
    assert_eq!(waited.status, 200, "{}", waited.text());
    assert_eq!(server.ask("SELECT count() FROM t"), "900");
    server.ask("ALTER TABLE t DELETE WHERE a < 200 SETTINGS mutations_sync = 0");
    let open = "SELECT count() FROM system.mutations WHERE NOT is_done";
    wait_for("the mutation", || (server.ask(open) == "0").then_some(()));
    assert_eq!(server.ask("SELECT count() FROM t"), "800");
    server.post("lightweight_deletes_sync=2", "DELETE FROM t WHERE a < 300");
    assert_eq!(server.ask("SELECT count() FROM t"), "700");
}

#[test]
fn a_mutation_cut_short_by_kill_9_completes_after_the_next_start() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    make_table(&server);
    server.ask("INSERT INTO t SELECT number, 0, 1 FROM numbers(100000)");
    server.ask("ALTER TABLE t DELETE WHERE a % 2 = 0 SETTINGS mutations_sync = 0");
    server.kill();
    let server = Server::start(&data);
    wait_for("the mutation", || (server.ask("SELECT count() FROM t") == "50000").then_some(()));
}

#[test]
fn sketches_of_arrays_fill_behind_a_landing_table_that_keeps_nothing() {
    let (_parent, data) = folder();
    let server = Server::start(&data);
    server.ask("CREATE TABLE landing (cell UInt64, marks Array(UInt64)) ENGINE = Null");
    server.ask(
        "CREATE TABLE cells (cell UInt64, raw SimpleAggregateFunction(sum, UInt64), \
         marks AggregateFunction(uniqCombined64Array(14), Array(UInt64))) \
         ENGINE = AggregatingMergeTree ORDER BY cell",
    );
    server.ask(
        "CREATE MATERIALIZED VIEW cells_view TO cells AS SELECT cell, count() AS raw, \
         uniqCombined64ArrayState(14)(marks) AS marks FROM landing GROUP BY cell",
    );
    server.ask("INSERT INTO landing VALUES (1, [1, 2]), (1, [2, 3]), (2, [])");
    let shown = "SELECT cell, sum(raw), uniqCombined64ArrayMerge(14)(marks) FROM cells \
                 GROUP BY cell ORDER BY cell";
    assert_eq!(server.ask(shown), "1\t2\t3\n2\t1\t0");
    assert_eq!(server.ask("SELECT count() FROM landing"), "0");
}
