use super::*;
use crate::demo::agents::{self, Agent};

const NOON: u64 = 1_795_262_400_000;

fn hit(reader: usize, link: u16, agent: &Agent, at_ms: u64) -> Hit {
    Hit {
        kind: if link == 0 { Kind::Open } else { Kind::Click },
        reader,
        link,
        honeypot: link == 9,
        judged: agent.judged,
        untold: false,
        at_ms: NOON + at_ms,
    }
}

fn both(mode: Mode) -> Tracking {
    Tracking { opens: mode, clicks: mode }
}

fn numbers(raw: u64, human: u64, uniq_raw: u64, uniq_human: u64) -> Numbers {
    Numbers { raw, human, uniq_raw, uniq_human }
}

fn of(cells: &Cells, kind: Kind, dimension: Dimension, value: &str) -> Numbers {
    cells.get(&(kind, dimension, value.to_owned())).copied().unwrap_or_default()
}

#[test]
fn one_open_is_one_in_every_dimension_and_in_no_other() {
    let cells = cells(both(Mode::Anonymous), &[hit(0, 0, &agents::OUTLOOK, 0)], "7");
    let places: Vec<(&str, &str)> =
        cells.keys().map(|(_, dimension, value)| (dimension.name(), value.as_str())).collect();
    assert_eq!(
        places,
        [
            ("total", ""),
            ("mode", "anonymous"),
            ("rules", "7"),
            ("verdict", "human"),
            ("device", "desktop"),
            ("client", "Outlook"),
            ("system", "Windows"),
            ("hour", "2026-11-21T12"),
        ]
    );
    for ((_, dimension, _), cell) in &cells {
        let uniq = u64::from(!matches!(dimension, Dimension::Mode | Dimension::Rules));
        assert_eq!(*cell, numbers(1, 1, uniq, uniq), "{}", dimension.name());
    }
}

#[test]
fn a_second_open_of_a_message_is_a_hit_and_no_second_reader() {
    let hits = [
        hit(3, 0, &agents::GMAIL_PROXY, 0),
        hit(3, 0, &agents::THUNDERBIRD, 500),
        hit(4, 0, &agents::APPLE_PROXY, 0),
    ];
    let cells = cells(both(Mode::Individual), &hits, "1");
    assert_eq!(of(&cells, Kind::Open, Dimension::Total, ""), numbers(3, 2, 2, 1));
    assert_eq!(of(&cells, Kind::Open, Dimension::Client, "Gmail"), numbers(1, 1, 1, 1));
}

#[test]
fn the_hidden_link_makes_a_scanner_of_its_messages_clicks_around_it_and_of_no_open() {
    let hits = [
        hit(0, 1, &agents::CHROME, 0),
        hit(0, 9, &agents::CHROME, 9_000),
        hit(0, 1, &agents::CHROME, 19_001),
        hit(0, 0, &agents::OUTLOOK, 9_000),
        hit(1, 1, &agents::CHROME, 9_000),
    ];
    let cells = cells(both(Mode::Anonymous), &hits, "1");
    let verdict = |value| of(&cells, Kind::Click, Dimension::Verdict, value);
    assert_eq!(verdict("scanner"), numbers(2, 0, 1, 0));
    assert_eq!(verdict("human"), numbers(2, 2, 2, 2));
    assert_eq!(of(&cells, Kind::Open, Dimension::Verdict, "human"), numbers(1, 1, 1, 1));
}

#[test]
fn three_links_in_two_seconds_are_a_scanners_and_two_are_a_readers() {
    let fast = [1, 2, 3].map(|link| hit(0, link, &agents::EDGE, u64::from(link) * 500));
    let slow = [1, 2, 3].map(|link| hit(1, link, &agents::EDGE, u64::from(link) * 1_500));
    let hits: Vec<Hit> = fast.into_iter().chain(slow).collect();
    let cells = cells(both(Mode::Anonymous), &hits, "1");
    assert_eq!(of(&cells, Kind::Click, Dimension::Total, ""), numbers(6, 3, 2, 1));
}

#[test]
fn overall_knows_no_readers_and_so_no_behaviour() {
    let hits = [hit(0, 9, &agents::CHROME, 0), hit(0, 1, &agents::CHROME, 0)];
    let cells = cells(both(Mode::Overall), &hits, "1");
    assert_eq!(of(&cells, Kind::Click, Dimension::Total, ""), numbers(2, 2, 0, 0));
}

#[test]
fn what_is_off_is_nowhere() {
    let tracking = Tracking { opens: Mode::Off, clicks: Mode::Anonymous };
    let hits = [hit(0, 0, &agents::OUTLOOK, 0), hit(0, 1, &agents::EDGE, 0)];
    assert!(cells(tracking, &hits, "1").keys().all(|(kind, ..)| *kind == Kind::Click));
}

#[test]
fn a_step_is_counted_as_the_rules_say() {
    let counted = |what, how, raw_count| {
        let step = Step { at_ms: 0, what, agent: &agents::CHROME, how };
        counted(&step, raw_count).map(|counted| (counted.judged.verdict.name(), counted.untold))
    };
    for (what, how, raw_count, expected) in [
        (What::Pixel, How::Get, false, Some(("human", false))),
        (What::Pixel, How::Head, false, None),
        (What::Link(0), How::Head, false, None),
        (What::Pixel, How::Prefetch, true, None),
        (What::Link(0), How::Prefetch, false, Some(("prefetch", false))),
        (What::Pixel, How::Objecting, false, None),
        (What::Pixel, How::Objecting, true, Some(("human", true))),
        (What::Link(0), How::Objecting, false, Some(("human", false))),
    ] {
        assert_eq!(counted(what, how, raw_count), expected, "{what:?} {how:?}");
    }
}
