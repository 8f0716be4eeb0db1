//! `hushmark takedown` and `hushmark withdraw`: each asks for entries in the refusal log of the
//! stack on this machine, and waits until they are there.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use hushmark_event::ask::Question;
use hushmark_event::audit::entry::TakenDown;
use hushmark_event::audit::{Action, Name, Principal, Reason, Target};
use hushmark_event::redis_keys::{ASKS, DECLINED_FIELD, QUESTION_FIELD, REFUSAL_FIELD};
use hushmark_event::refusal::{Refuses, Takedown};
use hushmark_policy::{CampaignId, TenantId};
use hushmark_sender::Address;
use redis::aio::MultiplexedConnection;

use zeroize::Zeroizing;

use crate::cluster::ask::confirm;
use crate::contacts::{Contacts, Withdrew};
use crate::data::{DataFolder, State};
use crate::report::print;
use crate::up::now_ms;
use crate::up::refusals::connect;
use crate::withdrawal::Withdrawal;
use crate::{args, campaigns, erase, keys};

/// How long `up` may take to append what was asked.
const APPENDED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn takedown(data: &Path, options: &args::TakenDown) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (what, action, said) = what(&folder, &state, options).await?;
    let ask = (Some(Refuses::Takedown(what)), Action::Takedown(action));
    ask_for(&folder, vec![ask]).await?;
    print(&format!("taken down: {said}; edges answer 404 within a second\n"))
}

pub(crate) async fn withdraw(data: &Path, options: &args::Withdraw) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let what = &options.what;
    let (action, withdrawal) = match (&what.whose.campaign, &what.whose.tenant, &options.people) {
        (Some(campaign), ..) => {
            let (name, tenant, id) = state.campaign(campaign)?;
            let action = Action::Withdraw(Target::Campaign { tenant, id });
            known_campaign(&folder, &state, (campaign, id), action.clone()).await?;
            (action, what.of_campaign(id, &name))
        }
        (None, Some(namespace), Some(file)) => {
            let source = options.source.as_deref().unwrap_or("not said");
            return people(&folder, &state, namespace, (file, source)).await;
        }
        (None, Some(namespace), None) => {
            let id = tenant(&state, namespace)?;
            (Action::Withdraw(Target::Tenant(id)), what.of_tenant(id, namespace))
        }
        (None, None, _) => {
            let withdrawal = what.of_all(&state.region);
            if !options.yes {
                confirm(&format!("From now on {}, for good.", withdrawal.text))?;
            }
            (Action::WithdrawAll, withdrawal)
        }
    };
    let Withdrawal { refuses, text } = withdrawal;
    let asks = refuses.into_iter().map(|one| (Some(one), action.clone()));
    ask_for(&folder, asks.collect()).await?;
    print(&format!("withdrawn: {text}; edges obey within a second\n"))
}

/// Ends a tenant's tracking of people: first of mail to come, then of what names them already.
async fn people(
    folder: &DataFolder,
    state: &State,
    namespace: &str,
    (file, source): (&Path, &str),
) -> Result<()> {
    let tenant = tenant(state, namespace)?;
    let people = addresses(file)?;
    let log = erase::Log::read(folder)?;
    log.tenant(tenant, namespace)?;
    let key = keys::tenant_key(folder, tenant, &state.clickhouse()?).await?;
    let contacts = Contacts::read((folder, &log.0), &state.clickhouse()?, tenant, key).await?;
    // Of who was erased nothing is written down again: what is left of them says as much.
    let (_, to_note): (Vec<_>, Vec<_>) =
        people.iter().partition(|it| contacts.withdrew(it) == Some(Withdrew::Erased));
    contacts.withdraw(&state.clickhouse()?, &to_note, source, now_ms()).await?;
    let ids = contacts.ids_now(&state.clickhouse()?, &people).await?;
    let mut asks = Vec::new();
    for person in &people {
        let tombstone = contacts.tombstone(person);
        let action = Action::Withdraw(Target::Person { tenant, tombstone });
        let named = ids.get(&contacts.found_by(person)).map(Vec::as_slice).unwrap_or_default();
        // Nothing names whoever is no contact yet: the audit log alone is told.
        if named.is_empty() {
            asks.push((None, action));
            continue;
        }
        asks.extend(named.iter().map(|contact| {
            let (tenant, id) = (tenant.to_string(), format!("{:016x}", contact.expose()));
            (Some(Refuses::Contact { tenant, id }), action.clone())
        }));
    }
    let named = people.iter().filter(|it| ids.contains_key(&contacts.found_by(it))).count();
    ask_for(folder, asks).await?;
    print(&format!(
        "withdrawn: {} of tenant {namespace}, contacts already: {named}; edges obey within a second, \
         and mail that is stamped from now on does not track them\n",
        persons(people.len())
    ))
}

pub(crate) fn persons(n: usize) -> String {
    if n == 1 { "1 person".to_owned() } else { format!("{n} people") }
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// Where addresses come from, for people.
pub(crate) fn source(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

fn from_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map(|_| bytes)
}

/// People's addresses, one a line. None of them is repeated in an error.
pub(crate) fn addresses(file: &Path) -> Result<Vec<Address>> {
    let name = source(file);
    let bytes = if is_stdin(file) { from_stdin() } else { fs::read(file) };
    let is_there = !matches!(&bytes, Err(error) if error.kind() == io::ErrorKind::NotFound);
    if !is_there && name.contains('@') {
        bail!(
            "there is no file of that name: addresses are read from a file, one a line, or with - from \
             standard input, because every user of a machine can read the arguments of a command"
        );
    }
    let bytes = Zeroizing::new(bytes.with_context(|| format!("cannot read {name}"))?);
    let Ok(text) = std::str::from_utf8(&bytes) else {
        bail!(
            "{name} is no text in UTF-8, so nothing was changed: save it as plain text, one address \
             a line; a spreadsheet's own file is none"
        );
    };
    // The mark with which some programs begin such a text.
    let text = text.trim_start_matches('\u{feff}');
    let mut people = Vec::new();
    for (n, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let address = Address::parse(line.trim());
        people.push(
            address.with_context(|| {
                format!("{name}, line {n} is no address, so nothing was changed")
            })?,
        );
    }
    if people.is_empty() {
        bail!("{name} names nobody: give one address a line");
    }
    Ok(people)
}

/// Asks for entries, and waits until they were taken. Where there is none, because nothing names
/// the person, it is for the audit log alone.
pub(crate) async fn ask_for(
    folder: &DataFolder,
    asks: Vec<(Option<Refuses>, Action)>,
) -> Result<()> {
    send(folder, asks.into_iter().map(|(refuses, action)| (refuses, action, None)).collect()).await
}

/// Tells the audit log what a command refuses to do, and why. Where nobody can be told it is refused
/// all the same.
pub(crate) async fn decline(folder: &DataFolder, actions: Vec<Action>, reason: Reason) {
    let asks = actions.into_iter().map(|action| (None, action, Some(reason))).collect();
    if let Err(error) = send(folder, asks).await {
        eprintln!("the audit log could not be told what was refused: {error:#}");
    }
}

/// [`campaigns::known`]; where it fails the audit log is told for what it was asked.
pub(crate) async fn known_campaign(
    folder: &DataFolder,
    state: &State,
    (asked, id): (&str, CampaignId),
    action: Action,
) -> Result<()> {
    let known = campaigns::known(state, asked, id).await;
    if let Err(error) = &known {
        let is_away = error.chain().any(|cause| cause.is::<clickhouse::error::Error>());
        let reason = if is_away { Reason::NotNow } else { Reason::Unknown };
        decline(folder, vec![action], reason).await;
    }
    known
}

async fn send(
    folder: &DataFolder,
    asks: Vec<(Option<Refuses>, Action, Option<Reason>)>,
) -> Result<()> {
    let mut redis = connect(folder).await.context("is `hushmark up` running?")?;
    let mut waiting = Vec::new();
    for (refuses, action, declined) in asks {
        let question = Question { by: this_user(), action };
        let question = serde_json::to_string(&question).context("cannot write who asks")?;
        let mut add = redis::cmd("XADD");
        add.arg(ASKS).arg("*");
        if let Some(refuses) = refuses {
            let text = serde_json::to_string(&refuses).context("cannot write the request")?;
            add.arg(REFUSAL_FIELD).arg(text);
        }
        if let Some(reason) = declined {
            let text = serde_json::to_string(&reason).context("cannot write why it is refused")?;
            add.arg(DECLINED_FIELD).arg(text);
        }
        let id: String = add
            .arg(&[QUESTION_FIELD, &question])
            .query_async(&mut redis)
            .await
            .context("cannot ask for an entry in the refusal log")?;
        waiting.push(id);
    }
    let mut until = Instant::now() + APPENDED_WITHIN;
    for id in waiting {
        while is_waiting(&mut redis, &id).await? {
            if Instant::now() > until {
                bail!(
                    "it is asked for, but nobody appended it within {} s: {}",
                    APPENDED_WITHIN.as_secs(),
                    why_nobody(folder.is_claimed(), folder.free_bytes())
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // One after the other: many take longer.
        until = Instant::now() + APPENDED_WITHIN;
    }
    Ok(())
}

/// A disk with less room than this is called full: the next entries of both logs, and their heads.
const ROOM: u64 = 64 * 1024;

/// Why a request waits, as far as a command can see it, and what to do.
fn why_nobody(is_up: bool, free_bytes: Option<u64>) -> &'static str {
    match (is_up, free_bytes) {
        (false, _) => "`hushmark up` has ended; it holds as soon as it runs again",
        (true, Some(..ROOM)) => {
            "the data folder's disk is full; make room, and it holds as soon as there is some"
        }
        (true, _) => {
            "`hushmark up` runs and cannot; what it says where it runs tells why, and it holds as \
             soon as that is mended"
        }
    }
}

/// The number is the system's word, the name this person's.
fn this_user() -> Principal {
    let id = rustix::process::getuid().as_raw();
    let name = std::env::var("USER").ok().filter(|name| !name.is_empty());
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    Principal::Local(Name::of(&format!("uid {id}{name}")))
}

async fn is_waiting(redis: &mut MultiplexedConnection, id: &str) -> Result<bool> {
    let mut range = redis::cmd("XRANGE");
    let waiting: Vec<redis::Value> = range
        .arg(ASKS)
        .arg(&[id, id])
        .query_async(redis)
        .await
        .context("cannot see whether what was asked for was taken")?;
    Ok(!waiting.is_empty())
}

/// What is to be refused, for the log and for people. It cannot be undone, so that a typing error
/// must not pass for it.
async fn what(
    folder: &DataFolder,
    state: &State,
    options: &args::TakenDown,
) -> Result<(Takedown, TakenDown, String)> {
    Ok(match options {
        args::TakenDown { tenant: Some(namespace), .. } => {
            let id = tenant(state, namespace)?;
            let said = format!("every link of tenant {namespace}");
            (Takedown::Tenant(id.to_string()), TakenDown::Tenant(id), said)
        }
        args::TakenDown { campaign: Some(campaign), .. } => {
            let (name, tenant, id) = state.campaign(campaign)?;
            let action = TakenDown::Campaign { tenant, id };
            let asked = Action::Takedown(action.clone());
            known_campaign(folder, state, (campaign, id), asked).await?;
            (Takedown::Campaign(id.to_string()), action, format!("every link of {name}"))
        }
        args::TakenDown { url: Some(url), .. } => {
            let to = url.as_str();
            let said = format!("every link to {to}, byte for byte");
            (Takedown::Url(to.to_owned()), TakenDown::Url, said)
        }
        args::TakenDown { kid: Some(kid), .. } => {
            if !folder.path("keys").join(format!("{kid}.key")).exists() {
                let asked = Action::Takedown(TakenDown::Kid(*kid));
                decline(folder, vec![asked], Reason::Unknown).await;
                bail!("there is no region key {kid} in {}", folder.path("keys").display());
            }
            (Takedown::Kid(*kid), TakenDown::Kid(*kid), format!("every token under key {kid}"))
        }
        _ => bail!("say what to take down: --tenant, --campaign, --url or --kid"),
    })
}

/// A tenant by its namespace.
pub(crate) fn tenant(state: &State, namespace: &str) -> Result<TenantId> {
    if !state.namespaces.iter().any(|known| known == namespace) {
        bail!("no tenant in namespace {namespace}; there are {}", state.namespaces.join(", "));
    }
    Ok(TenantId::derive(&state.region, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_in_vain_is_told_why_and_what_to_do() {
        assert!(why_nobody(false, Some(0)).starts_with("`hushmark up` has ended"));
        assert!(why_nobody(true, Some(0)).contains("disk is full"));
        for free in [None, Some(ROOM)] {
            assert!(why_nobody(true, free).contains("tells why"));
        }
    }

    #[test]
    fn a_list_is_read_however_a_program_saved_it_or_it_is_said_how_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("who.txt");
        let read = |content: &[u8]| {
            fs::write(&file, content).unwrap();
            addresses(&file).map(|people| people.len()).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(read("\u{feff}ann@example.org\r\n\r\nben@example.org".as_bytes()), Ok(2));
        assert!(read(b"ann@example.org\xff").unwrap_err().contains("save it as plain text"));
        assert!(read(b"\xef\xbb\xbf\n").unwrap_err().contains("names nobody"));
    }
}
