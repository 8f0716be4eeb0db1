//! Each protection, shown to be needed: the same accident with it and without it.

use std::path::{Path, PathBuf};

use hushmark_event::Lane;
use hushmark_event::redis_keys::WRITER_CUT;
use hushmark_event::tables::Target;
use hushmark_policy::{Kind, Mode};

use crate::support::{Process, Stack, hit, signal, wait_or};

const LANE: Lane = Lane { incarnation: 0x777, core: 0 };

/// The clock is not what these accidents are about: a stop can always outlast it.
fn env<'a>(failpoint: &'a str, without: &'a str) -> [(&'a str, &'a str); 2] {
    [("HUSHMARK_FAILPOINT", failpoint), ("HUSHMARK_WITHOUT", without)]
}

fn append(stack: &Stack, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        stack.append(LANE, number, &[hit(Mode::Individual, Kind::Click, number, number)]);
    }
}

/// The most often that any hit is stored, in counters and in rows.
fn most(stack: &Stack) -> (String, String) {
    let counters = "SELECT max(n) FROM (SELECT sum(raw) AS n FROM counters \
                    WHERE tenant != 0 AND dimension = 'link' GROUP BY campaign)";
    let rows = "SELECT max(n) FROM (SELECT count() AS n FROM hits \
                WHERE tenant != 0 GROUP BY campaign)";
    (stack.query(counters), stack.query(rows))
}

fn is_stopped(process: &Process) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap();
    stat.rsplit(") ").next().unwrap().starts_with('T')
}

/// A writer that wrote its cut down, asked the ledger, and sleeps before its first send.
fn sleeper(stack: &Stack, without: &str) -> Process {
    append(stack, 1..=10);
    let sleeper = stack.writer(&env("between-lookup-and-insert", without));
    wait_or("the sleeper", || stack.logs(), || is_stopped(&sleeper));
    sleeper
}

/// The sleeper wakes after its standby took over and stored more.
fn woken_after_a_take_over(without: &str) -> (String, String) {
    let without = format!("lease-clock,{without}");
    let stack = Stack::start();
    let sleeper = sleeper(&stack, &without);
    append(&stack, 11..=20);
    stack.expire_lease();
    let _standby = stack.writer(&env("", &without));
    stack.wait_stored(LANE, 20);
    signal(&sleeper, "CONT");
    // It ends its session when it cannot take its note away, long after its insert was answered.
    let log = || std::fs::read_to_string(stack.path().join("writer.log")).unwrap();
    wait_or("the sleeper to wake", log, || log().contains("session ended"));
    assert_eq!(stack.stored(Target::Counters, LANE), 20);
    most(&stack)
}

fn once() -> (String, String) {
    ("1".into(), "1".into())
}

#[test]
fn a_sleeper_that_wakes_cannot_send_another_cut() {
    assert_eq!(woken_after_a_take_over(""), once());
    assert_ne!(woken_after_a_take_over("cut"), once());
}

#[test]
fn a_living_server_knows_a_repeat_by_its_token() {
    assert_ne!(woken_after_a_take_over("token"), once());
}

/// Removes the part that the last record of every deduplication log names, as a death between the
/// record and the part would.
fn lose_last_part(stack: &Stack) {
    let mut lost = 0;
    for log in logs(stack) {
        let text = std::fs::read_to_string(&log).unwrap();
        let Some(part) = text.lines().last().and_then(|record| record.split('\t').nth(1)) else {
            continue;
        };
        std::fs::remove_dir_all(log.ancestors().nth(2).unwrap().join(part)).unwrap();
        lost += 1;
    }
    assert!(lost >= 1, "no deduplication log has a record");
}

fn logs(stack: &Stack) -> Vec<PathBuf> {
    let mut logs = Vec::new();
    find_logs(&stack.path().join("clickhouse"), &mut logs);
    logs
}

/// Cuts the last record off every deduplication log, as a death between its two steps would.
fn forget_last_token(stack: &Stack) {
    let mut cut = 0;
    for log in logs(stack) {
        let bytes = std::fs::read(&log).unwrap();
        let Some(end) = bytes.strip_suffix(b"\n") else { continue };
        let keep = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        std::fs::write(&log, &bytes[..keep]).unwrap();
        cut += 1;
    }
    assert!(cut >= 1, "no deduplication log was found");
}

fn find_logs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() {
            continue;
        } else if path.is_dir() {
            find_logs(&path, found);
        } else if name.starts_with("deduplication_log_") {
            found.push(path);
        }
    }
}

/// The writer dies after the first target answered, the engine with it, and something is lost.
fn taken_over_after(lose: fn(&Stack), without: &str) -> (String, String) {
    let mut stack = Stack::start();
    append(&stack, 1..=10);
    let mut first = stack.writer(&env("after-first-target", without));
    first.0.wait().unwrap();
    stack.kill_engine();
    lose(&stack);
    stack.start_engine();
    stack.expire_lease();
    let _second = stack.writer(&env("", without));
    wait_or(
        "the cut to be done",
        || stack.logs(),
        || !redis::cmd("EXISTS").arg(WRITER_CUT).query::<bool>(&mut stack.redis()).unwrap(),
    );
    most(&stack)
}

#[test]
fn after_a_restart_the_ledger_tells_what_the_token_log_lost() {
    assert_eq!(taken_over_after(forget_last_token, ""), once());
    assert_ne!(taken_over_after(forget_last_token, "ledger"), once());
}

#[test]
fn a_token_without_its_part_is_found_out() {
    assert_eq!(taken_over_after(lose_last_part, ""), once());
    assert_ne!(taken_over_after(lose_last_part, "proof"), once());
}

/// The sleeper wakes after its standby stored its cut and the engine restarted without the record.
fn woken_after_a_restart(without: &str) -> (String, String) {
    let without = format!("lease-clock,{without}");
    let mut stack = Stack::start();
    let sleeper = sleeper(&stack, &without);
    stack.expire_lease();
    let standby = stack.writer(&env("", &without));
    stack.wait_stored(LANE, 10);
    drop(standby);
    stack.kill_engine();
    forget_last_token(&stack);
    stack.start_engine();
    signal(&sleeper, "CONT");
    let log = || std::fs::read_to_string(stack.path().join("writer.log")).unwrap();
    wait_or("the sleeper to wake", log, || log().contains("session ended"));
    most(&stack)
}

#[test]
fn a_connection_that_died_with_the_server_is_never_reopened_for_a_send() {
    assert_eq!(woken_after_a_restart(""), once());
    assert_ne!(woken_after_a_restart("one-connection"), once());
}

#[test]
fn a_death_after_the_cut_repeats_the_cut() {
    let stack = Stack::start();
    append(&stack, 1..=10);
    let mut first = stack.writer(&env("after-cut", ""));
    first.0.wait().unwrap();
    append(&stack, 11..=20);
    stack.expire_lease();
    let _second = stack.writer(&env("", ""));
    stack.wait_stored(LANE, 20);
    assert_eq!(most(&stack), once());
}
