//! From letters and the script to requests: what is sent when, what has to be answered, and what
//! it is to be counted as. Pure.

use hushmark_policy::Kind;

use super::expect::{Hit, counted};
use super::mail::{Letter, Link};
use super::people::{How, Step, What, morning};

/// What the edge has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Pixel,
    /// To this address, byte for byte.
    Redirect(String),
    NotFound,
}

/// What becomes of a request in the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is counted; the moment is written in when it is sent.
    Counts(Hit),
    /// Its token is valid, and nothing of it is kept.
    Void,
    /// Its token is none.
    Nothing,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    /// Milliseconds from the beginning.
    pub(super) at_ms: u32,
    /// The campaign, by its place among those that the demo sends.
    pub(super) campaign: usize,
    pub(super) path: String,
    pub(super) user_agent: &'static str,
    pub(super) how: How,
    pub(super) answer: Answer,
    pub(super) effect: Effect,
}

/// The morning of one campaign. There is a letter for every reader, or one for all of them.
pub(super) fn errands(
    campaign: usize,
    letters: &[Letter],
    readers: usize,
    raw_count: bool,
) -> Vec<Errand> {
    let mut errands = Vec::new();
    for reader in 0..readers {
        let Some(letter) = letters.get(reader).or(letters.first()) else { continue };
        let number = u32::try_from(reader).unwrap_or(u32::MAX);
        for step in morning(number, letter.links.len()) {
            errands.extend(errand(campaign, reader, letter, &step, raw_count));
        }
    }
    // Forgers stay away from no hour of the day.
    errands.extend(letters.first().map(|letter| forgeries(campaign, letter)).unwrap_or_default());
    // Campaigns arrive a moment after one another.
    let late = u32::try_from(campaign).unwrap_or(0).saturating_mul(150).min(1_500);
    errands.iter_mut().for_each(|errand| errand.at_ms += late);
    errands
}

/// The request of a step, where the letter has what it asks for.
fn errand(
    campaign: usize,
    reader: usize,
    letter: &Letter,
    step: &Step,
    raw_count: bool,
) -> Option<Errand> {
    let link = match step.what {
        What::Pixel => None,
        What::Link(index) => Some(letter.links.get(index)?),
        What::Honeypot => Some(letter.honeypot.as_ref()?),
    };
    let (path, answer) = match link {
        None => (letter.pixel.clone()?, Answer::Pixel),
        Some(Link { path, destination, .. }) => {
            (path.clone(), Answer::Redirect(destination.clone()))
        }
    };
    let effect = counted(step, raw_count).map_or(Effect::Void, |counted| {
        Effect::Counts(Hit {
            kind: if link.is_none() { Kind::Open } else { Kind::Click },
            reader,
            link: link.map_or(0, |link| link.number),
            honeypot: step.what == What::Honeypot,
            judged: counted.judged,
            untold: counted.untold,
            at_ms: 0,
        })
    });
    let (user_agent, how, at_ms) = (step.agent.user_agent, step.how, step.at_ms);
    Some(Errand { at_ms, campaign, path, user_agent, how, answer, effect })
}

/// Tokens that nobody sealed: changed, cut, lengthened, used on the other route, empty.
fn forgeries(campaign: usize, letter: &Letter) -> Vec<Errand> {
    let pixel = letter.pixel.as_deref().and_then(|path| path.strip_prefix("/o/"));
    let pixel = pixel.map(|token| token.trim_end_matches(".gif"));
    let link = letter.links.first().and_then(|link| link.path.strip_prefix("/c/"));
    let mut paths = Vec::new();
    if let Some(token) = pixel {
        paths.extend(spoilt(token).map(|token| (format!("/o/{token}.gif"), Answer::Pixel)));
        paths.push((format!("/c/{token}"), Answer::NotFound));
    }
    if let Some(token) = link {
        paths.extend(spoilt(token).map(|token| (format!("/c/{token}"), Answer::NotFound)));
        paths.push((format!("/o/{token}.gif"), Answer::Pixel));
    }
    let forgery = |(n, (path, answer)): (usize, (String, Answer))| Errand {
        at_ms: 400 + 450 * u32::try_from(n).unwrap_or(0),
        campaign,
        path,
        user_agent: super::agents::CHROME.user_agent,
        how: How::Get,
        answer,
        effect: Effect::Nothing,
    };
    paths.into_iter().enumerate().map(forgery).collect()
}

/// The same token with a letter changed at its beginning, middle and end, cut, lengthened, empty.
fn spoilt(token: &str) -> impl Iterator<Item = String> {
    let changed = |at: usize| {
        let letter = if token.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
        format!("{}{letter}{}", &token[..at], &token[at + 1..])
    };
    let last = token.len().saturating_sub(1);
    let all = if token.is_empty() {
        Vec::new()
    } else {
        vec![
            changed(0),
            changed(token.len() / 2),
            changed(last.saturating_sub(1)),
            token[..last].to_owned(),
            format!("{token}AAAA"),
            String::new(),
        ]
    };
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::expect::cells;
    use hushmark_event::cell::Dimension;
    use hushmark_policy::{Mode, Tracking};

    fn link(number: u16) -> Link {
        Link {
            number,
            path: format!("/c/{number}token"),
            destination: format!("https://a.example/{number}"),
        }
    }

    fn letter() -> Letter {
        Letter {
            pixel: Some("/o/token.gif".into()),
            links: [1, 3, 4, 5, 6, 7].map(link).into(),
            honeypot: Some(link(12)),
        }
    }

    fn hits(errands: &[Errand]) -> Vec<Hit> {
        let hit = |errand: &Errand| match &errand.effect {
            Effect::Counts(hit) => Some(Hit { at_ms: u64::from(errand.at_ms), ..hit.clone() }),
            Effect::Void | Effect::Nothing => None,
        };
        errands.iter().filter_map(hit).collect()
    }

    /// With the quickstart's two hundred readers something may be shown in every mode: the whole,
    /// its human part and what lies between all stand for ten people and leave ten out.
    #[test]
    fn two_hundred_readers_are_enough_to_show_the_whole_in_every_mode() {
        let hits = hits(&errands(0, &[letter()], 200, false));
        for mode in [Mode::Overall, Mode::Anonymous, Mode::Individual] {
            let cells = cells(Tracking { opens: mode, clicks: mode }, &hits, "1");
            for kind in Kind::ALL {
                let total = cells[&(kind, Dimension::Total, String::new())];
                let (raw, human) = if mode.has_mark() {
                    (total.uniq_raw, total.uniq_human)
                } else {
                    (total.raw, total.human)
                };
                for people in [raw, human, raw - human] {
                    assert!((10..=190).contains(&people), "{mode} {} {people}", kind.name());
                }
            }
        }
    }

    #[test]
    fn every_kind_of_answer_is_asked_for_and_nothing_forged_counts() {
        let errands = errands(0, &[letter()], 200, false);
        let forged: Vec<&Errand> =
            errands.iter().filter(|errand| errand.effect == Effect::Nothing).collect();
        assert_eq!(forged.len(), 14);
        let genuine: Vec<&str> = errands
            .iter()
            .filter(|errand| errand.effect != Effect::Nothing)
            .map(|errand| errand.path.as_str())
            .collect();
        assert!(forged.iter().all(|errand| !genuine.contains(&errand.path.as_str())));
        assert!(forged.iter().all(|errand| !matches!(errand.answer, Answer::Redirect(_))));
        assert!(errands.iter().any(|errand| errand.effect == Effect::Void));
        assert!(errands.iter().all(|errand| errand.at_ms < 10_000));
    }

    #[test]
    fn a_letter_without_pixel_or_links_is_asked_for_what_it_has() {
        let silent = Letter { pixel: None, ..letter() };
        assert!(hits(&errands(0, &[silent], 200, false)).iter().all(|h| h.kind == Kind::Click));
        let plain = Letter { links: Vec::new(), honeypot: None, ..letter() };
        assert!(hits(&errands(0, &[plain], 200, false)).iter().all(|h| h.kind == Kind::Open));
    }
}
