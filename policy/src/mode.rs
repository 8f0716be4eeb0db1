//! Tracking modes and the small vocabulary around them.

use serde::{Deserialize, Serialize};

/// How much a message may tell about its reader. Ordered: a smaller mode tells less, so that the
/// most restrictive of several is their minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The author's own links, no pixel; nothing is stored.
    Off = 0,
    /// One tracker for the whole campaign: URLs are the same for everyone.
    Overall = 1,
    /// A random mark a message; who owns it is written nowhere.
    Anonymous = 2,
    /// The contact's random id, sealed in the token.
    Individual = 3,
}

impl Mode {
    /// Every mode, most restrictive first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Overall, Self::Anonymous, Self::Individual];

    /// The mode as manifests, tables and reports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Overall => "overall",
            Self::Anonymous => "anonymous",
            Self::Individual => "individual",
        }
    }

    /// The mode of its wire number, or `None` for a number that no mode has.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Off),
            1 => Some(Self::Overall),
            2 => Some(Self::Anonymous),
            3 => Some(Self::Individual),
            _ => None,
        }
    }

    /// Whether messages of this mode carry a mark that tells one from another.
    #[must_use]
    pub const fn has_mark(self) -> bool {
        matches!(self, Self::Anonymous | Self::Individual)
    }

    /// Whether the minimum group guards what is shown of this mode. `individual` is shown as it
    /// is: its readers agreed to be known.
    #[must_use]
    pub const fn is_guarded(self) -> bool {
        !matches!(self, Self::Individual)
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What a hit is: a pixel that was loaded, or a link that was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The pixel was loaded.
    Open = 0,
    /// A link was followed.
    Click = 1,
}

impl Kind {
    /// Both kinds, in the order of reports.
    pub const ALL: [Self; 2] = [Self::Open, Self::Click];

    /// The kind as tables and reports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Click => "click",
        }
    }
}

/// Whether a mail goes to many for the sender's sake, or to one for the reader's. Policies are
/// kept apart for the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailType {
    /// A newsletter or announcement to a list.
    Campaign = 0,
    /// A receipt, a password reset: mail that one person's action caused.
    Transactional = 1,
}

impl MailType {
    /// The type as manifests and reports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Transactional => "transactional",
        }
    }
}

/// The finest place that may be kept of a hit. Ordered like [`Mode`]: smaller tells less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// No place at all.
    None = 0,
    /// The country, as its ISO 3166-1 alpha-2 code.
    Country = 1,
    /// The first subdivision of a country.
    Region = 2,
    /// The city.
    City = 3,
}

impl Place {
    /// The place of its wire number, or `None` for a number that no place has.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::None),
            1 => Some(Self::Country),
            2 => Some(Self::Region),
            3 => Some(Self::City),
            _ => None,
        }
    }
}

/// A wish or a limit for opens and for clicks, which are decided apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tracking {
    /// What opens may tell.
    pub opens: Mode,
    /// What clicks may tell.
    pub clicks: Mode,
}

impl Tracking {
    /// Nothing is tracked: what holds where no policy says anything.
    pub const OFF: Self = Self { opens: Mode::Off, clicks: Mode::Off };

    /// The mode for one kind of hit.
    #[must_use]
    pub const fn of(self, kind: Kind) -> Mode {
        match kind {
            Kind::Open => self.opens,
            Kind::Click => self.clicks,
        }
    }
}
