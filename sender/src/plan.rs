//! What is to be stamped, with every decision already made.

use hushmark_policy::{
    CampaignId, Day, Generation, MailType, Mark, Mode, Place, TenantId, Tracking,
};
use hushmark_token::{Apart, Claims, Route};

use crate::address::Address;
use crate::html::Template;
use crate::message::Envelope;
use crate::slot::{PlainTemplate, Reader, TRACKING_PAGE, Values};
use crate::url::TrackingHost;

/// A campaign as it is to be stamped. The modes are what policy resolved to, and are frozen here.
pub struct Plan {
    /// Whose mail it is.
    pub tenant: TenantId,
    /// Which mail it is.
    pub campaign: CampaignId,
    /// The tenant's generation for this mail type.
    pub generation: Generation,
    /// What opens and clicks may tell.
    pub tracking: Tracking,
    /// Campaign or transactional mail.
    pub mail_type: MailType,
    /// The finest place that hits may keep.
    pub place: Place,
    /// The last day on which hits count.
    pub last_day: Day,
    /// Who serves pixels and redirects.
    pub host: TrackingHost,
    /// Headers that every message has.
    pub envelope: Envelope,
    /// The subject, which may have placeholders.
    pub subject: PlainTemplate,
    /// The newsletter.
    pub html: Template,
    /// A plain-text part. Its placeholders are filled and its links are left alone.
    pub text: Option<PlainTemplate>,
    /// Where one message goes to all: the list's own address. Without one, `To` names nobody.
    pub list_address: Option<Address>,
    /// Whether good rows are stamped when others are bad.
    pub keep_going: bool,
}

impl Plan {
    /// Whether one message goes to all: something is tracked, and nothing tells readers apart.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.tracking.knows_most() == Mode::Overall
    }

    pub(crate) fn values<'a>(&'a self, reader: Reader<'a>, page: &'a str) -> Values<'a> {
        Values { reader, unsubscribe: self.envelope.unsubscribe_url(), page }
    }

    /// Whether a message links to its own page anywhere.
    pub(crate) fn has_page(&self) -> bool {
        self.html.names(TRACKING_PAGE)
            || self.subject.names(TRACKING_PAGE)
            || self.text.as_ref().is_some_and(|text| text.names(TRACKING_PAGE))
    }

    /// The claims of a message's page: all that objecting to it needs. Where nothing tells readers
    /// apart they are the same for everyone.
    pub(crate) fn page(
        &self,
        tracking: Tracking,
        opens: Option<&Mark>,
        clicks: Option<&Mark>,
    ) -> Claims {
        let of = |mode| match tracking {
            Tracking { opens: of_opens, .. } if of_opens == mode => opens,
            Tracking { clicks: of_clicks, .. } if of_clicks == mode => clicks,
            _ => None,
        };
        let mode = tracking.knows_most();
        let mark = if mode.has_mark() { of(mode) } else { None };
        let own = if mode.names_contact() { of(Mode::Anonymous) } else { None };
        let is_apart = tracking.opens != tracking.clicks;
        let apart = is_apart.then(|| Apart { tracking, message: own.cloned() });
        Claims { apart, ..self.sealed(mode, mark) }
    }

    /// What every token of a message says.
    fn sealed(&self, mode: Mode, mark: Option<&Mark>) -> Claims {
        Claims {
            tenant: self.tenant,
            campaign: self.campaign,
            generation: self.generation,
            mode,
            mail_type: self.mail_type,
            place: self.place,
            honeypot: false,
            mark: mark.cloned(),
            link: 0,
            last_day: self.last_day,
            destination: None,
            apart: None,
        }
    }

    /// The claims of a link's token.
    pub(crate) fn link(
        &self,
        mode: Mode,
        mark: Option<&Mark>,
        (link, destination, honeypot): (u16, &str, bool),
    ) -> (Route, Claims) {
        let destination = Some(destination.to_owned());
        (Route::Click, Claims { link, destination, honeypot, ..self.sealed(mode, mark) })
    }

    /// The claims of the pixel's token.
    pub(crate) fn pixel(&self, mode: Mode, mark: Option<&Mark>) -> (Route, Claims) {
        (Route::Open, self.sealed(mode, mark))
    }
}
