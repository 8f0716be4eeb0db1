//! Status and metrics, beside reports. What a status says is what the report says. What the programs
//! count knows no campaign, but here a region has two: one that is shown, and one of so few readers
//! that it is not. The attacker looks every minute, takes one look from another, and takes from all
//! hits those of the campaign that is shown.

use fastrand::Rng;
use hushmark_event::cell::Dimension;
use hushmark_policy::Pace;

use super::released::{self, Guard};
use super::world::World;
use super::{K, Run};
use crate::figure::Figures;

pub(super) fn prove(run: &Run, random: &mut Rng, figures: &mut Figures) {
    let regions = run.size(1_000, 60);
    let with = attack(random, regions, K as u32);
    figures.tell("metrics: looks that were compared", with.pairs, "pairs");
    figures.at_least("metrics: steps that were seen", with.moves, run.size(10_000, 200), "steps");
    let singled = with.between_looks + with.left_of_all;
    figures.exactly("metrics: groups of fewer than 10 singled out", singled, 0, "groups");
    figures.exactly("metrics: claims that were wrong", with.wrong, 0, "claims");
    let without = attack(random, run.size(100, 10), 1);
    let least = run.size(100, 10);
    for (what, found) in [
        ("between two looks", without.between_looks),
        ("all hits less those of the campaign that is shown", without.left_of_all),
    ] {
        figures.at_least(&format!("exact metrics: singled out, {what}"), found, least, "groups");
    }
    figures.exactly("wrong claims by exact metrics", without.wrong, 0, "claims");
}

#[derive(Default)]
struct Outcome {
    pairs: u64,
    moves: u64,
    between_looks: u64,
    left_of_all: u64,
    wrong: u64,
}

/// What is certain of a number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bounds {
    least: u64,
    most: u64,
}

impl Bounds {
    const fn exact(n: u64) -> Self {
        Self { least: n, most: n }
    }

    fn less(self, other: Self) -> Option<u64> {
        let least = self.least.saturating_sub(other.most);
        (self.most.saturating_sub(other.least) == least).then_some(least)
    }
}

fn attack(random: &mut Rng, regions: u64, step: u32) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..regions {
        let large = World::draw(random);
        let minutes = large.minutes + 80;
        let mut few: Vec<u32> = (0..random.u64(1..K)).map(|_| random.u32(0..minutes)).collect();
        few.sort_unstable();
        let until =
            |minute| large.events.iter().take_while(|it| it.minute <= minute).count() as u64;
        let few_until = |minute| few.iter().take_while(|it| **it <= minute).count() as u64;
        let all = |minute| until(minute) + few_until(minute);

        let mut pace = Pace::new(step);
        pace.moves_on(0, random.u64(..));
        let (mut shown, mut looks) = (0, vec![0]);
        for minute in 0..minutes {
            if pace.moves_on(all(minute), random.u64(..)) {
                shown = pace.rounded(all(minute));
            }
            looks.push(shown);
        }
        let known = certain(&looks, u64::from(step));
        outcome.moves += looks.windows(2).filter(|two| two[0] != two[1]).count() as u64;

        // A look after every minute, and before the first.
        let at = |look: usize| look.checked_sub(1).map_or(0, |minute| all(minute as u32));
        for from in 0..known.len() {
            for to in (from + 1..known.len()).take(60) {
                outcome.pairs += 1;
                let Some(claim) = known[to].less(known[from]) else { continue };
                let truth = at(to) - at(from);
                outcome.wrong += u64::from(claim != truth);
                outcome.between_looks += u64::from((1..K).contains(&truth));
            }
        }
        let history = released::polled(&large, K, Guard::Ours);
        let total = |at: usize| {
            let (_, release) = history.releases.get(at)?;
            release.get(&(Dimension::Total, String::new()))?.raw
        };
        for minute in 1..minutes as usize {
            // What changed with this minute's epoch is exact as of this minute.
            let Some(total) = total(minute).filter(|now| total(minute - 1) != Some(*now)) else {
                continue;
            };
            let Some(claim) = known[minute + 1].less(Bounds::exact(total)) else { continue };
            let truth = few_until(minute as u32);
            outcome.wrong += u64::from(claim != truth);
            outcome.left_of_all += u64::from((1..K).contains(&truth));
        }
    }
    outcome
}

/// What looks at a figure in steps tell of all hits until then. The attacker knows how the figure
/// is made, and when the program began.
fn certain(looks: &[u64], step: u64) -> Vec<Bounds> {
    if step == 1 {
        return looks.iter().map(|shown| Bounds::exact(*shown)).collect();
    }
    let moved = |at: &usize| *at == 0 || looks[*at] != looks[*at - 1];
    let moves: Vec<usize> = (0..looks.len()).filter(moved).collect();
    let of = |at: &usize| Bounds { least: looks[*at], most: looks[*at] + step - 1 };
    let mut known: Vec<Bounds> = moves.iter().map(of).collect();
    known[0] = Bounds::exact(0);
    for n in 1..known.len() {
        known[n].least = known[n].least.max(known[n - 1].least + step);
    }
    for n in (1..known.len()).rev() {
        known[n - 1].most = known[n - 1].most.min(known[n].most - step);
    }
    // Since a step fewer came than make the next.
    let since = |at: usize| moves.partition_point(|moved| *moved <= at) - 1;
    (0..looks.len())
        .map(|at| {
            let n = since(at);
            let more = if moves[n] == at { 0 } else { 2 * step - 2 };
            Bounds { least: known[n].least, most: known[n].most + more }
        })
        .collect()
}
