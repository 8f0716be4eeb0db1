//! `hushmark explain`: what mail may tell and who decided that, of the stack on this machine and,
//! where a person is asked about, of their own word; a cluster and manifests are asked by the same
//! words in [`crate::cluster`].
//!
//! In order: the manifests and what `up` applied of them, the refusal log, which has the last word;
//! then, in the tables, what is on record of the person. Whoever asks about one is written into the
//! audit log before anything is told.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clickhouse::Row;
use hushmark_crds::fits::Limits;
use hushmark_crds::{CampaignPlan, EffectivePolicy, Manifests, Region, Tenant, TypeStatus};
use hushmark_event::audit::{Read, Target};
use hushmark_event::refusal::{Allowed, Entry, Mail, RefusalLog, Refuses};
use hushmark_policy::{CampaignId, Day, MailType, Mark, TenantId};
use hushmark_report::ClickHouse;
use hushmark_sender::Address;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use crate::cluster::args::{self as cluster_args, Kind};
use crate::cluster::explain::{Explained, OnRecord, Recipient, of_campaign, of_tenant, say};
use crate::cluster::world::{World, manifests_at};
use crate::contacts::Contacts;
use crate::data::{DataFolder, State};
use crate::erase::Log;
use crate::keys::REFUSAL_LOG;
use crate::up::refusals::Applied;
use crate::{args, asks, cluster, files, keys, known, stamp};

pub(crate) async fn run(data: &Path, options: args::Explain) -> Result<ExitCode> {
    let folder = DataFolder::new(data);
    let is_elsewhere =
        options.filename.is_some() || options.connection != cluster_args::Connection::default();
    let is_here = options.person.is_some() || folder.path("state.json").exists();
    let args::Explain { kind, name, person, filename, json, connection } = options;
    let kind = kind.unwrap_or(Kind::Campaign);
    if is_elsewhere || !is_here {
        let options = cluster_args::Explain { kind, name, filename, json, connection };
        return cluster::explain(&options).await;
    }
    let here = Here::read(folder)?;
    let explained = match (kind, person) {
        (Kind::Tenant, Some(_)) => {
            bail!("what mail may tell of a person is asked of a campaign: name one, not a tenant")
        }
        (Kind::Tenant, None) => here.tenant(&name)?,
        (Kind::Campaign, None) => here.campaign(here.manifests.campaign(&name)?)?,
        (Kind::Campaign, Some(file)) => {
            let campaign = here.manifests.campaign(&name)?;
            let recipient = here.recipient(campaign, &file).await?;
            here.campaign(campaign)?.to(recipient)
        }
    };
    say(&explained, json)?;
    Ok(ExitCode::SUCCESS)
}

/// The stack of this machine, as far as its files tell.
struct Here {
    folder: DataFolder,
    state: State,
    manifests: Manifests,
    world: World,
    applied: Applied,
    refused: RefusalLog,
}

impl Here {
    fn read(folder: DataFolder) -> Result<Self> {
        let state = folder.state()?;
        let manifests = stamp::manifests(&state)?;
        let world = World::from(manifests_at(&state.manifests)?);
        let applied = Applied::load(&folder)?;
        let refused = Log::read(&folder)?.0;
        Ok(Self { folder, state, manifests, world, applied, refused })
    }

    /// What the refusal log leaves of mail of a generation.
    fn left(&self, mail: Mail, generation: u32) -> Allowed {
        mail.capped(self.refused.caps(), generation)
    }

    fn campaign(&self, plan: &CampaignPlan) -> Result<Explained> {
        Log(self.refused.clone()).campaign(plan.tenant, plan.id, &plan.full_name())?;
        let mut world = self.world.clone();
        let key = (plan.namespace.clone(), plan.name.clone());
        let mut campaign =
            world.campaigns.remove(&key).context("the campaign's manifest is gone")?;
        let tenant = world.tenant_of(&plan.namespace).context("the tenant's manifest is gone")?;
        let region = region(&world, tenant)?;
        let said = EffectivePolicy::of(&campaign.spec, &tenant.spec, &Limits::from(&region.spec));
        // What its first message fixed holds for all of its messages.
        let (tenant, mail_type) = (plan.tenant, plan.mail_type);
        let fixed = stamp::fixed_generation(&self.folder, plan.id)?;
        let generation = fixed.unwrap_or_else(|| self.applied.generation(tenant, mail_type));
        let mail = Mail { tenant, mail_type, campaign: Some(plan.id) };
        let left = self.left(mail, generation);
        let mut status = campaign.status.unwrap_or_default();
        status.effective = Some(said.withdrawn(left.tracking, left.place));
        campaign.status = Some(status);
        self.sealed_now(&mut world, &plan.namespace, |_| generation)?;
        Ok(self.told(of_campaign(&campaign, &world)?))
    }

    fn tenant(&self, name: &str) -> Result<Explained> {
        let mut world = self.world.clone();
        let namespace = world.tenant_meant(name)?.metadata.namespace.clone().unwrap_or_default();
        let id = TenantId::derive(&self.manifests.region.name, &namespace);
        self.sealed_now(&mut world, &namespace, |mail| self.applied.generation(id, mail))?;
        Ok(self.told(of_tenant(world.tenant_meant(name)?, &world)?))
    }

    /// Writes into a tenant's status what an operator would: what mail sealed now may tell.
    fn sealed_now(
        &self,
        world: &mut World,
        namespace: &str,
        generation: impl Fn(MailType) -> u32,
    ) -> Result<()> {
        let id = TenantId::derive(&self.manifests.region.name, namespace);
        let meant = world.tenant_of(namespace).context("the tenant's manifest is gone")?;
        let limits = Limits::from(&region(world, meant)?.spec);
        let name = meant.metadata.name.clone().unwrap_or_default();
        let key = (namespace.to_owned(), name);
        let tenant = world.tenants.get_mut(&key).context("the tenant's manifest is gone")?;
        let of = |mail_type: MailType| {
            let generation = generation(mail_type);
            let tracking = hushmark_crds::effective::at_most(&tenant.spec, mail_type, &limits);
            let said = Allowed { tracking, place: limits.place };
            let mail = Mail { tenant: id, mail_type, campaign: None };
            let Allowed { tracking, place } = said.strictest(&self.left(mail, generation));
            TypeStatus { generation, opens: tracking.opens, clicks: tracking.clicks, place }
        };
        let mut status = tenant.status.clone().unwrap_or_default();
        status.campaign = Some(of(MailType::Campaign));
        status.transactional = Some(of(MailType::Transactional));
        tenant.status = Some(status);
        Ok(())
    }

    fn told(&self, explained: Explained) -> Explained {
        let data = Some(self.folder.path("").display().to_string());
        Explained { data, resolved: self.applied.is_of(&self.manifests), ..explained }
    }

    /// What is on record of one person, whose address is in a file.
    async fn recipient(&self, plan: &CampaignPlan, file: &Path) -> Result<Recipient> {
        let (folder, state, tenant) = (&self.folder, &self.state, plan.tenant);
        let people = asks::addresses(file)?;
        let [person] = people.as_slice() else {
            bail!("{} names {} people: give one address", asks::source(file), people.len());
        };
        let unknown = || {
            format!(
                "tenant {} knows nobody with this address: no mail was stamped for it, and no consent \
                 and no withdrawal is on record. Check its spelling; `hushmark explain {}` alone says \
                 what holds for anybody",
                plan.namespace,
                plan.full_name()
            )
        };
        let Some(key) = keys::tenant_key_if_there(folder, tenant)? else { bail!(unknown()) };
        Log(self.refused.clone()).is_obeyed(&state.clickhouse()?).await?;
        let logs = (folder, &self.refused);
        let contacts = Contacts::read(logs, &state.clickhouse()?, tenant, key).await?;
        let tombstone = contacts.tombstone(person);
        known::audit(folder, Read::Explanation, Target::Person { tenant, tombstone }).await?;
        let of = (tenant, plan.id);
        let mut recipient = on_record(&state.clickhouse()?, of, &contacts, person).await?;
        if contacts.has_objected(person, self.refused.caps()) && recipient.withdrawal.is_none() {
            recipient.objection = self.objected_at(tenant, contacts.known(person).as_ref())?;
        }
        if recipient.is_unknown() {
            bail!(unknown());
        }
        Ok(recipient)
    }

    /// When the refusal log took a contact's objection.
    fn objected_at(&self, tenant: TenantId, contact: Option<&Mark>) -> Result<Option<Timestamp>> {
        let contact = contact.map(|mark| format!("{:016x}", mark.expose()));
        for line in files::lines(&self.folder.path(REFUSAL_LOG))? {
            // It was verified when it was read.
            let Ok(entry) = serde_json::from_slice::<Entry>(&line) else { continue };
            let Refuses::Contact { tenant: whose, id } = &entry.refuses else { continue };
            if *whose == tenant.to_string() && Some(id) == contact.as_ref() {
                return timestamp(entry.at_ms).map(Some);
            }
        }
        Ok(None)
    }
}

fn region<'a>(world: &'a World, tenant: &Tenant) -> Result<&'a Region> {
    world.regions.get(&tenant.spec.region).context("the Region's manifest is gone")
}

fn timestamp(at_ms: impl TryInto<i64>) -> Result<Timestamp> {
    let at_ms = at_ms.try_into().unwrap_or(i64::MAX);
    Timestamp::from_millisecond(at_ms).context("a moment on record is out of all bounds")
}

#[derive(Row, Deserialize)]
struct RecordRow {
    kind: String,
    source: String,
    at: i64,
}

/// What the tables say of a person.
async fn on_record(
    clickhouse: &ClickHouse,
    (tenant, campaign): (TenantId, CampaignId),
    contacts: &Contacts,
    person: &Address,
) -> Result<Recipient> {
    let client = clickhouse.client();
    let lookup = hex::encode(contacts.lookup(person));
    // Of consents the last, of ends the first: from then on it held.
    let query = "SELECT 'consent' AS kind, argMax(c.source, c.at) AS source, \
            toUnixTimestamp64Milli(max(c.at)) AS at FROM consents AS c \
            WHERE c.tenant = ? AND c.lookup = unhex(?) HAVING count() > 0 \
        UNION ALL SELECT if(w.source = 'erased', 'erased', 'withdrawal') AS kind, \
            argMin(w.source, w.at) AS source, toUnixTimestamp64Milli(min(w.at)) AS at \
            FROM withdrawals AS w WHERE w.tenant = ? AND w.lookup = unhex(?) GROUP BY kind \
        UNION ALL SELECT 'contact' AS kind, '' AS source, \
            toUnixTimestamp64Milli(min(k.at)) AS at FROM contacts AS k \
            WHERE k.tenant = ? AND k.lookup = unhex(?) HAVING count() > 0";
    let asked = (0..3).fold(client.query(query), |ask, _| ask.bind(tenant.0).bind(&lookup));
    let rows = asked.fetch_all::<RecordRow>().await;
    let rows = rows.context("cannot read from ClickHouse what is on record of a person")?;
    let mut found = Recipient::default();
    for RecordRow { kind, source, at } in rows {
        let at = timestamp(at)?;
        match kind.as_str() {
            "consent" => found.consent = Some(OnRecord { at, source }),
            "withdrawal" => found.withdrawal = Some(OnRecord { at, source }),
            "erased" => found.erasure = Some(at),
            _ => {
                let ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
                found.contact_since = Some(Day::of_unix_ms(ms));
            }
        }
    }
    if let Some(contact) = contacts.known(person) {
        let query = "SELECT toUInt16(min(day)) FROM deliveries WHERE tenant = ? AND campaign = ? \
                     AND contact = ? AND event = 'sent' HAVING count() > 0";
        let ask = client.query(query).bind(tenant.0).bind(campaign.0).bind(contact.expose());
        let sent = ask.fetch_optional::<u16>().await;
        found.sent = sent.context("cannot read from ClickHouse whom mail was made for")?.map(Day);
    }
    Ok(found)
}
