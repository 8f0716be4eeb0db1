//! One message from the pieces.

use std::borrow::Cow;

use hushmark_token::SealError;

use super::{Escape, Link, Piece, RenderError, Template, Warning, WarningKind};
use crate::slot::{Slot, Values};
use crate::url::{self, Target, TrackingHost};

/// The length above which a wrapped URL is warned about. Outlook has cut at 1,024 characters, and
/// RFC 5322 ends a line at 998.
pub(super) const LONG_URL: usize = 900;

/// What a token is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracked<'a> {
    /// The pixel.
    Open,
    /// The page of the message.
    Page,
    /// A link.
    Click {
        /// Its position in the template, from 1.
        link: u16,
        /// The author's URL, decoded, to the byte.
        destination: &'a str,
        /// Whether it is the link that no person sees.
        honeypot: bool,
    },
}

/// How one message's links are wrapped.
pub struct Wrap<'a> {
    /// Who serves pixels and redirects.
    pub host: &'a TrackingHost,
    /// Whether the pixel is placed.
    pub opens: bool,
    /// Whether links are wrapped.
    pub clicks: bool,
    /// Whether tracked links are the same for everyone, as `overall` wants them.
    pub same_links: bool,
    /// Makes the token of what it is wanted for.
    pub seal: &'a mut dyn FnMut(Tracked<'_>) -> Result<String, SealError>,
    /// Takes what a person should look at.
    pub warn: &'a mut dyn FnMut(Warning),
}

impl Template {
    /// The HTML for one reader.
    ///
    /// # Errors
    /// [`RenderError`] names the line and the link.
    pub fn render(&self, values: &Values<'_>, wrap: &mut Wrap<'_>) -> Result<String, RenderError> {
        let mut out = String::with_capacity(self.source.len() * 3 / 2);
        let mut tail_at = 0;
        let mut first_wrapped = None;
        for piece in &self.pieces {
            match piece {
                Piece::Verbatim(range) => out.push_str(&self.source[range.clone()]),
                Piece::Slot(slot, escape) => out.push_str(&fill(slot, *escape, values)?),
                Piece::Href(index) => {
                    let wrapped = self.href(&self.links[*index], values, wrap, &mut out)?;
                    first_wrapped = first_wrapped.or(wrapped);
                }
                Piece::Tail => tail_at = out.len(),
            }
        }
        let tail = self.tail(first_wrapped.as_deref(), wrap)?;
        out.insert_str(tail_at, &tail);
        Ok(out)
    }

    /// Writes one `href`. Returns the author's URL if it was wrapped.
    fn href(
        &self,
        link: &Link,
        values: &Values<'_>,
        wrap: &mut Wrap<'_>,
        out: &mut String,
    ) -> Result<Option<String>, RenderError> {
        let encoded = self.encoded_href(link, values)?;
        let (number, line) = (link.number, link.line);
        let target = match htmlize::unescape_attribute(encoded.as_ref()) {
            _ if !wrap.clicks || link.untracked => Target::Other,
            href => url::target(&href),
        };
        let destination = match target {
            Target::Web(url) if values.unsubscribe != Some(url.as_str()) => url,
            unwrapped => {
                if let Target::Unsealable(flaw) = unwrapped {
                    (wrap.warn)(Warning { line, kind: WarningKind::Unwrapped(number, flaw) });
                }
                out.push_str(&encoded);
                return Ok(None);
            }
        };
        if wrap.same_links
            && let Some((_, slot, _)) = link.slots.first()
            && values.is_personal()
        {
            let name = slot.name.clone();
            return Err(RenderError::Personalised { link: number, line, name });
        }
        let what = Tracked::Click { link: number, destination: &destination, honeypot: false };
        let token =
            (wrap.seal)(what).map_err(|source| RenderError::Seal { link: number, source })?;
        let url = wrap.host.click(&token);
        if url.len() > LONG_URL {
            (wrap.warn)(Warning { line, kind: WarningKind::LongUrl(number) });
        }
        out.push_str(&htmlize::escape_all_quotes(url));
        Ok(Some(destination))
    }

    /// The author's `href` with its placeholders filled, encoded as it is sent if not wrapped.
    fn encoded_href(&self, link: &Link, values: &Values<'_>) -> Result<Cow<'_, str>, RenderError> {
        if link.slots.is_empty() {
            return Ok(Cow::Borrowed(&self.source[link.range.clone()]));
        }
        let mut encoded = String::with_capacity(link.range.len() * 2);
        let mut at = link.range.start;
        for (range, slot, escape) in &link.slots {
            encoded.push_str(&self.source[at..range.start]);
            encoded.push_str(&fill(slot, *escape, values)?);
            at = range.end;
        }
        encoded.push_str(&self.source[at..link.range.end]);
        Ok(Cow::Owned(encoded))
    }

    /// What stands before `</body>`: a link that only machines follow, and the pixel.
    fn tail(&self, honeypot: Option<&str>, wrap: &mut Wrap<'_>) -> Result<String, RenderError> {
        let mut tail = String::new();
        if let Some(destination) = honeypot {
            let link = self.honeypot_number();
            // Whoever does find it lands on a page that the author links to anyway: no redirect
            // ever goes anywhere else.
            let what = Tracked::Click { link, destination, honeypot: true };
            let token = (wrap.seal)(what).map_err(|source| RenderError::Seal { link, source })?;
            // It has no text, so that it stays invisible where styles are taken out, and screen
            // readers and the tab key pass it by.
            tail += &format!(
                "<a href=\"{}\" style=\"display:none;mso-hide:all\" aria-hidden=\"true\" \
                 tabindex=\"-1\"></a>",
                htmlize::escape_all_quotes(wrap.host.click(&token))
            );
        }
        if wrap.opens {
            let token = (wrap.seal)(Tracked::Open)
                .map_err(|source| RenderError::Seal { link: 0, source })?;
            // Not hidden: some clients do not load what is.
            tail += &format!(
                "<img src=\"{}\" width=\"1\" height=\"1\" alt=\"\" border=\"0\" \
                 style=\"display:block\">",
                htmlize::escape_all_quotes(wrap.host.pixel(&token))
            );
        }
        Ok(tail)
    }
}

/// A cell, made safe for where it stands.
fn fill<'a>(
    slot: &'a Slot,
    escape: Escape,
    values: &Values<'a>,
) -> Result<Cow<'a, str>, RenderError> {
    let cell = values.get(slot)?;
    Ok(match escape {
        Escape::Html => htmlize::escape_all_quotes(cell),
        Escape::Component => Cow::Owned(url::component(&cell).into_owned()),
        Escape::WholeUrl if url::may_come_from_list(&cell) => htmlize::escape_all_quotes(cell),
        Escape::WholeUrl => {
            return Err(RenderError::BadUrl { line: slot.line, name: slot.name.clone() });
        }
    })
}
