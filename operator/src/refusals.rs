//! The one who appends to the refusal log in a cluster.
//!
//! The log lives in Redis, and in the copies of edges and writers; the Region's status remembers
//! its last head. Every append is one script that holds its own fence: it takes the entries only if
//! the log is exactly as long as the appender believes, so that neither a second operator nor a
//! command that arrived twice can make two logs of one. While Redis shows less than is known,
//! nothing is appended: whoever holds more puts it back.

mod link;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use hushmark_crds::{RefusalLogStatus, Region};
use hushmark_event::ask::{Answer, Askers, requested};
use hushmark_event::refusal::{Journal, RefusalLog, Refuses};
use kube::api::{Api, Patch, PatchParams};
use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::context::{ActiveRegion, now_ms};
use crate::{Context, Error};

/// How often Redis is looked at: a takedown holds within a second.
const EVERY: Duration = Duration::from_millis(200);

/// How long one look may take: a whole log of 100,000 entries is read in two seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The field of the Region's status that is written here has its own manager.
const MANAGER: &str = "hushmark-operator-refusals";

/// The log as the appender holds it, for those who decide what to append. Cloning shares it.
#[derive(Clone, Default)]
pub struct Refusals {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Held while Redis is asked, so that appends come one after the other.
    journal: Mutex<Option<Journal>>,
    shown: watch::Sender<Shown>,
}

/// What is known of the log.
#[derive(Clone, Default)]
pub struct Shown {
    /// The log; none until it was read and verified.
    pub log: Option<Arc<RefusalLog>>,
    /// Why it cannot be used now.
    pub problem: Option<String>,
}

/// The head that the Region's status names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Number of entries.
    pub length: u64,
    /// The chain's hash at that length; empty where nothing is known.
    pub hash: String,
}

impl From<&Region> for Known {
    fn from(region: &Region) -> Self {
        let status = region.status.as_ref().and_then(|status| status.refusal_log.as_ref());
        status.map_or_else(Self::default, |log| Self {
            length: u64::try_from(log.length).unwrap_or(0),
            hash: log.hash.clone(),
        })
    }
}

impl Refusals {
    /// What is known of the log now.
    #[must_use]
    pub fn shown(&self) -> Shown {
        self.shared.shown.borrow().clone()
    }

    /// Tells of every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Shown> {
        self.shared.shown.subscribe()
    }

    /// Appends what the log does not refuse already, durably, its head signed.
    ///
    /// # Errors
    /// [`Error::Refusals`] while the log is not known, or when Redis shows another one than was
    /// known; [`Error::Redis`]. Whether something was appended then shows when the log is read
    /// again; asking again appends nothing twice.
    pub async fn append(
        &self,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        refuses: Vec<Refuses>,
        now_ms: u64,
    ) -> Result<(), Error> {
        let mut journal = self.shared.journal.lock().await;
        let appended = self.append_to(&mut journal, redis, key, refuses, now_ms).await;
        self.tell(journal.as_ref(), appended)
    }

    /// Appends what a person asks for, unless it is there, and says where it is.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn ask(
        &self,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        refuses: Refuses,
        now_ms: u64,
    ) -> Result<Answer, Error> {
        let mut journal = self.shared.journal.lock().await;
        let was_there = journal.as_ref().is_some_and(|held| held.has(&refuses));
        let wanted = vec![refuses.clone()];
        let appended = self.append_to(&mut journal, redis, key, wanted, now_ms).await;
        self.tell(journal.as_ref(), appended)?;
        let held = journal.as_ref().and_then(|held| Some((held.position(&refuses)?, held.log())));
        // Appending ends with the log at hand, or with an error.
        let (position, log) = held.ok_or_else(|| Error::Refusals("it is not read yet".into()))?;
        let (length, hash) = (log.length(), log.hash());
        Ok(Answer { position, appended: !was_there, length, hash })
    }

    /// Reads the log if it is not known, answers what commands ask for, and puts back what Redis
    /// lost.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn round(
        &self,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        known: &Known,
        now_ms: u64,
    ) -> Result<(), Error> {
        let mut journal = self.shared.journal.lock().await;
        let done = self.round_with(&mut journal, redis, key, known, now_ms).await;
        self.tell(journal.as_ref(), done)
    }

    /// Forgets the log: another Region, or none, is at work now.
    pub async fn forget(&self) {
        *self.shared.journal.lock().await = None;
        self.shared.shown.send_if_modified(|shown| {
            shown.problem = None;
            shown.log.take().is_some()
        });
    }

    async fn round_with(
        &self,
        journal: &mut Option<Journal>,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        known: &Known,
        now_ms: u64,
    ) -> Result<(), Error> {
        let held = match journal {
            Some(held) => held,
            None => journal.insert(link::load(redis, key, known).await?),
        };
        let look = link::look(redis).await?;
        match look.compare(held.log()) {
            link::Standing::Same => {}
            link::Standing::Shorter => link::put_back(redis, held, key, look.top).await?,
            link::Standing::Longer => {
                *journal = None;
                return Err(Error::Refusals(
                    "somebody else appended to it; reading it anew".into(),
                ));
            }
            link::Standing::Other => {
                *journal = None;
                let message = "redis shows another log of the same length, signed or not: stop \
                               whoever else appends to it, and restore redis from its volume";
                return Err(Error::Refusals(message.into()));
            }
        }
        if look.asks.is_empty() {
            return Ok(());
        }
        let (ids, refuses) = sensible(held, look.asks);
        self.append_to(journal, redis, key, refuses, now_ms).await?;
        // Taken out last: a death in between only repeats what the log then has.
        link::take_out(redis, &ids).await
    }

    async fn append_to(
        &self,
        journal: &mut Option<Journal>,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        refuses: Vec<Refuses>,
        now_ms: u64,
    ) -> Result<(), Error> {
        let Some(held) = journal.as_mut() else {
            let problem = self.shared.shown.borrow().problem.clone();
            return Err(Error::Refusals(problem.unwrap_or_else(|| "it is not read yet".into())));
        };
        let new: Vec<Refuses> = refuses.into_iter().filter(|new| !held.has(new)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let prepared =
            held.prepare(new, now_ms).map_err(|error| Error::Refusals(error.to_string()))?;
        let head = prepared.log().sign_head(key);
        match link::append(redis, held.log().length(), prepared.entries(), &head).await {
            Ok(true) => {
                tracing::info!(length = head.length, "appended to the refusal log");
                held.commit(prepared);
                Ok(())
            }
            Ok(false) => {
                *journal = None;
                Err(Error::Refusals("redis shows another length; reading it anew".into()))
            }
            Err(error) => {
                // It may have arrived all the same: what is there is read before anything else.
                *journal = None;
                Err(error)
            }
        }
    }

    /// Shows what came of it, and wakes those who wait, if it is something new.
    fn tell(&self, journal: Option<&Journal>, done: Result<(), Error>) -> Result<(), Error> {
        let problem = done.as_ref().err().map(|error| match error {
            Error::Refusals(text) => text.clone(),
            other => other.to_string(),
        });
        let held = journal.map(Journal::log);
        self.shared.shown.send_if_modified(|shown| {
            // A log that was known stays good for decisions while Redis is away: it only grows.
            let grew = held.is_some_and(|held| {
                shown.log.as_ref().is_none_or(|log| log.length() != held.length())
            });
            if let Some(held) = held.filter(|_| grew) {
                shown.log = Some(Arc::new(held.clone()));
            }
            // One trouble after another wakes nobody; its end does.
            let is_new = grew || (shown.problem.is_some() && problem.is_none());
            shown.problem = problem;
            is_new
        });
        done
    }
}

/// The ids of all requests, and what those that make sense ask for.
fn sensible(journal: &Journal, asks: Vec<(String, Option<String>)>) -> (Vec<String>, Vec<Refuses>) {
    let (mut ids, mut wanted) = (Vec::new(), Vec::new());
    for (id, text) in asks {
        match text.and_then(|text| requested(journal, text.as_bytes(), Askers::Servers)) {
            Some(refuses) if !wanted.contains(&refuses) => wanted.push(refuses),
            Some(_) => {}
            None => tracing::warn!(id, "a request to the refusal log makes no sense"),
        }
        ids.push(id);
    }
    (ids, wanted)
}

/// Follows the log until it is told to stop.
///
/// # Errors
/// Never: what fails is told, and tried again.
pub async fn run(ctx: Arc<Context>, shutdown: CancellationToken) -> Result<(), Error> {
    let mut said = String::new();
    let mut follower = Follower::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        let done = tokio::time::timeout(PATIENCE, follower.step(&ctx)).await;
        match done.unwrap_or(Err(Error::Late(PATIENCE))) {
            Ok(()) => said.clear(),
            Err(error) => {
                if matches!(error, Error::Redis { .. } | Error::Late(_)) {
                    ctx.redis.failed().await;
                }
                let text = error.to_string();
                if text != said {
                    tracing::warn!(%error, "the refusal log is not followed");
                    said = text;
                }
            }
        }
    }
}

#[derive(Default)]
struct Follower {
    /// The uid of the Region whose log is held.
    region: Option<String>,
    /// The head that this process wrote into the status.
    written: Option<RefusalLogStatus>,
}

impl Follower {
    async fn step(&mut self, ctx: &Context) -> Result<(), Error> {
        let Some(active) = ctx.active() else {
            if self.region.take().is_some() {
                ctx.refusals.forget().await;
            }
            return Ok(());
        };
        if self.region.as_ref() != Some(&active.uid) {
            ctx.refusals.forget().await;
            *self = Self { region: Some(active.uid.clone()), written: None };
        }
        let mut redis = match ctx.redis.connection().await {
            Ok(redis) => redis,
            Err(Error::RedisUnknown) => return Ok(()),
            Err(error) => return Err(error),
        };
        let known = Known::from(active.region.as_ref());
        ctx.refusals.round(&mut redis, &active.signing_key, &known, now_ms()).await?;
        self.write_head(ctx, &active).await
    }

    /// The Region's status names the head, so that a log that got shorter is known for what it is.
    async fn write_head(&mut self, ctx: &Context, active: &ActiveRegion) -> Result<(), Error> {
        let Some(log) = ctx.refusals.shown().log else { return Ok(()) };
        let length = i64::try_from(log.length()).unwrap_or(i64::MAX);
        let head = RefusalLogStatus { length, hash: log.hash() };
        let status = active.region.status.as_ref();
        let seen = status.and_then(|status| status.refusal_log.as_ref());
        if self.written.as_ref() == Some(&head) || seen == Some(&head) {
            return Ok(());
        }
        let patch = serde_json::json!({
            "apiVersion": format!("{}/{}", hushmark_crds::GROUP, hushmark_crds::VERSION),
            "kind": "Region",
            "status": { "refusalLog": head },
        });
        let api: Api<Region> = Api::all(ctx.client.clone());
        let name = active.region.metadata.name.as_deref().unwrap_or_default();
        let params = PatchParams::apply(MANAGER).force();
        api.patch_status(name, &params, &Patch::Apply(&patch))
            .await
            .map_err(Error::api("write the refusal log's head into the Region's status"))?;
        self.written = Some(head);
        Ok(())
    }
}
