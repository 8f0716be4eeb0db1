//! The one who appends in a cluster: to the refusal log, and to the audit log of who asked for what.
//!
//! Both logs live in Redis. The refusal log's copies are with edges and writers, the audit log's in
//! ClickHouse, where the writer puts it; the Region's status remembers the last head of each. Every
//! append is one script that holds its own fence: it takes entries only if each log is exactly as
//! long as the appender believes, so that neither a second operator nor a command that arrived
//! twice can make two logs of one. What is asked for and who asked for it are appended in one step.
//! While Redis shows less than is known, nothing is appended: whoever holds more puts it back.
//!
//! What Tenants and Campaigns say (a kill switch, above all) does not wait for the audit log, and
//! neither do recipients' objections, of which it is told later then. What a person asks for waits.
//!
//! `follow` does this again and again; `held` and `link` are the logs here and in Redis; `stopped`
//! tells of plans that the writer did not carry out.

mod follow;
mod held;
mod link;
mod stopped;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use hushmark_crds::{LogStatus, Region};
use hushmark_event::ask::look::{AuditPage, PAGE};
use hushmark_event::ask::{Answer, Askers, Question, objected, requested};
use hushmark_event::audit::{Asked, AuditJournal, Outcome, Place, Reason, Says};
use hushmark_event::refusal::{Journal, RefusalLog, Refuses};
use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex, watch};

use crate::Error;

pub use follow::run;

/// The logs as the appender holds them, for those who decide what to append. Cloning shares them.
#[derive(Clone, Default)]
pub struct Refusals {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Locked while Redis is asked, so that appends come one after the other.
    logs: Mutex<Logs>,
    shown: watch::Sender<Shown>,
}

/// Each log; none until it was read and verified.
#[derive(Default)]
struct Logs {
    refusals: Option<Journal>,
    audit: Option<AuditJournal>,
    /// Why the audit log cannot be used now.
    audit_problem: Option<String>,
}

/// What is known of the logs.
#[derive(Clone, Default)]
pub struct Shown {
    /// The refusal log; none until it was read and verified.
    pub log: Option<Arc<RefusalLog>>,
    /// Why the refusal log cannot be used now.
    pub problem: Option<String>,
    /// Where the audit log ends; none until it was read and verified.
    pub audit: Option<Known>,
}

/// A head that the Region's status names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Number of entries.
    pub length: u64,
    /// The chain's hash at that length; empty where nothing is known.
    pub hash: String,
}

/// The heads of both logs that the Region's status names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BothKnown {
    /// The refusal log's.
    pub refusals: Known,
    /// The audit log's.
    pub audit: Known,
}

impl From<&Region> for BothKnown {
    fn from(region: &Region) -> Self {
        let status = region.status.as_ref();
        let of = |log: Option<&LogStatus>| {
            log.map_or_else(Known::default, |log| Known {
                length: u64::try_from(log.length).unwrap_or(0),
                hash: log.hash.clone(),
            })
        };
        Self {
            refusals: of(status.and_then(|status| status.refusal_log.as_ref())),
            audit: of(status.and_then(|status| status.audit_log.as_ref())),
        }
    }
}

/// What is to be appended in one step.
#[derive(Default)]
struct New {
    refuses: Vec<Refuses>,
    says: Vec<Says>,
    /// Requests that are answered by it.
    requests: Vec<String>,
}

impl Refusals {
    /// What is known of the logs now.
    #[must_use]
    pub fn shown(&self) -> Shown {
        self.shared.shown.borrow().clone()
    }

    /// Tells of every change of the refusal log.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Shown> {
        self.shared.shown.subscribe()
    }

    /// Appends what the log does not refuse already, durably, its head signed. For what resources
    /// say, which Kubernetes' own audit log tells of.
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
        let mut logs = self.shared.logs.lock().await;
        let new = New { refuses, ..New::default() };
        let appended = self.append_to(&mut logs, redis, key, new, now_ms).await;
        self.tell(&logs, appended)
    }

    /// Appends what a person asks for, unless it is there, and who asked for it; says where it is.
    ///
    /// # Errors
    /// As [`Self::append`]; [`Error::Audit`] while the audit log is not known, and then nothing was
    /// appended.
    pub async fn ask(
        &self,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        (question, refuses): (Question, Refuses),
        now_ms: u64,
    ) -> Result<Answer, Error> {
        let mut logs = self.shared.logs.lock().await;
        let was_there = logs.refusals.as_ref().is_some_and(|held| held.has(&refuses));
        let asked = async {
            let held = logs.refusals.as_ref().ok_or_else(|| self.not_known())?;
            let next = held.log().length() + 1;
            let position = Some(held.position(&refuses).unwrap_or(next));
            let says = vec![said(question, Outcome::Allowed { position })];
            let new = New { refuses: vec![refuses.clone()], says, requests: Vec::new() };
            self.append_to(&mut logs, redis, key, new, now_ms).await
        };
        let appended = asked.await;
        self.tell(&logs, appended)?;
        let held = logs.refusals.as_ref();
        let held = held.and_then(|held| Some((held.position(&refuses)?, held.log())));
        // Appending ends with both logs at hand, or with an error.
        let (position, log) = held.ok_or_else(|| self.not_known())?;
        let audited = logs.audit.as_ref().map_or(0, |audit| audit.log().length());
        let (length, hash) = (log.length(), log.hash());
        Ok(Answer { position, audited, appended: !was_there, length, hash })
    }

    /// Writes into the audit log what was asked for and needs no entry of the refusal log: it was
    /// refused, or is about something else. Says which entry tells of it.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn note(
        &self,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        (question, outcome): (Question, Outcome),
        now_ms: u64,
    ) -> Result<u64, Error> {
        let mut logs = self.shared.logs.lock().await;
        let new = New { says: vec![said(question, outcome)], ..New::default() };
        let noted = self.append_to(&mut logs, redis, key, new, now_ms).await;
        self.tell(&logs, noted)?;
        Ok(logs.audit()?.log().length())
    }

    /// Entries of the audit log after one of them.
    ///
    /// # Errors
    /// [`Error::Audit`] while it is not known.
    pub async fn page(&self, key: &SigningKey, after: u64) -> Result<AuditPage, Error> {
        let logs = self.shared.logs.lock().await;
        let audit = logs.audit()?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        for entry in audit.entries().iter().skip(skip) {
            bytes += entry.len();
            entries.push(entry.clone());
            if bytes > PAGE {
                break;
            }
        }
        Ok(AuditPage { head: audit.log().sign_head(key), entries })
    }

    /// The receipt file of the erasure that an entry of the refusal log demands, if there is one.
    ///
    /// # Errors
    /// [`Error::Audit`] while the audit log is not known.
    pub async fn receipt(&self, key: &SigningKey, position: u64) -> Result<Option<String>, Error> {
        let logs = self.shared.logs.lock().await;
        Ok(logs.audit()?.receipt(position, key).map(|file| file.to_text()))
    }

    /// Reads the logs if they are not known, answers what is asked for in Redis, hands out receipts,
    /// and puts back what Redis lost.
    ///
    /// # Errors
    /// As [`Self::append`]; [`Error::Audit`] where the audit log alone cannot be followed.
    pub async fn round(
        &self,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        known: &BothKnown,
        now_ms: u64,
    ) -> Result<(), Error> {
        let mut logs = self.shared.logs.lock().await;
        let done = self.round_with(&mut logs, redis, key, known, now_ms).await;
        match done {
            Ok(audited) => {
                self.tell(&logs, Ok(()))?;
                audited
            }
            Err(error) => self.tell(&logs, Err(error)),
        }
    }

    /// Forgets the logs: another Region, or none, is at work now.
    pub async fn forget(&self) {
        *self.shared.logs.lock().await = Logs::default();
        self.shared.shown.send_if_modified(|shown| {
            (shown.problem, shown.audit) = (None, None);
            shown.log.take().is_some()
        });
    }

    /// How the audit log is, where the refusal log is well.
    async fn round_with(
        &self,
        logs: &mut Logs,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        known: &BothKnown,
        now_ms: u64,
    ) -> Result<Result<(), Error>, Error> {
        if logs.refusals.is_none() {
            logs.refusals = Some(link::load(redis, key, &known.refusals).await?);
        }
        let mut audited = Ok(());
        if logs.audit.is_none() {
            match link::load(redis, key, &known.audit).await {
                Ok(audit) => logs.audit = Some(audit),
                Err(error) => audited = Err(error),
            }
        }
        let look = link::look(redis).await?;
        link::settle(redis, &mut logs.refusals, key, look.refusals).await?;
        audited = match audited {
            Ok(()) => link::settle(redis, &mut logs.audit, key, look.audit).await,
            already => already,
        };
        logs.audit_problem = audited.as_ref().err().map(ToString::to_string);
        if !look.asks.is_empty() {
            let new = logs.answers(&look.asks);
            self.append_to(logs, redis, key, new, now_ms).await?;
        }
        if audited.is_ok() {
            audited = self.hand_out(logs, redis, key, now_ms).await;
        }
        Ok(audited)
    }

    /// Makes a receipt of each erasure that the writer ended.
    async fn hand_out(
        &self,
        logs: &mut Logs,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        now_ms: u64,
    ) -> Result<(), Error> {
        let positions: Vec<u64> = logs.audit()?.due().pending().keys().copied().collect();
        if positions.is_empty() {
            return Ok(());
        }
        let ended = link::ended(redis, &positions).await?;
        for (position, ended) in positions.into_iter().zip(ended) {
            let audit = logs.audit()?;
            let pending = audit.due().pending().get(&position).cloned();
            let (Some(ended), Some(pending)) = (ended, pending) else { continue };
            if !pending.can_have_ended(ended.ended_ms) {
                continue;
            }
            let previous = audit.log().last_receipt();
            let receipt = pending.receipt(position, &ended, &Place::Cluster, previous);
            let new = New { says: vec![Says::Receipt(receipt)], ..New::default() };
            self.append_to(logs, redis, key, new, now_ms).await?;
            tracing::info!(position, "an erasure has ended, and has its receipt");
        }
        Ok(())
    }

    /// Appends to the logs that there is something new for, in one step.
    async fn append_to(
        &self,
        logs: &mut Logs,
        redis: &mut MultiplexedConnection,
        key: &SigningKey,
        new: New,
        now_ms: u64,
    ) -> Result<(), Error> {
        let New { refuses, says, requests } = new;
        let mut append = link::Append::default();
        let refusals = logs.refusals.as_ref().ok_or_else(|| self.not_known())?;
        let refuses: Vec<Refuses> = refuses.into_iter().filter(|new| !refusals.has(new)).collect();
        let (grows, tells) = (!refuses.is_empty(), !says.is_empty());
        let mut appended = None;
        if grows {
            let prepared = refusals.prepare(refuses, now_ms);
            let prepared = prepared.map_err(|error| Error::Refusals(error.to_string()))?;
            let (length, entries) = (refusals.log().length(), prepared.entries().to_vec());
            append = append.log::<Journal>(length, entries, &prepared.log().sign_head(key));
            appended = Some(prepared);
        }
        let mut audited = None;
        if tells {
            let audit = logs.audit()?;
            let told = audit.prepare(says, now_ms);
            let told = told.map_err(|error| Error::Audit(error.to_string()))?;
            let entries = told.entries().iter().map(|text| text.clone().into_bytes()).collect();
            let (length, head) = (audit.log().length(), told.log().sign_head(key));
            append = append.log::<AuditJournal>(length, entries, &head);
            audited = Some(told);
        }
        if !grows && !tells && requests.is_empty() {
            return Ok(());
        }
        match append.send(redis, &requests).await {
            Ok(None) => {
                if let (Some(refusals), Some(prepared)) = (logs.refusals.as_mut(), appended) {
                    tracing::info!(length = prepared.log().length(), "appended to the refusal log");
                    refusals.commit(prepared);
                }
                match (logs.audit.as_mut(), audited) {
                    (Some(audit), Some(told)) => {
                        audit.commit(told).map_err(|error| Error::Audit(error.to_string()))
                    }
                    _ => Ok(()),
                }
            }
            Ok(Some(log)) => {
                let text = "redis shows another length; reading it anew".to_owned();
                // They were given in this order.
                if grows && log == 0 {
                    logs.refusals = None;
                    return Err(Error::Refusals(text));
                }
                logs.audit = None;
                Err(Error::Audit(text))
            }
            Err(error) => {
                // It may have arrived all the same: what is there is read before anything else.
                logs.refusals = logs.refusals.take().filter(|_| !grows);
                logs.audit = logs.audit.take().filter(|_| !tells);
                Err(error)
            }
        }
    }

    /// Why the refusal log cannot be appended to.
    fn not_known(&self) -> Error {
        let problem = self.shared.shown.borrow().problem.clone();
        Error::Refusals(problem.unwrap_or_else(|| "it is not read yet".into()))
    }

    /// Shows what came of it, and wakes those who wait, if it is something new.
    fn tell(&self, logs: &Logs, done: Result<(), Error>) -> Result<(), Error> {
        let problem = done.as_ref().err().and_then(|error| match error {
            Error::Audit(_) => None,
            Error::Refusals(text) => Some(text.clone()),
            other => Some(other.to_string()),
        });
        let held = logs.refusals.as_ref().map(Journal::log);
        let audit = logs.audit.as_ref().map(|audit| Known {
            length: audit.log().length(),
            hash: audit.log().hash().to_string(),
        });
        self.shared.shown.send_if_modified(|shown| {
            // A log that was known stays good for decisions while Redis is away: it only grows.
            let grew = held.is_some_and(|held| {
                shown.log.as_ref().is_none_or(|log| log.length() != held.length())
            });
            if let Some(held) = held.filter(|_| grew) {
                shown.log = Some(Arc::new(held.clone()));
            }
            shown.audit = audit.or_else(|| shown.audit.take());
            // One trouble after another wakes nobody; its end does.
            let is_new = grew || (shown.problem.is_some() && problem.is_none());
            shown.problem = problem;
            is_new
        });
        done
    }
}

/// An entry of the audit log.
fn said(Question { by, action }: Question, outcome: Outcome) -> Says {
    Says::Asked(Asked { by, action, outcome })
}

impl Logs {
    fn audit(&self) -> Result<&AuditJournal, Error> {
        let problem = || {
            let said = self.audit_problem.clone();
            let said = said.unwrap_or_else(|| "it is not read yet".into());
            Error::Audit(said.trim_start_matches("audit log: ").to_owned())
        };
        self.audit.as_ref().ok_or_else(problem)
    }

    /// What the requests in Redis come to. Where the audit log is not known they are appended all
    /// the same, and stay where they are until it can be told of them.
    fn answers(&self, asks: &[link::Waiting]) -> New {
        let mut new = New::default();
        let Some(journal) = &self.refusals else { return new };
        let next = journal.log().length() + 1;
        for link::Waiting { id, refuses, question } in asks {
            let text = refuses.as_deref().unwrap_or_default().as_bytes();
            let outcome = match requested(journal, text, Askers::Servers) {
                Some(refuses) => {
                    let place = new.refuses.iter().position(|one| *one == refuses);
                    let position = journal
                        .position(&refuses)
                        .unwrap_or_else(|| next + place.unwrap_or(new.refuses.len()) as u64);
                    if place.is_none() && !journal.has(&refuses) {
                        new.refuses.push(refuses);
                    }
                    Outcome::Allowed { position: Some(position) }
                }
                None => {
                    tracing::warn!(id, "a request to the refusal log makes no sense");
                    Outcome::Refused(Reason::Unknown)
                }
            };
            if self.audit.is_some() {
                let question = question.as_deref().and_then(|text| objected(text.as_bytes()));
                new.says.extend(question.map(|question| said(question, outcome)));
                new.requests.push(id.clone());
            }
        }
        new
    }
}
