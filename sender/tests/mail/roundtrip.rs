//! Whatever the author writes: what is not wrapped is sent to the byte, and what is wrapped comes
//! back to the byte.

use hushmark_sender::html::{Tracked, Wrap};
use hushmark_sender::slot::{Reader, Values};
use hushmark_sender::{List, Template, TrackingHost};
use proptest::prelude::*;

use crate::fixture::{ANN, HOST, hrefs};

/// One rendering with tokens that can be told apart: the number of each call.
struct Rendered {
    html: String,
    destinations: Vec<String>,
}

fn render(html: &str) -> Rendered {
    let template = Template::parse(html).unwrap_or_else(|error| panic!("{error}\n{html}"));
    let list = List::read(ANN.as_bytes()).unwrap();
    let host = TrackingHost::parse(HOST).unwrap();
    let mut destinations = Vec::new();
    let mut wrap = Wrap {
        host: &host,
        opens: true,
        clicks: true,
        same_links: false,
        seal: &mut |what| match what {
            Tracked::Open | Tracked::Page => Ok("pixel".to_owned()),
            Tracked::Click { honeypot: true, .. } => Ok("honeypot".to_owned()),
            Tracked::Click { destination, .. } => {
                destinations.push(destination.to_owned());
                Ok(format!("token-{}-", destinations.len() - 1))
            }
        },
        warn: &mut |_| {},
    };
    let reader = Reader::One(&list.columns, &list.recipients[0]);
    let html = template.render(&Values { reader, unsubscribe: None, page: "" }, &mut wrap).unwrap();
    Rendered { html, destinations }
}

/// Takes the tail out and puts what stood in each `href` back.
fn undo(rendered: &Rendered, raw: &[String]) -> String {
    let mut html = rendered.html.clone();
    let start = html.rfind(&format!("<img src=\"{HOST}/o/pixel.gif\"")).unwrap();
    let end = start + html[start..].find('>').unwrap() + 1;
    let honeypot = html[..start].rfind(&format!("<a href=\"{HOST}/c/honeypot\""));
    html.replace_range(honeypot.unwrap_or(start)..end, "");
    for (i, raw) in raw.iter().enumerate() {
        html = html.replacen(&format!("{HOST}/c/token-{i}-"), raw, 1);
    }
    html
}

/// A URL's characters, all that a Location can carry, each encoded in one of the ways of HTML.
fn href() -> impl Strategy<Value = (String, String)> {
    let character = (
        prop_oneof![
            3 => proptest::char::range('!', '~'),
            1 => Just('&'),
            1 => Just('='),
        ],
        0..5u8,
    );
    let tail = prop::collection::vec(character, 0..40);
    (
        prop_oneof![Just("https://a.example/"), Just("HTTP://B.example?"), Just("https://c:8/#")],
        tail,
    )
        .prop_map(|(head, tail)| {
            let (mut url, mut raw) = (head.to_owned(), head.to_owned());
            for (c, how) in tail {
                // Not a placeholder, nor one that an editor encoded.
                if (c == '{' || c == 'b' || c == 'B') && url.ends_with(['{', '7']) {
                    continue;
                }
                url.push(c);
                let code = c as u32;
                match how {
                    0 => raw += &format!("&#{code};"),
                    1 => raw += &format!("&#x{code:X};"),
                    2 if c == '&' => raw += "&amp;",
                    _ if "&<>\"'`{}".contains(c) => raw += &format!("&#{code};"),
                    _ => raw.push(c),
                }
            }
            (url, raw)
        })
}

/// Text, markup and near-markup that holds no link that would be wrapped.
fn filler() -> impl Strategy<Value = String> {
    let pieces = [
        "text ",
        "&amp; &copy; & &#38;",
        "<p class=x>",
        "</p>",
        "<!-- <a href='https://no.example'> -->",
        "<!--[if mso]><v:rect href=\"https://no.example\"><![endif]-->",
        "<![if !mso]>",
        "<br/>",
        "<a name=\"x\">",
        "</a>",
        "<a href=\"#x\">",
        "<a href='mailto:a@a.example'>",
        "ü€😀\n\t",
        "<link href=\"https://no.example\">",
        "a < b > c",
        "<td background=\"https://no.example\">",
        "<style>a[href=\"https://no.example\"]{}</style>",
        "<title><a href=\"https://no.example\"></title>",
        "<img alt=\"<a href='https://no.example'>\" src=x>",
        "} }} {",
        "<area nohref>",
        "</body x>",
        "<div title='</body>'>",
        "<script>\"<a href='https://no.example'>\"</script>",
        "]]>",
        "\r\n",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..6).prop_map(|p| p.concat())
}

fn link() -> impl Strategy<Value = (String, String, String)> {
    let shape = prop::sample::select(vec![
        ("<a href=\"", "\">"),
        ("<A\nclass='x' HREF = '", "'\tid=y >"),
        ("<area href=\"", "\" />"),
        ("<a title=\"href='https://no.example'\" href='", "'href=https://no.example>"),
    ]);
    (shape, href()).prop_map(|((before, after), (url, raw))| {
        (url, raw.clone(), format!("{before}{raw}{after}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn destinations_come_back_and_all_else_is_untouched(
        parts in prop::collection::vec((filler(), link()), 0..8), last in filler(),
    ) {
        let html: String =
            parts.iter().map(|(filler, (_, _, tag))| format!("{filler}{tag}")).collect::<String>() + &last;
        let rendered = render(&html);
        let urls: Vec<_> = parts.iter().map(|(_, (url, ..))| url.clone()).collect();
        prop_assert_eq!(&rendered.destinations, &urls);
        let raw: Vec<_> = parts.iter().map(|(_, (_, raw, _))| raw.clone()).collect();
        prop_assert_eq!(undo(&rendered, &raw), html);
    }

    /// Soup of any kind: html5ever, which shares no code with what wraps, finds the same links.
    #[test]
    fn another_parser_finds_the_same_links(
        soup in prop::collection::vec(prop::sample::select(vec![
            "<a ", "<A\n", "<area ", "<p ", "href=", "HREF\t= ", "\"", "'", ">", " ", "/", "<", "</a>",
            "https://a.example/", "http://b.example/?x&amp;y&copy=1&lt", "mailto:a@a.example", "#", "&",
            "<!--", "-->", "--!>", "<!", "=", "x", "href", "href='https://c.example/'", "</", "ü",
        ]), 0..40),
    ) {
        let html = soup.concat();
        let rendered = render(&html);
        let theirs: Vec<_> = hrefs(&html)
            .into_iter()
            .filter(|href| {
                let url = href.trim_matches(|c: char| c <= ' ');
                let lower = url.to_ascii_lowercase();
                (lower.starts_with("http://") || lower.starts_with("https://"))
                    && url.bytes().all(|b| b.is_ascii_graphic())
                    && url::Url::parse(url).is_ok()
            })
            .map(|href| href.trim_matches(|c: char| c <= ' ').to_owned())
            .collect();
        prop_assert_eq!(rendered.destinations, theirs, "{}", html);
    }

    /// Any text at all: no panic, and either an error or every byte.
    #[test]
    fn any_text_is_taken_or_refused(html in "\\PC{0,200}") {
        if Template::parse(html.as_str()).is_ok() && !html.contains("{{") {
            let rendered = render(&html);
            if rendered.destinations.is_empty() && !html.to_lowercase().contains("data-no-track") {
                prop_assert_eq!(undo(&rendered, &[]), html);
            }
        }
    }

    /// A cell is text wherever it stands: parsed again, it says what the list said.
    #[test]
    fn a_cell_is_text_wherever_it_stands(cell in "[ -~äß€😀\n]{0,60}") {
        let list = format!("email,x\nann@example.org,\"{}\"\n", cell.replace('"', "\"\""));
        let list = List::read(list.as_bytes()).unwrap();
        let cell = cell.trim();
        let html = "<p title='{{x}}'><a data-no-track href=\"https://a.example/?q={{x}}&amp;z\"><i id=end>";
        let template = Template::parse(html).unwrap();
        let host = TrackingHost::parse(HOST).unwrap();
        let mut wrap = Wrap {
            host: &host, opens: false, clicks: true, same_links: false,
            seal: &mut |_| Ok("t".to_owned()), warn: &mut |_| {},
        };
        let reader = Reader::One(&list.columns, &list.recipients[0]);
        let html = template.render(&Values { reader, unsubscribe: None, page: "" }, &mut wrap).unwrap();
        let tags = crate::fixture::tags(&html);
        let names: Vec<_> = tags.iter().map(|tag| tag.name.to_string()).collect();
        prop_assert_eq!(names, ["p", "a", "i"]);
        prop_assert_eq!(tags[0].attrs[0].value.to_string(), cell);
        let href = tags[1].attrs[0].value.to_string();
        let url = url::Url::parse(&href).unwrap();
        let pairs: Vec<_> = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        prop_assert_eq!(pairs, [("q".to_owned(), cell.to_owned()), ("z".to_owned(), String::new())]);
    }
}
