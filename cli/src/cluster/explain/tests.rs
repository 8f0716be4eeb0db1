use std::path::Path;
use std::sync::OnceLock;

use hushmark_policy::resolve::Untracked;
use hushmark_policy::{Day, Mode};
use proptest::prelude::*;

use super::super::world::manifests_at;
use super::*;

/// What the quickstart says of a campaign, where its tenant asks for consent from a mode on.
fn explained(campaign: &str, consent_from: Option<Mode>) -> Explained {
    static QUICKSTART: OnceLock<World> = OnceLock::new();
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");
    let mut world =
        QUICKSTART.get_or_init(|| manifests_at(Path::new(quickstart)).unwrap().into()).clone();
    world.tenants.values_mut().for_each(|tenant| tenant.spec.consent_from = consent_from);
    of_campaign(world.campaign_meant(campaign).unwrap(), &world).unwrap()
}

fn on_record(at: &str, source: &str) -> OnRecord {
    OnRecord { at: at.parse().unwrap(), source: source.to_owned() }
}

fn known() -> Recipient {
    let day = Day::parse("2026-11-20");
    Recipient { contact_since: day, sent: day, ..Recipient::default() }
}

#[test]
fn one_who_agreed_and_ended_it_is_told_with_times_and_sources() {
    let recipient = Recipient {
        consent: Some(on_record("2026-05-03T10:00:00Z", "form of May")),
        withdrawal: Some(on_record("2026-11-21T12:34:56Z", "a call\nand a letter")),
        ..known()
    };
    let explained = explained("spring-individual", Some(Mode::Individual)).to(recipient);
    insta::assert_snapshot!(words::say(&explained, Paint::none()));
    insta::assert_json_snapshot!(explained);
}

#[test]
fn who_says_nothing_is_tracked_as_the_campaign_says_unless_they_have_to_be_asked() {
    let modes = |explained: Explained| explained.mail.iter().map(|it| it.mode).collect::<Vec<_>>();
    let said = [Mode::Individual, Mode::Individual];
    assert_eq!(modes(explained("spring-individual", None).to(known())), said);
    let asked = explained("spring-individual", Some(Mode::Anonymous)).to(known());
    assert_eq!(asked.recipient.as_ref().unwrap().untracked, Some(Untracked::NoConsent));
    assert_eq!(modes(asked), [Mode::Off, Mode::Off]);
    let less = explained("spring-anonymous", Some(Mode::Individual)).to(known());
    assert_eq!(modes(less), [Mode::Anonymous, Mode::Anonymous]);
}

#[test]
fn the_day_of_a_last_open_needs_no_consent_and_ends_with_a_persons_word() {
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");
    let mut world: World = manifests_at(Path::new(quickstart)).unwrap().into();
    world.tenants.values_mut().for_each(|it| it.spec.consent_from = Some(Mode::Overall));
    let mut campaign = world.campaign_meant("spring-individual").unwrap().clone();
    let modes = serde_json::json!({"opens": "lastOpenDay", "clicks": "individual"});
    campaign.spec.tracking = Some(serde_json::from_value(modes).unwrap());
    let to = |recipient| of_campaign(&campaign, &world).unwrap().to(recipient);
    let modes = |explained: &Explained| explained.mail.iter().map(|it| it.mode).collect::<Vec<_>>();
    let asked = to(known());
    assert_eq!(modes(&asked), [Mode::LastOpenDay, Mode::Off]);
    assert!(words::say(&asked, Paint::none()).contains("the day of each contact's last open"));
    let withdrew = Some(on_record("2026-11-21T12:34:56Z", "a call"));
    let withdrew = to(Recipient { withdrawal: withdrew, ..known() });
    assert_eq!(modes(&withdrew), [Mode::Off, Mode::Off]);
}

proptest! {
    /// One voice decides a kind of hit at the most, and no person gets more than the campaign.
    #[test]
    fn one_voice_decides_and_nobody_is_told_more_of(
        campaign in prop::sample::select(vec!["spring-off", "spring-overall", "spring-individual"]),
        from in prop::option::of(prop::sample::select(&Mode::ALL[1..4])),
        agreed: bool, withdrew: bool, objected: bool, erased: bool,
    ) {
        let at = || on_record("2026-11-21T12:34:56Z", "a call");
        let recipient = Recipient {
            consent: agreed.then(at),
            withdrawal: withdrew.then(at),
            objection: objected.then(|| at().at),
            erasure: erased.then(|| at().at),
            ..known()
        };
        let anybody = explained(campaign, from);
        let theirs = explained(campaign, from).to(recipient);
        let is_tracked = theirs.recipient.as_ref().unwrap().untracked.is_none();
        for (anybody, theirs) in anybody.mail.iter().zip(&theirs.mail) {
            prop_assert_eq!(theirs.voices.iter().filter(|voice| voice.decides).count(), 1);
            prop_assert_eq!(theirs.mode, if is_tracked { anybody.mode } else { Mode::Off });
        }
    }
}
