//! The refusal log's one appender on one machine, and the policies that it follows. What a change
//! of policy asks of the log is decided in [`hushmark_event::refusal`], as in a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hushmark_crds::Manifests;
use hushmark_event::ask::{Askers, Question, requested};
use hushmark_event::audit::{Asked, Outcome, Reason, Says};
use hushmark_event::redis_keys::{
    ASKS, DECLINED_FIELD, QUESTION_FIELD, REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD,
};
use hushmark_event::refusal::{Allowed, Journal, Mail, Refuses};
use hushmark_policy::{CampaignId, MailType, TenantId, Tracking};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use serde::{Deserialize, Serialize};

use super::audit::Auditor;
use super::receipts;
use crate::data::DataFolder;
use crate::erase::Log;
use crate::keys::REFUSAL_LOG;
use crate::{files, keys};

/// How long Redis may take to answer one command.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Requests taken at once; the rest waits for the next round.
const ASKS_AT_ONCE: usize = 100;

/// What manifests said when they were last applied, and each tenant's generations.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// Generations by tenant id and mail type's name.
    generations: BTreeMap<String, u32>,
    /// The Region's smallest group.
    #[serde(default)]
    minimum_group: u64,
    allowed: BTreeMap<String, Allowed>,
}

impl Applied {
    pub(crate) fn load(folder: &DataFolder) -> Result<Self> {
        let path = folder.path("refusals/applied.json");
        match files::read_if_there(&path)? {
            Some(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged: restore it", path.display())),
            None => Ok(Self::default()),
        }
    }

    /// Whether `up` has applied just what manifests allow.
    pub(crate) fn is_of(&self, manifests: &Manifests) -> bool {
        allowed(manifests)
            .into_iter()
            .all(|(mail, now)| self.allowed.get(&name(mail)).is_some_and(|held| *held == now))
    }

    /// The generation that mail sealed now carries.
    pub(crate) fn generation(&self, tenant: TenantId, mail: MailType) -> u32 {
        self.generations.get(&key(tenant, mail)).copied().unwrap_or(0)
    }
}

fn key(tenant: TenantId, mail: MailType) -> String {
    format!("{tenant}/{}", mail.name())
}

fn name(mail: Mail) -> String {
    match mail.campaign {
        Some(CampaignId(id)) => format!("campaign/{id:016x}"),
        None => key(mail.tenant, mail.mail_type),
    }
}

/// What manifests allow: of every tenant's mail of each type, and of every campaign's.
fn allowed(manifests: &Manifests) -> Vec<(Mail, Allowed)> {
    let ceiling = manifests.region.ceiling;
    let widest = Allowed { tracking: ceiling, place: manifests.region.place_ceiling };
    let mut all = Vec::new();
    for tenant in &manifests.tenants {
        for mail in [MailType::Campaign, MailType::Transactional] {
            let said = tenant.default_for(mail).unwrap_or(ceiling);
            let tracking = if tenant.killed { Tracking::OFF } else { said };
            let mail = Mail { tenant: tenant.id, mail_type: mail, campaign: None };
            all.push((mail, Allowed { tracking, ..widest }));
        }
    }
    for campaign in &manifests.campaigns {
        let allowed = Allowed { tracking: campaign.tracking(), place: campaign.place };
        let (tenant, mail_type) = (campaign.tenant, campaign.mail_type);
        all.push((Mail { tenant, mail_type, campaign: Some(campaign.id) }, allowed));
    }
    all
}

/// Appends to the log on disk, and keeps Redis at its length.
pub(super) struct Appender {
    folder: DataFolder,
    path: PathBuf,
    journal: Journal,
    applied: Applied,
    auditor: Auditor,
    redis: Option<MultiplexedConnection>,
}

impl Appender {
    /// Reads the log. A last line without its line end was never taken, and is cut off.
    pub(super) fn open(folder: &DataFolder) -> Result<Self> {
        let path = folder.path(REFUSAL_LOG);
        files::mend_lines(&path)?;
        let mut journal = Journal::default();
        for line in files::lines(&path)? {
            journal
                .take(&line)
                .with_context(|| format!("{} is damaged: restore it", path.display()))?;
        }
        let (applied, auditor) = (Applied::load(folder)?, Auditor::open(folder)?);
        Ok(Self { folder: folder.clone(), path, journal, applied, auditor, redis: None })
    }

    fn append(&mut self, refuses: Refuses, now_ms: u64) -> Result<()> {
        let prepared =
            self.journal.prepare([refuses], now_ms).context("cannot append to the refusal log")?;
        for entry in prepared.entries() {
            files::append_line(&self.path, entry)?;
        }
        self.journal.commit(prepared);
        Ok(())
    }

    /// Appends a cap for every scope that allows less than it did, and raises the generation of
    /// every tenant and type that allows more. Done before any mail of the new manifests is sealed.
    pub(super) fn apply_manifests(&mut self, manifests: &Manifests, now_ms: u64) -> Result<()> {
        let (k, known) = (manifests.region.minimum_group, self.applied.minimum_group);
        if k < known {
            bail!(
                "spec.minimumGroup can only be raised: people were counted under the promise of \
                 {known}, and the manifests say {k}"
            );
        }
        self.none_erased(manifests)?;
        self.applied.minimum_group = k;
        for (mail, allowed) in allowed(manifests) {
            self.apply(mail, allowed, now_ms)?;
        }
        let bytes =
            serde_json::to_vec_pretty(&self.applied).context("cannot write policies down")?;
        files::replace(&self.folder.path("refusals/applied.json"), &bytes)
    }

    /// Fails where manifests name what was erased: the log refuses its hits for ever.
    fn none_erased(&self, manifests: &Manifests) -> Result<()> {
        let log = Log(self.journal.log().clone());
        for tenant in &manifests.tenants {
            log.tenant(tenant.id, &tenant.namespace)?;
        }
        for campaign in &manifests.campaigns {
            log.campaign(campaign.tenant, campaign.id, &campaign.full_name())?;
        }
        Ok(())
    }

    /// Hands out a receipt of each erasure that the writer ended.
    pub(super) async fn hand_out_receipts(&mut self, now_ms: u64) -> Result<()> {
        receipts::hand_out(&self.folder, &mut self.auditor, now_ms).await
    }

    fn apply(&mut self, mail: Mail, now: Allowed, now_ms: u64) -> Result<()> {
        let before = self.applied.allowed.insert(name(mail), now);
        let generation = self.applied.generation(mail.tenant, mail.mail_type);
        let caps = self.journal.log().caps();
        if let Some(refuses) = mail.tighten(caps, before, now, generation) {
            self.append(refuses, now_ms)?;
        }
        if before.is_some_and(|before| now.exceeds(&before)) {
            let key = key(mail.tenant, mail.mail_type);
            self.applied.generations.insert(key, generation + 1);
        }
        Ok(())
    }

    /// Puts into Redis what it does not show: new entries, and those that it lost.
    pub(super) async fn publish(&mut self) -> Result<()> {
        let head = self.journal.log().sign_head(&keys::signing_key(&self.folder)?);
        let mut redis = self.redis().await?;
        let last: StreamRangeReply = redis::cmd("XREVRANGE")
            .arg(REFUSALS)
            .arg(&["+", "-", "COUNT", "1"])
            .query_async(&mut redis)
            .await
            .context("cannot read the refusal log in Redis")?;
        let shown = last.ids.first().and_then(|entry| entry.id.split_once('-')?.0.parse().ok());
        let shown: usize = shown.unwrap_or(0);
        let held = self.journal.entries().len();
        if shown > held {
            // Edges obey the longer one, and take no entry of this for theirs.
            bail!(
                "{} has {held} entries, and Redis shows {shown}: an older copy was restored. Put the \
                 newest copy back; edges and the writer keep one as well, edge/refusals.jsonl and \
                 writer/refusals.log",
                self.path.display()
            );
        }
        for (at, entry) in self.journal.entries().iter().enumerate().skip(shown) {
            redis::cmd("XADD")
                .arg(REFUSALS)
                .arg(format!("{}-0", at + 1))
                .arg(REFUSAL_FIELD)
                .arg(entry)
                .query_async::<()>(&mut redis)
                .await
                .context("cannot publish the refusal log")?;
        }
        let head = serde_json::to_vec(&head).context("cannot write the refusal log's head")?;
        redis::cmd("SET")
            .arg(REFUSALS_HEAD)
            .arg(head)
            .query_async::<()>(&mut redis)
            .await
            .context("cannot publish the refusal log's head")
    }

    /// Appends what commands asked for since the last round, then publishes.
    pub(super) async fn serve_asks(&mut self, now_ms: u64) -> Result<()> {
        let served = self.try_serve_asks(now_ms).await;
        if served.is_err() {
            // The connection may be the fault; the next round makes another.
            self.redis = None;
        }
        served
    }

    async fn try_serve_asks(&mut self, now_ms: u64) -> Result<()> {
        let mut redis = self.redis().await?;
        let asks: StreamRangeReply = redis::cmd("XRANGE")
            .arg(ASKS)
            .arg(&["-", "+", "COUNT"])
            .arg(ASKS_AT_ONCE)
            .query_async(&mut redis)
            .await
            .context("cannot read requests to the refusal log")?;
        for ask in asks.ids {
            let text: Option<String> = ask.get(REFUSAL_FIELD);
            let question: Option<String> = ask.get(QUESTION_FIELD);
            let question: Option<Question> =
                question.and_then(|text| serde_json::from_str(&text).ok());
            let declined: Option<String> = ask.get(DECLINED_FIELD);
            let outcome =
                match text.map(|text| requested(&self.journal, text.as_bytes(), Askers::Owner)) {
                    // A command that has nothing to refuse: the audit log alone is told.
                    None => match declined.map(|reason| serde_json::from_str(&reason)) {
                        None => Outcome::Allowed { position: None },
                        Some(reason) => Outcome::Refused(reason.unwrap_or(Reason::Unknown)),
                    },
                    Some(Some(refuses)) if !is_told(&refuses, question.as_ref()) => {
                        eprintln!("upkeep: request {} names others than its question", ask.id);
                        Outcome::Refused(Reason::Unknown)
                    }
                    Some(Some(refuses)) => {
                        if !self.journal.has(&refuses) {
                            self.append(refuses.clone(), now_ms)?;
                        }
                        Outcome::Allowed { position: self.journal.position(&refuses) }
                    }
                    Some(None) => {
                        eprintln!("upkeep: request {} to the refusal log makes no sense", ask.id);
                        Outcome::Refused(Reason::Unknown)
                    }
                };
            self.publish().await?;
            if let Some(Question { by, action }) = question {
                self.auditor.append(Says::Asked(Asked { by, action, outcome }), now_ms)?;
            }
            // Taken out last: a death in between only repeats what `has` then finds, and tells the
            // audit log twice.
            redis::cmd("XDEL")
                .arg(ASKS)
                .arg(&ask.id)
                .query_async::<()>(&mut redis)
                .await
                .context("cannot take a request out")?;
        }
        self.publish().await
    }

    async fn redis(&mut self) -> Result<MultiplexedConnection> {
        match &self.redis {
            Some(redis) => Ok(redis.clone()),
            None => Ok(self.redis.insert(connect(&self.folder).await?).clone()),
        }
    }
}

/// Whether the audit log tells what is refused. Of an erasure it has to: the receipt answers it.
fn is_told(refuses: &Refuses, question: Option<&Question>) -> bool {
    match question {
        Some(question) => question.is_about(refuses),
        None => !matches!(refuses, Refuses::Erase(_)),
    }
}

/// A connection to the stack's Redis, with a time-out on every answer.
pub(crate) async fn connect(folder: &DataFolder) -> Result<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    redis::Client::open(folder.redis_url())
        .context("not an address of Redis")?
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .context("cannot connect to Redis")
}

/// Whether Redis answers and has read its file.
pub(super) async fn ping(folder: &DataFolder) -> Result<String> {
    let mut redis = connect(folder).await?;
    redis::cmd("PING").query_async(&mut redis).await.context("Redis is not ready")
}

#[cfg(test)]
mod tests;
