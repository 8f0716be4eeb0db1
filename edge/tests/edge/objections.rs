//! A recipient's own page: what it says, and what its button does.

use std::io::Write as _;
use std::time::Duration;

use hushmark_event::Objection;
use hushmark_event::refusal::Refuses;
use hushmark_policy::{CampaignId, Mark, Mode, TenantId, Tracking};
use hushmark_token::Apart;

use crate::fixture::{Answer, DESTINATION, Mail, Region, today, until};

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// What the writer makes of it, and the operator appends.
fn append(region: &mut Region, objection: &Objection) {
    let refuses: Vec<Refuses> = objection.refuses().collect();
    refuses.into_iter().for_each(|one| region.refuse(one));
}

#[test]
fn a_page_says_what_is_recorded_in_the_readers_language_and_changes_nothing() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let mail = Mail::new(Mode::Anonymous);
    let page = edge.get(&mail.page());
    assert_eq!(page.status, 200);
    assert_eq!(page.header("vary"), Some("accept-language"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(page.header("content-security-policy").unwrap().contains("form-action 'self'"));
    let (english, german) =
        (text(&page), text(&edge.ask("GET", &mail.page(), "accept-language: de-AT, en;q=0.5\r\n")));
    assert!(english.contains("This mail has a random number"), "{english}");
    assert!(english.contains("<form method=\"post\"><button type=\"submit\">I object</button>"));
    assert!(german.contains("<html lang=\"de\">") && german.contains("Ich widerspreche"));
    let head = edge.ask("HEAD", &mail.page(), "");
    assert_eq!((head.status, &head.headers), (200, &page.headers));
    let overall = text(&edge.get(&Mail::new(Mode::Overall).page()));
    assert!(overall.contains("nobody whose recording could end") && !overall.contains("<form"));
    let mut apart = mail.clone();
    let tracking = Tracking { opens: Mode::Anonymous, clicks: Mode::Off };
    apart.claims.apart = Some(Apart { tracking, message: None });
    assert!(text(&edge.get(&apart.page())).contains("Nothing is recorded."));

    assert!(region.stored_objections().is_empty());
    edge.get(&mail.pixel());
    assert_eq!(region.stored_hits().len(), 1, "it is counted as before");
}

#[test]
fn an_objection_ends_one_message_at_once_and_looks_like_nothing_from_outside() {
    let mut region = Region::new();
    let edge = region.ready_edge(&["--threads", "2"]);
    let (mail, other) = (Mail::marked(1), Mail::marked(2));
    let (pixel, page) = (edge.get(&mail.pixel()), edge.get(&mail.page()));
    let answer = edge.post(&mail.page(), "accept-language: fr\r\n");
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert!(text(&answer).contains("Votre opposition est prise en compte"), "{}", text(&answer));
    // Durable before it was answered, and without the mark.
    let recorded = region.stored_objections();
    let message = recorded[0].message.unwrap();
    assert!(recorded[0].contact.is_none());
    assert_eq!((message.campaign, message.last_day), (CampaignId(0x22), today().plus(2)));
    assert_ne!(message.id, 1);

    let same = |edge: &crate::fixture::Edge| {
        // More than one connection, so that both cores are asked.
        for _ in 0..8 {
            assert_eq!(edge.get(&mail.pixel()), pixel);
            assert_eq!(edge.get(&mail.page()), page);
        }
        assert_eq!(edge.get(&mail.link()).header("location"), Some(DESTINATION));
        edge.get(&other.pixel());
    };
    same(&edge);
    assert_eq!(region.stored_hits().len(), 2, "its own before, and the other's");
    append(&mut region, &recorded[0]);
    let length = "hushmark_edge_refusal_log_length";
    until("the log has it", || (edge.metric(length) == 1.0).then_some(()));
    same(&edge);
    assert_eq!(region.stored_hits().len(), 3);
    // Objecting again adds nothing, and is answered alike.
    assert_eq!(edge.post(&mail.page(), "accept-language: fr\r\n"), answer);
    assert_eq!(region.stored_objections().len(), 1);
    assert_eq!(edge.metric("hushmark_edge_objections_total"), 1.0);
}

#[test]
fn an_objection_to_mail_that_names_a_contact_ends_all_of_that_tenants() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let mail = Mail::new(Mode::Individual);
    assert!(text(&edge.post(&mail.page(), "")).contains("and of those that it will send you"));
    let recorded = region.stored_objections().remove(0);
    assert!(recorded.contact == Some(Mark::new(0x33)) && recorded.message.is_none());
    assert_eq!(recorded.tenant, TenantId(0x11));
    let mut another = mail.clone();
    another.claims.campaign = CampaignId(0x23);
    edge.get(&another.link());
    assert!(region.stored_hits().is_empty());
    let mut elsewhere = mail;
    elsewhere.claims.tenant = TenantId(0x12);
    edge.get(&elsewhere.pixel());
    assert_eq!(region.stored_hits().len(), 1);
}

#[test]
fn where_opens_name_the_message_and_clicks_the_contact_both_end() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let mut mail = Mail::new(Mode::Individual);
    let tracking = Tracking { opens: Mode::Anonymous, clicks: Mode::Individual };
    mail.claims.apart = Some(Apart { tracking, message: Some(Mark::new(7)) });
    assert_eq!(edge.post(&mail.page(), "").status, 200);
    let recorded = region.stored_objections().remove(0);
    assert!(recorded.contact.is_some() && recorded.message.is_some());
    edge.get(&Mail::marked(7).pixel());
    edge.get(&Mail::new(Mode::Individual).link());
    assert!(region.stored_hits().is_empty());
}

#[test]
fn who_may_not_object_changes_nothing() {
    let region = Region::new();
    let edge = region.ready_edge(&["--header-timeout", "500ms"]);
    let mail = Mail::new(Mode::Anonymous);
    let nowhere = edge.get("/p/forged");
    assert_eq!(edge.post("/p/forged", ""), nowhere);
    assert_eq!(edge.post(&format!("/p/{}", &mail.pixel()[3..]), ""), nowhere);
    assert_eq!(edge.post(&Mail { kid: 9, ..mail.clone() }.page(), ""), nowhere);
    assert_eq!(edge.post(&mail.link(), "").status, 405);
    let answer = edge.ask("PUT", &mail.page(), "content-length: 0\r\n");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
    assert!(region.stored().is_empty());

    // Nobody is recorded, so there is nobody to object: the page says so.
    let overall = Mail::new(Mode::Overall).page();
    assert_eq!(edge.post(&overall, ""), edge.get(&overall));
    // Too long, said in advance or not; and one that never ends.
    let long = edge.ask("POST", &mail.page(), "content-length: 1025\r\n");
    assert_eq!((long.status, long.header("connection")), (413, Some("close")));
    let send = |more: &str| {
        let mut stream = edge.connect();
        let head = format!("POST {} HTTP/1.1\r\nhost: t\r\n", mail.page());
        stream.write_all((head + more).as_bytes()).unwrap();
        Answer::read(&mut stream, false).status
    };
    let chunk =
        format!("transfer-encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n", "x".repeat(1025));
    assert_eq!(send(&chunk), 413);
    assert_eq!(send("content-length: 5\r\n\r\nok"), 0, "closed once its time is over");
    assert!(region.stored_objections().is_empty());
    edge.get(&mail.pixel());
    assert_eq!(region.stored_hits().len(), 1);

    // What a browser sends is taken, in one part or in several.
    assert_eq!(send("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), 200);
    let mut stream = edge.connect();
    let form = "content-type: application/x-www-form-urlencoded\r\ncontent-length: 4\r\n\r\nok";
    write!(stream, "POST {} HTTP/1.1\r\nhost: t\r\n{form}", mail.page()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    write!(stream, "=1GET {} HTTP/1.1\r\nhost: t\r\n\r\n", mail.pixel()).unwrap();
    assert_eq!(Answer::read(&mut stream, false).status, 200);
    assert_eq!(Answer::read(&mut stream, false).body, hushmark_edge::reply::GIF);
    assert_eq!(region.stored_objections().len(), 2);
    assert_eq!(region.stored_hits().len(), 1);
}

#[test]
fn an_objection_without_redis_survives_the_edge_that_took_it() {
    let mut region = Region::new();
    let edge = region.ready_edge(&[]);
    let (mail, other) = (Mail::marked(1), Mail::marked(2));
    region.redis.kill();
    assert_eq!(edge.post(&mail.page(), "").status, 200);
    edge.get(&mail.pixel());
    edge.kill();
    // The next one finds it in the lane log, and obeys it before Redis and the refusal log know.
    let edge = region.ready_edge(&[]);
    edge.get(&mail.pixel());
    edge.get(&other.pixel());
    region.redis.again(&[]);
    let hits = || region.stored_hits();
    until("both lanes are in redis", || {
        (hits().len() == 1 && region.stored_objections().len() == 1).then_some(())
    });
    assert!(hits()[0].mark == Some(Mark::new(2)));
    assert_eq!(region.stored().len(), 4);
}

#[test]
fn an_objection_that_nobody_can_keep_is_not_said_to_hold() {
    let mut region = Region::new();
    let edge = region.ready_edge(&["--lane-log-max-bytes", "4096"]);
    region.redis.kill();
    let mail = Mail::marked(1_000);
    until("the log is full", || {
        for n in 0..20 {
            edge.get(&Mail::marked(n).pixel());
        }
        (edge.metric("hushmark_edge_dropped_records_total") > 5.0).then_some(())
    });
    assert_eq!(edge.post(&mail.page(), "").status, 503);
    region.redis.again(&[]);
    until("it holds", || (edge.post(&mail.page(), "").status == 200).then_some(()));
}

#[test]
fn after_its_last_day_a_message_needs_no_objection_and_a_contact_does() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    for mode in [Mode::Anonymous, Mode::Individual] {
        let mut mail = Mail::new(mode);
        let answer = edge.post(&mail.page(), "");
        mail.claims.last_day.0 = today().0 - 1;
        assert_eq!(edge.post(&mail.page(), ""), answer);
    }
    let recorded = region.stored_objections();
    assert_eq!(recorded.iter().filter(|it| it.message.is_some()).count(), 1);
    assert_eq!(recorded.iter().filter(|it| it.contact.is_some()).count(), 2);
}
