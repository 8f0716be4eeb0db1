//! What a token says, and its bytes before they are sealed.

use hushmark_policy::{
    CampaignId, Day, Generation, Kind, MailType, Mark, Mode, Place, TenantId, Tracking,
};

use crate::DESTINATION_MAX;

/// The version of the plaintext, and of the one that says `lastOpenDay`. What does not say so is the
/// first to the byte.
const VERSION: u8 = 1;
const VERSION_LAST_OPEN_DAY: u8 = 2;

/// Which path a token belongs to. The same claims on two routes are two tokens, and neither opens
/// on the other's route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Route {
    /// `/o/`: the pixel.
    Open = b'o',
    /// `/c/`: a link.
    Click = b'c',
    /// `/p/`: the page that says what is recorded.
    Page = b'p',
}

impl Route {
    /// Every route.
    pub const ALL: [Self; 3] = [Self::Open, Self::Click, Self::Page];

    /// The path segment before the token.
    #[must_use]
    pub const fn segment(self) -> char {
        self as u8 as char
    }
}

/// What is sealed in a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose mail it is.
    pub tenant: TenantId,
    /// Which mail it is.
    pub campaign: CampaignId,
    /// The tenant's generation for this mail type when the token was sealed.
    pub generation: Generation,
    /// How exactly hits may be counted, frozen here; caps can only lower it.
    pub mode: Mode,
    /// Campaign or transactional mail.
    pub mail_type: MailType,
    /// The finest place that may be kept.
    pub place: Place,
    /// The link that people do not see.
    pub honeypot: bool,
    /// The message or contact; present exactly where the mode has marks.
    pub mark: Option<Mark>,
    /// The link's position in the template, from 1; 0 for a pixel.
    pub link: u16,
    /// The last day on which hits count. Afterwards a redirect still works.
    pub last_day: Day,
    /// Where a click goes, to the byte; present exactly on [`Route::Click`]. ASCII.
    pub destination: Option<String>,
    /// On [`Route::Page`], where opens and clicks are not recorded alike.
    pub apart: Option<Apart>,
}

/// What a message records of opens and of clicks, where that differs. [`Claims::mode`] is the one of
/// the two by which it knows most of its reader.
#[derive(Clone, PartialEq, Eq)]
pub struct Apart {
    /// The mode of each.
    pub tracking: Tracking,
    /// The message's own mark, where one is `anonymous` and the other names the contact:
    /// [`Claims::mark`] is the contact's then.
    pub message: Option<Mark>,
}

impl Apart {
    fn fits(&self, mode: Mode) -> bool {
        let Tracking { opens, clicks } = self.tracking;
        let is_anonymous = opens == Mode::Anonymous || clicks == Mode::Anonymous;
        let both = is_anonymous && mode.names_contact();
        opens != clicks
            && clicks.is_for(Kind::Click)
            && self.tracking.knows_most() == mode
            && self.message.is_some() == both
    }
}

const FLAG_TRANSACTIONAL: u8 = 1 << 2;
const FLAG_HONEYPOT: u8 = 1 << 5;
const FLAG_LAST_OPEN_DAY: u8 = 1 << 6;
const PLACE_SHIFT: u8 = 3;

/// In the link's field of a page.
const CLICKS_SHIFT: u8 = 2;
const OPENS_LAST_DAY: u16 = 1 << 4;

/// Everything before the mark and the destination.
const FIXED_LEN: usize = 1 + 1 + 1 + 8 + 4 + 2 + 2;

impl Claims {
    /// Whether these claims can be sealed for a route: marks where the mode has them, a
    /// destination that is short visible ASCII where the route is a click, a link number likewise.
    #[must_use]
    pub fn fits(&self, route: Route) -> bool {
        let destination = match (&self.destination, route) {
            (Some(url), Route::Click) => is_location(url.as_bytes()),
            (None, Route::Open | Route::Page) => true,
            _ => false,
        };
        let link = (route == Route::Click) == (self.link != 0);
        let apart = match &self.apart {
            Some(apart) => route == Route::Page && apart.fits(self.mode),
            // Of clicks no day is kept alone.
            None => route == Route::Open || self.mode.is_for(Kind::Click),
        };
        destination && link && apart && self.mark.is_some() == self.mode.has_mark()
    }

    /// What the message records of opens and of clicks, as its page tells it.
    #[must_use]
    pub fn tracking(&self) -> Tracking {
        match &self.apart {
            Some(apart) => apart.tracking,
            None => Tracking { opens: self.mode, clicks: self.mode },
        }
    }

    /// The contact that the message names.
    #[must_use]
    pub fn contact(&self) -> Option<&Mark> {
        self.mark.as_ref().filter(|_| self.mode.names_contact())
    }

    /// The mark that the message has of its own.
    #[must_use]
    pub fn message(&self) -> Option<&Mark> {
        let own = self.mark.as_ref().filter(|_| self.mode == Mode::Anonymous);
        own.or_else(|| self.apart.as_ref()?.message.as_ref())
    }

    /// The plaintext: one claim has one form, and [`Self::decode`] refuses every other.
    pub(crate) fn encode(&self, route: Route, into: &mut Vec<u8>) {
        into.push(self.version());
        into.push(route as u8);
        let mut flags = (self.place as u8) << PLACE_SHIFT;
        flags |= if self.mode == Mode::LastOpenDay { FLAG_LAST_OPEN_DAY } else { self.mode as u8 };
        if self.mail_type == MailType::Transactional {
            flags |= FLAG_TRANSACTIONAL;
        }
        if self.honeypot {
            flags |= FLAG_HONEYPOT;
        }
        into.push(flags);
        into.extend_from_slice(&self.tenant.0.to_be_bytes());
        into.extend_from_slice(&self.generation.0.to_be_bytes());
        into.extend_from_slice(&self.link_field().to_be_bytes());
        into.extend_from_slice(&self.last_day.0.to_be_bytes());
        if let Some(mark) = &self.mark {
            into.extend_from_slice(&mark.expose().to_be_bytes());
        }
        if let Some(mark) = self.apart.as_ref().and_then(|apart| apart.message.as_ref()) {
            into.extend_from_slice(&mark.expose().to_be_bytes());
        }
        if let Some(url) = &self.destination {
            into.extend_from_slice(url.as_bytes());
        }
    }

    /// On a page there is no link, and the field says what differs.
    fn link_field(&self) -> u16 {
        self.apart.as_ref().map_or(self.link, |apart| {
            let Tracking { opens, clicks } = apart.tracking;
            let opens = if opens == Mode::LastOpenDay { OPENS_LAST_DAY } else { opens as u16 };
            opens | (clicks as u16) << CLICKS_SHIFT
        })
    }

    fn version(&self) -> u8 {
        let says_so = self.tracking().opens == Mode::LastOpenDay;
        if says_so { VERSION_LAST_OPEN_DAY } else { VERSION }
    }

    pub(crate) fn decode(campaign: CampaignId, route: Route, bytes: &[u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<FIXED_LEN>()?;
        let flags = fixed[2];
        if fixed[1] != route as u8 || flags >> 7 != 0 {
            return None;
        }
        let mode = match (flags & FLAG_LAST_OPEN_DAY != 0, flags & 3) {
            (false, n) => Mode::from_u8(n)?,
            (true, 0) => Mode::LastOpenDay,
            (true, _) => return None,
        };
        let (mark, rest) = if mode.has_mark() { split_mark(rest)? } else { (None, rest) };
        let field = u16::from_be_bytes([fixed[15], fixed[16]]);
        let (link, apart, rest) = match route {
            Route::Page if field != 0 => {
                let (apart, rest) = decode_apart(field, rest)?;
                (0, Some(apart), rest)
            }
            _ => (field, None, rest),
        };
        let destination = match route {
            Route::Click => Some(String::from_utf8(rest.to_vec()).ok()?),
            Route::Open | Route::Page if rest.is_empty() => None,
            Route::Open | Route::Page => return None,
        };
        let claims = Self {
            tenant: TenantId(u64::from_be_bytes(fixed[3..11].try_into().ok()?)),
            campaign,
            generation: Generation(u32::from_be_bytes(fixed[11..15].try_into().ok()?)),
            mode,
            mail_type: if flags & FLAG_TRANSACTIONAL == 0 {
                MailType::Campaign
            } else {
                MailType::Transactional
            },
            place: Place::from_u8(flags >> PLACE_SHIFT & 3)?,
            honeypot: flags & FLAG_HONEYPOT != 0,
            mark,
            link,
            last_day: Day(u16::from_be_bytes([fixed[17], fixed[18]])),
            destination,
            apart,
        };
        (claims.version() == fixed[0] && claims.fits(route)).then_some(claims)
    }
}

fn split_mark(bytes: &[u8]) -> Option<(Option<Mark>, &[u8])> {
    let (mark, rest) = bytes.split_first_chunk::<8>()?;
    Some((Some(Mark::new(u64::from_be_bytes(*mark))), rest))
}

fn decode_apart(field: u16, rest: &[u8]) -> Option<(Apart, &[u8])> {
    let mode = |bits: u16| Mode::from_u8((bits & 3) as u8);
    let opens = match (field >> (2 * CLICKS_SHIFT), field & 3) {
        (0, _) => mode(field)?,
        (1, 0) => Mode::LastOpenDay,
        _ => return None,
    };
    let tracking = Tracking { opens, clicks: mode(field >> CLICKS_SHIFT)? };
    let (message, rest) = if rest.is_empty() { (None, rest) } else { split_mark(rest)? };
    Some((Apart { tracking, message }, rest))
}

/// Whether bytes can stand in a `Location` header as they are: http or https, visible ASCII, and
/// short enough. A space, a control byte or a line end is never a redirect (RFC 9110, 10.2.2).
#[must_use]
pub fn is_location(url: &[u8]) -> bool {
    let scheme = |s: &[u8]| url.len() > s.len() && url[..s.len()].eq_ignore_ascii_case(s);
    url.len() <= DESTINATION_MAX
        && (scheme(b"http://") || scheme(b"https://"))
        && url.iter().all(u8::is_ascii_graphic)
}
