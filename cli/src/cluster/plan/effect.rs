//! What it means for mail and for what runs that the cluster becomes another one. Pure.
//!
//! Tightening reaches mail that was sent, by caps of the refusal log; loosening never does: it
//! raises the tenant's generation, and only mail sealed afterwards is freer.

mod refusals;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hushmark_crds::fits::Limits;
use hushmark_crds::{
    Campaign, Decided, DecidedBy, EffectivePolicy, Region, Tenant, TenantStatus, TypeStatus,
    change, effective,
};
use hushmark_policy::{Kind as Hit, MailType, Mode, Place, Tracking};
use kube::ResourceExt as _;
use serde::Serialize;

use super::super::explain::is_paused;
use super::super::world::World;

pub(crate) use refusals::{Refusal, refusals};

/// What changes for several things alike.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Effect {
    pub(crate) kind: &'static str,
    pub(crate) names: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

/// One thing that changes.
#[derive(Clone, Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) direction: Direction,
    /// Whether mail that was sent is meant, too.
    pub(crate) reaches_sent_mail: bool,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Serialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Direction {
    Tightens,
    Loosens,
    /// It was not there before.
    New,
    /// It tells neither more nor less.
    Other,
}

impl Line {
    fn new(direction: Direction, text: String) -> Self {
        Self { direction, reaches_sent_mail: direction == Direction::Tightens, text }
    }
}

/// Everything that becomes another one between two states of a cluster.
pub(crate) fn effects(before: &World, after: &World) -> Vec<Effect> {
    let mut effects = Vec::new();
    for (name, region) in &after.regions {
        let lines = before.regions.get(name).map_or_else(Vec::new, |old| regions(old, region));
        push(&mut effects, "Region", name.clone(), lines);
    }
    for (key, tenant) in &after.tenants {
        let Some(region) = after.regions.get(&tenant.spec.region) else { continue };
        let old = before.tenants.get(key);
        let old_region = old.and_then(|old| before.regions.get(&old.spec.region));
        let lines = tenants(old.zip(old_region), (tenant, region));
        push(&mut effects, "Tenant", format!("{}/{}", key.0, key.1), lines);
    }
    // 50 campaigns that a kill switch turns off are told once.
    let mut alike: Vec<Effect> = Vec::new();
    let mut at: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (key, campaign) in &after.campaigns {
        let lines = campaigns(before.campaigns.get(key), campaign, before, after);
        if lines.is_empty() {
            continue;
        }
        let same = (key.0.clone(), format!("{lines:?}"));
        let place = *at.entry(same).or_insert(alike.len());
        let name = format!("{}/{}", key.0, key.1);
        match alike.get_mut(place) {
            Some(effect) => effect.names.push(name),
            None => push(&mut alike, "Campaign", name, lines),
        }
    }
    effects.extend(alike);
    effects
}

fn push(effects: &mut Vec<Effect>, kind: &'static str, name: String, lines: Vec<Line>) {
    if !lines.is_empty() {
        effects.push(Effect { kind, names: vec![name], lines });
    }
}

fn regions(old: &Region, new: &Region) -> Vec<Line> {
    let (old, new) = (&old.spec, &new.spec);
    let mut lines = Vec::new();
    let mut say = |text: String| lines.push(Line::new(Direction::Other, text));
    let replaced = change::replaced(old, new);
    for workload in &replaced {
        say(workload.to_string());
    }
    if old != new && replaced.is_empty() {
        say("nothing is restarted".to_owned());
    }
    if old.minimum_group != new.minimum_group {
        let (from, to) = (old.minimum_group, new.minimum_group);
        say(format!(
            "from the next epoch on no figure is about fewer than {to} people ({from} so far)"
        ));
    }
    if old.base_url != new.base_url {
        let (from, to) = (&old.base_url, &new.base_url);
        say(format!(
            "links of new mail begin with {to}; keep {from} in formerBaseUrls, or links of \
                     mail that was sent lead nowhere"
        ));
    }
    if old.longest_tracking_days > new.longest_tracking_days {
        say("day keys that exist already stay until their day is closed".to_owned());
    }
    lines
}

fn type_status(status: Option<&TenantStatus>, mail: MailType) -> Option<TypeStatus> {
    match mail {
        MailType::Campaign => status?.campaign,
        MailType::Transactional => status?.transactional,
    }
}

fn tenants(old: Option<(&Tenant, &Region)>, (new, region): (&Tenant, &Region)) -> Vec<Line> {
    let mut lines = Vec::new();
    for mail in [MailType::Campaign, MailType::Transactional] {
        let now = effective::at_most(&new.spec, mail, &Limits::from(&region.spec));
        let of = |hits: Hit| format!("{} mail: {}s at most", mail.name(), hits.name());
        let Some((old, old_region)) = old else {
            for hits in Hit::ALL {
                let text = format!("{} {}", of(hits), now.of(hits));
                lines.push(Line::new(Direction::New, text));
            }
            continue;
        };
        let said = effective::at_most(&old.spec, mail, &Limits::from(&old_region.spec));
        let status = type_status(old.status.as_ref(), mail);
        let holds = status.map_or(said, |it| Tracking { opens: it.opens, clicks: it.clicks });
        let mut loosens = false;
        for hits in Hit::ALL {
            let (from, mut to) = (holds.of(hits), now.of(hits));
            // Less than the resources say: a pause or a withdrawal holds it down, and goes on to.
            let said = said.of(hits);
            let held_down = from != said && said.allows(from) || is_paused(new);
            if held_down && !from.allows(to) {
                let text = format!(
                    "{} stays {from}: a pause or a withdrawal holds it, or no operator has looked \
                     at what was applied last",
                    of(hits)
                );
                lines.push(Line::new(Direction::Other, text));
                to = from;
            }
            loosens |= !from.allows(to);
            lines.extend(mode(&of(hits), from, to, None));
        }
        if loosens {
            let generation = status.map_or(0, |status| status.generation);
            let text = format!(
                "{} mail sealed from then on is of generation {}; mail that was sent stays as \
                 restricted as it was",
                mail.name(),
                generation.saturating_add(1)
            );
            lines.push(Line::new(Direction::Other, text));
        }
    }
    lines.extend(old.and_then(|(old, _)| consent(old.spec.consent_from, new.spec.consent_from)));
    lines
}

/// Whom mail to come tracks. What was sent stays as it is.
fn consent(old: Option<Mode>, new: Option<Mode>) -> Option<Line> {
    let text = match new {
        Some(from) => format!("mail to come tracks only people who consented, from {from} on"),
        None => "mail to come asks for nobody's consent".to_owned(),
    };
    // The lower the mode, the more mail needs it; without one, none does.
    let direction = match (old, new) {
        (old, new) if old == new => return None,
        (Some(old), Some(new)) if new.allows(old) => Direction::Loosens,
        (_, None) => Direction::Loosens,
        _ => Direction::Tightens,
    };
    Some(Line { direction, reaches_sent_mail: false, text })
}

fn mode(what: &str, from: Mode, to: Mode, because: Option<DecidedBy>) -> Option<Line> {
    let because = because.map(|by| format!(", because {}", by.because())).unwrap_or_default();
    let text = format!("{what} {from} -> {to}{because}");
    if from == to {
        return None;
    }
    let direction = match (from.allows(to), to.allows(from)) {
        (true, _) => Direction::Tightens,
        (_, true) => Direction::Loosens,
        // Of counting and the day of a last open neither is more: mail that was sent is left with
        // what both allow, which is nothing.
        _ => return Some(Line { direction: Direction::Other, reaches_sent_mail: true, text }),
    };
    Some(Line::new(direction, text))
}

fn campaigns(old: Option<&Campaign>, new: &Campaign, before: &World, after: &World) -> Vec<Line> {
    let namespace = new.namespace().unwrap_or_default();
    let in_world = |world: &World, campaign: &Campaign| {
        let tenant = world.tenant_of(&namespace)?;
        let region = world.region_of(&namespace)?;
        let limits = Limits::from(&region.spec);
        Some(EffectivePolicy::of(&campaign.spec, &tenant.spec, &limits))
    };
    let Some(mut now) = in_world(after, new) else { return Vec::new() };
    let held = old.and_then(|old| {
        let status = old.status.as_ref().and_then(|status| status.effective.clone());
        status.or_else(|| in_world(before, old))
    });
    let Some(held) = held else {
        let say = |hits: &str, decided: Decided| {
            let because = decided.decided_by.because();
            let text = format!("{hits} {}, because {because}", decided.mode);
            Line::new(Direction::New, text)
        };
        return vec![say("opens", now.opens), say("clicks", now.clicks)];
    };
    let mut lines = Vec::new();
    if is_paused(new) {
        let freer = now.clone();
        now = now.strictest(&held);
        if freer.tracking() != now.tracking() {
            let text = "what would loosen waits: hushmark.io/paused is set".to_owned();
            lines.push(Line::new(Direction::Other, text));
        }
    }
    let left = |decided: Decided| match decided.decided_by {
        DecidedBy::Withdrawal => decided.mode,
        _ => Mode::Individual,
    };
    let left = Tracking { opens: left(held.opens), clicks: left(held.clicks) };
    now = now.withdrawn(left, Place::City);
    let because = |decided: Decided| Some(decided.decided_by);
    lines.extend(mode("opens", held.opens.mode, now.opens.mode, because(now.opens)));
    lines.extend(mode("clicks", held.clicks.mode, now.clicks.mode, because(now.clicks)));
    if held.place != now.place {
        let direction =
            if now.place < held.place { Direction::Tightens } else { Direction::Loosens };
        let name = |place: Place| if place == Place::None { "none" } else { "country" };
        let text = format!("place {} -> {}", name(held.place), name(now.place));
        lines.push(Line::new(direction, text));
    }
    if held.track_for_days != now.track_for_days {
        let text = format!(
            "hits on mail sealed from then on count for {} days (so far {}); mail that was sent \
             keeps its own last day",
            now.track_for_days, held.track_for_days
        );
        lines.push(Line::new(Direction::Other, text));
    }
    lines
}
