//! Real-looking newsletters, whole, as they are sent. Each token is shown as what it says.

use std::fmt::Write as _;

use hushmark_policy::{Kind, Mode};
use hushmark_token::Route;

use crate::fixture::{HOST, Mail, campaign, open};

/// The HTML with every token opened.
fn opened(mail: &Mail) -> String {
    let html = mail.html();
    let mut parts = html.split(HOST);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (url, rest) = part.split_at(part.find(['"', '\'', ' ', '>']).unwrap());
        let (route, token) = match url.trim_end_matches(".gif").split_at(3) {
            ("/o/", token) => (Route::Open, token),
            ("/c/", token) => (Route::Click, token),
            other => panic!("{other:?}"),
        };
        let claims = open(route, token);
        write!(out, "[{} {}", route.segment(), claims.mode).unwrap();
        if let Some(url) = &claims.destination {
            write!(out, " {} {url}", claims.link).unwrap();
        }
        out.push_str(if claims.honeypot { " honeypot]" } else { "]" });
        out.push_str(rest);
    }
    out
}

#[test]
fn the_quickstart_newsletter_in_every_mode() {
    let html = include_str!("../../../examples/quickstart/newsletter.html");
    let list = include_str!("../../../examples/quickstart/recipients.csv");
    for mode in Mode::of(Kind::Click) {
        let run = campaign(html).to(list).tracked(mode, mode).send();
        assert_eq!(run.stamped.recipients, 200);
        assert_eq!(run.stamped.messages, if mode == Mode::Overall { 1 } else { 200 });
        assert!(run.stamped.warnings.is_empty(), "{:?}", run.warnings());
        insta::assert_snapshot!(format!("quickstart_{mode}"), opened(&run.mail(0)));
    }
}

#[test]
fn newsletters_as_editors_write_them() {
    let mut outlook = campaign(include_str!("newsletters/outlook.html"));
    outlook.unsubscribe = Some("https://www.example.org/leave?l=7");
    insta::assert_snapshot!("outlook", opened(&outlook.send().mail(0)));
    let word = campaign(include_str!("newsletters/word.html")).send();
    insta::assert_snapshot!("word", opened(&word.mail(0)));
    assert_eq!(
        word.warnings(),
        [
            "line 11: link 2 is sent as it is and not tracked, because it has a space or line \
             break inside: write %20",
            "line 13: link 3 looks like an unsubscribe link and is tracked: use {{unsubscribe}} or \
             mark it data-no-track"
        ]
    );
}
