//! Marks, modes, files and headers: what one message has that another has not.

use std::collections::HashSet;

use hushmark_policy::{
    CampaignId, Day, Generation, Kind, MailType, Mark, Mode, Place, TenantId, Tracking,
};
use hushmark_sender::address::AddressError;
use hushmark_sender::message::{Envelope, HeaderError, Unsubscribe};
use hushmark_sender::recipients::{ListError, RowReason};
use hushmark_sender::{Address, List, Mailbox};
use hushmark_token::{Claims, Route};
use mail_parser::MessageParser;

use crate::fixture::{ANN, CAMPAIGN, HOST, Mail, Run, campaign, mail_of, open};

const THREE: &str =
    "Email,first_name\nann@example.org,Ann\nben@example.net,Ben\ncy@example.com,Cy\n";
const NEWS: &str = "<p>Hi {{first_name|all}}, <a href='https://a.example/1?a&amp;b'>1</a>\
                    <a href='https://a.example/2'>2</a>";

fn sent(opens: Mode, clicks: Mode) -> Run {
    campaign(NEWS).to(THREE).tracked(opens, clicks).send()
}

fn marks(mail: &Mail) -> (HashSet<Option<u64>>, HashSet<Option<u64>>) {
    let mark = |claims: hushmark_token::Claims| claims.mark.as_ref().map(|mark| mark.expose());
    let opens = mail.opens().into_iter().map(mark).collect();
    (opens, mail.clicks().into_iter().map(mark).collect())
}

#[test]
fn off_sends_the_authors_links_and_no_pixel() {
    let run = sent(Mode::Off, Mode::Off);
    assert_eq!(run.files.len(), 3);
    assert_eq!(run.mail(1).html(), NEWS.replace("{{first_name|all}}", "Ben"));
    assert!(!String::from_utf8(run.mail(1).bytes).unwrap().contains(HOST));
}

#[test]
fn overall_sends_one_message_to_all() {
    let run = sent(Mode::Overall, Mode::Overall);
    assert_eq!((run.stamped.messages, run.stamped.recipients), (1, 3));
    let names: Vec<_> = run.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["message.eml"]);
    let mail = run.mail(0);
    assert_eq!(mail.header("To").unwrap(), "undisclosed-recipients:;");
    assert!(mail.html().starts_with("<p>Hi all, "));
    assert_eq!(marks(&mail), (HashSet::from([None]), HashSet::from([None])));
    for address in ["ann@", "ben@", "cy@"] {
        assert!(!String::from_utf8(mail.bytes.clone()).unwrap().contains(address));
    }
    let mut to_list = campaign(NEWS).to(THREE).tracked(Mode::Off, Mode::Overall);
    to_list.list_address = Some("all@acme.example");
    let run = to_list.send();
    assert_eq!(run.mail(0).header("To").unwrap(), "<all@acme.example>");
    assert!(run.mail(0).opens().is_empty());
}

#[test]
fn everybody_a_message_is_made_for_is_noted_in_every_mode() {
    let all = ["ann@example.org", "ben@example.net", "cy@example.com"];
    for mode in Mode::of(Kind::Click) {
        let mut mailing = campaign(NEWS).to(THREE).tracked(mode, mode);
        mailing.withdrawn = &["ben@example.net"];
        assert_eq!(mailing.send().made_for, all, "{mode:?}");
    }
    let mut to_list = campaign(NEWS).to(THREE).tracked(Mode::Overall, Mode::Overall);
    to_list.list_address = Some("all@acme.example");
    assert_eq!(to_list.send().made_for, [""; 0], "who reads it is not known here");
}

#[test]
fn overall_urls_are_the_same_beside_a_mode_with_marks() {
    let run = sent(Mode::Individual, Mode::Overall);
    let hrefs: HashSet<_> = (0..3).map(|n| run.mail(n).hrefs()).collect();
    assert_eq!((run.files.len(), hrefs.len()), (3, 1));
    let run = sent(Mode::Overall, Mode::Anonymous);
    let pixel = |n: usize| run.mail(n).html().split("<img").nth(1).map(str::to_owned);
    assert_eq!(HashSet::from([pixel(0), pixel(1), pixel(2)]).len(), 1);
    let hrefs: HashSet<_> = (0..3).map(|n| run.mail(n).hrefs()).collect();
    assert_eq!(hrefs.len(), 3);
}

#[test]
fn whoever_ended_their_tracking_gets_the_authors_links_in_every_mode() {
    for mode in [Mode::Overall, Mode::Anonymous, Mode::Individual] {
        let mut mailing = campaign(NEWS).to(THREE).tracked(mode, mode);
        mailing.withdrawn = &["ben@example.net"];
        let run = mailing.send();
        assert_eq!((run.stamped.recipients, run.stamped.withdrawn), (3, 1));
        for n in 0..run.files.len() {
            let mail = run.mail(n);
            let is_bens = mail.header("To").unwrap().contains("ben@example.net");
            let is_tracked = String::from_utf8(mail.bytes).unwrap().contains(HOST);
            assert_ne!(is_tracked, is_bens, "{mode:?}");
        }
        let expected = if mode == Mode::Overall { 2 } else { 3 };
        assert_eq!(run.files.len(), expected, "{mode:?}");
    }
    let mut nobody = campaign(NEWS).to(ANN).tracked(Mode::Overall, Mode::Overall);
    nobody.withdrawn = &["ann@example.org"];
    let run = nobody.send();
    assert_eq!((run.files.len(), run.stamped.withdrawn), (1, 1), "no message for all is left over");
    // Where nothing is tracked there is nothing to ask.
    let mut untracked = campaign(NEWS).to(ANN).tracked(Mode::Off, Mode::Off);
    untracked.withdrawn = &["ann@example.org"];
    assert_eq!(untracked.send().stamped.withdrawn, 0);
}

#[test]
fn whoever_gave_no_consent_is_told_apart_by_the_day_of_the_last_open_alone() {
    let mut mailing = campaign(NEWS).to(THREE).tracked(Mode::LastOpenDay, Mode::Individual);
    mailing.withdrawn = &["ann@example.org"];
    mailing.without_consent = &["ben@example.net"];
    let run = mailing.send();
    assert_eq!((run.stamped.withdrawn, run.stamped.exempt), (2, 1));
    let told = |n: usize| (run.mail(n).opens().len(), run.mail(n).clicks().len());
    assert_eq!([told(0), told(1), told(2)], [(0, 0), (1, 0), (1, 3)]);
    assert_eq!(run.mail(1).opens()[0].mode, Mode::LastOpenDay);
    let mut mailing = campaign(NEWS).to(THREE).tracked(Mode::Anonymous, Mode::Individual);
    mailing.without_consent = &["ben@example.net"];
    let run = mailing.send();
    assert_eq!((run.stamped.withdrawn, run.stamped.exempt), (1, 0));
    assert!(run.mail(1).opens().is_empty());
}

/// The page that a message links to, opened as the edge does; its URL as it stands in the mail.
fn page(mail: &Mail) -> (String, Claims) {
    let prefix = format!("{HOST}/p/");
    let hrefs: Vec<String> =
        mail.hrefs().into_iter().filter(|href| href.starts_with(&prefix)).collect();
    let [url] = &hrefs[..] else { panic!("one link to the page: {hrefs:?}") };
    (url.clone(), open(Route::Page, &url[prefix.len()..]))
}

#[test]
fn a_page_knows_what_objecting_needs_and_is_never_wrapped() {
    let news = format!("{NEWS}<a href=\"{{{{tracking-page}}}}\">What this mail records</a>");
    let of = |opens, clicks| {
        let mut run = campaign(&news).to(THREE);
        run.text = Some("Records: {{ tracking-page }}".into());
        run.tracked(opens, clicks).send()
    };
    let own = |mail: &Mail| marks(mail).0.into_iter().next().unwrap();
    let exposed = |mark: Option<&Mark>| mark.map(Mark::expose);

    let run = of(Mode::Anonymous, Mode::Anonymous);
    let (url, ben) = page(&run.mail(1));
    assert_eq!((exposed(ben.message()), ben.contact().is_none()), (own(&run.mail(1)), true));
    assert!(ben.apart.is_none() && ben.link == 0 && ben.last_day == Day(21_000));
    assert!(run.mail(1).text().contains(&url), "the text part has the same");
    assert_ne!(url, page(&run.mail(0)).0);

    let run = of(Mode::Individual, Mode::Individual);
    assert_eq!(exposed(page(&run.mail(1)).1.contact()), Some("ben@example.net".len() as u64));

    let run = of(Mode::Anonymous, Mode::Individual);
    let (_, both) = page(&run.mail(1));
    assert_eq!(exposed(both.contact()), Some("ben@example.net".len() as u64));
    assert_eq!(exposed(both.message()), own(&run.mail(1)));
    let tracking = Tracking { opens: Mode::Anonymous, clicks: Mode::Individual };
    assert_eq!(both.tracking(), tracking);

    let run = of(Mode::Overall, Mode::Anonymous);
    assert!(page(&run.mail(0)).1.message().is_some());

    // Nothing tells readers apart: the same for everyone, and where nothing is recorded as well.
    for (opens, clicks) in [(Mode::Off, Mode::Off), (Mode::Overall, Mode::Overall)] {
        let run = of(opens, clicks);
        let urls: HashSet<String> = (0..run.files.len()).map(|n| page(&run.mail(n)).0).collect();
        assert_eq!(urls.len(), 1);
        let (_, claims) = page(&run.mail(0));
        assert!(claims.mark.is_none() && claims.tracking() == Tracking { opens, clicks });
    }
    // Whoever ended their tracking is told that nothing is recorded.
    let mut mailing = campaign(&news).to(THREE);
    mailing.withdrawn = &["ben@example.net"];
    assert_eq!(page(&mailing.send().mail(1)).1.tracking(), Tracking::OFF);
    assert!(!mail_of("<p>").html().contains("/p/"), "there is none where nobody asks for it");
}

#[test]
fn an_anonymous_message_has_one_fresh_mark() {
    let run = sent(Mode::Anonymous, Mode::Anonymous);
    let mut seen = HashSet::new();
    for n in 0..3 {
        let (opens, clicks) = marks(&run.mail(n));
        assert_eq!((opens.len(), &opens), (1, &clicks));
        assert!(seen.insert(opens.into_iter().next().unwrap().unwrap()), "two share a mark");
    }
    // A second attempt draws others, whoever is written to.
    let twice = "Email\nann@example.org\nann2@example.org\n";
    let run = campaign("<p>").to(twice).send();
    assert_ne!(marks(&run.mail(0)).0, marks(&run.mail(1)).0);
}

#[test]
fn an_individual_message_has_the_contacts_mark() {
    let run = sent(Mode::Individual, Mode::Individual);
    // The fixture's contact is numbered by the length of the address.
    let expected = HashSet::from([Some("ben@example.net".len() as u64)]);
    assert_eq!(marks(&run.mail(1)), (expected.clone(), expected));
}

#[test]
fn opens_and_clicks_are_decided_apart() {
    for opens in Mode::of(Kind::Open) {
        for clicks in Mode::of(Kind::Click) {
            let run = sent(opens, clicks);
            let mail = run.mail(0);
            let (o, c) = (mail.opens(), mail.clicks());
            assert_eq!(o.len(), usize::from(opens != Mode::Off));
            assert_eq!(c.len(), if clicks == Mode::Off { 0 } else { 3 });
            assert!(o.iter().all(|claims| claims.mode == opens));
            assert!(c.iter().all(|claims| claims.mode == clicks));
            let (open_marks, click_marks) = marks(&mail);
            let linked = open_marks.intersection(&click_marks).any(Option::is_some);
            let are_contacts = opens.names_contact() && clicks.names_contact();
            let are_alike = are_contacts || opens == clicks && opens.has_mark();
            assert_eq!(linked, are_alike, "{opens} {clicks}");
        }
    }
}

#[test]
fn a_token_says_what_the_plan_says() {
    let mail = sent(Mode::Anonymous, Mode::Overall).mail(0);
    for claims in mail.opens().into_iter().chain(mail.clicks()) {
        assert_eq!((claims.tenant, claims.campaign), (TenantId(3), CAMPAIGN));
        assert_eq!((claims.generation, claims.last_day), (Generation(1), Day(21_000)));
        assert_eq!((claims.mail_type, claims.place), (MailType::Campaign, Place::Country));
        assert_ne!(claims.campaign, CampaignId(0));
    }
}

#[test]
fn links_are_numbered_by_their_place_and_the_honeypot_comes_last() {
    let html = "<a name=x></a><a href='mailto:a@a.example'>1</a><a href='https://a.example/2'>2</a>\
                <a data-no-track href='https://a.example/3'>3</a><area href='https://a.example/4'>";
    let clicks = mail_of(html).clicks();
    let found: Vec<_> = clicks.iter().map(|c| (c.link, c.honeypot)).collect();
    assert_eq!(found, [(2, false), (4, false), (5, true)]);
    // Whoever finds it lands on a page of the author's: no redirect goes anywhere else.
    assert_eq!(clicks[2].destination.as_deref(), Some("https://a.example/2"));
}

#[test]
fn no_person_sees_the_honeypot_and_nothing_to_protect_needs_none() {
    let html = mail_of("<a href='https://a.example/'>x</a>").html();
    let honeypot = html.split("</a>").nth(1).unwrap();
    assert!(honeypot.ends_with("aria-hidden=\"true\" tabindex=\"-1\">"), "{honeypot}");
    assert!(honeypot.contains("display:none") && !honeypot.contains("x</a>"));
    assert!(mail_of("<a href='mailto:a@a.example'>x</a>").clicks().is_empty());
}

#[test]
fn the_address_is_in_to_and_nowhere_else() {
    let mut news = campaign(NEWS).tracked(Mode::Individual, Mode::Individual);
    news.text = Some("Hi".to_owned());
    let run = news.send();
    for (name, value) in run.mail(0).headers() {
        assert_eq!(value.to_lowercase().contains("ann"), name == "To", "{name}: {value}");
    }
    assert!(!run.mail(0).html().contains("ann@") && !run.files[0].0.contains("ann"));
    assert_eq!(run.files[0].0, "000002.eml");
}

#[test]
fn no_header_tells_one_reader_from_another() {
    let run = sent(Mode::Individual, Mode::Individual);
    let headers = |n: usize| -> HashSet<_> { run.mail(n).headers().into_iter().collect() };
    let (first, second) = (headers(0), headers(1));
    let mut differ: Vec<_> = first.difference(&second).map(|(name, _)| name.as_str()).collect();
    differ.sort_unstable();
    assert_eq!(differ, ["Message-ID", "To"]);
    let mut names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "Content-Transfer-Encoding",
        "Content-Type",
        "Date",
        "From",
        "MIME-Version",
        "Message-ID",
        "Subject",
        "To",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_message_id_is_random_and_of_the_regions_host() {
    let run = sent(Mode::Anonymous, Mode::Anonymous);
    let id = |n: usize| run.mail(n).header("Message-ID").unwrap();
    for n in 0..3 {
        let (left, host) = id(n).trim_matches(['<', '>']).split_once('@').map(own).unwrap();
        assert_eq!((left.len(), host.as_str()), (32, "eu.example"));
        let mark = marks(&run.mail(n)).0.into_iter().next().flatten().unwrap();
        assert!(!left.contains(&format!("{mark:016x}")), "the Message-ID tells the mark");
    }
    assert_ne!(id(0), id(1));
}

fn own((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn no_line_is_longer_than_998_and_every_line_ends_in_crlf() {
    let long = format!(
        "<p>{}</p>\n<a href='https://a.example/{}'>x</a>\r\n<p>ö€😀\n.\n",
        "word ".repeat(2_000),
        "y".repeat(1_900)
    );
    let mut news = campaign(long.clone());
    news.subject = format!("Grüße {}", "sehr lang ".repeat(200));
    news.text = Some("z".repeat(3_000));
    let mail = news.send().mail(0);
    let bytes = &mail.bytes;
    assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= 998));
    assert!(bytes.is_ascii());
    let lone = bytes.iter().enumerate().any(|(i, byte)| *byte == b'\n' && bytes[i - 1] != b'\r');
    assert!(!lone, "a bare line feed (SMTP smuggling begins with one)");
    assert!(mail.html().starts_with(&long[..10_000]));
    assert!(mail.html().contains("ö€😀"));
    assert_eq!(mail.text(), "z".repeat(3_000));
}

// CVE-2024-27938 and its kind: a line break in a value begins a header or a message of its own.
#[test]
fn nothing_can_add_a_header() {
    let list = "email,name\nann@example.org,\"Ann\r\nBcc: all@example.org\"\n";
    let mut news = campaign("<p>{{name}}").to(list);
    news.subject = "Hi {{name}}".to_owned();
    let error = news.refused();
    assert!(error.contains("row 2: Subject contains a line break"), "{error}");
    // In the body it is text.
    let mail = campaign("<p>{{name}}").to(list).send().mail(0);
    assert_eq!(mail.header("Bcc"), None);
    assert!(mail.html().contains("Bcc: all@example.org"));

    let list = "email\n\"ann@example.org\r\nBcc: all@example.org\"\n";
    let error = campaign("<p>").to(list).refused();
    assert!(error.contains("row 2: the address contains a control character"), "{error}");
    assert!(!error.contains("Bcc"), "an error repeats what the list holds");
    assert!(matches!(Mailbox::parse("A\nB: c <a@b.example>"), Err(HeaderError::Control { .. })));
    for url in ["https://a.example/\r\nBcc: x", "https://a.example/> , <x", "javascript:x", "a b"] {
        assert!(Unsubscribe::new(url, false).is_err(), "{url}");
    }
    assert!(Unsubscribe::new("mailto:leave@a.example", true).is_err());
    let from = Mailbox::parse("news@acme.example").unwrap();
    assert!(Envelope::new(from, 0, "eu.example\r\nX: y", None).is_err());
}

#[test]
fn headers_read_back_as_they_were_meant() {
    let mut news = campaign("<p>x");
    news.subject = "Größe, \"Preis\" & =?utf-8?q?x?= {{first_name}}".to_owned();
    let mail = news.send().mail(0);
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    assert_eq!(parsed.subject(), Some("Größe, \"Preis\" & =?utf-8?q?x?= Ann"));
    assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("Acme News"));
    assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("ann@example.org"));
    assert_eq!(parsed.date().unwrap().to_timestamp(), 1_795_000_000);
}

#[test]
fn unsubscribe_headers_are_there_only_when_given() {
    let plain = mail_of("<p>x");
    assert!(plain.header("List-Unsubscribe").is_none());
    assert!(plain.header("List-Unsubscribe-Post").is_none());
    let mut news = campaign("<p>x");
    news.unsubscribe = Some("mailto:leave@a.example?subject=x");
    let mail = news.send().mail(0);
    assert_eq!(mail.header("List-Unsubscribe").unwrap(), "<mailto:leave@a.example?subject=x>");
    assert!(mail.header("List-Unsubscribe-Post").is_none());
}

#[test]
fn a_bad_row_stops_everything_and_all_of_them_are_named() {
    let list = "first_name,EMAIL\nAnn,ann@example.org\n,nobody\nBen,ANN@Example.ORG\nCy\n\
                \u{7},dee@example.org\nEd,ed@example..org\nFay,f ay@example.org\nGus,gus@example.org\n";
    let error = campaign("<p>").to(list).refused();
    let lines: Vec<_> = error.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "6 rows of the list cannot be used, so nothing was written:",
            "row 3: the address needs exactly one @",
            "row 4: the address is the same as in row 2",
            "row 5: it has 1 cells and the header has 2: is a quote or a comma missing?",
            "row 6: column \"first_name\" contains a control character",
            "row 7: what stands after the @ is not a host name",
            "row 8: what stands before the @ is not a plain mailbox name",
        ]
    );
    let mut news = campaign("<p>").to(list);
    news.keep_going = true;
    let run = news.send();
    let names: Vec<_> = run.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["000002.eml", "000009.eml"]);
    assert_eq!(run.stamped.left_out.len(), 6);
}

#[test]
fn a_row_that_cannot_be_rendered_is_left_out_like_any_other() {
    let list = "email,page\nann@example.org,https://a.example/\nben@example.org,javascript:x\n\
                cy@example.org,https://c.example/\n";
    let mut news = campaign("<a href='{{page}}'>x</a>").to(list);
    news.keep_going = true;
    let run = news.send();
    assert_eq!((run.stamped.messages, run.stamped.recipients), (2, 2));
    assert!(matches!(run.stamped.left_out[0].reason, RowReason::Render(_)));
    assert_eq!(run.stamped.left_out[0].row, 3);
}

#[test]
fn a_list_that_is_none_is_refused_with_the_reason() {
    let error = |list: &str| List::read(list.as_bytes()).err().unwrap().to_string();
    assert!(error("name;email\nAnn;ann@example.org\n").contains("(it has: name;email)"));
    assert!(error("").contains("needs a column \"address\" or \"email\""));
    assert!(error("email,Name,name \n").contains("two columns \"name\""));
    assert!(matches!(
        List::read("email,address\n".as_bytes()).err().unwrap(),
        ListError::Twice { .. }
    ));
    assert!(campaign("<p>").to("email\n").refused().contains("the list has no recipient"));
}

#[test]
fn lists_from_spreadsheets_are_read() {
    let list = "\u{feff}Address , First Name\r\n ann@example.org ,\"Ann \"\"A\"\"\"\r\n\r\nben@example.org,Ben\r\n";
    let run = campaign("<p>{{first name}}").to(list).tracked(Mode::Off, Mode::Off).send();
    assert_eq!(run.mail(0).html(), "<p>Ann &quot;A&quot;");
    // The blank line is a row to an editor.
    let rows: Vec<_> = run.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(rows, ["000002.eml", "000004.eml"]);
    let bad = List::read(&b"email,n\nann@example.org,\xe4\n"[..]).unwrap().bad;
    assert_eq!(bad[0].to_string(), "row 2: it is not UTF-8: save the list as CSV in UTF-8");
    let unclosed = format!("email,n\nann@example.org,\"{}\n", "x,y\n".repeat(5_000));
    let bad = List::read(unclosed.as_bytes()).unwrap().bad;
    assert!(bad[0].to_string().contains("is a quote not closed?"), "{}", bad[0]);
}

#[test]
fn an_address_is_an_address() {
    for good in ["a@b", "a.b+c@d-e.example", "O'Neil@example.org", "x_1=~@xn--p1ai.example"] {
        assert!(Address::parse(good).is_ok(), "{good}");
    }
    let long = format!("{}@example.org", "x".repeat(65));
    let domain = format!("a@{}.example", "x".repeat(64));
    for (bad, why) in [
        ("", AddressError::Empty),
        ("a", AddressError::At),
        ("a@b@c", AddressError::At),
        ("@b.example", AddressError::Local),
        (".a@b.example", AddressError::Local),
        ("a..b@c.example", AddressError::Local),
        ("\"a b\"@c.example", AddressError::Local),
        ("a@", AddressError::Domain),
        ("a@-b.example", AddressError::Domain),
        ("a@[127.0.0.1]", AddressError::Domain),
        ("a@b_c.example", AddressError::Domain),
        ("a@b.example>", AddressError::Domain),
        ("a@b.example,c", AddressError::Domain),
        ("ä@b.example", AddressError::NotAscii),
        ("a\u{0}@b.example", AddressError::Control),
        (&long, AddressError::TooLong),
        (&domain, AddressError::Domain),
    ] {
        assert_eq!(Address::parse(bad).err(), Some(why), "{bad}");
    }
    assert!(
        Address::parse("Ann@Example.org")
            .is_ok_and(|a| a == Address::parse("ann@example.ORG").unwrap())
    );
    assert_eq!(ANN.lines().count(), 2);
}

/// A contact is found again by the address in one case, whatever the list wrote.
#[test]
fn a_contact_is_found_again_whatever_the_case() {
    let folded = Address::parse("Ann.B@Example.ORG").unwrap().folded();
    assert_eq!(folded.as_str(), "ann.b@example.org");
}
