//! Tracking modes and the small vocabulary around them.

use serde::{Deserialize, Serialize};

/// How much a message may tell about its reader. There is no smallest of two: `lastOpenDay` keeps
/// something of a person and counts nothing, `anonymous` counts and keeps nobody. Which of two may
/// be done is asked of [`Mode::strictest`] and [`Mode::allows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The author's own links, no pixel; nothing is stored.
    Off = 0,
    /// One tracker for the whole campaign: URLs are the same for everyone.
    Overall = 1,
    /// A random mark a message; who owns it is written nowhere.
    Anonymous = 2,
    /// The contact's random id, sealed in the token.
    Individual = 3,
    /// Of opens alone: the day of a contact's last open, overwritten by the next; nothing is counted.
    LastOpenDay = 4,
}

impl Mode {
    /// Every mode, in the order of the wire numbers.
    pub const ALL: [Self; 5] =
        [Self::Off, Self::Overall, Self::Anonymous, Self::Individual, Self::LastOpenDay];

    /// The modes of one kind of hit: of clicks no day is kept alone.
    pub fn of(kind: Kind) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |mode| mode.is_for(kind))
    }

    /// Whether hits of this kind can be recorded so.
    #[must_use]
    pub const fn is_for(self, kind: Kind) -> bool {
        !matches!((self, kind), (Self::LastOpenDay, Kind::Click))
    }

    /// Whether who allows this mode allows the other, which tells no more than it.
    #[must_use]
    pub const fn allows(self, other: Self) -> bool {
        match (self, other) {
            (Self::LastOpenDay, Self::Off | Self::LastOpenDay)
            | (Self::Individual, Self::LastOpenDay) => true,
            (Self::LastOpenDay, _) | (_, Self::LastOpenDay) => false,
            (this, other) => this as u8 >= other as u8,
        }
    }

    /// The most that two who both have a say allow. Where one allows counting and the other the last
    /// day alone, they have nothing in common, and it is `off`.
    #[must_use]
    pub const fn strictest(self, other: Self) -> Self {
        if self.allows(other) {
            other
        } else if other.allows(self) {
            self
        } else {
            Self::Off
        }
    }

    /// The mode as manifests, tables and reports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Overall => "overall",
            Self::Anonymous => "anonymous",
            Self::Individual => "individual",
            Self::LastOpenDay => "lastOpenDay",
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
            4 => Some(Self::LastOpenDay),
            _ => None,
        }
    }

    /// Whether messages of this mode carry a mark that tells one from another.
    #[must_use]
    pub const fn has_mark(self) -> bool {
        matches!(self, Self::Anonymous | Self::Individual | Self::LastOpenDay)
    }

    /// Whether that mark is the contact's, so that a person's word reaches mail that was sent.
    #[must_use]
    pub const fn names_contact(self) -> bool {
        matches!(self, Self::Individual | Self::LastOpenDay)
    }

    /// Whether anything is counted.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Overall | Self::Anonymous | Self::Individual)
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

/// The finest place that may be kept of a hit. Ordered: a smaller one tells less.
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

    /// Whether nothing is tracked.
    #[must_use]
    pub const fn is_off(self) -> bool {
        matches!((self.opens, self.clicks), (Mode::Off, Mode::Off))
    }

    /// What is left for a person who was asked for consent and did not give it: the day of the last
    /// open, which needs none.
    #[must_use]
    pub const fn exempt(self) -> Self {
        let opens = if matches!(self.opens, Mode::LastOpenDay) { self.opens } else { Mode::Off };
        Self { opens, clicks: Mode::Off }
    }

    /// Whether a message names the contact whom it went to, by opens or by clicks.
    #[must_use]
    pub const fn names_contact(self) -> bool {
        self.opens.names_contact() || self.clicks.names_contact()
    }

    /// Of opens and clicks the mode by which a message knows most of its reader: the contact, then a
    /// mark, then nothing that tells it from others. It says nothing of what may be stored.
    #[must_use]
    pub fn knows_most(self) -> Mode {
        let rank = |mode: Mode| match mode {
            Mode::Off => 0,
            Mode::Overall => 1,
            Mode::Anonymous => 2,
            Mode::LastOpenDay => 3,
            Mode::Individual => 4,
        };
        if rank(self.clicks) > rank(self.opens) { self.clicks } else { self.opens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mode() -> impl Strategy<Value = Mode> {
        prop::sample::select(&Mode::ALL[..])
    }

    proptest! {
        #[test]
        fn it_does_not_matter_who_speaks_first_or_twice(a in mode(), b in mode(), c in mode()) {
            prop_assert_eq!(a.strictest(b), b.strictest(a));
            prop_assert_eq!(a.strictest(b).strictest(c), a.strictest(b.strictest(c)));
            prop_assert_eq!(a.strictest(a), a);
        }

        /// What both allow, and nothing that both allow tells more.
        #[test]
        fn the_strictest_is_the_most_that_both_allow(a in mode(), b in mode(), other in mode()) {
            let strictest = a.strictest(b);
            prop_assert!(a.allows(strictest) && b.allows(strictest));
            prop_assert!(!(a.allows(other) && b.allows(other)) || strictest.allows(other));
            prop_assert!(a.allows(Mode::Off) && Mode::Individual.allows(a));
        }
    }

    #[test]
    fn nobody_who_allows_counting_alone_allows_to_keep_somebodys_day() {
        for mode in [Mode::Off, Mode::Overall, Mode::Anonymous] {
            assert_eq!(mode.strictest(Mode::LastOpenDay), Mode::Off);
            assert!(!mode.allows(Mode::LastOpenDay));
        }
        let kept = Mode::Individual.strictest(Mode::LastOpenDay);
        assert_eq!(kept, Mode::LastOpenDay);
        assert!(!kept.allows(Mode::Overall), "nothing is counted, not even for all together");
    }

    #[test]
    fn a_mode_is_spelt_as_manifests_do() {
        for (n, mode) in Mode::ALL.into_iter().enumerate() {
            assert_eq!(Mode::from_u8(n as u8), Some(mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
        assert_eq!(Mode::from_u8(Mode::ALL.len() as u8), None);
    }
}
