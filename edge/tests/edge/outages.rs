//! Redis gone, hung, full; disks full; processes killed. Everything is answered, and what was
//! answered is stored once, in order, or counted as dropped.

use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use hushmark_edge::dropped_records;
use rustix::process::Signal;

use crate::fixture::{Answer, DESTINATION, Edge, Mail, Region, until};

/// Clients that open mails, each with a mark of its own, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<u64>>>,
}

impl Load {
    fn start(edge: &Edge, clients: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |client: u64| {
            let (stop, addr) = (Arc::clone(&stop), edge.addr);
            std::thread::spawn(move || {
                let mut stream = std::net::TcpStream::connect(addr).unwrap();
                let mut answered = Vec::new();
                for n in (client << 32).. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let path = Mail::marked(n).pixel();
                    if write!(stream, "GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").is_err() {
                        break;
                    }
                    match Answer::read(&mut stream, false).status {
                        200 => answered.push(n),
                        // The edge was killed: this one was not answered.
                        0 => break,
                        other => panic!("answered {other}"),
                    }
                }
                answered
            })
        };
        let clients = (0..clients).map(spawn).collect();
        Self { stop, clients }
    }

    /// The marks of all hits that were answered.
    fn stop(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all: Vec<u64> =
            self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        all.sort_unstable();
        all
    }
}

fn stored_marks(region: &Region) -> Vec<u64> {
    let hits = region.stored_hits();
    let mut marks: Vec<u64> = hits.iter().map(|hit| hit.mark.as_ref().unwrap().expose()).collect();
    marks.sort_unstable();
    marks
}

const BREAKERS: &str = "hushmark_edge_breakers_open";
const TO_LOG: &str = "hushmark_edge_batches_total{to=\"lane_log\"}";

fn breaker_closes(edge: &Edge) {
    until("the breaker closes", || (edge.metric(BREAKERS) == 0.0).then_some(()));
}

#[test]
fn redis_killed_under_load_loses_nothing_and_keeps_the_order() {
    let mut region = Region::new();
    let edge = region.ready_edge(&[]);
    let load = Load::start(&edge, 8);
    for _ in 0..3 {
        until("hits go to redis", || (edge.metric(BREAKERS) == 0.0).then_some(()));
        region.redis.kill();
        let before = edge.metric(TO_LOG);
        until("hits go to the log", || (edge.metric(TO_LOG) > before + 20.0).then_some(()));
        region.redis.again(&[]);
        breaker_closes(&edge);
    }
    let answered = load.stop();
    assert_eq!(edge.stop(), 0);
    // `stored_hits` has checked that numbers follow each other without a gap.
    assert_eq!(stored_marks(&region), answered);
    assert_eq!(dropped_records(&region.path("lane-log")).unwrap(), 0);
}

#[test]
fn redis_hung_opens_the_breaker_and_its_late_answer_doubles_nothing() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let load = Load::start(&edge, 8);
    for _ in 0..3 {
        let before = edge.metric(TO_LOG);
        region.redis.signal(Signal::STOP);
        until("hits go to the log", || (edge.metric(TO_LOG) > before + 5.0).then_some(()));
        region.redis.signal(Signal::CONT);
        breaker_closes(&edge);
    }
    let answered = load.stop();
    assert_eq!(edge.stop(), 0);
    assert_eq!(stored_marks(&region), answered);
}

#[test]
fn an_edge_that_starts_without_redis_answers_and_redirects() {
    let mut region = Region::new();
    region.redis.kill();
    let edge = region.edge(&[]);
    assert_eq!(edge.get(&Mail::marked(1).pixel()).status, 200);
    assert_eq!(edge.get(&Mail::marked(2).link()).header("location"), Some(DESTINATION));
    region.redis.again(&[]);
    breaker_closes(&edge);
    // Redis has the refusal log, so this edge has its copy by and by.
    until("the edge is ready", || (edge.admin("/readyz").status == 200).then_some(()));
    assert_eq!(region.stored().len(), 2);
}

#[test]
fn an_edge_killed_without_redis_leaves_a_log_that_the_next_one_replays() {
    let mut region = Region::new();
    let edge = region.ready_edge(&[]);
    let load = Load::start(&edge, 8);
    region.redis.kill();
    until("hits go to the log", || (edge.metric(TO_LOG) > 30.0).then_some(()));
    edge.kill();
    let answered = load.stop();
    assert!(answered.len() > 30);

    // A write that the kill interrupted leaves half a frame.
    let log = std::fs::read_dir(region.path("lane-log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "log"))
        .unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 9, 1, 2, 3]).unwrap();

    let replay = |region: &Region| {
        let mut arguments = region.arguments();
        arguments.extend(["--name", "eu-edge-7", "--replay"].map(str::to_owned));
        Command::new(env!("CARGO_BIN_EXE_hushmark-edge")).args(arguments).status().unwrap().code()
    };
    assert_eq!(replay(&region), Some(75), "a replay gives up at once while redis is away");
    let copy = std::fs::read(&log).unwrap();
    region.redis.again(&[]);
    assert_eq!(replay(&region), Some(0));
    assert!(!log.exists());
    // It says so for the edge whose folder it is: days that wait for that edge can be closed.
    let mut redis = region.redis.connect();
    let keys: Vec<String> = redis::cmd("KEYS").arg("edge:*").query(&mut redis).unwrap();
    let words = keys.iter().map(|key| redis::cmd("GET").arg(key).query::<String>(&mut redis));
    let words: Vec<String> = words.map(Result::unwrap).collect();
    let said = r#"{"pod":"eu-edge-7","kids":[],"ring":["",""],"refusals":null,"log_bytes":0,"log_empty":true,"draining":true}"#;
    assert!(words.iter().any(|word| word == said), "{words:?}");
    let stored = stored_marks(&region);
    // What was durable but not answered when the edge died may be there as well.
    assert!(answered.iter().all(|mark| stored.binary_search(mark).is_ok()));
    assert!(stored.len() <= answered.len() + 8);

    // Two replays of one log are harmless; this one is a living edge's.
    std::fs::write(&log, copy).unwrap();
    let _edge = region.ready_edge(&[]);
    until("the log is gone", || (!log.exists()).then_some(()));
    assert_eq!(stored_marks(&region), stored);
}

#[test]
fn when_the_log_is_full_too_all_is_answered_and_the_drop_is_on_disk() {
    let mut region = Region::new();
    let edge = region.ready_edge(&["--lane-log-max-bytes", "4096"]);
    region.redis.kill();
    let mut answered = 0;
    let dropped = || dropped_records(&region.folder.path().join("lane-log")).unwrap();
    until("the log is full", || {
        for _ in 0..20 {
            assert_eq!(edge.get(&Mail::marked(answered).pixel()).status, 200);
            answered += 1;
        }
        (dropped() > 5).then_some(())
    });
    assert_eq!(edge.get(&Mail::marked(0).link()).header("location"), Some(DESTINATION));
    answered += 1;
    let drops = dropped();
    assert_eq!(edge.metric("hushmark_edge_dropped_records_total"), drops as f64);
    assert_eq!(edge.admin("/readyz").status, 503);
    edge.kill();
    region.redis.again(&[]);
    let edge = region.ready_edge(&[]);
    let dead = edge.metric("hushmark_edge_replayed_batches_total");
    until("the old log is in redis", || {
        (edge.metric("hushmark_edge_replayed_batches_total") > dead || dead > 0.0).then_some(())
    });
    assert_eq!(region.stored().len() as u64, answered - drops);
    assert_eq!(edge.metric("hushmark_edge_dropped_records_total"), drops as f64, "not forgotten");
}

#[test]
fn durability_disk_answers_from_the_log_and_redis_gets_it_all() {
    let mut region = Region::new();
    let edge = region.ready_edge(&["--durability", "disk"]);
    // One client leaves the lane idle again and again, a few do now and then, many never.
    let mut loads = Vec::new();
    for clients in [1, 2, 8] {
        loads.push(Load::start(&edge, clients));
        let before = edge.metric(TO_LOG);
        until("batches go through", || (edge.metric(TO_LOG) > before + 200.0).then_some(()));
    }
    region.redis.kill();
    let before = edge.metric(TO_LOG);
    until("more batches went to the log", || (edge.metric(TO_LOG) > before + 20.0).then_some(()));
    region.redis.again(&[]);
    let mut answered: Vec<u64> = loads.into_iter().flat_map(Load::stop).collect();
    answered.sort_unstable();
    assert_eq!(edge.stop(), 0);
    assert_eq!(stored_marks(&region), answered);
    let left = std::fs::read_dir(region.path("lane-log")).unwrap().map(|e| e.unwrap().path());
    assert_eq!(left.filter(|path| path.extension().is_some_and(|e| e == "log")).count(), 0);
}

#[test]
fn a_nearly_full_redis_is_left_to_control_writes() {
    let mut region = Region::new();
    region.redis.kill();
    region.redis.again(&["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"]);
    let edge = region.ready_edge(&[]);
    let mut redis = region.redis.connect();
    redis::cmd("SETRANGE").arg("ballast").arg(48 << 20).arg("x").exec(&mut redis).unwrap();
    until("batches spill", || {
        edge.get(&Mail::marked(1).pixel());
        (edge.metric(BREAKERS) == 1.0).then_some(())
    });
    let log_bytes = "hushmark_edge_lane_log_bytes";
    assert!(edge.metric(log_bytes) > 0.0);
    redis::cmd("DEL").arg("ballast").exec(&mut redis).unwrap();
    breaker_closes(&edge);
    assert_eq!(edge.metric(log_bytes), 0.0);
    assert_eq!(edge.stop(), 0);
}

#[test]
fn a_terminated_edge_answers_what_it_was_asked() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let load = Load::start(&edge, 8);
    until("hits come in", || {
        (edge.metric("hushmark_edge_hits_total{kind=\"open\"}") > 100.0).then_some(())
    });
    assert_eq!(edge.stop(), 0);
    let answered = load.stop();
    let stored = stored_marks(&region);
    assert!(answered.iter().all(|mark| stored.binary_search(mark).is_ok()));
    assert_eq!(std::fs::read_dir(region.path("lane-log")).unwrap().count(), 1, "the head alone");
}
