//! Real user agents and what they are judged to be; and what a request's other signs change.

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

/// The rules of this version, as a digest of their data and of every golden judgement. Change the
/// rules: look through the golden, raise [`RULES_VERSION`], and put the new digest here.
const PINNED: (u16, &str) = (1, "ce030a1f0f3ef141309fb665d2fb04efeb8341c71193dfca2f7d5a67d4e2dc4c");

static RULES: LazyLock<Classifier> = LazyLock::new(|| Classifier::new(None));

fn signals(kind: Kind, user_agent: &str) -> RequestSignals<'_> {
    RequestSignals { kind, user_agent: user_agent.as_bytes(), prefetch: false, client: None }
}

fn opened_by(user_agent: &str) -> Judgement {
    RULES.judge(&signals(Kind::Open, user_agent))
}

fn clicked_by(user_agent: &str) -> Judgement {
    RULES.judge(&signals(Kind::Click, user_agent))
}

fn line(judged: Judgement) -> String {
    let Judgement { verdict, device, client, system } = judged;
    format!("{}, {}, {}, {}", verdict.name(), client.name(), system.name(), device.name())
}

/// Every line of the table with what an open and, where it differs, a click is judged to be.
fn golden() -> String {
    let mut text = String::new();
    for ua in include_str!("../../tests/data/user_agents.txt").lines() {
        if ua.is_empty() || ua.starts_with(['#', '=']) {
            writeln!(text, "{ua}").expect("a string takes all");
            continue;
        }
        let (open, click) = (line(opened_by(ua)), line(clicked_by(ua)));
        writeln!(text, "{ua}\n    {open}").expect("a string takes all");
        if open != click {
            writeln!(text, "    {click} (click)").expect("a string takes all");
        }
    }
    text
}

#[test]
fn real_user_agents_are_judged_as_the_golden_says() {
    insta::assert_snapshot!(golden());
}

#[test]
fn rules_do_not_change_under_one_version() {
    let mut digest = Sha256::new();
    for part in [include_str!("../../data/mail.txt"), include_str!("../../data/crawlers.txt")] {
        digest.update(part);
    }
    digest.update(golden());
    assert_eq!((RULES_VERSION, hex::encode(digest.finalize()).as_str()), PINNED);
}

#[test]
fn a_bare_mozilla_is_apples_proxy_only_from_apples_ranges_where_these_are_known() {
    let ranges = Ranges::parse("172.224.226.0/27,GB,GB-EN,London,").expect("ranges");
    let rules = Classifier::new(Some(ranges));
    let inside = ClientAddr::of_peer([172, 224, 226, 9].into());
    let outside = ClientAddr::of_peer([192, 0, 2, 9].into());
    let opened = |ua, client| {
        let signals = RequestSignals { client, ..signals(Kind::Open, ua) };
        rules.judge(&signals).verdict
    };
    assert_eq!(opened("Mozilla/5.0", Some(&inside)), Verdict::AppleProxy);
    assert_eq!(opened("Mozilla/5.0", Some(&outside)), Verdict::Unknown);
    assert_eq!(opened("Mozilla/5.0", None), Verdict::Unknown);
    let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                  (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    assert_eq!(opened(safari, Some(&inside)), Verdict::Human, "a person behind Private Relay");
}

#[test]
fn a_prefetch_is_one_whoever_sends_it() {
    for kind in [Kind::Open, Kind::Click] {
        for ua in ["", "Mozilla/5.0", "curl/8.5.0", "Outlook-iOS/2.0"] {
            let signals = RequestSignals { prefetch: true, ..signals(kind, ua) };
            assert_eq!(RULES.judge(&signals).verdict, Verdict::Prefetch, "{ua}");
        }
    }
}

#[test]
fn a_proxy_that_follows_a_link_is_a_program() {
    for ua in ["Mozilla/5.0", "via ggpht.com GoogleImageProxy", "YahooMailProxy"] {
        assert_eq!(clicked_by(ua).verdict, Verdict::Bot, "{ua}");
    }
}

#[test]
fn no_user_agent_says_nothing() {
    assert_eq!(opened_by(""), UNRECOGNISED);
    assert_eq!(clicked_by(""), UNRECOGNISED);
}

#[test]
fn bytes_that_are_no_text_are_judged_like_any_others() {
    let mut ua =
        b"Mozilla/5.0 (Windows NT 10.0; \xff\xfe; rv:128.0) \xc3 Thunderbird/128.5.0".to_vec();
    let judged =
        |user_agent: &[u8]| RULES.judge(&RequestSignals { user_agent, ..signals(Kind::Open, "") });
    assert_eq!(judged(&ua).client, Client::Thunderbird);
    assert_eq!(judged(&ua).system, System::Windows);
    ua.resize(100_000, 0x80);
    assert_eq!(judged(&ua).client, Client::Thunderbird);
}

#[test]
fn what_is_beyond_the_cap_is_not_read() {
    let long = format!("{}GoogleImageProxy", "x".repeat(USER_AGENT_CAP));
    assert_eq!(opened_by(&long).verdict, Verdict::Unknown);
    let short = format!("{}GoogleImageProxy", "x".repeat(USER_AGENT_CAP - 16));
    assert_eq!(opened_by(&short).verdict, Verdict::GmailProxy);
}

#[test]
fn a_judgement_names_no_person() {
    // Four bytes are cached, and what can be told apart by them is what reports may show.
    assert_eq!(size_of::<Traits>(), 4);
    assert_eq!(size_of::<Judgement>(), 4);
}

proptest! {
    #[test]
    fn any_bytes_are_judged_and_only_an_open_is_a_proxys(
        user_agent in prop::collection::vec(any::<u8>(), 0..700),
        tail in prop::sample::select(vec!["", "GoogleImageProxy", "YahooMailProxy", "; wv)"]),
        at in 0usize..700,
        prefetch: bool,
    ) {
        let mut user_agent = user_agent;
        let at = at.min(user_agent.len());
        user_agent.splice(at..at, tail.bytes());
        for kind in Kind::ALL {
            let signals = RequestSignals { kind, user_agent: &user_agent, prefetch, client: None };
            let verdict = RULES.judge(&signals).verdict;
            prop_assert_eq!(verdict == Verdict::Prefetch, prefetch);
            let proxy = matches!(verdict, Verdict::GmailProxy | Verdict::YahooProxy);
            prop_assert!(!proxy || kind == Kind::Open);
        }
    }
}
