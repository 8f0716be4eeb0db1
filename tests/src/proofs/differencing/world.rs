//! A campaign's readers, minute by minute: what the counters say at each epoch, and the truth that
//! an attacker's claims are judged by.

use std::collections::{BTreeMap, HashMap, HashSet};

use fastrand::Rng;
use hushmark_event::cell::Dimension;
use hushmark_policy::shown::Count;
use hushmark_policy::{Day, Mode};
use hushmark_writer::publish::rules::{Counted, Place};

use super::attacker::{Claim, Part, Who};

/// When every campaign of the proof begins: 2026-11-18T08:00, UTC.
pub(super) const BEGIN_SECONDS: u32 = 1_794_988_800;

/// One hit.
pub(super) struct Event {
    pub(super) person: u32,
    pub(super) minute: u32,
    pub(super) human: bool,
    pub(super) places: Vec<Place>,
}

impl Event {
    fn is_in(&self, dimension: Dimension) -> Option<&str> {
        let place = self.places.iter().find(|(of, _)| *of == dimension);
        place.map(|(_, value)| value.as_str())
    }
}

/// All hits of one kind of one campaign.
pub(super) struct World {
    pub(super) mode: Mode,
    pub(super) recipients: u64,
    pub(super) minutes: u32,
    pub(super) events: Vec<Event>,
}

/// Values with their shares of a hundred: a head that everybody knows, and a tail of few.
type Shares = [(u8, &'static str)];

const CLIENTS: [(u8, &str); 6] = [
    (40, "Apple Mail"),
    (30, "Gmail"),
    (20, "Outlook"),
    (6, "Thunderbird"),
    (3, "Yahoo Mail"),
    (1, "Samsung Email"),
];
const COUNTRIES: [(u8, &str); 6] =
    [(60, "DE"), (20, "AT"), (10, "CH"), (6, "FR"), (3, "NL"), (1, "PT")];
const DEVICES: [(u8, &str); 4] = [(55, "desktop"), (35, "phone"), (9, "tablet"), (1, "other")];
const VERDICTS: [(u8, &str, bool); 4] =
    [(60, "human", true), (25, "apple_proxy", false), (12, "gmail_proxy", true), (3, "bot", false)];
const LINKS: [(u8, &str); 4] = [(50, "1"), (30, "2"), (15, "3"), (5, "4")];

fn choose(shares: &Shares, random: &mut Rng) -> &'static str {
    let mut draw = random.u8(..100);
    for (share, value) in shares {
        match draw.checked_sub(*share) {
            Some(left) => draw = left,
            None => return value,
        }
    }
    shares[0].1
}

impl World {
    /// A campaign that is read for some hours, by many at first and by few later. In `overall` a
    /// hit is a person; in `anonymous` some come again, now and then with another client.
    pub(super) fn draw(random: &mut Rng) -> Self {
        let mode = if random.bool() { Mode::Overall } else { Mode::Anonymous };
        let recipients = random.u64(40..600);
        let minutes = random.u32(60..200);
        let clicks = random.u8(..3) == 0;
        let share = 0.2 + random.f64() * 0.79;
        let mut events = Vec::new();
        for person in 0..recipients as u32 {
            if random.f64() > share {
                continue;
            }
            let first = (random.f64().powi(3) * f64::from(minutes)) as u32;
            let habits = random.u64(..);
            let again = mode == Mode::Anonymous && random.u8(..5) == 0;
            for time in 0..if again { random.u32(2..6) } else { 1 } {
                let minute = (first + time * random.u32(1..60)).min(minutes - 1);
                let same = time == 0 || random.u8(..4) > 0;
                let habits = if same { habits } else { random.u64(..) };
                events.push(event(person, minute, clicks, &mut Rng::with_seed(habits), random));
            }
        }
        events.sort_by_key(|event| event.minute);
        Self { mode, recipients, minutes, events }
    }

    /// How many hits a claim is about, and of how many people.
    pub(super) fn truth(&self, claim: &Claim) -> (u64, u64) {
        let within = |event: &&Event| {
            event.minute <= claim.to
                && claim.from.is_none_or(|from| event.minute > from)
                && match claim.part {
                    Part::All => true,
                    Part::People => event.human,
                    Part::Machines => !event.human,
                }
        };
        let events = self.events.iter().filter(within);
        match &claim.who {
            Who::In(values) => behind(events.filter(|event| {
                event.is_in(claim.dimension).is_some_and(|value| values.contains(value))
            })),
            Who::NotIn(values) => behind(events.filter(|event| {
                event.is_in(claim.dimension).is_none_or(|value| !values.contains(value))
            })),
            Who::Silent => {
                let (_, people) = behind(events);
                (self.recipients - people, self.recipients - people)
            }
            Who::InSeveral => {
                let mut cells = HashMap::<u32, HashSet<&str>>::new();
                for event in events {
                    let of = cells.entry(event.person).or_default();
                    of.extend(event.is_in(claim.dimension));
                }
                let several = cells.values().filter(|cells| cells.len() > 1);
                let more = several.clone().map(|cells| cells.len() as u64 - 1).sum();
                (more, several.count() as u64)
            }
        }
    }
}

/// Hits and the people behind them. Where nobody is told apart the proof's people hit once.
fn behind<'a>(events: impl Iterator<Item = &'a Event>) -> (u64, u64) {
    let (mut hits, mut people) = (0, HashSet::new());
    for event in events {
        hits += 1;
        people.insert(event.person);
    }
    (hits, people.len() as u64)
}

/// A hit with the habits of its person.
fn event(person: u32, minute: u32, click: bool, habits: &mut Rng, random: &mut Rng) -> Event {
    let verdicts = VERDICTS.map(|(share, name, _)| (share, name));
    let verdict = choose(&verdicts, habits);
    let human = VERDICTS.iter().any(|(_, name, human)| *name == verdict && *human);
    let seconds = u64::from(BEGIN_SECONDS) + u64::from(minute) * 60;
    let hour = format!("{}T{:02}", Day::of_unix_ms(seconds * 1_000), seconds / 3_600 % 24);
    let mut places = vec![
        (Dimension::Total, String::new()),
        (Dimension::Verdict, verdict.to_owned()),
        (Dimension::Client, choose(&CLIENTS, habits).to_owned()),
        (Dimension::Country, choose(&COUNTRIES, habits).to_owned()),
        (Dimension::Device, choose(&DEVICES, habits).to_owned()),
        (Dimension::Hour, hour),
    ];
    if click {
        places.push((Dimension::Link, choose(&LINKS, random).to_owned()));
    }
    Event { person, minute, human, places }
}

/// The counters while hits come in.
#[derive(Default)]
pub(super) struct Counters(BTreeMap<Place, Tally>);

#[derive(Default)]
struct Tally {
    raw: u64,
    human: u64,
    people: HashSet<u32>,
    people_human: HashSet<u32>,
}

impl Counters {
    pub(super) fn add(&mut self, event: &Event) {
        for place in &event.places {
            let tally = self.0.entry(place.clone()).or_default();
            tally.raw += 1;
            tally.people.insert(event.person);
            if event.human {
                tally.human += 1;
                tally.people_human.insert(event.person);
            }
        }
    }

    /// As the writer reads them. Sketches of so few people are exact.
    pub(super) fn counted(&self) -> Counted {
        let count = |tally: &Tally| Count {
            raw: tally.raw,
            human: tally.human,
            uniq_raw: Some(tally.people.len() as u64),
            uniq_human: Some(tally.people_human.len() as u64),
        };
        let cells = self.0.iter().map(|(place, tally)| (place.clone(), count(tally))).collect();
        Counted { cells, ..Counted::default() }
    }

    /// Everything as it is, which is what would be read were there no guard, but for cells of fewer
    /// people than `least`.
    pub(super) fn from(&self, mode: Mode, least: u64) -> super::released::Release {
        let uniq = |people: &HashSet<u32>| mode.has_mark().then_some(people.len() as u64);
        let seen = |tally: &Tally| super::released::Seen {
            raw: Some(tally.raw),
            human: Some(tally.human),
            uniq_raw: uniq(&tally.people),
            uniq_human: uniq(&tally.people_human),
        };
        let people = |tally: &Tally| uniq(&tally.people).unwrap_or(tally.raw);
        let shown = self.0.iter().filter(|(_, tally)| people(tally) >= least);
        shown.map(|(place, tally)| (place.clone(), seen(tally))).collect()
    }
}
