//! What an attacker gets to see: the numbers of each epoch, and nothing else.

use std::collections::BTreeMap;

use hushmark_event::Total;
use hushmark_event::cell::Dimension;
use hushmark_policy::shown::Shown;
use hushmark_writer::publish::rules::{Place, Terms, told};

use super::world::{BEGIN_SECONDS, Counters, World};

/// One value's numbers, as a report shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) raw: Option<u64>,
    pub(super) human: Option<u64>,
    pub(super) uniq_raw: Option<u64>,
    pub(super) uniq_human: Option<u64>,
}

/// All that is shown of a campaign's one kind at one epoch.
pub(super) type Release = BTreeMap<Place, Seen>;

/// Every epoch's release, with the minute that it is of.
pub(super) struct History {
    pub(super) recipients: u64,
    pub(super) releases: Vec<(u32, Release)>,
    /// Whether numbers stay as they were where the guard holds them back.
    pub(super) guarded: bool,
    /// Epochs whose status says another total than the report.
    pub(super) only_in_status: u64,
}

/// What a report shows of what an epoch wrote.
pub(super) fn seen(shown: &BTreeMap<Place, Shown>) -> Release {
    let is_shown = |(dimension, value): &Place, cell: &Shown| {
        cell.raw.is_some() && (*dimension == Dimension::Total || !value.is_empty())
    };
    let cells = shown.iter().filter(|(place, cell)| is_shown(place, cell));
    let cell = |cell: &Shown| Seen {
        raw: cell.raw.map(|raw| raw.hits),
        human: cell.human.map(|human| human.hits),
        uniq_raw: cell.raw.and_then(|raw| raw.uniq),
        uniq_human: cell.human.and_then(|human| human.uniq),
    };
    cells.map(|(place, shown)| (place.clone(), cell(shown))).collect()
}

/// A status's numbers, which are a total's.
fn of_status(total: Total) -> Seen {
    let Total { raw, human, messages, human_messages } = total;
    Seen { raw, human, uniq_raw: messages, uniq_human: human_messages }
}

/// What decides what is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// The writer's own rules.
    Ours,
    /// A cell is left out while it is smaller than the minimum group, and nothing else is looked at.
    OwnSide,
    /// Nothing.
    None,
}

/// A reader who asks every minute, of a campaign that the writer's own rules publish every minute.
pub(super) fn polled(world: &World, k: u64, guard: Guard) -> History {
    let (mut counters, mut before) = (Counters::default(), BTreeMap::new());
    let (mut releases, mut only_in_status): (Vec<(u32, Release)>, _) = (Vec::new(), 0);
    let mut events = world.events.iter().peekable();
    // The last hour settles after the last hit.
    for minute in 0..world.minutes + 80 {
        while let Some(event) = events.next_if(|event| event.minute <= minute) {
            counters.add(event);
        }
        let release = match guard {
            Guard::Ours => {
                // An epoch is published a minute after its hits came.
                let epoch = BEGIN_SECONDS + (minute + 1) * 60;
                let terms = Terms { recipients: world.recipients, k, epoch };
                before = counters.counted().shown(world.mode, &before, &terms);
                let release = seen(&before);
                let total = release.get(&(Dimension::Total, String::new())).copied();
                let status = told(world.mode, &before).map(of_status);
                only_in_status += u64::from(status != Some(total.unwrap_or_default()));
                release
            }
            Guard::OwnSide => counters.from(world.mode, k),
            Guard::None => counters.from(world.mode, 0),
        };
        releases.push((minute, release));
    }
    History {
        recipients: world.recipients,
        releases,
        guarded: guard == Guard::Ours,
        only_in_status,
    }
}
