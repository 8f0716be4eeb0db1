//! `hushmark stamp`: a newsletter and a list become ready messages.
//!
//! In order: messages are written beside the target folder, contacts, whom messages were made for
//! and their number are stored, and only then does the folder get its name. A stamping that fails leaves nothing.

mod draft;

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clickhouse::Row;
use hushmark_crds::{CampaignPlan, Manifests};
use hushmark_event::audit::{Target, Write};
use hushmark_event::refusal::{Allowed, Mail, RefusalLog};
use hushmark_policy::resolve::{Effective, Untracked};
use hushmark_policy::{CampaignId, Caps, Day, Generation, Mode, Tracking};
use hushmark_report::deliveries::Event;
use hushmark_sender::{
    Address, Envelope, List, Mailbox, PlainTemplate, Plan, Sources, Stamped, Template, TrackingHost,
};
use hushmark_token::{Kid, RegionKeys, Sealer};
use serde::{Deserialize, Serialize};

use crate::asks::persons;
use crate::consents::Consents;
use crate::contacts::{self, Contacts};
use crate::data::{DataFolder, State};
use crate::deliveries;
use crate::erase::Log;
use crate::keys::{self, random64};
use crate::report::print;
use crate::up::{now_ms, refusals::Applied};
use crate::{args, files, known, sealing};
use draft::Draft;

/// What a campaign's first message fixed, so that `overall` URLs stay the same for everyone.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Fixed {
    kid: u16,
    generation: u32,
    /// Days since 1970.
    last_day: u16,
}

/// What was done, as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct Done {
    pub(crate) campaign: String,
    pub(crate) folder: PathBuf,
    pub(crate) messages: u64,
    pub(crate) recipients: u64,
    /// People among them whose messages carry no tracking, or only what needs no consent: they ended
    /// it, or did not consent.
    pub(crate) untracked: u64,
    /// People among those of whom the day of the last open is kept all the same: it needs no consent.
    pub(crate) exempt: u64,
    pub(crate) left_out: usize,
    /// What opens and clicks may tell, and who decided it.
    pub(crate) opens: String,
    pub(crate) clicks: String,
}

pub(crate) async fn run(data: &Path, options: &args::Stamp) -> Result<()> {
    let done = stamp(data, &options.campaign, &options.out, options.keep_going).await?;
    if options.json {
        return print(&(serde_json::to_string(&done).context("cannot write JSON")? + "\n"));
    }
    let mut said = format!(
        "{}: {} for {} in {}\n  opens {}\n  clicks {}\n",
        done.campaign,
        plural(done.messages, "message"),
        plural(done.recipients, "recipient"),
        done.folder.display(),
        done.opens,
        done.clicks
    );
    if done.untracked > done.exempt {
        let theirs = plural(done.untracked - done.exempt, "recipient");
        said += &format!(
            "  {theirs} ended their tracking or did not consent: their messages carry none\n"
        );
    }
    if done.exempt > 0 {
        let theirs = plural(done.exempt, "recipient");
        said += &format!(
            "  {theirs} did not consent: of their messages the day of the last open alone is kept\n"
        );
    }
    print(&said)
}

/// The manifests as they are now: a stack keeps none of its own.
pub(crate) fn manifests(state: &State) -> Result<Manifests> {
    hushmark_crds::directory(&state.manifests).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the manifests cannot be used, so nothing was done:\n{}", lines.join("\n"))
    })
}

/// Stamps one campaign into a folder that does not exist yet, or is empty.
pub(crate) async fn stamp(
    data: &Path,
    campaign: &str,
    out: &Path,
    keep_going: bool,
) -> Result<Done> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let manifests = manifests(&state)?;
    let campaign = manifests.campaign(campaign)?;
    // All that can be wrong with files is found before anything is fixed or made.
    let (newsletter, list) = (newsletter(campaign)?, list(campaign)?);
    let _turn = contacts::turn(&folder, campaign.tenant).await?;
    let log = Log::read(&folder)?;
    log.campaign(campaign.tenant, campaign.id, &campaign.full_name())?;
    log.is_obeyed(&state.clickhouse()?).await?;
    let whose = Target::Campaign { tenant: campaign.tenant, id: campaign.id };
    known::audit_write(&folder, Write::Messages, whose).await?;
    let refused = log.0;
    let now = now_ms();
    let today = Day::of_unix_ms(now);
    let keys = keys::region_keys(&folder)?;
    let fixed = fixed(&folder, campaign, &keys, today).await?;
    let kid = Kid(fixed.kid);
    let key = keys.get(kid).with_context(|| format!("region key {kid} is gone: restore it"))?;
    let sealer = Sealer::new(kid, key, campaign.id);
    if refused.is_taken_down(campaign.tenant, campaign.id, kid.0, None) {
        bail!(
            "links of {} under key {kid} are taken down, so that mail with them would lead nowhere; \
             nothing was written",
            campaign.full_name()
        );
    }
    let tracking = left(campaign, &refused, fixed.generation);
    let clickhouse = state.clickhouse()?;
    let key = keys::tenant_key(&folder, campaign.tenant, &clickhouse).await?;
    let read = Contacts::read((&folder, &refused), &clickhouse, campaign.tenant, key);
    let mut contacts = read.await?;
    let consents = match manifests.tenant_of(campaign).needs_consent(tracking) {
        true => Some(Consents::read(&clickhouse, campaign.tenant).await?),
        false => None,
    };
    let plan = plan(&state, campaign, (newsletter, tracking), fixed, keep_going, now)?;
    let draft = Draft::beside(out)?;
    let whom = Whom { refused: refused.caps(), consents: consents.as_ref() };
    let into = (draft.folder(), today);
    let stamped = write_messages(&plan, list, &sealer, (&mut contacts, &whom), into)?;
    say(&stamped);
    if stamped.messages == 0 {
        bail!("no row of the list can be used, so nothing was written");
    }
    let made_for = contacts.store(&clickhouse).await?;
    nobody_ended(&folder, &state, &contacts).await?;
    let of = (campaign.tenant, campaign.id);
    deliveries::record(&clickhouse, of, Event::Sent, today, made_for).await?;
    record(&state, campaign, tracking, &stamped, now).await?;
    draft.keep_as(out)?;
    Ok(Done {
        campaign: campaign.full_name(),
        folder: out.to_owned(),
        messages: stamped.messages,
        recipients: stamped.recipients,
        untracked: stamped.withdrawn,
        exempt: stamped.exempt,
        left_out: stamped.left_out.len(),
        opens: decided(&campaign.opens, tracking.opens),
        clicks: decided(&campaign.clicks, tracking.clicks),
    })
}

/// Fails where somebody ended their tracking while their mail was made to be tracked. Whoever does so
/// from now on is a contact already, whose id the refusal log names.
async fn nobody_ended(folder: &DataFolder, state: &State, contacts: &Contacts) -> Result<()> {
    let refused = Log::read(folder)?.0;
    let ended = contacts.ended_meanwhile(&state.clickhouse()?, refused.caps()).await?;
    if ended > 0 {
        bail!(
            "{} ended their tracking while their mail was stamped, so no message was written: run \
             the same command again",
            persons(ended)
        );
    }
    Ok(())
}

/// What the refusal log leaves of a campaign's tracking: whatever is sealed beyond it is never
/// counted.
fn left(campaign: &CampaignPlan, refused: &RefusalLog, generation: u32) -> Tracking {
    let (tenant, mail_type) = (campaign.tenant, campaign.mail_type);
    let mail = Mail { tenant, mail_type, campaign: Some(campaign.id) };
    let allowed = Allowed { tracking: campaign.tracking(), place: campaign.place };
    allowed.strictest(&mail.capped(refused.caps(), generation)).tracking
}

fn decided(asked: &Effective, mode: Mode) -> String {
    if mode == asked.mode {
        return asked.to_string();
    }
    format!("{mode}, because the refusal log leaves no more of it")
}

/// The generation that a campaign's first message fixed; the first one where there was none.
pub(crate) fn generation(folder: &DataFolder, campaign: CampaignId) -> Result<u32> {
    Ok(fixed_generation(folder, campaign)?.unwrap_or(0))
}

/// The generation that a campaign's first message fixed, if there was one.
pub(crate) fn fixed_generation(folder: &DataFolder, campaign: CampaignId) -> Result<Option<u32>> {
    Ok(fixed_already(folder, campaign)?.map(|fixed| fixed.generation))
}

/// The last day on which hits of a campaign count, if its first message was made.
pub(crate) fn last_day(folder: &DataFolder, campaign: CampaignId) -> Result<Option<Day>> {
    Ok(fixed_already(folder, campaign)?.map(|fixed| Day(fixed.last_day)))
}

fn fixed_already(folder: &DataFolder, campaign: CampaignId) -> Result<Option<Fixed>> {
    let path = folder.path("stamps").join(format!("{campaign}.json"));
    let Some(bytes) = files::read_if_there(&path)? else { return Ok(None) };
    let fixed = serde_json::from_slice(&bytes);
    fixed.map(Some).with_context(|| format!("{} is damaged: restore it", path.display()))
}

/// Key, generation and last day: as the campaign's first message fixed them, or from now on.
async fn fixed(
    folder: &DataFolder,
    campaign: &CampaignPlan,
    keys: &RegionKeys,
    today: Day,
) -> Result<Fixed> {
    if let Some(fixed) = fixed_already(folder, campaign.id)? {
        return Ok(fixed);
    }
    let kid = sealing::kid(folder, keys).await?;
    let generation = Applied::load(folder)?.generation(campaign.tenant, campaign.mail_type);
    let last_day = today.plus(campaign.track_for_days).0;
    let fixed = Fixed { kid: kid.0, generation, last_day };
    let path = folder.path("stamps").join(format!("{}.json", campaign.id));
    files::replace(&path, &serde_json::to_vec(&fixed).context("cannot write JSON")?)?;
    Ok(fixed)
}

/// The newsletter's HTML.
fn newsletter(campaign: &CampaignPlan) -> Result<Template> {
    let path = &campaign.content.path;
    let html = String::from_utf8(campaign.content.read()?)
        .with_context(|| format!("the newsletter {} is not UTF-8 text", path.display()))?;
    Template::parse(html).with_context(|| path.display().to_string())
}

fn plan(
    state: &State,
    campaign: &CampaignPlan,
    (html, tracking): (Template, Tracking),
    fixed: Fixed,
    keep_going: bool,
    now: u64,
) -> Result<Plan> {
    let host = TrackingHost::parse(&state.base_url)?;
    let mailbox = match &campaign.from.name {
        Some(name) => format!("{name} <{}>", campaign.from.address),
        None => campaign.from.address.clone(),
    };
    let from = Mailbox::parse(&mailbox)?;
    // Message-IDs name the sender's domain: the tracking host may be an address and a port.
    let domain = campaign.from.address.rsplit('@').next().unwrap_or_default();
    let seconds = i64::try_from(now / 1_000).unwrap_or(i64::MAX);
    Ok(Plan {
        tenant: campaign.tenant,
        campaign: campaign.id,
        generation: Generation(fixed.generation),
        tracking,
        mail_type: campaign.mail_type,
        place: campaign.place,
        last_day: Day(fixed.last_day),
        host,
        envelope: Envelope::new(from, seconds, domain, None)?,
        subject: PlainTemplate::parse(campaign.subject.clone()).context("the subject")?,
        html,
        text: None,
        list_address: None,
        keep_going,
    })
}

fn list(campaign: &CampaignPlan) -> Result<List> {
    let path = campaign.list.as_ref().with_context(|| {
        format!("campaign {} names no list: spec.list.path says where it is", campaign.full_name())
    })?;
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    List::read(file).with_context(|| path.display().to_string())
}

/// What says whose messages carry no tracking, beside the contacts themselves.
struct Whom<'a> {
    /// Of the refusal log: who objected by the page of a message.
    refused: &'a Caps,
    /// Who consented, where that is needed.
    consents: Option<&'a Consents>,
}

fn write_messages(
    plan: &Plan,
    list: List,
    sealer: &Sealer,
    (contacts, whom): (&mut Contacts, &Whom<'_>),
    (draft, today): (&Path, Day),
) -> Result<Stamped> {
    let contacts = RefCell::new(contacts);
    let mut contact =
        |address: &Address| contacts.borrow_mut().mark(address, today).map_err(io::Error::other);
    let mut made_for = |address: &Address| {
        contacts.borrow_mut().made_for(address, today).map_err(io::Error::other)
    };
    let mut sink = |name: &str, bytes: &[u8]| fs::write(draft.join(name), bytes);
    let from = Sources {
        random: &mut random64,
        contact: &mut contact,
        untracked: &|address: &Address| {
            let mut contacts = contacts.borrow_mut();
            let agreed = whom.consents.is_some_and(|consents| consents.has(&contacts, address));
            let word = contacts.word(address, whom.refused, agreed);
            let untracked = word.untracked(whom.consents.is_some());
            let is_tracked = match untracked {
                None => true,
                Some(Untracked::NoConsent) => !plan.tracking.exempt().is_off(),
                Some(_) => false,
            };
            if is_tracked {
                contacts.note_tracked(address);
            }
            untracked
        },
        made_for: &mut made_for,
        sink: &mut sink,
    };
    Ok(hushmark_sender::stamp(plan, list, sealer, from)?)
}

/// Tells what a person should look at.
fn say(stamped: &Stamped) {
    for row in &stamped.left_out {
        eprintln!("left out: {row}");
    }
    for (warning, messages) in &stamped.warnings {
        eprintln!("warning: {warning} ({})", plural(*messages, "message"));
    }
}

#[derive(Row, Serialize)]
struct SendRow {
    tenant: u64,
    campaign: u64,
    run: u64,
    at: i64,
    messages: u64,
    opens: i8,
    clicks: i8,
}

/// Writes down how many messages left and how they were tracked, never to whom.
async fn record(
    state: &State,
    campaign: &CampaignPlan,
    tracking: Tracking,
    stamped: &Stamped,
    now: u64,
) -> Result<()> {
    if tracking.is_off() {
        return Ok(());
    }
    let Tracking { opens, clicks } = tracking;
    let row = SendRow {
        tenant: campaign.tenant.0,
        campaign: campaign.id.0,
        run: random64(),
        at: i64::try_from(now).unwrap_or(i64::MAX),
        // Whom nothing can be told of are none of those whom a figure may stand for.
        messages: stamped.recipients - stamped.withdrawn,
        opens: opens as i8,
        clicks: clicks as i8,
    };
    let client = state.clickhouse()?.client().with_setting("async_insert", "0");
    let write = async {
        let mut insert = client.insert::<SendRow>("sends").await?;
        insert.write(&row).await?;
        insert.end().await
    };
    write.await.context("cannot record the sending in ClickHouse; nothing was written")
}

pub(crate) fn plural(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
