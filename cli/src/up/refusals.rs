//! The refusal log's one appender on one machine, and the policies that it follows. What a change
//! of policy asks of the log is decided in [`hushmark_event::refusal`], as in a cluster.

mod asks;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hushmark_crds::Manifests;
use hushmark_event::ask::{Askers, Question, requested};
use hushmark_event::audit::{Asked, Outcome, Reason, Says};
use hushmark_event::redis_keys::{REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{Allowed, Journal, Mail, Refuses};
use hushmark_policy::{CampaignId, MailType, TenantId, Tracking};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use serde::{Deserialize, Serialize};

use super::audit::Auditor;
use super::lines::Lines;
use super::receipts;
use crate::data::DataFolder;
use crate::erase::Log;
use crate::keys::REFUSAL_LOG;
use crate::{files, keys};
use asks::Request;

/// How long Redis may take to answer one command.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Rounds of requests one after the other, so many that all that recipients may have waiting is
/// served; then other chores have their turn.
const ROUNDS: usize = 20;

/// Entries that Redis is sent at once; at 8 KiB each at most, 4 MiB.
const PUBLISHED_AT_ONCE: usize = 512;

/// What manifests said when they were last applied, and each tenant's generations.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// Generations by tenant id and mail type's name.
    generations: BTreeMap<String, u32>,
    /// The Region's smallest group.
    #[serde(default)]
    minimum_group: u64,
    /// The law that its data is under; empty before it was written down.
    #[serde(default)]
    jurisdiction: String,
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
    file: Lines,
    journal: Journal,
    applied: Applied,
    auditor: Auditor,
    redis: Option<MultiplexedConnection>,
}

impl Appender {
    /// Reads the log. A last line without its line end was never taken, and is cut off.
    pub(super) fn open(folder: &DataFolder) -> Result<Self> {
        let (file, lines) = Lines::open(folder.path(REFUSAL_LOG))?;
        let mut journal = Journal::default();
        for line in lines {
            journal
                .take(&line)
                .with_context(|| format!("{} is damaged: restore it", file.path()))?;
        }
        let (applied, auditor) = (Applied::load(folder)?, Auditor::open(folder)?);
        Ok(Self { folder: folder.clone(), file, journal, applied, auditor, redis: None })
    }

    /// Appends what the log does not refuse already, each once.
    fn append(&mut self, all: impl IntoIterator<Item = Refuses>, now_ms: u64) -> Result<()> {
        let mut new = HashSet::new();
        let all = all.into_iter();
        let all = all.filter(|it| !self.journal.has(it) && new.insert(it.clone()));
        let prepared =
            self.journal.prepare(all, now_ms).context("cannot append to the refusal log")?;
        self.file.append(prepared.entries())?;
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
        let (law, known) = (&manifests.region.jurisdiction, &self.applied.jurisdiction);
        if !known.is_empty() && law != known {
            bail!(
                "spec.jurisdiction cannot change: people's data came here under the law of {known}, and \
                 the manifests say {law}; put it back, or start another region with another --data"
            );
        }
        self.none_erased(manifests)?;
        self.applied.minimum_group = k;
        self.applied.jurisdiction.clone_from(law);
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
            self.append([refuses], now_ms)?;
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
        let mut look = redis::pipe();
        look.cmd("XREVRANGE").arg(REFUSALS).arg(&["+", "-", "COUNT", "1"]);
        look.cmd("GET").arg(REFUSALS_HEAD);
        let (last, shown_head): (StreamRangeReply, Option<Vec<u8>>) =
            look.query_async(&mut redis).await.context("cannot read the refusal log in Redis")?;
        let shown = last.ids.first().and_then(|entry| entry.id.split_once('-')?.0.parse().ok());
        let shown: usize = shown.unwrap_or(0);
        let held = self.journal.entries().len();
        if shown > held {
            // Edges obey the longer one, and take no entry of this for theirs.
            bail!(
                "{} has {held} entries, and Redis shows {shown}: an older copy was restored. Put the \
                 newest copy back; edges and the writer keep one as well, edge/refusals.jsonl and \
                 writer/refusals.log",
                self.file.path()
            );
        }
        let new: Vec<_> = (1u64..).zip(self.journal.entries()).skip(shown).collect();
        for part in new.chunks(PUBLISHED_AT_ONCE) {
            let mut add = redis::pipe();
            for (n, entry) in part {
                add.cmd("XADD").arg(REFUSALS).arg(format!("{n}-0"));
                add.arg(REFUSAL_FIELD).arg(entry).ignore();
            }
            let added: redis::RedisResult<()> = add.query_async(&mut redis).await;
            added.context("cannot publish the refusal log")?;
        }
        let head = serde_json::to_vec(&head).context("cannot write the refusal log's head")?;
        if shown_head.as_ref() == Some(&head) {
            return Ok(());
        }
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
        for _ in 0..ROUNDS {
            let requests = asks::next(&mut redis).await?;
            self.serve(&requests, now_ms).await?;
            if requests.len() < asks::AT_ONCE {
                break;
            }
        }
        self.publish().await
    }

    /// Answers requests: their entries are on the disk and in Redis, the audit log is told, and
    /// only then are they taken out. A death in between only repeats what the log then has, and
    /// tells the audit log twice.
    async fn serve(&mut self, requests: &[Request], now_ms: u64) -> Result<()> {
        if requests.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Option<Refuses>> = requests.iter().map(|it| self.wanted(it)).collect();
        self.append(wanted.iter().flatten().cloned(), now_ms)?;
        self.publish().await?;
        let says = requests.iter().zip(&wanted).filter_map(|(request, wanted)| {
            let Question { by, action } = request.question.clone()?;
            let outcome = match (&request.text, wanted) {
                // A command that has nothing to refuse: the audit log alone is told.
                (None, _) => match request.declined {
                    None => Outcome::Allowed { position: None },
                    Some(reason) => Outcome::Refused(reason),
                },
                (_, Some(refuses)) => Outcome::Allowed { position: self.journal.position(refuses) },
                (_, None) => Outcome::Refused(Reason::Unknown),
            };
            Some(Says::Asked(Asked { by, action, outcome }))
        });
        self.auditor.append(says, now_ms)?;
        asks::take_out(&mut self.redis().await?, requests).await
    }

    fn wanted(&self, request: &Request) -> Option<Refuses> {
        let text = request.text.as_ref()?;
        let wanted = requested(&self.journal, text.as_bytes(), Askers::Owner);
        let Some(refuses) = wanted else {
            warned!("upkeep: request {} to the refusal log makes no sense", request.id);
            return None;
        };
        if !is_told(&refuses, request.question.as_ref()) {
            warned!("upkeep: request {} names others than its question", request.id);
            return None;
        }
        Some(refuses)
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
