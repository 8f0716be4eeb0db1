//! Plans that were demanded and not carried out: the audit log said that they were allowed, and is
//! told that they were refused in the end.

use ed25519_dalek::SigningKey;
use hushmark_event::audit::{Action, Asked, Entry, Outcome, Says};
use hushmark_event::plans::Past;
use redis::aio::MultiplexedConnection;

use super::{New, Refusals};
use crate::Error;

impl Refusals {
    /// Tells the audit log why a plan was not carried out, under the name of whoever demanded it,
    /// unless it tells of that already.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn stopped(
        &self,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        past: &Past,
        now_ms: u64,
    ) -> Result<(), Error> {
        let Some(stopped) = &past.stopped else { return Ok(()) };
        let mut logs = self.shared.logs.lock().await;
        let Some(asked) = untold(logs.audit()?.entries(), past) else { return Ok(()) };
        let says = Says::Asked(Asked { outcome: Outcome::Refused(stopped.reason), ..asked });
        let new = New { says: vec![says], ..New::default() };
        let noted = self.append_to(&mut logs, redis, key, new, now_ms).await;
        self.tell(&logs, noted)
    }
}

/// What an entry demanded, if no later one says that it was refused.
fn untold(entries: &[String], past: &Past) -> Option<Asked> {
    let before = usize::try_from(past.entry.checked_sub(1)?).ok()?;
    let asked = |text: &String| match serde_json::from_str::<Entry>(text).ok()?.says {
        Says::Asked(asked) => Some(asked),
        Says::Receipt(_) => None,
    };
    let mut entries = entries.get(before..)?.iter();
    let demand = entries.next().and_then(asked)?;
    let is_it = matches!(demand.action, Action::EnforcePlan { plan, .. } if plan == past.plan);
    let is_told = entries
        .filter_map(asked)
        .any(|later| later.action == demand.action && matches!(later.outcome, Outcome::Refused(_)));
    (is_it && !is_told).then_some(demand)
}
