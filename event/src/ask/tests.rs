use hushmark_policy::{CampaignId, MailType, TenantId};

use super::*;
use crate::audit::Name;
use crate::chain::Hash32;
use crate::refusal::Entry;

fn ask(refuses: Refuses, of: Option<&str>) -> Ask {
    let (by, of) = (Name::of("jane"), of.map(str::to_owned));
    Ask { region: "eu".into(), by, of, refuses }
}

fn asked(refuses: Refuses, of: Option<&str>) -> Result<Action, String> {
    let checked = ask(refuses, of).check("eu", &[1, 2]);
    checked.map(|question| question.action).map_err(|error| error.to_string())
}

#[test]
fn a_person_may_ask_for_takedowns_withdrawals_and_erasures_and_for_nothing_else() {
    let id = CampaignId::derive("eu", "acme", "spring");
    let tenant = TenantId::derive("eu", "acme");
    let (one, theirs) = (Some("acme/spring"), Some("acme"));
    let target = Target::Campaign { tenant, id };
    let scope = Scope::Tenant(tenant, MailType::Campaign);
    let nothing = left_after(true, true);
    let erased = Erased::Campaign { tenant: tenant.to_string(), id: id.to_string() };
    let url = Takedown::Url("https://example.org/x".into());
    for (refuses, of, action) in [
        (Refuses::withdrawal(Scope::Campaign(id), nothing), one, Action::Withdraw(target.clone())),
        (
            Refuses::withdrawal(scope, left_after(true, false)),
            theirs,
            Action::Withdraw(Target::Tenant(tenant)),
        ),
        (Refuses::withdrawal(Scope::All, nothing), None, Action::WithdrawAll),
        (Refuses::Takedown(Takedown::Kid(2)), None, Action::Takedown(TakenDown::Kid(2))),
        (Refuses::Takedown(url), None, Action::Takedown(TakenDown::Url)),
        (
            Refuses::Takedown(Takedown::Campaign(id.to_string())),
            one,
            Action::Takedown(TakenDown::Campaign { tenant, id }),
        ),
        (Refuses::Erase(erased.clone()), one, Action::Erase(target)),
        (
            Refuses::Erase(Erased::Tenant(tenant.to_string())),
            theirs,
            Action::Erase(Target::Tenant(tenant)),
        ),
    ] {
        assert_eq!(asked(refuses, of), Ok(action));
    }
    for of in [None, Some("acme"), Some("acme/winter"), Some("other/spring")] {
        let another = asked(Refuses::Erase(erased.clone()), of).unwrap_err();
        assert!(another.contains("say in `of` whose it is"), "{another}");
    }
    let a_while = Refuses::Cap {
        scope: Scope::Campaign(id).into(),
        up_to: 3,
        opens: Mode::Off,
        clicks: Mode::Off,
        place: Place::None,
    };
    assert!(asked(a_while, one).unwrap_err().contains("only the end of a tracking"));
    let unknown = asked(Refuses::Takedown(Takedown::Kid(3)), None).unwrap_err();
    assert_eq!(unknown, "the Region eu has no key 3; it has 1, 2");
    let nobody = Refuses::Takedown(Takedown::Tenant("XYZ".into()));
    assert!(asked(nobody, None).unwrap_err().contains("no id"));
    let person = Refuses::Contact { tenant: tenant.to_string(), id: "0".repeat(16) };
    assert!(asked(person, theirs).unwrap_err().contains("a cluster has none yet"));
    for url in ["", "example.org", "https://", "https:///x", "javascript:alert(1)"] {
        assert!(asked(Refuses::Takedown(Takedown::Url(url.into())), None).is_err(), "{url}");
    }
}

#[test]
fn servers_speak_for_recipients_alone() {
    let says = |by, action| serde_json::to_vec(&Question { by, action }).unwrap();
    let target = || Target::Tenant(TenantId(7));
    let theirs = says(Principal::Recipient, Action::Object(target()));
    assert!(objected(&theirs).is_some());
    let jane = || Principal::Kubernetes(Name::of("jane"));
    assert!(objected(&says(jane(), Action::Object(target()))).is_none());
    assert!(objected(&says(Principal::Recipient, Action::Erase(target()))).is_none());
    assert!(objected(b"please").is_none());
}

#[test]
fn a_request_that_cannot_be_or_asks_for_too_much_is_none() {
    let journal = Journal::default();
    let says_to = |refuses: &Refuses, askers| {
        let text = serde_json::to_vec(refuses).unwrap();
        requested(&journal, &text, askers).as_ref() == Some(refuses)
    };
    let says = |refuses: &Refuses| says_to(refuses, Askers::Servers);
    let owner = |refuses: &Refuses| says_to(refuses, Askers::Owner);
    let id = || "0000000000000007".to_owned();
    let message = Refuses::Message { campaign: id(), until: "2026-11-21".into(), id: id() };
    for objection in [Refuses::Contact { tenant: id(), id: id() }, message] {
        assert!(says(&objection) && owner(&objection));
    }
    let nothing = left_after(true, true);
    for more in [
        Refuses::withdrawal(Scope::Campaign(CampaignId(7)), nothing),
        Refuses::withdrawal(Scope::All, nothing),
        Refuses::Takedown(Takedown::Kid(2)),
        Refuses::Takedown(Takedown::Tenant(id())),
        Refuses::Erase(Erased::Tenant(id())),
    ] {
        assert!(owner(&more) && !says(&more), "{more:?}");
    }
    assert!(!owner(&Refuses::Takedown(Takedown::Tenant("XYZ".into()))));
    assert!(requested(&journal, b"please", Askers::Owner).is_none());
}

#[test]
fn a_question_that_names_somebody_else_than_the_refusal_is_found() {
    let (seven, eight) = (TenantId(7), TenantId(8));
    let id = |n: u64| format!("{n:016x}");
    let target = |tenant, campaign| Target::Campaign { tenant, id: CampaignId(campaign) };
    let person = |tenant| Target::Person { tenant, tombstone: Hash32([1; 32]) };
    let erased = |erased| Refuses::Erase(erased);
    let (lookup, contacts) = (Hash32([2; 32]), vec![id(1)]);
    let of_person = Erased::Person { tenant: id(7), lookup, contacts };
    let of_campaign = Erased::Campaign { tenant: id(7), id: id(3) };
    let message = Refuses::Message { campaign: id(3), until: "2026-11-21".into(), id: id(5) };
    let nothing = left_after(true, true);
    let fits = [
        (erased(of_person), Action::Erase(person(seven))),
        (erased(of_campaign), Action::Erase(target(seven, 3))),
        (erased(Erased::Tenant(id(7))), Action::Erase(Target::Tenant(seven))),
        (Refuses::Contact { tenant: id(7), id: id(1) }, Action::Withdraw(person(seven))),
        (Refuses::Contact { tenant: id(8), id: id(1) }, Action::Object(Target::Tenant(eight))),
        (message, Action::Object(target(eight, 3))),
        (Refuses::withdrawal(Scope::All, nothing), Action::WithdrawAll),
        (
            Refuses::withdrawal(Scope::Tenant(seven, MailType::Campaign), nothing),
            Action::Withdraw(Target::Tenant(seven)),
        ),
        (
            Refuses::withdrawal(Scope::Campaign(CampaignId(4)), nothing),
            Action::Withdraw(target(seven, 4)),
        ),
        (Refuses::Takedown(Takedown::Tenant(id(7))), Action::Takedown(TakenDown::Tenant(seven))),
        (
            Refuses::Takedown(Takedown::Campaign(id(3))),
            Action::Takedown(TakenDown::Campaign { tenant: seven, id: CampaignId(3) }),
        ),
        (
            Refuses::Takedown(Takedown::Url("https://example.org/".into())),
            Action::Takedown(TakenDown::Url),
        ),
        (Refuses::Takedown(Takedown::Kid(2)), Action::Takedown(TakenDown::Kid(2))),
    ];
    // An objection to all mail of a tenant may stand for any contact of it, as a withdrawal may.
    let is_about = |refuses: &Refuses, action: &Action| {
        let by = Principal::Local(Name::of("uid 1"));
        Question { by, action: action.clone() }.is_about(refuses)
    };
    for (n, (refuses, _)) in fits.iter().enumerate() {
        for (m, (_, action)) in fits.iter().enumerate() {
            assert_eq!(is_about(refuses, action), n == m, "{refuses:?} and {action:?}");
        }
    }
    for (refuses, action) in [
        (erased(Erased::Tenant(id(7))), Action::Erase(Target::Tenant(eight))),
        (erased(Erased::Campaign { tenant: id(7), id: id(3) }), Action::Erase(target(seven, 4))),
        (erased(Erased::Campaign { tenant: id(7), id: id(3) }), Action::Erase(target(eight, 3))),
        (Refuses::Contact { tenant: id(7), id: id(1) }, Action::Withdraw(person(eight))),
        (Refuses::Takedown(Takedown::Kid(2)), Action::Takedown(TakenDown::Kid(3))),
        (Refuses::Takedown(Takedown::Kid(2)), Action::RotateKeys),
    ] {
        assert!(!is_about(&refuses, &action), "{refuses:?} and {action:?}");
    }
}

#[test]
fn what_is_askable_can_be_appended_however_long_the_log_is() {
    let journal = Journal::default();
    let down = |length| {
        let url = format!("https://example.org/{}", "x".repeat(length));
        Refuses::Takedown(Takedown::Url(url))
    };
    let is_askable = |refuses: &Refuses| {
        let text = serde_json::to_vec(refuses).unwrap();
        requested(&journal, &text, Askers::Owner).is_some()
    };
    let longest = (8_000..8_192).rev().map(down).find(is_askable).unwrap();
    let at_ms = 1_795_000_000_000;
    let entry = Entry { n: 9_999_999, at_ms, refuses: longest }.to_bytes();
    assert!(entry.len() <= crate::refusal::ENTRY_MAX, "{}", entry.len());
}

#[test]
fn another_regions_log_is_never_written() {
    let ask = Ask { region: "ca".into(), ..ask(Refuses::Takedown(Takedown::Kid(1)), None) };
    let refused = ask.check("eu", &[1]).unwrap_err().to_string();
    assert!(refused.contains("runs the Region eu, and not ca"), "{refused}");
}

#[test]
fn the_bytes_on_the_wire() {
    let scope = Scope::Campaign(CampaignId(7));
    let refuses = Refuses::withdrawal(scope, left_after(true, false));
    let ask = ask(refuses, Some("acme/spring"));
    let text = serde_json::to_string(&ask).unwrap();
    insta::assert_snapshot!(text, @r#"{"region":"eu","by":"jane","of":"acme/spring","refuses":{"cap":{"scope":{"campaign":{"id":"0000000000000007"}},"up_to":4294967295,"opens":"off","clicks":"individual","place":"city"}}}"#);
    assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask);
    let more = text.replace("\"region\"", "\"please\":1,\"region\"");
    assert!(serde_json::from_str::<Ask>(&more).is_err(), "what is not known is not guessed");
}
