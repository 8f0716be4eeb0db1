//! Two lists that differ by one member: the same campaign sent to that member later, and a campaign
//! of its own to all and the member. The attacker knows the lists, and guesses whether the member
//! opened. That one alone lives in a country that nobody else lives in, and the attacker knows it.

use std::collections::BTreeMap;

use fastrand::Rng;
use hushmark_event::cell::Dimension;
use hushmark_policy::Mode;
use hushmark_writer::publish::rules::Terms;

use super::released::{Release, seen};
use super::world::{BEGIN_SECONDS, Counters, Event};
use super::{K, Run};
use crate::figure::Figures;
use crate::proofs::chance;

/// Where the member lives.
const HOME: &str = "PT";

pub(super) fn prove(run: &Run, random: &mut Rng, figures: &mut Figures) {
    let trials = run.size(10_000, 1_000);
    let limit = chance::bound(trials, 0.5);
    for (form, name) in [
        (Form::Later, "sent to one more later"),
        (Form::Others, "sent anew to one more"),
        (Form::Totals, "totals of two campaigns that differ by one reader"),
    ] {
        let right = |guarded, random: &mut Rng| {
            (0..trials).filter(|_| trial(form, guarded, random)).count() as u64
        };
        let with = right(true, random);
        let most = limit as f64;
        let figure = format!("{name}: guessed right, of {trials}");
        figures.at_most(&figure, with as f64, most, "guesses");
        let without = right(false, random);
        let figure = format!("{name}: the same without the guard");
        if form == Form::Totals {
            // Everybody reads one mail and not another, so that a difference of one tells nothing.
            figures.tell(figure, without, "guesses");
        } else {
            figures.at_least(&figure, without, trials * 99 / 100, "guesses");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Later,
    Others,
    Totals,
}

/// Whether the guess is right. The member opens or does not, by the toss of a coin.
fn trial(form: Form, guarded: bool, random: &mut Rng) -> bool {
    let opens = random.bool();
    // The more people read, the less one more of them tells among those who read this time only.
    let people = if form == Form::Totals { random.u32(400..900) } else { random.u32(60..200) };
    let others = |random: &mut Rng| -> Vec<Event> {
        let read = |n| (random.u8(..5) < 3).then(|| open(n, random, None));
        (0..people).filter_map(read).collect()
    };
    let member = opens.then(|| open(people, random, Some(HOME)));
    let first = others(random);
    let mut reader = Reader::new(guarded, u64::from(people));
    reader.see(&first);
    let before = reader.publish(60);
    let guess = match form {
        Form::Later => {
            reader.recipients += 1;
            reader.see(member.as_slice());
            reader.publish(200) != before
        }
        Form::Others | Form::Totals => {
            let mut anew = Reader::new(guarded, u64::from(people) + 1);
            let second = others(random);
            anew.see(&second);
            anew.see(member.as_slice());
            let after = anew.publish(60);
            if form == Form::Others {
                after.keys().any(|(of, value)| *of == Dimension::Country && value == HOME)
                    || one_is_left(&after)
            } else {
                let total = |release: &Release| {
                    release.get(&(Dimension::Total, String::new())).and_then(|seen| seen.raw)
                };
                total(&after).zip(total(&before)).is_some_and(|(after, before)| after > before)
            }
        }
    };
    guess == opens
}

/// Whether the countries that are shown leave fewer than the minimum group of the total.
fn one_is_left(release: &Release) -> bool {
    let total = release.get(&(Dimension::Total, String::new())).and_then(|seen| seen.raw);
    let countries = release.iter().filter(|((of, _), _)| *of == Dimension::Country);
    let told: u64 = countries.filter_map(|(_, seen)| seen.raw).sum();
    told > 0 && total.is_some_and(|total| total > told && total - told < K)
}

fn open(person: u32, random: &mut Rng, home: Option<&str>) -> Event {
    let pick = |values: [&str; 3], random: &mut Rng| values[random.usize(..3)].to_owned();
    let country =
        home.map_or_else(|| pick(["DE", "AT", "CH"], random), std::borrow::ToOwned::to_owned);
    let places = vec![
        (Dimension::Total, String::new()),
        (Dimension::Client, pick(["Gmail", "Outlook", "Apple Mail"], random)),
        (Dimension::Country, country),
    ];
    Event { person, minute: 0, human: true, places }
}

/// One campaign as it is read.
struct Reader {
    guarded: bool,
    recipients: u64,
    counters: Counters,
    before: BTreeMap<hushmark_writer::publish::rules::Place, hushmark_policy::shown::Shown>,
}

impl Reader {
    fn new(guarded: bool, recipients: u64) -> Self {
        Self { guarded, recipients, counters: Counters::default(), before: BTreeMap::new() }
    }

    fn see(&mut self, events: &[Event]) {
        events.iter().for_each(|event| self.counters.add(event));
    }

    fn publish(&mut self, minute: u32) -> Release {
        if !self.guarded {
            return self.counters.from(Mode::Anonymous, 0);
        }
        let epoch = BEGIN_SECONDS + minute * 60;
        let terms = Terms { recipients: self.recipients, k: K, epoch };
        self.before = self.counters.counted().shown(Mode::Anonymous, &self.before, &terms);
        seen(&self.before)
    }
}
