//! What waits in the stream `asks`, and what of it is served first.

use anyhow::{Context, Result};
use hushmark_event::ask::Question;
use hushmark_event::audit::{Principal, Reason};
use hushmark_event::redis_keys::{ASKS, ASKS_MOST, DECLINED_FIELD, QUESTION_FIELD, REFUSAL_FIELD};
use hushmark_event::refusal::{Erased, Refuses};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;

/// Requests that are looked at: recipients' at their most, some 3 MB, and as many of people's, who
/// ask one at a time and wait for each.
const LOOKED_AT: u64 = 2 * ASKS_MOST;

/// Requests that are served at once: they share one write and one sync of each log, and nobody who
/// asks meanwhile waits longer than for those.
pub(super) const AT_ONCE: usize = 500;

/// Who is served before whom, whoever came first. A takedown or a kill switch waits neither for a
/// long list of people nor for recipients, who were obeyed before they asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It is about a region, a tenant, a campaign, a key or a destination.
    Many,
    /// A person's command is about one person.
    One,
    /// A message's page asks.
    Recipient,
}

/// One request.
pub(super) struct Request {
    pub(super) id: String,
    /// What the entry will say; none where only the audit log is told.
    pub(super) text: Option<String>,
    /// Who asks for what; none where nobody says.
    pub(super) question: Option<Question>,
    /// Why the command refused by itself what it was asked for.
    pub(super) declined: Option<Reason>,
}

impl Request {
    fn rank(&self) -> Rank {
        if self.question.as_ref().is_some_and(|question| question.by == Principal::Recipient) {
            return Rank::Recipient;
        }
        match self.text.as_ref().map(|text| serde_json::from_str(text)) {
            None
            | Some(Ok(
                Refuses::Contact { .. }
                | Refuses::Message { .. }
                | Refuses::Erase(Erased::Person { .. }),
            )) => Rank::One,
            Some(
                Ok(
                    Refuses::Cap { .. }
                    | Refuses::Takedown(_)
                    | Refuses::Erase(Erased::Campaign { .. } | Erased::Tenant(_)),
                )
                | Err(_),
            ) => Rank::Many,
        }
    }
}

/// The requests to serve now.
pub(super) async fn next(redis: &mut MultiplexedConnection) -> Result<Vec<Request>> {
    let asks: StreamRangeReply = redis::cmd("XRANGE")
        .arg(ASKS)
        .arg(&["-", "+", "COUNT"])
        .arg(LOOKED_AT)
        .query_async(redis)
        .await
        .context("cannot read requests to the refusal log")?;
    let requests = asks.ids.into_iter().map(|ask| {
        let text = |name| ask.get::<String>(name);
        let question = text(QUESTION_FIELD).and_then(|text| serde_json::from_str(&text).ok());
        let declined = text(DECLINED_FIELD);
        let declined = declined.map(|it| serde_json::from_str(&it).unwrap_or(Reason::Unknown));
        Request { text: text(REFUSAL_FIELD), question, declined, id: ask.id }
    });
    Ok(first(requests))
}

/// As many as are served at once, in the order of their ranks and within one as they came.
fn first(requests: impl Iterator<Item = Request>) -> Vec<Request> {
    let mut ranked: Vec<(Rank, Request)> = requests.map(|it| (it.rank(), it)).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(AT_ONCE).map(|(_, request)| request).collect()
}

/// Takes requests out of their stream: they are answered.
pub(super) async fn take_out(redis: &mut MultiplexedConnection, all: &[Request]) -> Result<()> {
    let ids: Vec<&str> = all.iter().map(|request| request.id.as_str()).collect();
    let mut delete = redis::cmd("XDEL");
    delete.arg(ASKS).arg(ids);
    delete.query_async::<()>(redis).await.context("cannot take requests out")
}

#[cfg(test)]
mod tests {
    use hushmark_event::ask::left_after;
    use hushmark_event::audit::{Action, Name, Target};
    use hushmark_event::refusal::Takedown;
    use hushmark_policy::{Scope, TenantId};

    use super::*;

    fn request(n: usize, by: Principal, refuses: Option<Refuses>) -> Request {
        let question = Question { by, action: Action::Object(Target::Tenant(TenantId(1))) };
        let text = refuses.map(|refuses| serde_json::to_string(&refuses).unwrap());
        Request { id: format!("{n}-0"), text, question: Some(question), declined: None }
    }

    #[test]
    fn a_kill_switch_overtakes_a_long_list_and_people_overtake_recipients() {
        let jane = || Principal::Local(Name::of("uid 1000 (jane)"));
        let contact = |n| {
            let (tenant, id) = ("0000000000000001".to_owned(), format!("{n:016x}"));
            Some(Refuses::Contact { tenant, id })
        };
        let objections = (0..10_000).map(|n| request(n, Principal::Recipient, contact(n)));
        let list = (10_000..10_300).map(|n| request(n, jane(), contact(n)));
        let nobody_named = request(10_300, jane(), None);
        let off = Refuses::withdrawal(Scope::All, left_after(true, true));
        let down = Refuses::Takedown(Takedown::Kid(1));
        let (off, down) = (request(10_301, jane(), Some(off)), request(10_302, jane(), Some(down)));
        let erased = Erased::Tenant("0000000000000001".into());
        let erased = request(10_303, jane(), Some(Refuses::Erase(erased)));
        let waiting = objections.chain(list).chain([nobody_named, off, down, erased]);

        let served: Vec<String> = first(waiting).into_iter().map(|it| it.id).collect();
        let expected = [10_301, 10_302, 10_303].into_iter().chain(10_000..10_301).chain(0..196);
        assert_eq!(served, expected.map(|n| format!("{n}-0")).collect::<Vec<_>>());
        assert_eq!(served.len(), AT_ONCE);
    }
}
