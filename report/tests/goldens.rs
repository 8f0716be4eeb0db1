//! A report in all its forms, to the byte.

use std::collections::BTreeMap;

use hushmark_event::cell::Dimension;
use hushmark_policy::{Kind, Mode};
use hushmark_report::{Cell, KindReport, Report, Uniques, export, text};

fn cell(raw: u64, human: Option<u64>, uniq: Option<(u64, u64)>) -> Cell {
    Cell {
        raw: Some(raw),
        human,
        uniq_raw: uniq.map(|u| u.0),
        uniq_human: uniq.filter(|_| human.is_some()).map(|u| u.1),
    }
}

fn report() -> Report {
    let opens = KindReport {
        kind: Kind::Open,
        mode: Mode::Anonymous,
        uniques: Uniques::Sketch,
        sent: 200,
        rules: vec![1],
        total: cell(180, Some(120), Some((130, 90))),
        tables: BTreeMap::from([
            (
                Dimension::Client,
                vec![
                    ("Apple Mail".into(), cell(90, Some(40), Some((70, 35)))),
                    ("=cmd()".into(), cell(60, None, Some((50, 0)))),
                ],
            ),
            (
                Dimension::Hour,
                (6..18)
                    .map(|h| (format!("2026-11-21T{h:02}"), cell(h * h, None, Some((h, 0)))))
                    .collect(),
            ),
        ]),
    };
    let clicks = KindReport {
        kind: Kind::Click,
        mode: Mode::Overall,
        uniques: Uniques::None,
        sent: 200,
        rules: vec![1, 2],
        total: Cell::default(),
        tables: BTreeMap::new(),
    };
    Report {
        schema: 1,
        campaign: "local/acme/spring".into(),
        epoch: 1_795_300_000,
        epoch_seconds: 10,
        minimum_group: 10,
        kinds: vec![opens, clicks],
    }
}

#[test]
fn for_people() {
    insta::assert_snapshot!(text::render(&report()));
}

#[test]
fn for_programs() {
    insta::assert_snapshot!(export::json(&report()));
}

#[test]
fn for_spreadsheets_and_inert_there() {
    let csv = export::csv(&report()).expect("it writes to memory");
    assert!(csv.contains(",'=cmd(),"));
    insta::assert_snapshot!(csv);
}

#[test]
fn what_is_off_says_so_and_nothing_else() {
    let mut off = report();
    off.kinds.truncate(1);
    off.kinds[0].mode = Mode::Off;
    assert!(text::render(&off).ends_with("OPENS  off: nothing is recorded\n"));
}
