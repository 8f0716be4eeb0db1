//! Recipients' objections, from the lanes to the one who appends to the refusal log. Pure.
//!
//! They are asked for as soon as they are read, and obeyed from then on, long before the log has
//! them: a hit waits ten seconds before it is judged. What is asked for twice is in the log once,
//! so that nothing has to be remembered beyond a session.

use std::collections::VecDeque;

use hushmark_event::Objection;
use hushmark_event::ask::{Askers, Question, requested};
use hushmark_event::audit::{Action, Principal, Target};
use hushmark_event::refusal::{Entry, Journal, RefusalLog, Refuses};
use hushmark_policy::Objected;

/// Objections that may wait to be asked for, some 64 MiB; above this no lane is read on.
const WAITING_MOST: usize = 1_000_000;

/// What a session has read of objections.
#[derive(Default)]
pub struct Objections {
    waiting: VecDeque<Objection>,
    objected: Objected,
}

/// A request to the one who appends: what the entry will say, and who asks for what.
pub struct Request {
    /// For the refusal log.
    pub refuses: Refuses,
    /// For the audit log.
    pub question: Question,
}

impl Objections {
    /// Takes one that was read from a lane, unless the log or an earlier one says the same.
    pub fn take(&mut self, objection: &Objection, log: &Objected) {
        if objection.is_in(log) || objection.is_in(&self.objected) {
            return;
        }
        objection.add_to(&mut self.objected);
        self.waiting.push_back(objection.clone());
    }

    /// Takes what an earlier session asked for, and nobody appended yet: it is obeyed all the same.
    pub fn take_asked<'a>(&mut self, requests: impl IntoIterator<Item = &'a [u8]>) {
        // As the log would read them, one at a time: what it would not take is nobody's objection.
        for text in requests {
            let mut log = RefusalLog::default();
            let Some(refuses) = requested(&Journal::default(), text, Askers::Owner) else {
                continue;
            };
            let entry = Entry { n: 1, at_ms: 0, refuses };
            if log.append(&entry.to_bytes()).is_ok() {
                self.objected.add_all(log.caps().objected());
            }
        }
    }

    /// What the oldest that were not asked for yet need, so many at most.
    #[must_use]
    pub fn next(&self, most: usize) -> Vec<Vec<Request>> {
        self.waiting.iter().take(most).map(requests).collect()
    }

    /// The oldest are asked for, so many.
    pub fn asked(&mut self, count: usize) {
        self.waiting.drain(..count.min(self.waiting.len()));
    }

    /// Whether all that was read is asked for: only then may streams be trimmed.
    #[must_use]
    pub fn are_asked(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether there is room for more.
    #[must_use]
    pub fn have_room(&self) -> bool {
        self.waiting.len() < WAITING_MOST
    }

    /// Forgets what the log has.
    pub fn forget_those_of(&mut self, log: &Objected) {
        if !self.objected.is_empty() {
            self.objected.forget_those_of(log);
        }
    }

    /// Whom no hit is stored of, beside those of the log.
    #[must_use]
    pub const fn objected(&self) -> &Objected {
        &self.objected
    }
}

/// The entries that an objection needs.
fn requests(objection: &Objection) -> Vec<Request> {
    let tenant = objection.tenant;
    let campaign = objection.message.map(|message| message.campaign);
    let requests = objection.refuses().map(|refuses| {
        let target = match (&refuses, campaign) {
            (Refuses::Message { .. }, Some(id)) => Target::Campaign { tenant, id },
            _ => Target::Tenant(tenant),
        };
        let question = Question { by: Principal::Recipient, action: Action::Object(target) };
        Request { refuses, question }
    });
    requests.collect()
}

#[cfg(test)]
mod tests {
    use hushmark_policy::{CampaignId, Day, Mark, ObjectedMessage, TenantId};

    use super::*;

    fn objection() -> Objection {
        let message = ObjectedMessage { campaign: CampaignId(2), last_day: Day(20_778), id: 0x55 };
        let contact = Some(Mark::new(0xaa));
        Objection { tenant: TenantId(1), contact, message: Some(message) }
    }

    #[test]
    fn one_objection_is_asked_for_once_and_obeyed_until_the_log_has_it() {
        let (mut objections, mut log) = (Objections::default(), Objected::default());
        for _ in 0..3 {
            objections.take(&objection(), &log);
        }
        let requests = objections.next(10);
        assert_eq!(requests.len(), 1);
        let said: Vec<String> = requests
            .iter()
            .flatten()
            .map(|it| {
                serde_json::to_string(&it.refuses).unwrap()
                    + &serde_json::to_string(&it.question).unwrap()
            })
            .collect();
        let message = r#"{"message":{"campaign":"0000000000000002","until":"2026-11-21","id":"0000000000000055"}}"#;
        let expected = [
            r#"{"contact":{"tenant":"0000000000000001","id":"00000000000000aa"}}{"by":"recipient","action":{"object":{"tenant":"0000000000000001"}}}"#.to_owned(),
            format!(
                r#"{message}{{"by":"recipient","action":{{"object":{{"campaign":{{"tenant":"0000000000000001","id":"0000000000000002"}}}}}}}}"#
            ),
        ];
        assert_eq!(said, expected);
        assert!(!objections.are_asked());
        objections.asked(1);
        assert!(objections.are_asked() && objection().is_in(objections.objected()));
        objection().add_to(&mut log);
        objections.forget_those_of(&log);
        assert!(objections.objected().is_empty());
        objections.take(&objection(), &log);
        assert!(objections.are_asked(), "a repeat of what the log has asks for nothing");
    }

    #[test]
    fn what_an_earlier_session_asked_for_is_obeyed_and_not_asked_for_again() {
        let mut objections = Objections::default();
        let asked: Vec<Vec<u8>> =
            objection().refuses().map(|it| serde_json::to_vec(&it).unwrap()).collect();
        objections.take_asked(asked.iter().map(Vec::as_slice).chain([&b"please"[..]]));
        assert!(objection().is_in(objections.objected()));
        objections.take(&objection(), &Objected::default());
        assert!(objections.are_asked());
    }
}
