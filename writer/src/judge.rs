//! The last word on a hit, when it is stored: caps, closed days, behaviour. Pure.

use hushmark_event::cell::{CampaignSalt, PersonKey};
use hushmark_event::objection::{Whose, is_objected, is_refused};
use hushmark_event::{Hit, Ring, Verdict};
use hushmark_policy::{CampaignId, Caps, Day, Mark, Mode, Objected, Place};
use rustc_hash::FxHashMap;

use crate::behaviour::Behaviour;
use crate::entry::is_closed;

/// Why a hit is not stored although its batch is. Counted in the same insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Drop {
    /// The last day of its token is closed: nobody can count it under its salt any more.
    Closed,
    /// A cap, a person's withdrawal or an objection that the edge did not know yet allows nothing.
    Capped,
}

impl Drop {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Closed, Self::Capped];

    /// The reason as tables and metrics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Capped => "capped",
        }
    }
}

/// What holds when a cut is made.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// What the refusal log says.
    pub caps: &'a Caps,
    /// The log's length.
    pub position: u64,
    /// Objections that the log does not have yet.
    pub objected: &'a Objected,
    /// Batch keys, by which objections to one message are known.
    pub batch: &'a Ring,
    /// Salt keys.
    pub salts: &'a Ring,
}

/// What one cut is judged by.
pub struct Judge<'a> {
    caps: &'a Caps,
    objected: &'a Objected,
    batch: &'a Ring,
    salts: &'a Ring,
    behaviour: &'a Behaviour,
    /// Length of the refusal log that `caps` are from; it goes into the ledger rows.
    pub position: u64,
    told: FxHashMap<(CampaignId, u64, u64), bool>,
    campaigns: FxHashMap<(CampaignId, Day), CampaignSalt>,
    people: FxHashMap<(CampaignId, Day, u64), PersonKey>,
}

impl<'a> Judge<'a> {
    /// Begins a cut.
    #[must_use]
    pub fn new(rules: Rules<'a>, behaviour: &'a Behaviour) -> Self {
        let Rules { caps, position, objected, batch, salts } = rules;
        Self {
            caps,
            objected,
            batch,
            salts,
            behaviour,
            position,
            told: FxHashMap::default(),
            campaigns: FxHashMap::default(),
            people: FxHashMap::default(),
        }
    }

    /// Makes a hit what may be stored of it: the strictest mode and place, the final verdict.
    ///
    /// # Errors
    /// Why nothing of it may be stored.
    pub fn judge(&mut self, hit: &mut Hit) -> Result<(), Drop> {
        let context = &mut hit.context;
        if is_closed(context.last_day, self.salts) {
            return Err(Drop::Closed);
        }
        let (tenant, campaign, last_day) = (context.tenant, context.campaign, context.last_day);
        let ends = |mark: &Mark| {
            let whose = Whose { tenant, campaign, last_day, mark };
            is_refused(self.caps, self.batch, whose)
                || is_objected(self.objected, self.batch, whose)
        };
        // Whatever mode the edge left of `individual`: the mark is still the contact's.
        if hit.mark.as_ref().is_some_and(ends) {
            return Err(Drop::Capped);
        }
        let place = if hit.country.is_some() { Place::Country } else { Place::None };
        let (mode, place) = self.caps.apply(
            (context.tenant, context.mail_type),
            context.campaign,
            context.generation,
            hit.kind,
            (context.mode, place),
        );
        if mode == Mode::Off {
            return Err(Drop::Capped);
        }
        if self.is_scanner(hit) {
            hit.verdict = Verdict::Scanner;
        }
        hit.context.mode = mode;
        if place == Place::None {
            hit.country = None;
        }
        if !mode.has_mark() {
            hit.mark = None;
        }
        Ok(())
    }

    /// Asked once a mark and tenth of a second: a replayed token must not cost more than others.
    fn is_scanner(&mut self, hit: &Hit) -> bool {
        let Some(mark) = &hit.mark else { return false };
        if self.behaviour.is_empty() || hit.kind != hushmark_policy::Kind::Click {
            return false;
        }
        let asked = (hit.context.campaign, mark.expose(), hit.at_ms / 100);
        *self.told.entry(asked).or_insert_with(|| self.behaviour.is_scanner(hit))
    }

    /// The key of the person behind a hit, where its mode has marks and its day is not closed.
    pub fn person(&mut self, hit: &Hit) -> Option<&PersonKey> {
        let mark = hit.mark.as_ref()?;
        let (campaign, last_day) = (hit.context.campaign, hit.context.last_day);
        let salt = match self.campaigns.entry((campaign, last_day)) {
            std::collections::hash_map::Entry::Occupied(salt) => salt.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(CampaignSalt::derive(self.salts.get(last_day)?, campaign))
            }
        };
        let who = (campaign, last_day, mark.expose());
        Some(self.people.entry(who).or_insert_with(|| salt.person(mark)))
    }
}
