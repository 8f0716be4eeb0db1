//! What epochs published of each campaign, in short, for who may not ask ClickHouse: the operator
//! writes it into the status of Campaigns. `WIRE.md`, "Redis".

use serde::{Deserialize, Serialize};

/// Campaigns whose totals are kept in Redis at most, some 20 MB: those beyond have none in their
/// status until an older one is erased, and reports have them all the same.
pub const MOST: usize = 100_000;

/// The totals of one campaign, as the epoch that last changed them published them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// That epoch: seconds since 1970.
    pub epoch: u32,
    /// Opens; none where none are tracked.
    pub opens: Option<Total>,
    /// Clicks; none where none are tracked.
    pub clicks: Option<Total>,
}

/// One kind's total. What is absent is withheld, or nobody can know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Hits, those of machines included.
    pub raw: Option<u64>,
    /// Hits of people.
    pub human: Option<u64>,
    /// Distinct messages.
    pub messages: Option<u64>,
    /// Distinct messages that people opened or followed.
    pub human_messages: Option<u64>,
}

impl Totals {
    /// Whether another epoch's totals show the same.
    #[must_use]
    pub fn shows_the_same(&self, other: &Self) -> bool {
        (self.opens, self.clicks) == (other.opens, other.clicks)
    }

    /// The text that is kept in Redis.
    ///
    /// # Panics
    /// Never: numbers always serialise.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers always serialise")
    }

    /// The totals of a text; nothing where a later version wrote it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_this_json() {
        let opens = Some(Total { raw: Some(60), messages: Some(58), ..Total::default() });
        let totals = Totals { epoch: 1_795_000_000, opens, clicks: None };
        let text = r#"{"epoch":1795000000,"opens":{"raw":60,"human":null,"messages":58,"human_messages":null},"clicks":null}"#;
        assert_eq!(totals.to_text(), text);
        assert_eq!(Totals::parse(text.as_bytes()), Some(totals));
        assert_eq!(Totals::parse(b"{}"), None);
        assert!(totals.shows_the_same(&Totals { epoch: 1, ..totals }));
    }
}
