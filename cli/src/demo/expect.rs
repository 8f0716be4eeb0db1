//! What the counters must say, given what was sent. Pure, and written down from the rules of the
//! documentation, not from the code that it tests.

use std::collections::{BTreeMap, BTreeSet};

use hushmark_event::cell::Dimension;
use hushmark_event::{Client, Device, System, Verdict};
use hushmark_policy::{Day, Kind, Mode, Tracking};

use super::agents::Judged;
use super::people::{How, Step, What};

/// Milliseconds around a click in which its message's other clicks tell who made it.
const WINDOW_MS: u64 = 10_000;

/// Three different links within these milliseconds are a scanner's.
const BURST_MS: u64 = 2_000;

/// A request that is to be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) kind: Kind,
    /// Whose message it was, by its place in the list.
    pub(super) reader: usize,
    /// The link's number; 0 for an open.
    pub(super) link: u16,
    pub(super) honeypot: bool,
    pub(super) judged: Judged,
    /// Whether this one is counted as `overall`, whatever the campaign's mode is.
    pub(super) untold: bool,
    /// When it was sent, in milliseconds since 1970.
    pub(super) at_ms: u64,
}

/// How a valid request is to be counted, apart from when and whose it is.
pub(super) struct Counted {
    pub(super) judged: Judged,
    pub(super) untold: bool,
}

/// What is counted of a step, or `None` where it leaves a void. `raw_count` is the Region's choice
/// to count the opens of those who object.
pub(super) fn counted(step: &Step, raw_count: bool) -> Option<Counted> {
    let judged = step.agent.judged;
    let open = step.what == What::Pixel;
    match step.how {
        How::Head => None,
        How::Prefetch | How::Objecting if open && !(raw_count && step.how == How::Objecting) => {
            None
        }
        How::Prefetch => {
            let judged = Judged { verdict: Verdict::Prefetch, ..judged };
            Some(Counted { judged, untold: false })
        }
        How::Objecting if open => {
            let judged = Judged {
                verdict: judged.verdict,
                client: Client::Unknown,
                system: System::Unknown,
                device: Device::Unknown,
            };
            Some(Counted { judged, untold: true })
        }
        How::Objecting | How::Get => Some(Counted { judged, untold: false }),
    }
}

/// What one cell holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) raw: u64,
    pub(super) human: u64,
    pub(super) uniq_raw: u64,
    pub(super) uniq_human: u64,
}

/// A cell's place: kind, dimension and value.
pub(super) type Place = (Kind, Dimension, String);

/// All cells of a campaign.
pub(super) type Cells = BTreeMap<Place, Numbers>;

/// The counters that the hits of one campaign become. `rules` is the version of the rules that
/// judged them.
pub(super) fn cells(tracking: Tracking, hits: &[Hit], rules: &str) -> Cells {
    let mut cells = Cells::new();
    let mut people: BTreeMap<Place, [BTreeSet<usize>; 2]> = BTreeMap::new();
    for hit in hits {
        let mode = if hit.untold { Mode::Overall } else { tracking.of(hit.kind) };
        if !mode.counts() {
            continue;
        }
        let scanned = hit.kind == Kind::Click && mode.has_mark() && is_scanner(hit, hits);
        let verdict = if scanned { Verdict::Scanner } else { hit.judged.verdict };
        let human = is_person(verdict);
        for (dimension, value) in values(hit, mode, verdict, rules) {
            let tells_people = !matches!(dimension, Dimension::Mode | Dimension::Rules);
            let place = (hit.kind, dimension, value);
            if mode.has_mark() && tells_people {
                let [raw, humans] = people.entry(place.clone()).or_default();
                raw.insert(hit.reader);
                if human {
                    humans.insert(hit.reader);
                }
            }
            let cell = cells.entry(place).or_default();
            cell.raw += 1;
            cell.human += u64::from(human);
        }
    }
    for (place, [raw, human]) in people {
        let cell = cells.entry(place).or_default();
        (cell.uniq_raw, cell.uniq_human) = (raw.len() as u64, human.len() as u64);
    }
    cells
}

fn values(hit: &Hit, mode: Mode, verdict: Verdict, rules: &str) -> Vec<(Dimension, String)> {
    let hour = hit.at_ms / 3_600_000;
    let mut values = vec![
        (Dimension::Total, String::new()),
        (Dimension::Mode, mode.name().to_owned()),
        (Dimension::Rules, rules.to_owned()),
        (Dimension::Verdict, verdict.name().to_owned()),
        (Dimension::Device, hit.judged.device.name().to_owned()),
        (Dimension::Client, hit.judged.client.name().to_owned()),
        (Dimension::System, hit.judged.system.name().to_owned()),
        (Dimension::Hour, format!("{}T{:02}", Day::of_unix_ms(hit.at_ms), hour % 24)),
    ];
    if hit.link > 0 {
        values.push((Dimension::Link, hit.link.to_string()));
    }
    values
}

/// Gmail's and Yahoo's proxies fetch when a person opens the mail, Apple's whether or not anybody
/// does; who cannot be told is taken for a person.
const fn is_person(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Human | Verdict::GmailProxy | Verdict::YahooProxy | Verdict::Unknown => true,
        Verdict::AppleProxy | Verdict::Scanner | Verdict::Prefetch | Verdict::Bot => false,
    }
}

/// Whether what the same message's clicks did around a click gives a scanner away.
fn is_scanner(hit: &Hit, hits: &[Hit]) -> bool {
    let near: Vec<&Hit> = hits
        .iter()
        .filter(|other| other.kind == Kind::Click && other.reader == hit.reader)
        .filter(|other| other.at_ms.abs_diff(hit.at_ms) <= WINDOW_MS)
        .collect();
    near.iter().any(|click| click.honeypot)
        || near.iter().any(|first| {
            let from = first.at_ms;
            let links: BTreeSet<u16> = near
                .iter()
                .filter(|click| (from..=from + BURST_MS).contains(&click.at_ms))
                .map(|click| click.link)
                .collect();
            links.len() >= 3
        })
}

#[cfg(test)]
mod tests;
