//! What only several requests together tell: who follows everything is a scanner.
//!
//! A click is a scanner's when the same mark, within the window before or after it, followed the
//! link that people do not see, or three different links within two seconds. Time is cut into
//! ticks, so that what was seen is a set: order, repeats and restarts do not matter, and a
//! replayed token cannot grow it.

use std::collections::BTreeMap;

use hushmark_event::Hit;
use hushmark_policy::{CampaignId, Kind};
use rustc_hash::FxHashMap;

/// One tick of the window's clock.
const TICK_MS: u64 = 100;

/// So many different links within [`BURST_TICKS`] are no person's.
const BURST_LINKS: usize = 3;

/// Two seconds.
const BURST_TICKS: u64 = 20;

/// What one mark did at a tick.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Click {
    tick: u64,
    link: u16,
    honeypot: bool,
}

type Who = (CampaignId, u64);

/// The clicks of the last seconds, by mark.
pub struct Behaviour {
    window_ticks: u64,
    clicks: FxHashMap<Who, Vec<Click>>,
    by_tick: BTreeMap<u64, Vec<Who>>,
}

impl Behaviour {
    /// Sees and judges nothing when the window is zero.
    #[must_use]
    pub fn new(window_ms: u64) -> Self {
        let window_ticks = window_ms / TICK_MS;
        Self { window_ticks, clicks: FxHashMap::default(), by_tick: BTreeMap::new() }
    }

    fn who(hit: &Hit) -> Option<Who> {
        let mark = hit.mark.as_ref().filter(|_| hit.kind == Kind::Click)?;
        Some((hit.context.campaign, mark.expose()))
    }

    /// Remembers a click that carries a mark; anything else tells nothing.
    pub fn see(&mut self, hit: &Hit) {
        let Some(who) = Self::who(hit).filter(|_| self.window_ticks > 0) else { return };
        let click = Click { tick: hit.at_ms / TICK_MS, link: hit.link, honeypot: hit.honeypot };
        let clicks = self.clicks.entry(who).or_default();
        // Clicks come nearly in order, so the search ends where it begins.
        if let Err(place) = clicks.binary_search(&click) {
            clicks.insert(place, click);
            self.by_tick.entry(click.tick).or_default().push(who);
        }
    }

    /// Whether the hit is a scanner's by what its mark did around it.
    #[must_use]
    pub fn is_scanner(&self, hit: &Hit) -> bool {
        let Some(clicks) = Self::who(hit).and_then(|who| self.clicks.get(&who)) else {
            return false;
        };
        if clicks.len() < BURST_LINKS && !clicks.iter().any(|click| click.honeypot) {
            return false;
        }
        let tick = hit.at_ms / TICK_MS;
        let from = clicks.partition_point(|c| c.tick < tick.saturating_sub(self.window_ticks));
        let to = clicks.partition_point(|c| c.tick <= tick + self.window_ticks);
        let around = &clicks[from..to];
        around.iter().any(|click| click.honeypot) || has_burst(around)
    }

    /// Forgets what happened before `horizon_ms`.
    pub fn forget_before(&mut self, horizon_ms: u64) {
        let kept = self.by_tick.split_off(&(horizon_ms / TICK_MS));
        for (tick, marks) in std::mem::replace(&mut self.by_tick, kept) {
            for who in marks {
                if let Some(clicks) = self.clicks.get_mut(&who) {
                    clicks.retain(|click| click.tick > tick);
                    if clicks.is_empty() {
                        self.clicks.remove(&who);
                    }
                }
            }
        }
    }

    /// Number of marks that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clicks.len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clicks.is_empty()
    }
}

fn has_burst(clicks: &[Click]) -> bool {
    let mut links: Vec<u16> = Vec::new();
    clicks.iter().enumerate().any(|(i, first)| {
        links.clear();
        for click in clicks[i..].iter().take_while(|c| c.tick - first.tick <= BURST_TICKS) {
            if !links.contains(&click.link) {
                links.push(click.link);
            }
            if links.len() == BURST_LINKS {
                return true;
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hushmark_event::{Client, Context, Device, System, Verdict};
    use hushmark_policy::{Day, Generation, MailType, Mark, Mode, TenantId};
    use proptest::prelude::*;

    fn click(mark: u64, link: u16, at_ms: u64, honeypot: bool) -> Hit {
        Hit {
            context: Context {
                tenant: TenantId(1),
                campaign: CampaignId(2),
                generation: Generation(0),
                mode: Mode::Anonymous,
                mail_type: MailType::Campaign,
                last_day: Day(20_000),
            },
            kind: Kind::Click,
            link,
            honeypot,
            mark: Some(Mark::new(mark)),
            at_ms,
            verdict: Verdict::Human,
            device: Device::Desktop,
            client: Client::Firefox,
            system: System::Linux,
            country: None,
        }
    }

    fn seen(hits: &[Hit]) -> Behaviour {
        let mut behaviour = Behaviour::new(10_000);
        hits.iter().for_each(|hit| behaviour.see(hit));
        behaviour
    }

    #[test]
    fn the_hidden_link_tells_on_every_click_of_its_mark_within_ten_seconds() {
        let hits = [
            click(7, 1, 50_000, false),
            click(7, 9, 60_000, true),
            click(7, 1, 70_000, false),
            click(7, 1, 70_100, false),
            click(8, 1, 60_000, false),
        ];
        let behaviour = seen(&hits);
        let told: Vec<bool> = hits.iter().map(|hit| behaviour.is_scanner(hit)).collect();
        assert_eq!(told, [true, true, true, false, false]);
    }

    #[test]
    fn three_links_in_two_seconds_are_a_scanner_two_links_a_reader() {
        let reader = [click(1, 1, 0, false), click(1, 2, 100, false), click(1, 1, 200, false)];
        assert!(reader.iter().all(|hit| !seen(&reader).is_scanner(hit)));
        let slow = [click(1, 1, 0, false), click(1, 2, 1_100, false), click(1, 3, 2_200, false)];
        assert!(slow.iter().all(|hit| !seen(&slow).is_scanner(hit)));
        let fast = [click(1, 1, 0, false), click(1, 2, 900, false), click(1, 3, 1_900, false)];
        assert!(fast.iter().all(|hit| seen(&fast).is_scanner(hit)));
    }

    #[test]
    fn opens_and_marks_of_nobody_are_never_judged() {
        let mut open = click(1, 9, 0, true);
        open.kind = Kind::Open;
        let mut overall = click(1, 9, 0, true);
        overall.mark = None;
        let behaviour = seen(&[open.clone(), overall.clone()]);
        assert!(behaviour.is_empty() && !behaviour.is_scanner(&open));
        assert!(!behaviour.is_scanner(&overall));
    }

    fn clicks() -> impl Strategy<Value = Vec<(u64, u16, u64, bool)>> {
        let one = (0..3u64, 1..6u16, 0..40_000u64, prop::bool::weighted(0.05));
        prop::collection::vec(one, 0..60)
    }

    proptest! {
        /// The verdict is what the rule says when it is written down naively, whatever the order
        /// and however often a click is seen, and forgetting the far past changes nothing.
        #[test]
        fn order_repeats_and_forgetting_change_no_verdict(seeds in clicks(), turn in 0..60usize) {
            let hits: Vec<Hit> = seeds.iter().map(|(m, l, t, h)| click(*m, *l, *t, *h)).collect();
            let mut turned = hits.clone();
            turned.rotate_left(turn.min(hits.len()));
            turned.extend(hits.iter().take(10).cloned());
            let (all, other) = (seen(&hits), seen(&turned));
            let mut late = seen(&hits);
            late.forget_before(10_000);
            for hit in &hits {
                let tick = |h: &Hit| h.at_ms / TICK_MS;
                let near: Vec<&Hit> = hits.iter()
                    .filter(|h| h.mark == hit.mark && tick(h).abs_diff(tick(hit)) <= 100).collect();
                let burst = near.iter().any(|a| near.iter().any(|b| near.iter().any(|c| {
                    let ticks = [tick(a), tick(b), tick(c)];
                    let span = ticks.iter().max().unwrap() - ticks.iter().min().unwrap();
                    a.link != b.link && b.link != c.link && a.link != c.link && span <= BURST_TICKS
                })));
                let expected = near.iter().any(|h| h.honeypot) || burst;
                prop_assert_eq!(all.is_scanner(hit), expected);
                prop_assert_eq!(other.is_scanner(hit), expected);
                if hit.at_ms >= 20_000 {
                    prop_assert_eq!(late.is_scanner(hit), expected);
                }
            }
            late.forget_before(u64::MAX);
            prop_assert!(late.is_empty());
        }
    }
}
