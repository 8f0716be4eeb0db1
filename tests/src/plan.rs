//! Which hit is sent when: a pure function from a hit's number to what it is and where it must be
//! counted. And the tokens for it.

mod minter;

pub use minter::{Minter, USER_AGENT};

use hushmark_policy::{CampaignId, Kind, Mode, TenantId};

/// The campaign that hits of policy `off` name: nothing may ever be stored of it.
pub const NEVER: CampaignId = CampaignId(0x0ff0_0000_0000_0000);

/// What one hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Pixel or link.
    pub kind: Kind,
    /// How exactly it is counted; `off` leaves a void.
    pub mode: Mode,
    /// Whose mail.
    pub campaign: CampaignId,
    /// The link, from 1; 0 for a pixel.
    pub link: u16,
    /// The mark, where the mode has one.
    pub mark: u64,
}

/// Where a hit is counted: clicks by link, opens by campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// Whose mail.
    pub campaign: CampaignId,
    /// The link, or 0 for opens.
    pub link: u16,
}

impl Planned {
    /// The cell that has to hold this hit, or `None` where nothing may be stored.
    #[must_use]
    pub fn cell(&self) -> Option<Cell> {
        (self.mode != Mode::Off).then_some(Cell { campaign: self.campaign, link: self.link })
    }
}

/// The tenant of every plan.
#[must_use]
pub fn tenant() -> TenantId {
    TenantId::derive("proof", "tenant")
}

/// Every hit of a run.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// Each hit a cell of its own, in all modes, so that 0 or 2 shows.
    EachItsOwn {
        /// Makes this run's marks.
        seed: u64,
    },
    /// A morning's newsletters: few campaigns, many hits a link, people who come again.
    Newsletters {
        /// Makes this run's marks.
        seed: u64,
        /// How many campaigns are out at once.
        campaigns: u64,
    },
    /// A known campaign of identified readers and one of anonymous ones, in turn.
    Between {
        /// Makes this run's marks.
        seed: u64,
        /// Of `individual` mail, and of `anonymous`.
        campaigns: [CampaignId; 2],
    },
}

/// Campaigns that share the clicks of one stretch: all modes stand side by side in every batch.
const SIDE_BY_SIDE: u64 = 12;
/// Links of one campaign before the next takes over; a link is 16 bits.
const LINKS: u64 = 60_000;

impl Plan {
    /// What the n-th hit is.
    #[must_use]
    pub fn hit(self, n: u64) -> Planned {
        match self {
            Self::EachItsOwn { seed } => each_its_own(seed, n),
            Self::Newsletters { seed, campaigns } => newsletter(seed, campaigns, n),
            Self::Between { seed, campaigns } => Planned {
                kind: Kind::Open,
                mode: [Mode::Individual, Mode::Anonymous][n as usize % 2],
                campaign: campaigns[n as usize % 2],
                link: 0,
                mark: mix(seed ^ mix(n)),
            },
        }
    }
}

fn each_its_own(seed: u64, n: u64) -> Planned {
    let mark = mix(seed ^ mix(n));
    let counted =
        |group: u64| [Mode::Overall, Mode::Anonymous, Mode::Individual][group as usize % 3];
    match n % 40 {
        // One in forty is an open. Opens are told apart by campaign alone, and a campaign of its
        // own costs a hit eight rows, so that there are few.
        19 => Planned {
            kind: Kind::Open,
            mode: counted(n / 40),
            campaign: CampaignId(0x0b00_0000_0000_0000 + n),
            link: 0,
            mark,
        },
        39 => Planned { kind: Kind::Click, mode: Mode::Off, campaign: NEVER, link: 1, mark },
        _ => {
            let stretch = n / (SIDE_BY_SIDE * LINKS);
            let campaign = stretch * SIDE_BY_SIDE + n % SIDE_BY_SIDE;
            let link = 1 + n / SIDE_BY_SIDE % LINKS;
            Planned {
                kind: Kind::Click,
                mode: counted(campaign),
                campaign: CampaignId(0x0c00_0000_0000_0000 + campaign),
                link: link as u16,
                mark,
            }
        }
    }
}

fn newsletter(seed: u64, campaigns: u64, n: u64) -> Planned {
    let drawn = mix(seed ^ mix(n));
    let campaign = drawn % campaigns;
    let mode = [Mode::Overall, Mode::Anonymous, Mode::Individual][campaign as usize % 3];
    let click = drawn >> 32 & 3 == 0;
    Planned {
        kind: if click { Kind::Click } else { Kind::Open },
        mode,
        campaign: CampaignId(0x0d00_0000_0000_0000 + campaign),
        link: if click { 1 + (drawn >> 40 & 15) as u16 } else { 0 },
        // A hundred thousand readers a campaign.
        mark: mix(campaign << 32 | drawn >> 8 & 0xffff),
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014): numbers that look random, from a counter.
const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_hit_has_a_cell_of_its_own_in_all_modes() {
        let plan = Plan::EachItsOwn { seed: 1 };
        let mut cells = HashSet::new();
        let mut modes = HashSet::new();
        let count = 2_000_000;
        for n in 0..count {
            let hit = plan.hit(n);
            modes.insert((hit.kind, hit.mode));
            if let Some(cell) = hit.cell() {
                assert!(cells.insert(cell), "hit {n} shares its cell");
                assert_eq!(hit.kind == Kind::Click, hit.link > 0);
            }
        }
        assert_eq!(cells.len() as u64, count / 40 * 39);
        assert_eq!(modes.len(), 7, "three modes of each kind, and voids");
    }
}
