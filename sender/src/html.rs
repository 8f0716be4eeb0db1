//! A newsletter's HTML as the author wrote it, taken apart once and put together for each reader.
//!
//! lol_html, a parser that follows the HTML standard, says where tags, attributes, text and
//! comments stand in the source. [`Template::parse`] cuts the source there, and
//! [`Template::render`] copies the pieces: what lies between them is the author's to the byte, and
//! nothing that comes from the list is ever parsed as markup.

mod compile;
mod render;
mod scan;

use std::ops::Range;

use hushmark_token::SealError;

use crate::slot::{Slot, SlotError};
use crate::url::Flaw;

pub use render::{Tracked, Wrap};

/// A newsletter that is ready to be rendered.
#[derive(Debug)]
pub struct Template {
    source: String,
    pieces: Vec<Piece>,
    links: Vec<Link>,
    warnings: Vec<Warning>,
}

/// A part of the source, in order; together they are all of it that is sent.
#[derive(Debug)]
enum Piece {
    /// Copied as it is.
    Verbatim(Range<usize>),
    /// Filled from the list.
    Slot(Slot, Escape),
    /// An `href`, by its index in `links`.
    Href(usize),
    /// Where the honeypot link and the pixel go.
    Tail,
}

/// How a cell is made safe for where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// Text, a quoted attribute, a comment.
    Html,
    /// Inside a URL whose beginning is the author's.
    Component,
    /// A whole URL.
    WholeUrl,
}

/// One `a` or `area` that has an `href`.
#[derive(Debug)]
pub struct Link {
    /// Its position in the template, from 1. Reports count clicks under this number.
    pub number: u16,
    /// The line that its `href` stands on.
    pub line: usize,
    /// Whether it is never wrapped: `data-no-track`, or the placeholder of a system link.
    pub untracked: bool,
    /// The `href`'s place in the source, still encoded.
    range: Range<usize>,
    slots: Vec<(Range<usize>, Slot, Escape)>,
}

/// Something that a person should look at, and that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Line in the template.
    pub line: usize,
    /// What it is.
    pub kind: WarningKind,
}

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WarningKind {
    /// A link that could not be wrapped.
    Unwrapped(u16, Flaw),
    /// A wrapped link beyond 900 characters; Outlook has cut at 1,024.
    LongUrl(u16),
    /// A wrapped link that looks like it unsubscribes.
    LooksLikeUnsubscribe(u16),
    /// `data-no-track` on something that is no link.
    NoTrackElsewhere,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match self.kind {
            WarningKind::Unwrapped(link, flaw) => {
                write!(f, "link {link} is sent as it is and not tracked, because {flaw}")
            }
            WarningKind::LongUrl(link) => write!(
                f,
                "link {link} is longer than {} characters once wrapped, and some mail clients cut \
                 it: shorten the URL or mark it data-no-track",
                render::LONG_URL
            ),
            WarningKind::LooksLikeUnsubscribe(link) => write!(
                f,
                "link {link} looks like an unsubscribe link and is tracked: use \
                 {{{{unsubscribe}}}} or mark it data-no-track"
            ),
            WarningKind::NoTrackElsewhere => f.write_str(
                "data-no-track has no effect here: put it on each link that is not to be tracked",
            ),
        }
    }
}

/// Why a newsletter cannot be used. Each names the line.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// lol_html gave up.
    #[error("the HTML cannot be read: {0}")]
    Parse(String),
    /// An AMP document was given where the HTML part belongs.
    #[error(
        "line {line}: this is the AMP part of a mail, which must be sent as it is: stamp the HTML \
         part"
    )]
    Amp {
        /// Line in the template.
        line: usize,
    },
    /// A placeholder is malformed.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// A placeholder stands where no cell can be made safe.
    #[error("line {line}: a placeholder cannot stand {place}")]
    Place {
        /// Line in the template.
        line: usize,
        /// Where it stands.
        place: &'static str,
    },
    /// The recipient's address would be part of a URL that is tracked or loaded.
    #[error(
        "line {line}: {{{{{name}}}}} would put the recipient's address into a URL: use another \
         column, or mark the link data-no-track"
    )]
    AddressInUrl {
        /// Line in the template.
        line: usize,
        /// The column.
        name: String,
    },
    /// An editor encoded the braces of a placeholder.
    #[error(
        "line {line}: the link contains %7B%7B: an editor has encoded a placeholder, write \
         {{{{column}}}}"
    )]
    EncodedSlot {
        /// Line in the template.
        line: usize,
    },
    /// More links than numbers.
    #[error("the newsletter has more than {} links", compile::MAX_LINKS)]
    TooManyLinks,
}

/// Why a newsletter cannot be rendered for one reader.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A placeholder has no value.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// A link whose URL comes from the list has none that a mail may have.
    #[error(
        "line {line}: the list gives {{{{{name}}}}} no URL that may stand there: it has to begin \
         with https://, http://, mailto:, tel:, sms: or cid:"
    )]
    BadUrl {
        /// Line in the template.
        line: usize,
        /// The column.
        name: String,
    },
    /// In `overall` a link differs by recipient.
    #[error(
        "line {line}: link {link} differs by recipient because of {{{{{name}}}}}, which `overall` \
         does not allow: remove the placeholder or mark the link data-no-track"
    )]
    Personalised {
        /// The link's number.
        link: u16,
        /// Line in the template.
        line: usize,
        /// The column.
        name: String,
    },
    /// Sealing.
    #[error("link {link} cannot be sealed: {source}")]
    Seal {
        /// The link's number; 0 is the pixel.
        link: u16,
        /// What the sealer says.
        source: SealError,
    },
}

impl Template {
    /// Takes a newsletter apart.
    ///
    /// # Errors
    /// [`TemplateError`] names the line.
    pub fn parse(source: impl Into<String>) -> Result<Self, TemplateError> {
        compile::compile(source.into())
    }

    /// Every `a` and `area` with an `href`, in the template's order.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The number that the honeypot link has: the one after the author's last link.
    #[must_use]
    pub fn honeypot_number(&self) -> u16 {
        // `compile` refuses more links than leave this one free.
        self.links.last().map_or(1, |link| link.number + 1)
    }

    /// Whether a placeholder of that name stands in it.
    pub(crate) fn names(&self, name: &str) -> bool {
        let of_pieces = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot(slot, _) => Some(slot),
            Piece::Verbatim(_) | Piece::Href(_) | Piece::Tail => None,
        });
        let of_links = self.links.iter().flat_map(|link| &link.slots).map(|(_, slot, _)| slot);
        of_pieces.chain(of_links).any(|slot| slot.name == name)
    }

    /// What a person should look at, known before anyone is addressed.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
