//! An objection: from the page's token to a record on the lane, obeyed here from that moment.

use std::sync::Arc;

use hushmark_event::Objection;
use hushmark_event::objection::name_message;
use hushmark_policy::{Day, Objected};
use hushmark_token::Claims;

use super::{Asked, Desk, Local};
use crate::commit::Ticket;
use crate::page::Language;
use crate::reply::Reply;

/// Objections that this edge remembers until the refusal log has them: some 100 KiB. What comes on
/// top, while the log stands still, is recorded and answered all the same, and obeyed by the
/// writer.
const REMEMBERED: usize = 4_096;

impl Desk {
    /// Records an objection with all that it names and the refusal log does not have yet. Whatever
    /// the log has, the answer is the same.
    pub(super) fn object(
        &self,
        local: &Local,
        claims: &Claims,
        asked: &Asked<'_>,
    ) -> (Reply, Option<Ticket>) {
        let (known, now_ms) = (&local.known, asked.now_ms);
        let (language, tracking) = (Language::of(asked.request.headers()), claims.tracking());
        let void = |length, reply| {
            self.stats.voids.one();
            (reply, Some(self.commit.void(length, now_ms)))
        };
        if claims.contact().is_none() && claims.message().is_none() {
            return void(1, Reply::Page(language, tracking));
        }
        // After its last day a message counts nothing anyway, and has no name any more.
        let mark = claims.message().filter(|_| Day::of_unix_ms(now_ms) <= claims.last_day);
        let name = |mark| name_message(&known.ring, claims.campaign, claims.last_day, mark);
        let message = mark.and_then(name);
        if mark.is_some() && message.is_none() {
            tracing::error!(
                day = %claims.last_day,
                "the ring has no batch key for a token's last day, so that nobody can object: \
                 extend it"
            );
            self.stats.rejected.one();
            return (Reply::Busy, None);
        }
        let log = known.refusals.as_ref().map(|log| log.caps().objected());
        let is_new = |has: &dyn Fn(&Objected) -> bool| !log.is_some_and(has);
        let tenant = claims.tenant;
        let length = Objection::packed_len(claims.contact().is_some(), message.is_some());
        let contact = claims.contact().filter(|it| is_new(&|log| log.has_contact(tenant, it)));
        let message = message.filter(|it| is_new(&|log| log.has_message(it)));
        let objection = Objection { tenant, contact: contact.cloned(), message };
        let reply = Reply::Objected(language, tracking);
        if objection.contact.is_none() && objection.message.is_none() {
            return void(length, reply);
        }
        self.stats.objections.one();
        self.remember(&known.objected, &objection);
        (reply, Some(self.commit.objection(&objection, now_ms)))
    }

    /// Every core obeys it from its next request on.
    fn remember(&self, remembered: &Objected, objection: &Objection) {
        if objection.is_in(remembered) {
            return;
        }
        self.shared.change(|known| {
            if known.objected.len() < REMEMBERED {
                objection.add_to(Arc::make_mut(&mut known.objected));
            }
        });
    }
}
