//! What is to be stamped, with every decision already made.

use hushmark_policy::{
    CampaignId, Day, Generation, MailType, Mark, Mode, Place, TenantId, Tracking,
};
use hushmark_token::{Claims, Route};

use crate::address::Address;
use crate::html::{Template, Tracked};
use crate::message::Envelope;
use crate::slot::{PlainTemplate, Reader, Values};
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
        self.tracking.opens.max(self.tracking.clicks) == Mode::Overall
    }

    pub(crate) fn values<'a>(&'a self, reader: Reader<'a>) -> Values<'a> {
        Values { reader, unsubscribe: self.envelope.unsubscribe_url() }
    }

    /// The claims of one token, and the route that it is sealed for.
    pub(crate) fn claims(
        &self,
        mode: Mode,
        mark: Option<&Mark>,
        what: Tracked<'_>,
    ) -> (Route, Claims) {
        let (route, link, destination, honeypot) = match what {
            Tracked::Open => (Route::Open, 0, None, false),
            Tracked::Click { link, destination, honeypot } => {
                (Route::Click, link, Some(destination.to_owned()), honeypot)
            }
        };
        let claims = Claims {
            tenant: self.tenant,
            campaign: self.campaign,
            generation: self.generation,
            mode,
            mail_type: self.mail_type,
            place: self.place,
            honeypot,
            mark: mark.cloned(),
            link,
            last_day: self.last_day,
            destination,
        };
        (route, claims)
    }
}
