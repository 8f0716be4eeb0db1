//! The page of a message: what is recorded of it, in the reader's words and language, and a button
//! that ends it. Plain HTML without script; nothing is loaded from anywhere.
//!
//! A page is made of the message's modes and the reader's language and of nothing else, so that one
//! whose counting ended long ago is the same to the byte as one that is counted.

mod texts;

use std::fmt::Write as _;
use std::sync::LazyLock;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use hushmark_policy::{Kind, Mode, Tracking};

use texts::Texts;

/// A language that pages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    German,
    French,
    Spanish,
}

impl Language {
    const ALL: [Self; 4] = [Self::English, Self::German, Self::French, Self::Spanish];

    /// Its tag (RFC 5646).
    const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
        }
    }

    /// The one that the reader likes best of those that there are (RFC 9110, 12.5.4); English where
    /// there is none.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let wanted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        wanted.map_or(Self::English, Self::choose)
    }

    fn choose(wanted: &str) -> Self {
        let mut best = (0.0, Self::English);
        for range in wanted.split(',').take(RANGES) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=")).unwrap_or("1");
            let quality: f32 = quality.parse().unwrap_or(0.0);
            let main = tag.split('-').next().unwrap_or_default();
            let found = Self::ALL.into_iter().find(|it| it.tag().eq_ignore_ascii_case(main));
            if let Some(language) = found.filter(|_| quality > best.0 && quality <= 1.0) {
                best = (quality, language);
            }
        }
        best.1
    }
}

/// Languages of a header that are looked at.
const RANGES: usize = 16;

/// Modes of opens; those of clicks are all but the last.
const MODES: usize = Mode::ALL.len();
const MODES_OF_CLICKS: usize = MODES - 1;

/// Every page that there is, by language, mode of opens and mode of clicks.
static PAGES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let all = Language::ALL.into_iter().flat_map(|language| {
        Mode::of(Kind::Open).flat_map(move |opens| {
            Mode::of(Kind::Click).map(move |clicks| render(language, Tracking { opens, clicks }))
        })
    });
    all.collect()
});

/// Every answer to an objection, by language and whether it is about a contact.
static ANSWERS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let all = Language::ALL.into_iter().flat_map(|language| {
        let it = Texts::of(language);
        [it.holds_for_message, it.holds_for_contact]
            .map(|text| document(language, it.holds, &format!("<p>{text}</p>")))
    });
    all.collect()
});

/// What is recorded of a message.
pub(crate) fn of(language: Language, Tracking { opens, clicks }: Tracking) -> &'static str {
    &PAGES[(language as usize * MODES + opens as usize) * MODES_OF_CLICKS + clicks as usize]
}

/// An objection to a message holds.
pub(crate) fn objected(language: Language, tracking: Tracking) -> &'static str {
    &ANSWERS[language as usize * 2 + usize::from(tracking.names_contact())]
}

fn render(language: Language, tracking: Tracking) -> String {
    let it = Texts::of(language);
    let Tracking { opens, clicks } = tracking;
    let mut body = String::new();
    let mut section = |title: &str, texts: &[&str]| {
        write!(body, "<h2>{title}</h2>").expect("a string takes any text");
        for text in texts {
            write!(body, "<p>{text}</p>").expect("a string takes any text");
        }
    };
    section(it.opens_title, &[it.opens[opens as usize]]);
    section(it.clicks_title, &[it.clicks[clicks as usize]]);
    if !tracking.is_off() {
        section(it.until_title, &[it.until]);
    }
    section(it.never_title, &[it.never]);
    match tracking.knows_most() {
        Mode::Off => {}
        Mode::Overall => section(it.object_title, &[it.nobody]),
        Mode::Anonymous | Mode::Individual | Mode::LastOpenDay => {
            let is_contact = tracking.names_contact();
            let what = if is_contact { it.object_contact } else { it.object_message };
            section(it.object_title, &[what]);
            // Without an action it leads to the page's own address.
            write!(
                body,
                "<form method=\"post\"><button type=\"submit\">{}</button></form>",
                it.button
            )
            .expect("a string takes any text");
        }
    }
    document(language, it.title, &body)
}

const STYLE: &str = ":root{color-scheme:light dark}\
    body{font:1.125rem/1.5 system-ui,sans-serif;max-width:38em;margin:2em auto;padding:0 1em}\
    button{font:inherit;font-weight:bold;min-height:3em;padding:.5em 1.5em}";

fn document(language: Language, title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n",
        language.tag()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_get_their_language_or_english() {
        for (wanted, language) in [
            ("", Language::English),
            ("de", Language::German),
            ("DE-ch", Language::German),
            ("nl, fr-CA;q=0.8, en;q=0.7", Language::French),
            ("en;q=0.2, es;q=0.9", Language::Spanish),
            ("de;q=0, it", Language::English),
            ("*", Language::English),
            ("de;q=NaN, fr;q=9, es;q=0.1", Language::Spanish),
            (";;;,,q=", Language::English),
        ] {
            assert_eq!(Language::choose(wanted), language, "{wanted}");
        }
    }

    #[test]
    fn a_page_has_a_form_where_somebody_can_object() {
        for language in Language::ALL {
            for opens in Mode::of(Kind::Open) {
                for clicks in Mode::of(Kind::Click) {
                    let page = of(language, Tracking { opens, clicks });
                    assert!(page.contains(&format!("<html lang=\"{}\">", language.tag())));
                    assert!(page.contains(Texts::of(language).opens[opens as usize]));
                    assert!(page.contains(Texts::of(language).clicks[clicks as usize]));
                    let has_mark = opens.has_mark() || clicks.has_mark();
                    assert_eq!(page.contains("<form method=\"post\">"), has_mark);
                    let bare = ["<script", "src=", "href=", "http", "@import", "url("];
                    assert!(bare.iter().all(|loads| !page.contains(loads)), "{page}");
                }
            }
        }
    }

    #[test]
    fn whatever_is_counted_is_named_in_every_tracked_mode() {
        // Device, system, mail program and country, in the order of languages.
        let named = [
            ["device", "operating system", "mail program", "country"],
            ["Gerät", "Betriebssystem", "Mailprogramm", "Land"],
            ["appareil", "système", "logiciel", "pays"],
            ["dispositivo", "sistema operativo", "programa", "país"],
        ];
        for (language, named) in Language::ALL.into_iter().zip(named) {
            let it = Texts::of(language);
            // The first is of the mode in which nothing is recorded.
            let counted = 1..=Mode::Individual as usize;
            for text in it.opens[counted.clone()].iter().chain(&it.clicks[counted]) {
                assert!(named.iter().all(|what| text.contains(what)), "{text}");
            }
        }
    }

    #[test]
    fn the_pages_of_one_language() {
        let tracking = Tracking { opens: Mode::Anonymous, clicks: Mode::Overall };
        insta::assert_snapshot!("page", lines(of(Language::English, tracking)));
        let tracking = Tracking { opens: Mode::Individual, clicks: Mode::Off };
        insta::assert_snapshot!("page_of_a_contact", lines(of(Language::German, tracking)));
        insta::assert_snapshot!("answer", lines(objected(Language::French, tracking)));
        let tracking = Tracking { opens: Mode::LastOpenDay, clicks: Mode::Off };
        insta::assert_snapshot!("page_of_a_last_open_day", lines(of(Language::English, tracking)));
    }

    fn lines(page: &str) -> String {
        page.replace("<h", "\n<h").replace("<p>", "\n<p>").replace("<form", "\n<form")
    }
}
