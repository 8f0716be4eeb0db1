//! The stamped messages as a mail client sees them: MIME decoded, HTML read, and of it the pixel
//! and the links.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use lol_html::{RewriteStrSettings, element, rewrite_str};
use mail_parser::MessageParser;

/// A link that goes through the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Its position among all links of the newsletter, from 1.
    pub(super) number: u16,
    /// Path of the URL in the mail.
    pub(super) path: String,
    /// The author's URL.
    pub(super) destination: String,
}

/// What is tracked in one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Letter {
    /// Path of the pixel's URL.
    pub(super) pixel: Option<String>,
    /// Links that people see.
    pub(super) links: Vec<Link>,
    /// The link that people do not see.
    pub(super) honeypot: Option<Link>,
}

/// The addresses in a page, decoded, in its order.
#[derive(Debug, Default)]
pub(super) struct Page {
    links: Vec<String>,
    images: Vec<String>,
}

impl Page {
    pub(super) fn read(html: &str) -> Result<Self> {
        let page = RefCell::new(Self::default());
        let decoded = |value: Option<String>| {
            value.map(|value| htmlize::unescape_attribute(&value).into_owned())
        };
        let settings = RewriteStrSettings::new()
            .append_element_content_handler(element!("a[href], area[href]", |tag| {
                page.borrow_mut().links.extend(decoded(tag.get_attribute("href")));
                Ok(())
            }))
            .append_element_content_handler(element!("img[src]", |tag| {
                page.borrow_mut().images.extend(decoded(tag.get_attribute("src")));
                Ok(())
            }));
        rewrite_str(html, settings).context("the HTML cannot be read")?;
        Ok(page.into_inner())
    }
}

/// Reads every message of a folder, in the order of the list. `author` is the newsletter as it
/// was written, `base_url` what tracked links begin with.
pub(super) fn letters(folder: &Path, author: &Page, base_url: &str) -> Result<Vec<Letter>> {
    let mut paths = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        paths.push(entry.context("cannot read a message's name")?.path());
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let bytes = fs::read(path)?;
        letter(&html_of(&bytes)?, author, base_url)
    };
    paths
        .iter()
        .map(|path| read(path).with_context(|| format!("message {}", path.display())))
        .collect()
}

/// The HTML that a mail client would show.
fn html_of(message: &[u8]) -> Result<String> {
    let message = MessageParser::default().parse(message).context("is no mail")?;
    Ok(message.body_html(0).context("has no HTML")?.into_owned())
}

/// Tells tracked links from the author's own, which have to be as the author wrote them.
fn letter(html: &str, author: &Page, base_url: &str) -> Result<Letter> {
    let base_url = base_url.trim_end_matches('/');
    let path = |url: &str, route: &str| {
        url.strip_prefix(base_url).filter(|path| path.starts_with(route)).map(str::to_owned)
    };
    let page = Page::read(html)?;
    let mut letter = Letter::default();
    for (index, url) in page.links.iter().enumerate() {
        let number = u16::try_from(index + 1).context("has more links than can be numbered")?;
        match (path(url, "/c/"), author.links.get(index)) {
            (Some(path), Some(written)) => {
                ensure!(
                    !written.contains("{{"),
                    "link {number} differs by reader, and the demo cannot know where it leads: \
                     run it on a newsletter without placeholders in tracked links"
                );
                let destination = written.trim_matches(|c: char| c <= ' ').to_owned();
                letter.links.push(Link { number, path, destination });
            }
            (Some(path), None) if letter.honeypot.is_none() => {
                let first = letter.links.first().context("hides a link and shows none")?;
                let destination = first.destination.clone();
                letter.honeypot = Some(Link { number, path, destination });
            }
            (None, Some(written)) if url == written || written.contains("{{") => {}
            (_, written) => bail!("link {number} is {url}, and the author wrote {written:?}"),
        }
    }
    ensure!(page.links.len() >= author.links.len(), "has fewer links than the author wrote");
    let mut pixels = page.images.iter().filter_map(|url| path(url, "/o/"));
    letter.pixel = pixels.next();
    ensure!(pixels.next().is_none(), "has more than one pixel");
    Ok(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHOR: &str = "<a href=\"https://a.example/?x=1&amp;y=2\">a</a><a href=#in>b</a>\
        <map><area href='https://b.example/'></map><img src=\"https://a.example/logo.png\">";

    fn read(html: &str) -> Result<Letter> {
        letter(html, &Page::read(AUTHOR)?, "http://t.example:8080/")
    }

    #[test]
    fn tracked_links_are_known_by_their_place_and_lead_where_the_author_said() {
        let mail = "<a href=\"http://t.example:8080/c/one\">a</a><a href=#in>b</a>\
            <map><area href='http://t.example:8080/c/three'></map>\
            <img src=\"https://a.example/logo.png\">\
            <a href=\"http://t.example:8080/c/hidden\"></a>\
            <img src=\"http://t.example:8080/o/p.gif\">";
        let found = read(mail).unwrap();
        assert_eq!(found.pixel.as_deref(), Some("/o/p.gif"));
        let links: Vec<(u16, &str, &str)> = found
            .links
            .iter()
            .chain(&found.honeypot)
            .map(|link| (link.number, link.path.as_str(), link.destination.as_str()))
            .collect();
        assert_eq!(
            links,
            [
                (1, "/c/one", "https://a.example/?x=1&y=2"),
                (3, "/c/three", "https://b.example/"),
                (4, "/c/hidden", "https://a.example/?x=1&y=2"),
            ]
        );
    }

    #[test]
    fn a_mail_that_nobody_tracks_has_the_authors_links_and_no_pixel() {
        assert_eq!(read(AUTHOR).unwrap(), Letter::default());
    }

    #[test]
    fn a_link_that_is_neither_tracked_nor_the_authors_is_a_fault() {
        assert!(read(&AUTHOR.replace("#in", "#out")).is_err());
        assert!(read("<a href=\"https://a.example/?x=1&amp;y=2\">a</a>").is_err());
    }
}
