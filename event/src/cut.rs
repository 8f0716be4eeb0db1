//! The cut: which entries of which lanes the writer is about to store together.
//!
//! It is written down in Redis before the first send, so that whoever takes over repeats the same
//! entries, in the same order, under the same token. `WIRE.md`, "Cut and ledger".

use std::collections::BTreeMap;

use hushmark_policy::Month;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::lane::Lane;

/// What is about to be stored. Lanes are in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The month of arrival that all entries share, as `2026-11`: one partition, so one part.
    pub month: String,
    /// For each lane the first and the last number, both included.
    #[serde(with = "lanes")]
    pub lanes: BTreeMap<Lane, (u64, u64)>,
}

impl Cut {
    /// A cut over `lanes` that lie in one month.
    #[must_use]
    pub fn new(month: Month, lanes: BTreeMap<Lane, (u64, u64)>) -> Self {
        Self { month: month.to_string(), lanes }
    }

    /// What ClickHouse knows the cut's insert into one target by: the same for every repeat, and
    /// different for every other cut, because a lane's numbers are stored once.
    ///
    /// `round` is 0, and one more each time a server knew the token and did not have the rows.
    #[must_use]
    pub fn token(&self, target: &str, round: u32) -> String {
        let mut hash = Sha256::new();
        hash.update(self.to_bytes());
        hash.update(target.as_bytes());
        if round > 0 {
            hash.update(round.to_be_bytes());
        }
        hex::encode(&hash.finalize()[..16])
    }

    /// The form in Redis: JSON with a fixed order of fields and lanes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text, numbers and a map with text keys always serialise")
    }

    /// Reads the form in Redis.
    ///
    /// # Errors
    /// What is wrong with the bytes; only another program can have written them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// Lanes as text keys.
mod lanes {
    use super::{BTreeMap, Lane};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        lanes: &BTreeMap<Lane, (u64, u64)>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(lanes.iter().map(|(lane, range)| (lane.to_string(), range)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Lane, (u64, u64)>, D::Error> {
        BTreeMap::<String, (u64, u64)>::deserialize(deserializer)?
            .into_iter()
            .map(|(lane, range)| Ok((lane.parse().map_err(D::Error::custom)?, range)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_reads_back_and_its_token_is_its_own() {
        let lane = |core| Lane { incarnation: 7, core };
        let month = Month { year: 2026, month: 11 };
        let cut = Cut::new(month, BTreeMap::from([(lane(1), (5, 9)), (lane(0), (1, 2))]));
        assert_eq!(Cut::from_bytes(&cut.to_bytes()).unwrap(), cut);
        let text = String::from_utf8(cut.to_bytes()).unwrap();
        insta::assert_snapshot!(text, @r#"{"month":"2026-11","lanes":{"0000000000000007.0":[1,2],"0000000000000007.1":[5,9]}}"#);
        let other = Cut::new(month, BTreeMap::from([(lane(1), (5, 10)), (lane(0), (1, 2))]));
        assert_ne!(cut.token("counters", 0), other.token("counters", 0));
        assert_ne!(cut.token("counters", 0), cut.token("hits", 0));
        assert_ne!(cut.token("counters", 0), cut.token("counters", 1));
    }
}
