//! The small texts in an entry, each with one way to write it.

use serde::{Deserialize, Serialize};

/// A short text of one line: at most 256 bytes, not empty, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Debug, thiserror::Error)]
#[error("a name has 1 to {} bytes and no control characters", Name::MAX)]
pub struct NotAName;

impl Name {
    /// The longest, in bytes.
    pub const MAX: usize = 256;

    /// The text itself where it is a name, else what is left of it: the log has to be able to name
    /// everybody, also one who calls himself impossibly.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        let mut name = String::new();
        for c in text.chars().map(clean) {
            if name.len() + c.len_utf8() > Self::MAX {
                break;
            }
            name.push(c);
        }
        if name.is_empty() { Self("unknown".into()) } else { Self(name) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        let fits = (1..=Self::MAX).contains(&text.len()) && !text.contains(char::is_control);
        if fits { Ok(Self(text)) } else { Err(NotAName) }
    }
}

/// An id as 16 lower-case hex digits.
macro_rules! id_text {
    ($module:ident, $id:ident) => {
        pub(crate) mod $module {
            use hushmark_policy::$id;
            use serde::de::Error as _;
            use serde::{Deserialize as _, Deserializer, Serializer};

            use crate::chain::parse_id;

            pub(crate) fn serialize<S: Serializer>(
                id: &$id,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.collect_str(id)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$id, D::Error> {
                let text = String::deserialize(deserializer)?;
                let id = parse_id(&text).map($id);
                id.ok_or_else(|| D::Error::custom("an id has 16 lower-case hex digits"))
            }
        }
    };
}

id_text!(tenant_id, TenantId);
id_text!(campaign_id, CampaignId);

/// A day as `2026-12-01`; `null` where it is not known.
pub(super) mod day {
    use hushmark_policy::Day;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[allow(clippy::ref_option, reason = "serde calls it with a reference to the field")]
    pub(in crate::audit) fn serialize<S: Serializer>(
        day: &Option<Day>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        day.map(|day| day.to_string()).serialize(serializer)
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Day>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let day = Day::parse(&text).ok_or_else(|| D::Error::custom("a day is like 2026-12-01"))?;
        Ok(Some(day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_name_and_it_is_one_when_it_is_read_again() {
        let long = "ä".repeat(200);
        for (given, name) in
            [("jane", "jane"), ("", "unknown"), ("a\nb", "a\u{fffd}b"), (&long, &long[..256])]
        {
            assert_eq!(Name::of(given).as_str(), name);
            assert_eq!(Name::try_from(name.to_owned()).unwrap(), Name::of(given));
        }
        for no_name in ["", "a\nb", &long] {
            assert!(Name::try_from(no_name.to_owned()).is_err());
        }
    }
}
