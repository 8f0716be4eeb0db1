//! A mail address, and the care it needs.

use std::hash::{Hash, Hasher};

use zeroize::Zeroizing;

/// A recipient's mail address: checked, wiped when dropped, and without `Debug` or `Display`, so
/// that logging one does not compile. Two are equal if they differ in case alone.
#[derive(Clone)]
pub struct Address(Zeroizing<String>);

/// Why a text is not a mail address. It never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("the address is empty")]
    Empty,
    /// Line breaks, tabs and their like, which could add a header to a mail.
    #[error("the address contains a control character")]
    Control,
    /// Beyond RFC 5321's limits: 64 octets before the @, 254 in all.
    #[error("the address is too long (64 characters before the @, 254 in all)")]
    TooLong,
    /// Letters beyond ASCII, which need SMTPUTF8 all the way to the mailbox.
    #[error("the address has letters beyond ASCII, which not every mail server takes")]
    NotAscii,
    /// No @, or more than one.
    #[error("the address needs exactly one @")]
    At,
    /// Quotes, spaces, dots in the wrong place.
    #[error("what stands before the @ is not a plain mailbox name")]
    Local,
    /// Not a host name (RFC 1123).
    #[error("what stands after the @ is not a host name")]
    Domain,
}

impl Address {
    /// Checks a text against RFC 5321's `Mailbox`, less quoted names and address literals.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong, and not what the text was.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.contains(char::is_control) {
            return Err(AddressError::Control);
        }
        if !text.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        let (local, domain) = text.split_once('@').ok_or(AddressError::At)?;
        if domain.contains('@') {
            return Err(AddressError::At);
        }
        if local.len() > 64 || text.len() > 254 {
            return Err(AddressError::TooLong);
        }
        let atom =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        if !local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom)) {
            return Err(AddressError::Local);
        }
        let label = |part: &str| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if !domain.split('.').all(label) {
            return Err(AddressError::Domain);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The address, for the code that seals it or writes it into a mail's `To`.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The address in lower case, by which a contact is found again.
    #[must_use]
    pub fn folded(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_ascii_lowercase())
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}
