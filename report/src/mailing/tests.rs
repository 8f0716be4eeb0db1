use super::*;
use crate::model::{Cell, KindReport, Uniques};
use hushmark_event::cell::Dimension;
use hushmark_policy::{CampaignId, MailType, Tracking};

const TODAY: Day = Day(20_779);

fn known(opens: Mode, clicks: Mode) -> Known {
    let (id, mail_type) = (CampaignId(1), MailType::Campaign);
    Known { id, name: "=spring".into(), mail_type, tracking: Tracking { opens, clicks } }
}

/// Hours of which the third stands for fewer people than ten.
fn report() -> Report {
    let cell = |raw, uniq| Cell { raw: Some(raw), uniq_raw: Some(uniq), ..Cell::default() };
    let hours = vec![
        ("2026-11-22T09".to_owned(), cell(120, 90)),
        ("2026-11-22T10".to_owned(), cell(40, 40)),
        ("2026-11-23T03".to_owned(), cell(60, 9)),
        ("2026-11-23T12".to_owned(), cell(15, 12)),
    ];
    let opens = KindReport {
        kind: Kind::Open,
        mode: Mode::Anonymous,
        uniques: Uniques::Sketch,
        sent: 200,
        rules: vec![1],
        total: cell(235, 130),
        tables: BTreeMap::from([(Dimension::Hour, hours)]),
    };
    Report {
        schema: 1,
        campaign: "local/acme/=spring".into(),
        epoch: 1_795_300_000,
        epoch_seconds: 10,
        minimum_group: 10,
        kinds: vec![opens],
    }
}

fn mailing(known: &Known) -> Mailing {
    let report = report();
    let mut mailing = Mailing {
        schema: 1,
        campaign: report.campaign.clone(),
        published: Some((report.epoch, report.minimum_group)),
        deliveries: BTreeMap::from([
            ((Event::Sent, TODAY, None), 3),
            ((Event::Delivered, TODAY, None), 2),
            ((Event::Failed, TODAY, None), 1),
        ]),
        hits: BTreeMap::new(),
        notes: notes(known, Some(&report)),
    };
    mailing.add_published(known, Some(&report));
    mailing
}

#[test]
fn for_spreadsheets_a_row_a_message_and_apart_hits_by_day() {
    insta::assert_snapshot!(mailing(&known(Mode::Anonymous, Mode::Anonymous)).csv().unwrap());
}

#[test]
fn for_people_and_for_programs() {
    let mailing = mailing(&known(Mode::Anonymous, Mode::Anonymous));
    insta::assert_snapshot!(mailing.text() + &mailing.json());
}

#[test]
fn what_is_off_by_now_has_no_hits() {
    assert!(mailing(&known(Mode::Off, Mode::Anonymous)).hits.is_empty());
}

#[test]
fn people_are_named_where_all_that_is_counted_is_individual() {
    use Mode::{Anonymous, Individual, Off, Overall};
    let told = |opens, clicks| known(opens, clicks).tells_of_people();
    assert!(told(Individual, Individual) && told(Individual, Off));
    assert!(!told(Off, Off) && !told(Individual, Anonymous) && !told(Overall, Individual));
}
