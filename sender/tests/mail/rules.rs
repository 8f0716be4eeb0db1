//! Each test is named for a rule, and the comment says who was bitten where it was missing.

use hushmark_policy::Mode;
use hushmark_sender::Template;

use crate::fixture::{HOST, campaign, hrefs, mail_of, tags};

const DEST: &str = "https://a.example/p?x=1&y=2";

fn refused(html: &str) -> String {
    Template::parse(html).unwrap_err().to_string()
}

// postal#907, postal#1040, mautic#11643: `&amp;` was stored literally.
#[test]
fn entities_are_decoded_before_sealing() {
    for href in [
        "https://a.example/p?x=1&amp;y=2",
        "https://a.example/p?x=1&#38;y=2",
        "https://a.example/p?x=1&#x26;y=2",
        "https&colon;//a.example/p?x=1&y=2",
        "https://a.example/p?x=1&ampy=2",
    ] {
        let expected = if href.contains("&ampy") { "https://a.example/p?x=1&ampy=2" } else { DEST };
        assert_eq!(
            mail_of(&format!("<a href='{href}'>x</a>")).destinations(),
            [expected],
            "{href}"
        );
    }
}

// The HTML standard keeps `&copy=` in an attribute as it is: it is a parameter, not a sign.
#[test]
fn a_parameter_named_like_an_entity_stays_a_parameter() {
    let mail = mail_of("<a href='https://a.example/?a=1&copy=2&reg=3&sect'>x</a>");
    // The last one has no `=` behind it, so it is the section sign, which no Location can carry.
    assert!(mail.destinations().is_empty());
    let mail = mail_of("<a href='https://a.example/?a=1&copy=2&reg=3'>x</a>");
    assert_eq!(mail.destinations(), ["https://a.example/?a=1&copy=2&reg=3"]);
}

// mautic#16043, notifuse#163: mailto and tel were wrapped.
#[test]
fn only_http_and_https_are_wrapped() {
    let untouched = [
        "mailto:a@a.example?subject=x",
        "tel:+491",
        "sms:+491",
        "cid:part1",
        "data:text/plain,x",
        "javascript:void(0)",
        "ftp://a.example/",
        "/relative",
        "relative.html",
        "?q",
        "//a.example",
        "",
        "#",
    ];
    for href in untouched {
        assert_eq!(mail_of(&format!("<a href=\"{href}\">x</a>")).hrefs(), [href]);
    }
    for href in ["HTTPS://a.example/", " https://a.example/ ", "\nHttp://a.example/\t"] {
        let mail = mail_of(&format!("<a href=\"{href}\">x</a>"));
        assert_eq!(mail.destinations(), [href.trim()]);
    }
}

// odoo#271557: a link inside the mail was wrapped.
#[test]
fn a_place_in_the_mail_is_untouched() {
    assert_eq!(mail_of("<a href='#market'>x</a><p id=market>").hrefs(), ["#market"]);
}

// pimcore#1324, craft#383, listmonk#2499: parameters after `#`, queries encoded again.
#[test]
fn the_destination_is_the_authors_url_to_the_byte() {
    for url in [
        "https://a.example/p?b=2&a=1#frag?not=query",
        "https://a.example/%7Euser/%e4?q=a+b%20c&empty=&&flag",
        "https://a.example/p?filter[]=1&x=a|b&j={1}&t='x'",
        "HTTP://A.EXAMPLE:80/../x/./?#",
        "https://user:pw@a.example/",
        "https://[2001:db8::1]:8443/x;y=1,2!$*()@:",
        "https://xn--bcher-kva.example/b%C3%BCcher",
    ] {
        let encoded = url.replace('&', "&amp;");
        let mail = mail_of(&format!("<a href=\"{encoded}\">x</a>"));
        assert_eq!(mail.destinations(), [url]);
    }
}

// mautic#8446, mautic#12047, listmonk#667: placeholders in an href were sealed unresolved.
#[test]
fn placeholders_are_filled_before_wrapping() {
    let list =
        "email,city,id,page\nann@example.org,\"Köln & Bonn #1/?\",42,https://b.example/?p=1&q=2\n";
    let html = "<a href='https://a.example/{{ID}}?c={{ city }}&amp;z=1'>{{city}}</a>\
                <a href='{{page}}'>x</a><a href='{{page}}&amp;r={{city}}'>x</a>";
    let mail = campaign(html).to(list).send().mail(0);
    let city = "K%C3%B6ln%20%26%20Bonn%20%231%2F%3F";
    assert_eq!(
        mail.destinations(),
        [
            format!("https://a.example/42?c={city}&z=1"),
            "https://b.example/?p=1&q=2".to_owned(),
            format!("https://b.example/?p=1&q=2&r={city}"),
        ]
    );
    assert!(mail.html().contains(">Köln &amp; Bonn #1/?</a>"));
}

#[test]
fn a_placeholder_that_an_editor_encoded_is_an_error() {
    let error = refused("<p>\n<a href='https://a.example/?n=%7B%7Bname%7D%7D'>x</a>");
    assert!(error.starts_with("line 2: the link contains %7B%7B"), "{error}");
}

// mautic#1310: everyone got the first recipient's URL.
#[test]
fn a_personal_url_is_never_shared() {
    let list = "email,id\nann@example.org,1\nben@example.org,2\ncyd@example.org,3\n";
    let run = campaign("<a href='https://a.example/{{id}}'>x</a>").to(list).send();
    let found: Vec<_> = (0..3).flat_map(|n| run.mail(n).destinations()).collect();
    assert_eq!(found, ["https://a.example/1", "https://a.example/2", "https://a.example/3"]);
}

#[test]
fn overall_refuses_a_link_that_differs_by_recipient() {
    let html = "<p>\n<a href='https://a.example/?n={{first_name}}'>x</a>";
    let error = campaign(html).tracked(Mode::Anonymous, Mode::Overall).refused();
    assert!(
        error.contains("line 2: link 1 differs by recipient because of {{first_name}}"),
        "{error}"
    );
    let error = campaign(html).tracked(Mode::Overall, Mode::Overall).refused();
    assert!(error.contains("{{first_name}} differs by recipient"), "{error}");
    // Untracked, it may differ.
    let html = "<a data-no-track href='https://a.example/?n={{first_name}}'>x</a>";
    let run = campaign(html).tracked(Mode::Anonymous, Mode::Overall).send();
    assert_eq!(run.mail(0).hrefs(), ["https://a.example/?n=Ann"]);
}

// listmonk#2489, usesend#412: unsubscribing through the tracker broke.
#[test]
fn system_links_are_never_wrapped() {
    let url = "https://a.example/leave?l=1&m=2";
    let html = "<a href='{{unsubscribe}}'>1</a><a href='https://a.example/leave?l=1&amp;m=2'>2</a>\
                <a href=\"{{ Unsubscribe }}&amp;x=1\">3</a>";
    let mut news = campaign(html);
    news.unsubscribe = Some(url);
    let mail = news.send().mail(0);
    assert!(mail.clicks().is_empty());
    assert_eq!(mail.hrefs(), [url, url, "https://a.example/leave?l=1&m=2&x=1"]);
    assert_eq!(mail.header("List-Unsubscribe").unwrap(), format!("<{url}>"));
}

#[test]
fn an_unsubscribe_url_may_come_from_the_list() {
    let list = "email,unsubscribe\nann@example.org,https://a.example/leave/1\n";
    let mail = campaign("<a href='{{unsubscribe}}'>x</a>").to(list).send().mail(0);
    assert_eq!(mail.hrefs(), ["https://a.example/leave/1"]);
    assert_eq!(mail.header("List-Unsubscribe"), None);
    let error = campaign("<a href='{{unsubscribe}}'>x</a>").refused();
    assert!(error.contains("give the campaign an unsubscribe URL"), "{error}");
}

#[test]
fn a_tracked_link_that_looks_like_unsubscribing_is_warned_about() {
    let run = campaign("<a href='https://a.example/Unsubscribe?x'>x</a>").send();
    assert!(run.warnings()[0].starts_with("line 1: link 1 looks like an unsubscribe link"));
}

// postal#296: the plain-text part was broken by wrapping inside brackets and code.
#[test]
fn the_plain_text_part_is_off_and_never_wrapped() {
    assert!(!String::from_utf8(mail_of("<p>x").bytes).unwrap().contains("text/plain"));
    let text = "Hi Ann,\n[docs](https://a.example/x) <https://b.example> `https://c.example`\n";
    let mut news = campaign("<a href='https://a.example/x'>x</a>");
    news.text = Some(text.replace("Ann", "{{first_name}}"));
    let mail = news.send().mail(0);
    assert_eq!(mail.text(), text);
    assert_eq!(mail.destinations(), ["https://a.example/x"]);
}

// sendgrid#3416: a regular expression met `href=` in a query, capitals, spaces, no quotes.
#[test]
fn a_parser_reads_the_links() {
    let mail = mail_of(concat!(
        "<a href='https://a.example/?href=\"https://evil.example\"'>1</a>",
        "<A CLASS=x HREF = https://b.example/?x=y>2</A>",
        "<a title='<a href=https://no.example>' href\n=\n\"https://c.example/\">3</a>",
        "<p>href=\"https://no.example\"</p>",
        "<a href=https://d.example/ href=https://no.example/>4</a>",
        "<a href href=https://no.example/>empty</a>",
        "<a data-href='https://no.example/' href='https://e.example/>'>5</a>",
        "<textarea><a href='https://no.example'></textarea>",
        "<style>a[href='https://no.example'] {}</style>",
    ));
    assert_eq!(
        mail.destinations(),
        [
            "https://a.example/?href=\"https://evil.example\"",
            "https://b.example/?x=y",
            "https://c.example/",
            "https://d.example/",
            "https://e.example/>",
        ]
    );
}

// postal: `<link>`, `<base>`, SVG, conditional comments and AMP were rewritten.
#[test]
fn only_a_and_area_are_wrapped() {
    let html = concat!(
        "<head><base href=\"https://a.example/\"><link rel=x href=\"https://a.example/x.css\">",
        "</head><body><form action=\"https://a.example/f\"></form>",
        "<img src=\"https://a.example/i.png\"><td background=\"https://a.example/b.png\">",
        "<svg><a href=\"https://a.example/s\" xlink:href=\"https://a.example/s\"><text>x</text></a>",
        "</svg><blockquote cite=\"https://a.example/c\"></blockquote>",
        "<!--[if mso]><v:rect href=\"https://a.example/v\"><a href=\"https://a.example/w\">x</a>",
        "<![endif]--><!--[if !mso]><!-->",
    );
    let area = "<map><area href=\"https://a.example/area\"></map>";
    let mail = mail_of(&format!("{html}{area}"));
    assert!(mail.html().starts_with(html), "{}", mail.html());
    assert_eq!(mail.destinations(), ["https://a.example/area"]);
}

#[test]
fn the_amp_part_is_refused() {
    for html in ["<!doctype html>\n<html ⚡4email>", "<!doctype html>\n<html amp4email data-x>"] {
        assert!(refused(html).starts_with("line 2: this is the AMP part"), "{}", refused(html));
    }
}

// kannon#410: no way to leave one link alone.
#[test]
fn data_no_track_leaves_a_link_alone_and_is_not_sent() {
    for attribute in [
        "data-no-track",
        "DATA-NO-TRACK=\"\"",
        "data-no-track='x'",
        "data-no-track=1",
        "data-no-track=",
    ] {
        for html in [
            format!("<a href='{DEST}' {attribute}>x</a>"),
            format!("<a {attribute} href='{DEST}'>x</a>"),
            format!("<a href='{DEST}'\n  {attribute}\n class=x>x</a>"),
        ] {
            let html = if attribute.ends_with('=') && html.contains("= ") {
                continue; // `data-no-track= href=…` has the link as its value.
            } else {
                html
            };
            if attribute.ends_with('=') && html.contains("=\n") {
                continue;
            }
            let mail = mail_of(&html);
            assert_eq!(mail.hrefs(), [DEST], "{html}");
            assert!(mail.clicks().is_empty());
            assert!(!mail.html().to_lowercase().contains("data-no-track"), "{}", mail.html());
        }
    }
    let off = campaign(format!("<a data-no-track href='{DEST}'>x</a>"));
    let mail = off.tracked(Mode::Off, Mode::Off).send().mail(0);
    assert_eq!(mail.html(), format!("<a href='{DEST}'>x</a>"));
}

#[test]
fn data_no_track_around_links_is_warned_about() {
    let run = campaign(format!("<p>\n<div data-no-track><a href='{DEST}'>x</a></div>")).send();
    assert!(run.warnings()[0].starts_with("line 2: data-no-track has no effect here"));
}

// kannon: the pixel was an empty image.
#[test]
fn one_pixel_stands_before_the_end_of_the_body() {
    for (before, after) in [
        ("<html><body><p>x</p>", "</body></html>"),
        ("<BODY>x\n", "</BODY >\n</html>\n"),
        ("<p>x</p>", ""),
        ("<body><p>x", ""),
        ("<body><!-- </body> --><p title='</body>'>x", "</body>"),
    ] {
        let mail = mail_of(&format!("{before}{after}"));
        let html = mail.html();
        let pixel = &html[before.len()..html.len() - after.len()];
        assert!(html.starts_with(before) && html.ends_with(after), "{html}");
        assert!(pixel.starts_with("<img src=\"https://t.example/o/"), "{pixel}");
        assert!(pixel.contains(" width=\"1\" height=\"1\" alt=\"\" "), "{pixel}");
        assert_eq!(tags(pixel).len(), 1);
        assert_eq!(mail.opens().len(), 1);
    }
}

// Outlook cut at 1,024 characters, and RFC 5322 ends a line at 998.
#[test]
fn a_token_adds_less_than_110_characters() {
    for len in [30, 100, 500, 2_000] {
        let url = format!("https://a.example/{}", "x".repeat(len - 18));
        let mail = campaign(format!("<a href='{url}'>x</a>"));
        let mail = mail.tracked(Mode::Individual, Mode::Individual).send().mail(0);
        let wrapped = &mail.hrefs()[0];
        let in_base64 = (url.len() * 4).div_ceil(3);
        assert!(wrapped.len() - HOST.len() - in_base64 < 110, "{len}: {}", wrapped.len());
    }
    let mail = campaign("<p>x").tracked(Mode::Individual, Mode::Individual).send().mail(0);
    let src = mail.html().split('"').nth(1).map(str::len).unwrap();
    assert!(src - HOST.len() < 110, "{src}");
}

#[test]
fn a_long_url_is_warned_about_and_a_longer_one_not_wrapped() {
    let long = format!("https://a.example/{}", "x".repeat(700));
    let run = campaign(format!("<a href='{long}'>x</a>")).send();
    assert_eq!(run.mail(0).destinations(), [long]);
    assert!(run.warnings()[0].contains("link 1 is longer than 900 characters once wrapped"));
    let longer = format!("https://a.example/{}", "x".repeat(2_000));
    let run = campaign(format!("<a href='{longer}'>x</a>")).send();
    assert_eq!(run.mail(0).hrefs(), [longer]);
    assert!(run.warnings()[0].contains("it is longer than 2000 characters"));
}

#[test]
fn a_url_that_no_redirect_can_repeat_is_left_as_it_is() {
    for (href, why) in [
        ("https://a.example/straße", "letters beyond ASCII"),
        ("https://bücher.example/", "letters beyond ASCII"),
        ("https://a.example/a b", "a space or line break"),
        ("https:///", "not a valid URL"),
        ("http://", "not a valid URL"),
    ] {
        let run = campaign(format!("<p>\n\n<a href='{href}'>x</a>")).send();
        assert_eq!(run.mail(0).hrefs(), [href]);
        let warning = &run.warnings()[0];
        assert!(
            warning.starts_with("line 3: link 1 is sent as it is and not tracked"),
            "{warning}"
        );
        assert!(warning.contains(why), "{warning}");
    }
}

// CVE-2024-47050, CVE-2026-21483: what comes from outside became markup.
#[test]
fn a_cell_is_never_markup() {
    let list = "email,name\nann@example.org,\"\"\"><script>alert(1)</script><a href='https://x.example'>{{email}}-->\"\n";
    let html = "<title>{{name}}</title><p title=\"{{name}}\">{{name}}<!-- {{name}} -->\
                <img alt='{{name}}' src='https://a.example/{{name}}'><p>";
    let mail = campaign(html).to(list).send().mail(0);
    let names: Vec<_> = tags(&mail.html()).iter().map(|tag| tag.name.to_string()).collect();
    assert_eq!(names, ["title", "p", "img", "p", "img"]);
    assert!(hrefs(&mail.html()).is_empty());
    assert!(!mail.html().contains("ann@"), "a cell's own braces were filled");
}

#[test]
fn a_cell_is_never_a_script_url() {
    for cell in ["javascript:alert(1)", "JaVa\tScript:x", "data:text/html,x", "vbscript:x", ""] {
        let list = format!("email,page\nann@example.org,\"{cell}\"\n");
        let error = campaign("<a href='{{page}}'>x</a>").to(&list).refused();
        assert!(error.contains("row 2: line 1: the list gives {{page}} no URL"), "{error}");
    }
}

#[test]
fn a_placeholder_stands_only_where_it_can_be_made_safe() {
    for (html, place) in [
        ("<p {{x}}>", "inside a tag"),
        ("<{{x}}>", ""),
        ("<p title={{x}}>", "without quotes"),
        ("<a href={{x}}>", "without quotes"),
        ("<p style=\"color:{{x}}\">", "style"),
        ("<p onclick='{{x}}'>", "event attribute"),
        ("<style>.{{x}} {}</style>", "style sheet or script"),
        ("<script>{{x}}</script>", "style sheet or script"),
        ("<p>{{x", "begins a placeholder"),
        ("<p>{{#if x}}", "begins a placeholder"),
        ("<p>{{x<b>y</b>}}", "begins a placeholder"),
        ("<p>{{}}", "begins a placeholder"),
    ] {
        if place.is_empty() {
            // `<{` opens no tag: this is text.
            assert!(Template::parse(html).is_ok());
        } else {
            assert!(refused(html).contains(place), "{html}: {}", refused(html));
        }
    }
    // Braces of a style sheet's own are none of ours.
    assert!(Template::parse("<style>@media x{a{{}}}{{#y}}</style><p>{{x}}").is_ok());
}

// CVE-2025-49136: a template read the environment.
#[test]
fn a_placeholder_names_a_column_and_nothing_else() {
    for name in ["env.HOME", "PATH", "contact", "nobody"] {
        let error = campaign(format!("<p>\n{{{{{name}}}}}")).refused();
        assert!(error.contains("line 2: the list has no column"), "{error}");
        assert!(error.contains("(it has: email, first_name)"), "{error}");
    }
}

#[test]
fn the_address_is_in_no_url_that_is_tracked_or_loaded() {
    for html in [
        "<a href='https://a.example/?m={{email}}'>x</a>",
        "<a href='{{Address}}'>x</a>",
        "<img src='https://a.example/{{email}}.png'>",
    ] {
        assert!(refused(html).contains("the recipient's address into a URL"), "{html}");
    }
    let html = "<p>{{email}}<a data-no-track href='https://a.example/?m={{email}}'>x</a>";
    let mail = campaign(html).send().mail(0);
    assert_eq!(mail.hrefs(), ["https://a.example/?m=ann%40example.org"]);
}
