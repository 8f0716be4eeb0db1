//! Proof `differencing`: who reads everything that is shown, minute by minute, and subtracts, is
//! left with no group smaller than the minimum. What is shown is what the writer's own rules
//! publish; the attacker is a program apart, who sees nothing else.

mod attacker;
mod lists;
mod released;
mod traffic;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use fastrand::Rng;
use hushmark_policy::Mode;

use super::Run;
use crate::figure::Figures;
use attacker::{Claim, Part, Who};
use released::Guard;
use world::World;

/// The minimum group that ships.
const K: u64 = 10;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let mut random = Rng::with_seed(run.seed());
    let (guarded, bare) = run.size((1_000, 40), (60, 6));
    let with = attack(&mut random, guarded, Guard::Ours);
    with.tell(&mut figures, "guarded");
    figures.at_least("pairs of releases subtracted", with.pairs, run.size(10_000, 1_000), "pairs");
    figures.at_least("numbers shown", with.shown, run.size(10_000, 500), "numbers");
    figures.exactly("groups of fewer than 10 that were singled out", with.singled(), 0, "groups");
    figures.exactly("claims that were wrong", with.wrong, 0, "claims");
    for example in &with.examples {
        crate::figure::progress(example);
    }
    let without = attack(&mut random, bare, Guard::None);
    without.tell(&mut figures, "without the guard");
    let found = without.singled();
    figures.at_least("without the guard, singled out", found, run.size(1_000, 100), "groups");
    // Where everything is shown, nothing is left for a complement.
    for family in Family::ALL.into_iter().filter(|family| *family != Family::Complement) {
        let found = without.found.get(&family).copied().unwrap_or_default();
        let name = format!("without the guard, singled out by {}", family.name());
        // Six campaigns need not have one of each.
        figures.at_least(&name, found, run.size(10, 0), "groups");
    }
    figures.exactly("wrong claims without the guard", without.wrong, 0, "claims");
    let half = attack(&mut random, bare, Guard::OwnSide);
    let found = half.found.get(&Family::Complement).copied().unwrap_or_default();
    let name =
        "where only small cells are left out, singled out by the total less what is shown of it";
    figures.at_least(name, found, run.size(10, 1), "groups");
    let name = "numbers of a status that are not the report's";
    figures.exactly(name, with.only_in_status, 0, "numbers");
    lists::prove(run, &mut random, &mut figures);
    traffic::prove(run, &mut random, &mut figures);
    Ok(figures)
}

/// How a group was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Level,
    Complement,
    Growth,
    GrowthOfTheRest,
    Machines,
    Silent,
    InSeveral,
}

impl Family {
    const ALL: [Self; 7] = [
        Self::Level,
        Self::Complement,
        Self::Growth,
        Self::GrowthOfTheRest,
        Self::Machines,
        Self::Silent,
        Self::InSeveral,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Level => "a number by itself",
            Self::Complement => "the total less what is shown of it",
            Self::Growth => "a number less what it was",
            Self::GrowthOfTheRest => "what the total grew less what cells did",
            Self::Machines => "all hits less those of people",
            Self::Silent => "recipients less readers",
            Self::InSeveral => "people of cells less people of all",
        }
    }

    fn of(claim: &Claim) -> Self {
        match (&claim.who, claim.part, claim.from) {
            (Who::Silent, ..) => Self::Silent,
            (Who::InSeveral, ..) => Self::InSeveral,
            (_, Part::Machines, _) => Self::Machines,
            (Who::In(values), _, None) if values.len() == 1 => Self::Level,
            (_, _, None) => Self::Complement,
            (Who::In(values), _, Some(_)) if values.len() == 1 => Self::Growth,
            (_, _, Some(_)) => Self::GrowthOfTheRest,
        }
    }
}

/// What an attack on many campaigns came to.
#[derive(Default)]
struct Outcome {
    campaigns: BTreeMap<&'static str, u64>,
    pairs: u64,
    shown: u64,
    claims: u64,
    wrong: u64,
    /// Epochs whose status says another total than the report.
    only_in_status: u64,
    found: BTreeMap<Family, u64>,
    examples: Vec<String>,
}

impl Outcome {
    fn singled(&self) -> u64 {
        self.found.values().sum()
    }

    fn tell(&self, figures: &mut Figures, label: &str) {
        for (mode, n) in &self.campaigns {
            figures.tell(format!("{label}: campaigns in {mode}"), *n, "campaigns");
        }
        figures.tell(format!("{label}: groups whose hits were computed"), self.claims, "groups");
        figures.tell(format!("{label}: of these fewer than 10 people"), self.singled(), "groups");
    }
}

fn attack(random: &mut Rng, campaigns: u64, guard: Guard) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..campaigns {
        let world = World::draw(random);
        let history = released::polled(&world, K, guard);
        *outcome.campaigns.entry(world.mode.name()).or_default() += 1;
        let numbers = |seen: &released::Seen| {
            let all = [seen.raw, seen.human, seen.uniq_raw, seen.uniq_human];
            all.into_iter().flatten().count() as u64
        };
        outcome.only_in_status += history.only_in_status;
        let last = history.releases.last();
        outcome.shown += last.map_or(0, |(_, last)| last.values().map(numbers).sum());
        let (claims, pairs) = attacker::attack(&history, random);
        outcome.pairs += pairs;
        judge(&world, &claims, &mut outcome);
    }
    outcome
}

/// The truth on each claim. One that names as many hits as there were, of a group that is smaller
/// than the minimum and is not empty, singles people out.
fn judge(world: &World, claims: &BTreeSet<Claim>, outcome: &mut Outcome) {
    for claim in claims {
        outcome.claims += 1;
        let (hits, people) = world.truth(claim);
        let people =
            if world.mode == Mode::Overall && claim.who != Who::Silent { hits } else { people };
        if hits != claim.hits {
            outcome.wrong += 1;
            if outcome.examples.len() < 5 {
                outcome.examples.push(format!("wrong, {hits} by {people}: {claim:?}"));
            }
        } else if (1..K).contains(&people) {
            *outcome.found.entry(Family::of(claim)).or_default() += 1;
            if outcome.examples.len() < 5 {
                outcome.examples.push(format!("{people} people: {claim:?} {}", world.mode.name()));
            }
        }
    }
}
