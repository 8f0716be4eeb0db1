use super::*;
use crate::model::{Cell, KindReport, Uniques};
use hushmark_event::cell::Dimension;
use hushmark_policy::{CampaignId, Tracking};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn known(mode: Mode) -> Known {
    let (id, mail_type) = (CampaignId(1), MailType::Transactional);
    let tracking = Tracking { opens: mode, clicks: mode };
    Known { id, name: "=receipt".into(), mail_type, tracking }
}

type Cells = Vec<(String, Cell)>;

fn kind(kind: Kind, total: Cell, hours: Cells, verdicts: Cells) -> KindReport {
    let tables = BTreeMap::from([(Dimension::Hour, hours), (Dimension::Verdict, verdicts)]);
    let (mode, uniques) = (Mode::Anonymous, Uniques::Sketch);
    KindReport { kind, mode, uniques, sent: 200, rules: vec![1], total, tables }
}

fn report(kinds: Vec<KindReport>) -> Report {
    let campaign = "local/acme/=receipt".into();
    let (epoch, epoch_seconds, minimum_group) = (1_795_300_000, 10, 10);
    Report { schema: 1, campaign, epoch, epoch_seconds, minimum_group, kinds }
}

fn cell(raw: u64, uniq: u64) -> Cell {
    Cell { raw: Some(raw), uniq_raw: Some(uniq), ..Cell::default() }
}

fn receipts() -> Report {
    let hours = vec![("2026-11-21T09".into(), cell(4, 2)), ("2026-11-22T09".into(), cell(12, 11))];
    let verdicts = vec![("apple_proxy".into(), cell(10, 10)), ("human".into(), cell(11, 11))];
    let opens = kind(Kind::Open, cell(21, 20), hours, verdicts);
    let clicks = vec![("2026-11-22T10".into(), cell(2, 2))];
    report(vec![opens, kind(Kind::Click, cell(2, 2), clicks, Vec::new())])
}

fn log() -> Log {
    let buckets = released(&known(Mode::Anonymous), &receipts());
    let row = |event, link| Exact {
        template: "reset".into(),
        event,
        at: 1_795_300_000,
        person: Some(Person::new("ann@example.org".into())),
        link,
    };
    let rows = vec![row(Event::Opened, 0), row(Event::FirstOpening, 0), row(Event::Clicked, 2)];
    let published = Some((1_795_300_000, 10));
    Log { schema: 1, tenant: "local/acme".into(), published, buckets, rows, notes: notes(10) }
}

fn csv(below: &mut dyn FnMut(usize) -> usize) -> String {
    let mut out = Vec::new();
    log().csv(&mut out, below).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn for_people_and_for_programs() {
    insta::assert_snapshot!(log().text() + &log().json());
}

#[test]
fn for_spreadsheets_a_row_an_event() {
    // The middle of what is left, which is no order that anything came in.
    insta::assert_snapshot!(csv(&mut |n| n / 2));
}

#[test]
fn the_order_of_rows_is_the_random_numbers_and_nothing_else() {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (one, other) = (csv(&mut |_| 0), csv(&mut |n| n - 1));
    assert_ne!(one, other);
    assert_eq!(sorted(&one), sorted(&other));
}

#[test]
fn what_is_off_or_individual_is_not_told_from_what_was_published() {
    for mode in [Mode::Off, Mode::Individual] {
        assert_eq!(released(&known(mode), &receipts()), []);
    }
}

#[test]
fn what_was_published_without_a_guard_waits_for_an_epoch_that_has_one() {
    let mut report = receipts();
    report.kinds.iter_mut().for_each(|kind| kind.mode = Mode::Individual);
    assert_eq!(released(&known(Mode::Anonymous), &report), []);
}

proptest! {
    /// Whatever stands in the tables, even what no epoch would publish: a day is made of hours alone
    /// that stand for ten people each, what is told without a day stands for ten that are in none of
    /// them, and nothing joins a day with a verdict or with being the first.
    #[test]
    fn no_bucket_is_told_of_fewer_people_than_the_minimum_group(
        hours in prop::collection::vec((0..3u8, 0..24u8, 0..40u64, prop::option::of(0..40u64)), 0..40),
        total in (0..40u64, prop::option::of(0..40u64)),
        proxy in (prop::option::of(0..40u64), prop::option::of(0..40u64)),
    ) {
        let cell = |raw: Option<u64>, uniq: Option<u64>| Cell { raw, uniq_raw: uniq, ..Cell::default() };
        let people = |cell: &Cell| cell.uniq_raw.or(cell.raw).filter(|_| cell.raw.is_some()).unwrap_or(0);
        let hours: BTreeMap<String, Cell> = hours.into_iter()
            .map(|(day, hour, raw, uniq)| (format!("2026-11-{:02}T{hour:02}", 20 + day), cell(Some(raw), uniq)))
            .collect();
        let total = cell(Some(total.0), total.1);
        let verdicts = vec![("apple_proxy".to_owned(), cell(proxy.0, proxy.1))];
        let all = kind(Kind::Open, total, hours.clone().into_iter().collect(), verdicts.clone());
        for bucket in released(&known(Mode::Anonymous), &report(vec![all])) {
            let told: Vec<(&String, &Cell)> = hours.iter().filter(|(_, it)| people(it) >= 10).collect();
            let count = match (bucket.event, bucket.day) {
                (Event::Opened, Some(day)) => {
                    let of_day = told.iter().filter(|(hour, _)| hour.starts_with(&day.to_string()));
                    of_day.map(|(_, it)| it.raw.unwrap()).sum()
                }
                (Event::Opened, None) => {
                    let others: u64 = told.iter().map(|(_, it)| people(it)).sum();
                    prop_assert!(people(&total) >= others + 10, "of fewer than ten in no hour");
                    total.raw.unwrap().saturating_sub(told.iter().map(|(_, it)| it.raw.unwrap()).sum())
                }
                (Event::FirstOpening, None) if people(&total) >= 10 => total.uniq_raw.unwrap(),
                (Event::LoadedByProxy, None) if people(&verdicts[0].1) >= 10 => verdicts[0].1.raw.unwrap(),
                other => panic!("{other:?} may not be told"),
            };
            prop_assert!(bucket.count == count);
        }
    }
}
