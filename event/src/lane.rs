//! A lane: one edge core's ordered sequence of batches.

use std::fmt;
use std::str::FromStr;

/// A lane's name: a random number drawn when the edge process started, and the core. A name is
/// never used again, so that a number once given within it always means the same batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Drawn at random at process start.
    pub incarnation: u64,
    /// The core within the process.
    pub core: u16,
}

impl Lane {
    /// The lane's ten bytes, as key derivation sees them.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[8..].copy_from_slice(&self.core.to_be_bytes());
        bytes
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.incarnation, self.core)
    }
}

/// The text is no lane's name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a lane: expected 16 lower-case hex digits, a dot and the core")]
pub struct NotALane;

impl FromStr for Lane {
    type Err = NotALane;

    fn from_str(text: &str) -> Result<Self, NotALane> {
        let (incarnation, core) = text.split_once('.').ok_or(NotALane)?;
        let lane = Self {
            incarnation: u64::from_str_radix(incarnation, 16).map_err(|_| NotALane)?,
            core: core.parse().map_err(|_| NotALane)?,
        };
        // One lane has one name: anything that would print differently is another text.
        if lane.to_string() == text { Ok(lane) } else { Err(NotALane) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_has_one_name() {
        let lane = Lane { incarnation: 0x00ab, core: 3 };
        assert_eq!(lane.to_string(), "00000000000000ab.3");
        assert_eq!("00000000000000ab.3".parse(), Ok(lane));
        for other in ["ab.3", "00000000000000AB.3", "00000000000000ab.03", "00000000000000ab", ""] {
            assert_eq!(other.parse::<Lane>(), Err(NotALane), "{other}");
        }
    }
}
