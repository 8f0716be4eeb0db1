//! From what stands where to the pieces that are copied for each reader.

use std::ops::Range;

use super::scan::{Anchor, Region, Scan, scan};
use super::{Escape, Link, Piece, Template, TemplateError, Warning, WarningKind};
use crate::recipients::ADDRESS_COLUMNS;
use crate::slot::{self, Slot, TRACKING_PAGE, UNSUBSCRIBE, line_of};
use crate::url::{Target, target};

/// Link numbers are 16 bits wide; 0 is the pixel and the last is left for the honeypot.
pub(super) const MAX_LINKS: usize = u16::MAX as usize - 1;

/// What replaces a stretch of the source.
enum Cut {
    Slot(Slot, Escape),
    Href(usize),
    Strip,
    Tail,
}

pub(super) fn compile(source: String) -> Result<Template, TemplateError> {
    let scan = scan(&source)?;
    if scan.anchors.len() > MAX_LINKS {
        return Err(TemplateError::TooManyLinks);
    }
    let mut slots = Vec::new();
    for (range, slot) in slot::find(&source) {
        let region = region_at(&scan, range.start);
        if slot.is_err() && matches!(region, Some((_, Region::Raw))) {
            continue; // Braces of a style sheet's own.
        }
        let slot = slot?;
        let escape = escape_for(&source, region, range.start, slot.line)?;
        slots.push((range, slot, escape));
    }
    let mut links = Vec::with_capacity(scan.anchors.len());
    for (index, anchor) in scan.anchors.iter().enumerate() {
        let number = u16::try_from(index + 1).map_err(|_| TemplateError::TooManyLinks)?;
        let inside = slots.extract_if(.., |(range, ..)| within(range, &anchor.href)).collect();
        links.push(link(&source, number, anchor, inside)?);
    }
    let of_links = links.iter().filter(|link| !link.untracked).flat_map(|link| &link.slots);
    refuse_addresses(slots.iter().chain(of_links))?;
    let warnings = warnings(&source, &scan, &links);
    let pieces = pieces(&source, &scan, &links, slots);
    Ok(Template { source, pieces, links, warnings })
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// What the source has at an offset; `None` is a tag outside its attributes' values.
fn region_at(scan: &Scan, offset: usize) -> Option<&(Range<usize>, Region)> {
    let after = scan.regions.partition_point(|(region, _)| region.start <= offset);
    after.checked_sub(1).map(|i| &scan.regions[i]).filter(|(region, _)| offset < region.end)
}

fn escape_for(
    source: &str,
    region: Option<&(Range<usize>, Region)>,
    start: usize,
    line: usize,
) -> Result<Escape, TemplateError> {
    let refuse = |place| Err(TemplateError::Place { line, place });
    match region {
        None => refuse("inside a tag, outside its attributes' values"),
        Some((_, Region::Raw)) => refuse("in a style sheet or script"),
        Some((_, Region::Code)) => refuse("in a style, srcset, srcdoc or event attribute"),
        Some((_, Region::Attribute { quoted: false } | Region::Url { quoted: false })) => {
            refuse("in an attribute without quotes: put the value in quotes")
        }
        Some((_, Region::Text | Region::Comment | Region::Attribute { quoted: true })) => {
            Ok(Escape::Html)
        }
        Some((value, Region::Url { quoted: true })) => {
            let is_first = source[value.start..start].trim().is_empty();
            Ok(if is_first { Escape::WholeUrl } else { Escape::Component })
        }
    }
}

/// No URL that is wrapped, and none that is loaded by itself, carries the recipient's address.
fn refuse_addresses<'a>(
    slots: impl Iterator<Item = &'a (Range<usize>, Slot, Escape)>,
) -> Result<(), TemplateError> {
    for (_, slot, escape) in slots {
        if *escape != Escape::Html && ADDRESS_COLUMNS.contains(&slot.name.as_str()) {
            let (line, name) = (slot.line, slot.name.clone());
            return Err(TemplateError::AddressInUrl { line, name });
        }
    }
    Ok(())
}

fn link(
    source: &str,
    number: u16,
    anchor: &Anchor,
    slots: Vec<(Range<usize>, Slot, Escape)>,
) -> Result<Link, TemplateError> {
    let line = line_of(source, anchor.href.start);
    if source[anchor.href.clone()].to_ascii_lowercase().contains("%7b%7b") {
        return Err(TemplateError::EncodedSlot { line });
    }
    let is_system = |slot: &Slot| matches!(slot.name.as_str(), UNSUBSCRIBE | TRACKING_PAGE);
    let untracked = anchor.no_track || slots.iter().any(|(_, slot, _)| is_system(slot));
    Ok(Link { number, line, untracked, range: anchor.href.clone(), slots })
}

/// Warnings that hold whoever is addressed.
fn warnings(source: &str, scan: &Scan, links: &[Link]) -> Vec<Warning> {
    let elsewhere = scan.no_track_elsewhere.iter().map(|offset| Warning {
        line: line_of(source, *offset),
        kind: WarningKind::NoTrackElsewhere,
    });
    let unsubscribes = links
        .iter()
        .filter(|link| !link.untracked)
        .filter(|link| {
            let href = htmlize::unescape_attribute(&source[link.range.clone()]);
            target(&href) != Target::Other && href.to_ascii_lowercase().contains("unsubscribe")
        })
        .map(|link| Warning {
            line: link.line,
            kind: WarningKind::LooksLikeUnsubscribe(link.number),
        });
    elsewhere.chain(unsubscribes).collect()
}

fn pieces(
    source: &str,
    scan: &Scan,
    links: &[Link],
    slots: Vec<(Range<usize>, Slot, Escape)>,
) -> Vec<Piece> {
    let tail = scan.body_end.unwrap_or(source.len());
    let mut cuts: Vec<(Range<usize>, Cut)> = vec![(tail..tail, Cut::Tail)];
    cuts.extend(scan.stripped.iter().map(|range| (range.clone(), Cut::Strip)));
    cuts.extend(links.iter().enumerate().map(|(i, link)| (link.range.clone(), Cut::Href(i))));
    cuts.extend(slots.into_iter().map(|(range, slot, escape)| (range, Cut::Slot(slot, escape))));
    cuts.sort_by_key(|(range, _)| (range.start, range.end));

    let mut pieces = Vec::with_capacity(cuts.len() * 2 + 1);
    let mut at = 0;
    for (range, cut) in cuts {
        if range.start < at {
            // A placeholder in the value of an attribute that is stripped.
            continue;
        }
        if at < range.start {
            pieces.push(Piece::Verbatim(at..range.start));
        }
        at = range.end;
        pieces.extend(match cut {
            Cut::Slot(slot, escape) => Some(Piece::Slot(slot, escape)),
            Cut::Href(index) => Some(Piece::Href(index)),
            Cut::Tail => Some(Piece::Tail),
            Cut::Strip => None,
        });
    }
    if at < source.len() {
        pieces.push(Piece::Verbatim(at..source.len()));
    }
    pieces
}
