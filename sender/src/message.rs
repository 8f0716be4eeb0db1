//! One ready `.eml`: what RFC 5322 and MIME want around the rendered newsletter.
//!
//! No header carries anything that tells one reader from another but `To`: there is no tracking
//! id, and the Message-ID is random.

use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::Address as AddressHeader;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;

use crate::address::{Address, AddressError};

/// A sender as it stands in `From`: a display name, if it has one, and an address.
#[derive(Clone)]
pub struct Mailbox {
    name: Option<String>,
    address: Address,
}

/// A header that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// A line break or another control character, which could begin a header of its own.
    #[error("{header} contains a line break or another control character")]
    Control {
        /// The header's name.
        header: &'static str,
    },
    /// An address inside.
    #[error("{header}: {source}")]
    Address {
        /// The header's name.
        header: &'static str,
        /// What is wrong with it.
        source: AddressError,
    },
    /// Not a host name.
    #[error("{host:?} is no host name for a Message-ID")]
    Host {
        /// What was given.
        host: String,
    },
    /// The unsubscribe URL.
    #[error(
        "the unsubscribe URL has to begin with https://, http:// or mailto:, in ASCII without \
         spaces; one-click needs https:// (RFC 8058)"
    )]
    Unsubscribe,
}

fn no_controls(header: &'static str, text: &str) -> Result<(), HeaderError> {
    if text.contains(char::is_control) { Err(HeaderError::Control { header }) } else { Ok(()) }
}

/// Refuses a rendered subject that could end its header and begin another.
pub(crate) fn check_subject(subject: &str) -> Result<(), HeaderError> {
    no_controls("Subject", subject)
}

impl Mailbox {
    /// Reads `Acme News <news@example.org>` or `news@example.org`.
    ///
    /// # Errors
    /// [`HeaderError`] when the address is none or the name has a control character.
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        no_controls("From", text)?;
        let (name, address) = match text.trim().strip_suffix('>').and_then(|t| t.rsplit_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"'), address),
            None => ("", text),
        };
        let address = Address::parse(address)
            .map_err(|source| HeaderError::Address { header: "From", source })?;
        Ok(Self { name: (!name.is_empty()).then(|| name.to_owned()), address })
    }
}

/// Where a reader can leave the list (RFC 2369, RFC 8058).
#[derive(Clone, Debug)]
pub struct Unsubscribe {
    url: String,
    one_click: bool,
}

impl Unsubscribe {
    /// Takes a URL; `one_click` says that a POST to it unsubscribes without asking (RFC 8058).
    ///
    /// # Errors
    /// [`HeaderError::Unsubscribe`] when it is none that the header can carry.
    pub fn new(url: &str, one_click: bool) -> Result<Self, HeaderError> {
        let lower = url.to_ascii_lowercase();
        let schemes: &[&str] =
            if one_click { &["https://"] } else { &["https://", "http://", "mailto:"] };
        let clean = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,\"".contains(&byte));
        if !clean || !schemes.iter().any(|scheme| lower.starts_with(scheme)) {
            return Err(HeaderError::Unsubscribe);
        }
        Ok(Self { url: url.to_owned(), one_click })
    }

    /// The URL, which is never wrapped.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// What is the same in every message of a campaign.
#[derive(Clone)]
pub struct Envelope {
    from: Mailbox,
    date: i64,
    host: String,
    unsubscribe: Option<Unsubscribe>,
}

impl Envelope {
    /// Takes the sender, the moment of sending in seconds since 1970, and the region's host, which
    /// stands in Message-IDs.
    ///
    /// # Errors
    /// [`HeaderError::Host`] when the host is none.
    pub fn new(
        from: Mailbox,
        date: i64,
        host: &str,
        unsubscribe: Option<Unsubscribe>,
    ) -> Result<Self, HeaderError> {
        if Address::parse(&format!("x@{host}")).is_err() {
            return Err(HeaderError::Host { host: host.to_owned() });
        }
        Ok(Self { from, date, host: host.to_owned(), unsubscribe })
    }

    /// The unsubscribe URL, if there is one.
    #[must_use]
    pub fn unsubscribe_url(&self) -> Option<&str> {
        self.unsubscribe.as_ref().map(Unsubscribe::url)
    }
}

/// Who stands in `To`.
#[derive(Clone, Copy)]
pub enum To<'a> {
    /// A person, or the address of a list.
    One(&'a Address),
    /// Nobody by name (RFC 5322, appendix A.1.3).
    Undisclosed,
}

/// What differs from message to message.
pub struct Message<'a> {
    /// Who stands in `To`.
    pub to: To<'a>,
    /// The subject, rendered.
    pub subject: &'a str,
    /// The HTML, rendered and wrapped.
    pub html: &'a str,
    /// The plain-text part, if the campaign has one. No link in it is ever wrapped.
    pub text: Option<&'a str>,
    /// 192 random bits for Message-ID and MIME boundary. They must not be a mark.
    pub random: [u64; 3],
}

impl Message<'_> {
    /// The message's bytes: lines of at most 78 characters but where a header cannot be folded,
    /// none beyond 998.
    ///
    /// # Errors
    /// [`HeaderError::Control`] when the subject would break the header.
    pub fn build(&self, envelope: &Envelope) -> Result<Vec<u8>, HeaderError> {
        check_subject(self.subject)?;
        let [high, low, boundary] = self.random;
        let from = &envelope.from;
        let to: HeaderType<'_> = match self.to {
            To::One(address) => AddressHeader::new_address(None::<&str>, address.expose()).into(),
            To::Undisclosed => Raw::new("undisclosed-recipients:;").into(),
        };
        let mut mail = MessageBuilder::new()
            .from(AddressHeader::new_address(from.name.as_deref(), from.address.expose()))
            .header("To", to)
            .subject(self.subject)
            .date(envelope.date)
            .message_id(format!("{high:016x}{low:016x}@{}", envelope.host));
        if let Some(unsubscribe) = &envelope.unsubscribe {
            mail = mail.header("List-Unsubscribe", Raw::new(format!("<{}>", unsubscribe.url)));
            if unsubscribe.one_click {
                let value = Raw::new("List-Unsubscribe=One-Click");
                mail = mail.header("List-Unsubscribe-Post", value);
            }
        }
        let html = MimePart::new("text/html", self.html);
        let body = match self.text {
            None => html,
            // Named here because the builder's own boundary tells the sending machine's clock.
            Some(text) => MimePart::new(
                ContentType::new("multipart/alternative")
                    .attribute("boundary", format!("={boundary:016x}=")),
                vec![MimePart::new("text/plain", text), html],
            ),
        };
        Ok(mail.body(body).write_to_vec().expect("writing to memory cannot fail"))
    }
}
