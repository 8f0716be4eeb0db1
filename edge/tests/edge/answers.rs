//! What clients get, and what is stored of it.

use std::io::Write as _;

use hushmark_event::{Client, Device, Record, System, Verdict};
use hushmark_policy::{Kind, Mode};

use crate::fixture::{Answer, DESTINATION, Mail, Region, today, until};

const THUNDERBIRD: &str = "user-agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) \
                           Gecko/20100101 Thunderbird/128.5.0\r\n";

#[test]
fn a_pixel_is_a_gif_that_nobody_keeps_and_a_hit_in_redis() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let mail = Mail::new(Mode::Individual);
    let answer = edge.ask("GET", &mail.pixel(), THUNDERBIRD);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/gif"));
    assert!(answer.header("cache-control").unwrap().contains("no-store"));
    assert_eq!(answer.header("etag").or(answer.header("last-modified")), None);
    assert_eq!(answer.body, hushmark_edge::reply::GIF);

    let hits = region.stored_hits();
    assert_eq!(hits.len(), 1);
    let hit = &hits[0];
    assert_eq!((hit.kind, hit.link, hit.context.mode), (Kind::Open, 0, Mode::Individual));
    assert!(hit.mark == mail.claims.mark);
    assert_eq!(hit.verdict, Verdict::Human);
    assert_eq!((hit.device, hit.client), (Device::Desktop, Client::Thunderbird));
    assert_eq!(hit.system, System::Windows);
}

#[test]
fn a_link_leads_to_its_destination_to_the_byte() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let answer = edge.get(&Mail::new(Mode::Overall).link());
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some(DESTINATION));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let hits = region.stored_hits();
    assert_eq!((hits[0].kind, hits[0].link), (Kind::Click, 1));
}

#[test]
fn whoever_sends_a_bad_token_learns_nothing() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let (pixel, link, page) = (
        Mail::new(Mode::Overall).pixel(),
        Mail::new(Mode::Overall).link(),
        Mail::new(Mode::Overall).page(),
    );
    let good = edge.get(&pixel);
    let flipped = |path: &str| {
        let mut bytes = path.as_bytes().to_vec();
        let at = bytes.len() - 5;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let other_key = Mail { kid: 9, ..Mail::new(Mode::Overall) };
    for bad in [
        flipped(&pixel),
        pixel[..20].to_owned(),
        "/o/".to_owned(),
        format!("/o/{}", &link[3..]),
        other_key.pixel(),
        format!("/o/{}", "A".repeat(3_000)),
    ] {
        assert_eq!(edge.get(&bad), good, "{bad}");
    }
    let nowhere = edge.get("/favicon.ico");
    assert_eq!(nowhere.status, 404);
    for bad in [
        flipped(&link),
        flipped(&page),
        "/c/".to_owned(),
        format!("/c/{}", &pixel[3..]),
        other_key.link(),
        other_key.page(),
        "/".to_owned(),
        "/p".to_owned(),
    ] {
        assert_eq!(edge.get(&bad), nowhere, "{bad}");
    }
    assert_eq!(region.stored().len(), 1, "refused tokens leave nothing");
    let refused = |why| edge.metric(&format!("hushmark_edge_refused_total{{reason=\"{why}\"}}"));
    assert_eq!(refused("unknown_key"), 3.0);
    assert_eq!(refused("too_long"), 1.0);
}

#[test]
fn head_conditional_and_range_requests_get_sensible_answers() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let pixel = Mail::new(Mode::Anonymous).pixel();
    let full = edge.get(&pixel);
    let head = edge.ask("HEAD", &pixel, "");
    assert_eq!((head.status, &head.headers), (200, &full.headers));
    for condition in [
        "if-none-match: *\r\n",
        "if-modified-since: Sat, 21 Nov 2026 00:00:00 GMT\r\n",
        "range: bytes=0-9\r\n",
    ] {
        assert_eq!(edge.ask("GET", &pixel, condition), full, "{condition}");
    }
    let link = Mail::new(Mode::Anonymous).link();
    assert_eq!(edge.ask("HEAD", &link, "").header("location"), Some(DESTINATION));
    let (hits, all) = (region.stored_hits().len(), region.stored().len());
    assert_eq!((hits, all), (4, 6), "a HEAD is a void");
}

#[test]
fn what_policy_forbids_is_a_void_and_answered_alike() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let mail = Mail::new(Mode::Anonymous);
    let good = edge.get(&mail.pixel());
    let mut old = mail.clone();
    old.claims.last_day.0 = today().0 - 1;
    for (path, headers) in [
        (mail.pixel(), "sec-gpc: 1\r\n"),
        (mail.pixel(), "dnt: 1\r\n"),
        (mail.pixel(), "purpose: prefetch\r\n"),
        (Mail::new(Mode::Off).pixel(), ""),
        (old.pixel(), ""),
    ] {
        assert_eq!(edge.ask("GET", &path, headers), good, "{headers}");
    }
    assert_eq!(edge.get(&old.link()).header("location"), Some(DESTINATION));
    assert_eq!(edge.get(&mail.page()).status, 200);
    let records = region.stored();
    assert_eq!(records.len(), 8);
    assert_eq!(records.iter().filter(|record| matches!(record, Record::Void)).count(), 7);
}

#[test]
fn a_click_counts_whatever_the_browser_wishes_for_its_opens() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let link = Mail::new(Mode::Anonymous).link();
    edge.ask("GET", &link, "sec-gpc: 1\r\n");
    edge.ask("GET", &link, "sec-purpose: prefetch\r\n");
    let hits = region.stored_hits();
    assert_eq!(hits.len(), 2);
    assert_eq!(hits[1].verdict, Verdict::Prefetch);
}

#[test]
fn a_region_may_count_objecting_opens_without_a_trace() {
    let region = Region::new();
    let edge = region.ready_edge(&["--privacy-signals", "count-raw"]);
    let headers = format!("sec-gpc: 1\r\n{THUNDERBIRD}");
    edge.ask("GET", &Mail::new(Mode::Individual).pixel(), &headers);
    let hit = region.stored_hits().remove(0);
    assert_eq!(hit.context.mode, Mode::Overall);
    assert!(hit.mark.is_none() && hit.country.is_none());
    assert_eq!((hit.device, hit.client), (Device::Unknown, Client::Unknown));
}

#[test]
fn of_an_open_whose_day_alone_is_kept_nothing_else_leaves_the_edge() {
    let region = Region::new();
    let edge = region.ready_edge(&["--privacy-signals", "count-raw"]);
    let mail = Mail::new(Mode::LastOpenDay);
    let answer = edge.ask("GET", &mail.pixel(), THUNDERBIRD);
    let objecting = format!("sec-gpc: 1\r\n{THUNDERBIRD}");
    assert_eq!(edge.ask("GET", &mail.pixel(), &objecting), answer);
    let records = region.stored();
    assert!(matches!(records[1], Record::Void), "nobody's count stands for a person's day");
    let Record::Hit(hit) = &records[0] else { panic!("no hit") };
    assert_eq!((hit.context.mode, hit.verdict), (Mode::LastOpenDay, Verdict::Human));
    assert!(hit.mark == mail.claims.mark && hit.country.is_none());
    assert_eq!((hit.device, hit.client), (Device::Unknown, Client::Unknown));
    assert_eq!(hit.system, System::Unknown);
}

#[test]
fn every_core_has_its_lane_and_every_hit_its_record() {
    let region = Region::new();
    let edge = region.ready_edge(&["--threads", "3"]);
    let load: Vec<_> = (0..8)
        .map(|client| {
            let addr = edge.addr;
            std::thread::spawn(move || {
                let mut stream = std::net::TcpStream::connect(addr).unwrap();
                for n in 0..50 {
                    let path = Mail::marked(client * 50 + n).pixel();
                    write!(stream, "GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
                    assert_eq!(Answer::read(&mut stream, false).status, 200);
                }
            })
        })
        .collect();
    load.into_iter().for_each(|client| client.join().unwrap());
    let mut marks: Vec<u64> =
        region.stored_hits().iter().map(|hit| hit.mark.as_ref().unwrap().expose()).collect();
    marks.sort_unstable();
    assert_eq!(marks, (0..400).collect::<Vec<_>>());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let (pixel, link) = (Mail::new(Mode::Overall).pixel(), Mail::new(Mode::Overall).link());
    let mut stream = edge.connect();
    let mut all = String::new();
    for n in 0..60 {
        let path = if n % 2 == 0 { &pixel } else { &link };
        all += &format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    // Half a request at the end: the others are answered all the same.
    stream.write_all((all + "GET /o/").as_bytes()).unwrap();
    for n in 0..60 {
        let expected = if n % 2 == 0 { 200 } else { 302 };
        assert_eq!(Answer::read(&mut stream, false).status, expected, "answer {n}");
    }
    // The connection is parked with the half request, and goes on with the other half.
    std::thread::sleep(std::time::Duration::from_millis(1_700));
    write!(stream, "{} HTTP/1.1\r\nhost: t\r\n\r\n", &pixel[3..]).unwrap();
    assert_eq!(Answer::read(&mut stream, false).body, hushmark_edge::reply::GIF);
    assert_eq!(region.stored_hits().len(), 61);
}

#[test]
fn a_connection_that_was_idle_goes_on() {
    let region = Region::new();
    let edge = region.ready_edge(&[]);
    let pixel = Mail::new(Mode::Overall).pixel();
    let mut stream = edge.connect();
    for _ in 0..3 {
        write!(stream, "GET {pixel} HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        assert_eq!(Answer::read(&mut stream, false).status, 200);
        std::thread::sleep(std::time::Duration::from_millis(1_600));
    }
    until("three hits are stored", || (region.stored_hits().len() == 3).then_some(()));
}
