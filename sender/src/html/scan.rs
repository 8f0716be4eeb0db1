//! Where things stand in the source, by a parser that follows the HTML standard.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use lol_html::html_content::{Attribute, Element, TextChunk, TextType};
use lol_html::{HtmlRewriter, Settings, doc_comments, doc_text, element, end_tag};

use super::TemplateError;
use crate::slot::line_of;

/// What a stretch of the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// Text in which entities are decoded.
    Text,
    /// A comment, conditional or not.
    Comment,
    /// Style, script and the like, in which nothing can be escaped.
    Raw,
    /// An attribute's value that is not a URL.
    Attribute {
        /// Whether quotes keep a cell inside.
        quoted: bool,
    },
    /// An attribute's value that is a URL.
    Url {
        /// Whether quotes keep a cell inside.
        quoted: bool,
    },
    /// An attribute whose value is code: `style`, `on…`, `srcdoc`, `srcset`.
    Code,
}

/// An `href` that may be wrapped.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) href: Range<usize>,
    pub(super) no_track: bool,
}

/// Everything that cutting the source needs to know.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In the source's order, apart from each other.
    pub(super) regions: Vec<(Range<usize>, Region)>,
    pub(super) anchors: Vec<Anchor>,
    /// `data-no-track` attributes with the white space before them, which are not sent.
    pub(super) stripped: Vec<Range<usize>>,
    /// Offsets of `data-no-track` on elements that are no links.
    pub(super) no_track_elsewhere: Vec<usize>,
    /// Where `</body>` begins, or `</html>` where it is left out.
    pub(super) body_end: Option<usize>,
}

const NO_TRACK: &str = "data-no-track";

const URL_ATTRIBUTES: [&str; 11] = [
    "href",
    "src",
    "action",
    "background",
    "formaction",
    "poster",
    "cite",
    "data",
    "longdesc",
    "xlink:href",
    "ping",
];

/// Walks the source once.
pub(super) fn scan(source: &str) -> Result<Scan, TemplateError> {
    let scan = RefCell::new(Scan::default());
    let body_end = Rc::new(Cell::new(None));
    let amp = Cell::new(None);
    let settings = Settings::new()
        .append_element_content_handler(element!("*", |el| {
            let mut scan = scan.borrow_mut();
            scan.element(source, el);
            if el.tag_name() == "html" && el.attributes().iter().any(is_amp) {
                amp.set(Some(el.source_location().bytes().start));
            }
            Ok(())
        }))
        .append_element_content_handler(element!("body", |el| {
            let body_end = Rc::clone(&body_end);
            if let Some(handlers) = el.end_tag_handlers() {
                handlers.push(end_tag!(move |end| {
                    // Where `</body>` is left out, `</html>` ends it.
                    if matches!(end.name().as_str(), "body" | "html") {
                        body_end.set(Some(end.source_location().bytes().start));
                    }
                    Ok(())
                }));
            }
            Ok(())
        }))
        .append_document_content_handler(doc_comments!(|comment| {
            let range = comment.source_location().bytes();
            scan.borrow_mut().regions.push((range, Region::Comment));
            Ok(())
        }))
        .append_document_content_handler(doc_text!(|text| {
            scan.borrow_mut().text(text);
            Ok(())
        }));
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    let parsed = rewriter.write(source.as_bytes()).and_then(|()| rewriter.end());
    parsed.map_err(|error| TemplateError::Parse(error.to_string()))?;
    if let Some(offset) = amp.get() {
        return Err(TemplateError::Amp { line: line_of(source, offset) });
    }
    let mut scan = scan.into_inner();
    scan.body_end = body_end.get();
    scan.regions.sort_by_key(|(range, _)| range.start);
    Ok(scan)
}

fn is_amp(attribute: &Attribute<'_>) -> bool {
    matches!(attribute.name().as_str(), "amp4email" | "⚡4email" | "⚡" | "amp")
}

impl Scan {
    fn text(&mut self, text: &TextChunk<'_>) {
        let range = text.source_location().bytes();
        if range.is_empty() {
            return;
        }
        let region = match text.text_type() {
            TextType::Data | TextType::RCData => Region::Text,
            _ => Region::Raw,
        };
        self.regions.push((range, region));
    }

    fn element(&mut self, source: &str, el: &Element<'_, '_>) {
        let is_html = el.namespace_uri() == "http://www.w3.org/1999/xhtml";
        let is_link = is_html && matches!(el.tag_name().as_str(), "a" | "area");
        let mut no_track = None;
        let mut href = None;
        for attribute in el.attributes() {
            let name = attribute.name();
            let value = attribute.value_source_location().map(|location| location.bytes());
            if name == NO_TRACK {
                no_track = attribute.name_source_location().map(|location| location.bytes().start);
                self.stripped.extend(whole_attribute(source, attribute));
            }
            if name == "href" && href.is_none() {
                // The first counts, even without a value (HTML, "attribute name state").
                href = Some(value.clone());
            }
            let Some(range) = value else { continue };
            let region = region_of(source, &name, &range);
            self.regions.push((range, region));
        }
        match (is_link, href.flatten(), no_track) {
            (true, Some(href), no_track) => {
                self.anchors.push(Anchor { href, no_track: no_track.is_some() });
            }
            (false, _, Some(offset)) => self.no_track_elsewhere.push(offset),
            _ => {}
        }
    }
}

fn region_of(source: &str, name: &str, range: &Range<usize>) -> Region {
    let quoted = is_quoted(source, range);
    if name == "style" || name == "srcdoc" || name == "srcset" || name.starts_with("on") {
        Region::Code
    } else if URL_ATTRIBUTES.contains(&name) {
        Region::Url { quoted }
    } else {
        Region::Attribute { quoted }
    }
}

fn is_quoted(source: &str, value: &Range<usize>) -> bool {
    matches!(source.as_bytes().get(value.start.wrapping_sub(1)), Some(b'"' | b'\''))
}

/// An attribute with its value, its quotes and the white space before it.
fn whole_attribute(source: &str, attribute: &Attribute<'_>) -> Option<Range<usize>> {
    let name = attribute.name_source_location()?.bytes();
    let bytes = source.as_bytes();
    let space = bytes[..name.start].iter().rev().take_while(|byte| byte.is_ascii_whitespace());
    let start = name.start - space.count();
    let end = match attribute.value_source_location().map(|location| location.bytes()) {
        Some(value) => value.end + usize::from(is_quoted(source, &value)),
        None => name.end,
    };
    Some(start..end)
}
