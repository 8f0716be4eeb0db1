use std::collections::BTreeMap;

use hushmark_report::Uniques;

use super::*;

fn numbers(raw: u64, human: u64, uniq_raw: u64, uniq_human: u64) -> Numbers {
    Numbers { raw, human, uniq_raw, uniq_human }
}

fn actual() -> Cells {
    let open = |dimension, value: &str, n| ((Kind::Open, dimension, value.to_owned()), n);
    Cells::from([
        open(Dimension::Total, "", numbers(120, 90, 100, 75)),
        open(Dimension::Client, "Gmail", numbers(70, 50, 60, 45)),
        open(Dimension::Client, "Outlook", numbers(45, 35, 36, 26)),
        open(Dimension::Client, "program", numbers(5, 5, 4, 4)),
    ])
}

fn shown(raw: u64, human: u64, uniq_raw: u64, uniq_human: u64) -> Cell {
    Cell {
        raw: Some(raw),
        human: Some(human),
        uniq_raw: Some(uniq_raw),
        uniq_human: Some(uniq_human),
    }
}

fn report(mode: Mode, total: Cell, clients: &[(&str, Cell)]) -> Report {
    let rows = clients.iter().map(|(value, cell)| ((*value).to_owned(), *cell)).collect();
    Report {
        schema: 1,
        campaign: "local/acme/spring".into(),
        epoch: 0,
        epoch_seconds: 10,
        minimum_group: 10,
        kinds: vec![KindReport {
            kind: Kind::Open,
            mode,
            uniques: Uniques::Sketch,
            sent: 200,
            rules: vec![1],
            total,
            tables: BTreeMap::from([(Dimension::Client, rows)]),
        }],
    }
}

fn anonymous(total: Cell, clients: &[(&str, Cell)]) -> Vec<String> {
    faults(&report(Mode::Anonymous, total, clients), &actual())
}

const NOTHING: Cell = Cell { raw: None, human: None, uniq_raw: None, uniq_human: None };

#[test]
fn what_policy_shows_has_no_fault_also_when_it_is_a_little_old() {
    let total = shown(120, 90, 100, 75);
    assert_eq!(anonymous(total, &[("Gmail", shown(70, 50, 60, 45))]), [] as [&str; 0]);
    assert_eq!(anonymous(shown(110, 80, 91, 68), &[]), [] as [&str; 0]);
}

#[test]
fn too_much_too_little_too_old_and_too_few_are_faults() {
    let total = shown(120, 90, 100, 75);
    let gmail = ("Gmail", shown(70, 50, 60, 45));
    for (fault, found) in [
        ("shows more", anonymous(shown(121, 90, 100, 75), &[gmail])),
        ("out of date", anonymous(shown(100, 80, 90, 68), &[gmail])),
        ("may be shown and is not", anonymous(NOTHING, &[gmail])),
        ("too few people", anonymous(total, &[gmail, ("program", shown(5, 5, 4, 4))])),
        ("shows a part alone", anonymous(Cell { raw: None, ..total }, &[gmail])),
        ("never counted", anonymous(total, &[gmail, ("Safari", shown(30, 15, 30, 15))])),
        ("told by subtraction", anonymous(total, &[gmail, ("Outlook", shown(45, 35, 36, 26))])),
    ] {
        assert!(found.iter().any(|said| said.contains(fault)), "{fault}: {found:?}");
    }
}

#[test]
fn what_is_off_shows_nothing() {
    assert!(faults(&report(Mode::Off, NOTHING, &[]), &actual()).is_empty());
    assert_eq!(faults(&report(Mode::Off, shown(1, 1, 1, 1), &[]), &actual()).len(), 1);
}

#[test]
fn individual_is_shown_to_the_hit() {
    let mut report = report(
        Mode::Individual,
        shown(120, 90, 100, 75),
        &[
            ("Outlook", shown(45, 35, 36, 26)),
            ("Gmail", shown(70, 50, 60, 45)),
            ("program", shown(5, 5, 4, 4)),
        ],
    );
    assert_eq!(faults(&report, &actual()), [] as [&str; 0]);
    report.kinds[0].total = shown(119, 90, 100, 75);
    report.kinds[0].tables.clear();
    assert_eq!(faults(&report, &actual()).len(), 2);
}
