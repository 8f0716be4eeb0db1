use super::*;
use hushmark_policy::Tracking;

fn known(id: u64, name: &str, mode: Mode) -> (CampaignId, Known) {
    let (id, mail_type) = (CampaignId(id), MailType::Campaign);
    let tracking = Tracking { opens: mode, clicks: mode };
    (id, Known { id, name: name.to_owned(), mail_type, tracking })
}

const TODAY: u16 = 20_779;

fn page(withdrawn: Option<Day>) -> Page {
    let known = HashMap::from([
        known(1, "spring-individual", Mode::Individual),
        known(2, "spring-anonymous", Mode::Anonymous),
    ]);
    let event = |campaign, event, day| EventRow { campaign, event, day };
    let events = [event(1, 0, TODAY), event(1, 1, TODAY + 1), event(2, 0, TODAY)];
    // A row of the second: of a time when it told of people, or of nobody's making.
    let hits = |campaign| HitsRow { campaign, kind: 0, raw: 3, human: 2, first: 1_795_300_000 };
    let mail = mail(&known, &events, &[hits(1), hits(2)], withdrawn.is_some()).unwrap();
    let person = Some(Person::new("=ann@example.org".into()));
    let (tenant, since, last_open) = ("local/acme".into(), Day(TODAY), None);
    Page { schema: 1, tenant, person, since, withdrawn, last_open, mail }
}

#[test]
fn for_people() {
    insta::assert_snapshot!(page(None).text());
}

#[test]
fn for_programs() {
    insta::assert_snapshot!(page(None).json());
}

#[test]
fn for_spreadsheets_and_inert_there() {
    insta::assert_snapshot!(page(None).csv().unwrap());
}

#[test]
fn whoever_ended_their_tracking_has_no_hits_any_more() {
    let page = page(Some(Day(TODAY)));
    assert!(page.mail.iter().all(|mail| mail.opens.raw == 0 && mail.opens.first.is_none()));
    assert!(page.text().contains("ended their tracking on 2026-11-22"));
}

#[test]
fn of_a_list_that_went_nothing_is_said_but_hits_that_a_policy_keeps() {
    let known = HashMap::from([known(1, "spring", Mode::Individual)]);
    let hits = [HitsRow { campaign: 1, kind: 0, raw: 3, human: 2, first: 1_795_300_000 }];
    let mail = mail(&known, &[], &hits, false).unwrap();
    let text = Page { mail, ..page(None) }.text();
    let said = text.split_once("spring (campaign)\n").unwrap().1;
    let forgotten =
        "  its recipient list went when the campaign was completed\n  opens     3, 2 human; ";
    assert!(said.starts_with(forgotten) && !said.contains("nobody has said so"), "{said}");
}
