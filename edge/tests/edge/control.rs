//! Keys, refusals and signs of life, while the edge serves.

use hushmark_event::redis_keys::{REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{CapScope, Refuses, Takedown};
use hushmark_policy::{Mode, Place};
use rustix::process::Signal;

use crate::fixture::{DESTINATION, Mail, Region, until};

fn cap(opens: Mode) -> Refuses {
    let scope = CapScope::Campaign { id: "0000000000000022".into() };
    Refuses::Cap { scope, up_to: 1, opens, clicks: Mode::Anonymous, place: Place::None }
}

#[test]
fn bad_keys_change_nothing_and_good_ones_come_without_a_restart() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let second = Mail { kid: 2, ..Mail::new(Mode::Overall) };
    assert_eq!(edge.get(&second.link()).status, 404);

    std::fs::write(region.path("keys/2.key"), [7; 5]).unwrap();
    let failures = "hushmark_edge_reload_failures_total";
    until("the bad key is noticed", || (edge.metric(failures) >= 1.0).then_some(()));
    assert_eq!(edge.get(&Mail::new(Mode::Overall).link()).status, 302);

    std::fs::write(region.path("keys/2.key"), [7; 32]).unwrap();
    until("the new key is used", || (edge.get(&second.link()).status == 302).then_some(()));

    let reloads = edge.metric("hushmark_edge_reloads_total");
    edge.signal(Signal::HUP);
    let all = || edge.metric("hushmark_edge_reloads_total");
    until("SIGHUP reloads keys and ring", || (all() == reloads + 2.0).then_some(()));
}

#[test]
fn a_takedown_makes_a_link_a_plain_404() {
    let mut region = Region::new();
    let edge = region.ready_edge(&[]);
    let mail = Mail::new(Mode::Anonymous);
    let (pixel, nowhere) = (edge.get(&mail.pixel()), edge.get("/nowhere"));
    assert_eq!(edge.get(&mail.link()).status, 302);
    region.refuse(Refuses::Takedown(Takedown::Url(DESTINATION.into())));
    until("the link is down", || (edge.get(&mail.link()) == nowhere).then_some(()));
    assert_eq!(edge.get(&mail.pixel()), pixel);
    let hits = region.stored_hits().len();
    region.refuse(Refuses::Takedown(Takedown::Kid(1)));
    until("the key is refused", || (edge.get(&mail.page()) == nowhere).then_some(()));
    assert_eq!(edge.get(&mail.pixel()), pixel, "a refused pixel looks like any other");
    assert_eq!(region.stored_hits().len(), hits);
}

#[test]
fn a_cap_turns_hits_into_voids_and_answers_stay_the_same() {
    let mut region = Region::new();
    let edge = region.ready_edge(&[]);
    let mail = Mail::new(Mode::Individual);
    let before = edge.get(&mail.pixel());
    region.refuse(cap(Mode::Off));
    let length = "hushmark_edge_refusal_log_length";
    until("the cap is obeyed", || (edge.metric(length) == 1.0).then_some(()));
    assert_eq!(edge.get(&mail.pixel()), before);
    edge.get(&mail.link());
    let hits = region.stored_hits();
    assert_eq!((hits.len(), region.stored().len()), (2, 3));
    assert_eq!(hits[1].context.mode, Mode::Anonymous, "the click was capped, too");
    let mut later = mail;
    later.claims.generation.0 = 2;
    edge.get(&later.pixel());
    assert_eq!(region.stored_hits()[2].context.mode, Mode::Individual, "a cap never reaches ahead");
}

#[test]
fn without_a_refusal_log_everything_is_answered_and_nothing_counted() {
    let region = Region::without_refusal_log();
    let edge = region.edge(&[]);
    assert_eq!(edge.get(&Mail::new(Mode::Individual).pixel()).body, hushmark_edge::reply::GIF);
    assert_eq!(edge.get(&Mail::new(Mode::Individual).link()).status, 302);
    let ready = edge.admin("/readyz");
    assert_eq!(ready.status, 503);
    assert!(String::from_utf8(ready.body).unwrap().contains("refusal log"));
    assert_eq!((region.stored_hits().len(), region.stored().len()), (0, 2));
}

#[test]
fn what_redis_lost_is_put_back_by_whoever_holds_it() {
    let mut region = Region::new();
    let edge = region.ready_edge(&[]);
    region.refuse(cap(Mode::Off));
    region.refuse(Refuses::Takedown(Takedown::Url(DESTINATION.into())));
    let length = "hushmark_edge_refusal_log_length";
    until("both are obeyed", || (edge.metric(length) == 2.0).then_some(()));
    let mut redis = region.redis.connect();
    redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
    until("the log is back", || {
        let entries: u64 = redis::cmd("XLEN").arg(REFUSALS).query(&mut redis).unwrap();
        let head: Option<String> = redis::cmd("GET").arg(REFUSALS_HEAD).query(&mut redis).unwrap();
        (entries == 2 && head.is_some_and(|head| head.contains("\"length\":2"))).then_some(())
    });
    // A new edge without a copy takes it from there; the old one starts from its own disk.
    drop(edge);
    redis::cmd("DEL").arg(REFUSALS).arg(REFUSALS_HEAD).exec(&mut redis).unwrap();
    let edge = region.ready_edge(&[]);
    assert_eq!(edge.metric(length), 2.0);
}

#[test]
fn an_edge_without_a_copy_takes_a_long_log_of_which_redis_shows_the_last_head_alone() {
    let mut region = Region::new();
    // More than an edge would keep waiting for a head, and more than it writes down at once.
    const OBJECTIONS: u64 = 45_000;
    let objections = (0..OBJECTIONS).map(|contact| Refuses::Contact {
        tenant: "0000000000000001".into(),
        id: format!("{contact:016x}"),
    });
    let down = Refuses::Takedown(Takedown::Url(DESTINATION.into()));
    region.refuse_all(objections.chain([down]));
    let edge = region.ready_edge(&[]);
    let length = "hushmark_edge_refusal_log_length";
    assert_eq!(edge.metric(length), OBJECTIONS as f64 + 1.0);
    let mail = Mail::new(Mode::Anonymous);
    assert_eq!(edge.get(&mail.link()), edge.get("/nowhere"));

    // It goes on from there, and so does the next one from what is on the disk.
    region.refuse(cap(Mode::Off));
    until("the last is obeyed", || (edge.metric(length) == OBJECTIONS as f64 + 2.0).then_some(()));
    drop(edge);
    let mut redis = region.redis.connect();
    redis::cmd("DEL").arg(REFUSALS).arg(REFUSALS_HEAD).exec(&mut redis).unwrap();
    let edge = region.ready_edge(&[]);
    assert_eq!(edge.metric(length), OBJECTIONS as f64 + 2.0);
}

#[test]
fn a_log_that_nobody_signed_is_not_obeyed() {
    let mut region = Region::new();
    let edge = region.ready_edge(&[]);
    let mut redis = region.redis.connect();
    let forged = r#"{"n":1,"at_ms":1,"refuses":{"takedown":{"kid":1}}}"#;
    let head =
        format!(r#"{{"length":1,"hash":"{}","signature":"{}"}}"#, "0".repeat(64), "0".repeat(128));
    redis::cmd("XADD").arg(REFUSALS).arg("1-0").arg("e").arg(forged).exec(&mut redis).unwrap();
    redis::cmd("SET").arg(REFUSALS_HEAD).arg(head).exec(&mut redis).unwrap();
    let errors = "hushmark_edge_refusal_log_errors_total";
    until("the forgery is noticed", || (edge.metric(errors) >= 1.0).then_some(()));
    assert_eq!(edge.get(&Mail::new(Mode::Overall).link()).status, 302);
    redis::cmd("DEL").arg(REFUSALS).exec(&mut redis).unwrap();
    region.refuse(cap(Mode::Off));
    let length = "hushmark_edge_refusal_log_length";
    until("the real one is obeyed", || (edge.metric(length) == 1.0).then_some(()));
}

#[test]
fn the_heartbeat_names_keys_days_and_log() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let mut redis = region.redis.connect();
    let beat = || {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("edge:*").query(&mut region.redis.connect()).unwrap();
        let value: Option<String> = redis::cmd("GET").arg(keys.first()?).query(&mut redis).unwrap();
        serde_json::from_str::<serde_json::Value>(&value?).ok()
    };
    let value = until("the edge beats", beat);
    assert_eq!(value["kids"], serde_json::json!([1]));
    assert_eq!(value["log_empty"], true);
    assert_eq!(edge.stop(), 0);
    let mut redis = region.redis.connect();
    let keys: Vec<String> = redis::cmd("KEYS").arg("edge:*").query(&mut redis).unwrap();
    let value: String = redis::cmd("GET").arg(&keys[0]).query(&mut redis).unwrap();
    assert!(value.contains("\"log_empty\":true,\"draining\":true"), "{value}");
}
