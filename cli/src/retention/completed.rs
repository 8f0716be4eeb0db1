//! `hushmark complete`: who was on a campaign's list is forgotten, counted.
//!
//! In order: a legal hold forbids it; who asks is in the audit log; the counts are written down under
//! a run; the rows go; the run is ended. One that was cut short goes on under the same run, and
//! counts nothing twice.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clickhouse::{Client, Row};
use hushmark_event::audit::{Action, Reason};
use hushmark_policy::{CampaignId, Day, TenantId};
use hushmark_writer::retention::{List, Messages, forget, list};
use serde::{Deserialize, Serialize};

use super::Plans;
use crate::cluster::ask::confirm;
use crate::data::{DataFolder, State};
use crate::erase::Log;
use crate::keys::random64;
use crate::policies::hold;
use crate::report::print;
use crate::stamp::plural;
use crate::up::now_ms;
use crate::{args, asks, stamp};

/// How far the last run over a campaign came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    id: u64,
    /// The day on which it ended, if it did.
    ended: Option<Day>,
}

/// What was done.
#[derive(Serialize)]
struct Done {
    campaign: String,
    /// The day of it.
    completed: String,
    people: u64,
    messages: Vec<DoneMessages>,
}

#[derive(Serialize)]
struct DoneMessages {
    event: String,
    day: String,
    messages: u64,
}

/// `hushmark complete`.
pub(crate) async fn complete(data: &Path, options: &args::Complete) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let (name, tenant, id) = state.campaign(&options.campaign)?;
    let of = (tenant, id);
    let action = Action::Complete { tenant, id };
    asks::known_campaign(&folder, &state, (&options.campaign, id), action.clone()).await?;
    let log = Log::read(&folder)?;
    log.campaign(tenant, id, &name)?;
    log.is_obeyed(&state.clickhouse()?).await?;
    let _one_at_a_time = Plans::open(&folder)?.lock()?;
    let client = state.clickhouse()?.client().with_setting("async_insert", "0");
    if let Some(why) = held(&state, &client, of).await? {
        asks::decline(&folder, vec![action], Reason::LegalHold).await;
        bail!("{why}; nothing was changed");
    }
    let (found, run) = (list(&client, of).await.context(CANNOT_COUNT)?, last(&client, of).await?);
    let unfinished = run.filter(|run| run.ended.is_none());
    if found.people == 0 && unfinished.is_none() {
        let said = match run.and_then(|run| run.ended) {
            Some(day) => format!("{name} was completed on {day}, and no mail was stamped since"),
            None => format!("no mail of {name} was stamped, so that it has no recipient list"),
        };
        bail!("{said}: nothing was changed");
    }
    if !options.yes {
        confirm(&question(&folder, &name, id, &found)?)?;
    }
    asks::ask_for(&folder, vec![(None, action)]).await.context(
        "who removes what is in the audit log before anything is removed, and it cannot be \
         written, so nothing was changed",
    )?;
    let today = Day::of_unix_ms(now_ms());
    let run = unfinished.map_or_else(random64, |run| run.id);
    let people = carry_out(&client, of, run, today).await.with_context(|| {
        format!("it was cut short; `hushmark complete {}` goes on with it", options.campaign)
    })?;
    let messages = counted(&client, of, run).await?;
    say(Done { campaign: name, completed: today.to_string(), people, messages }, options.json)
}

const CANNOT_COUNT: &str = "cannot count in ClickHouse who is on the list";

/// Why a legal hold keeps what is known of the campaign, if one does.
async fn held(
    state: &State,
    client: &Client,
    (tenant, id): (TenantId, CampaignId),
) -> Result<Option<String>> {
    let manifests = stamp::manifests(state)?;
    match manifests.campaigns.iter().find(|campaign| campaign.id == id) {
        Some(campaign) => {
            let (name, hold) = (campaign.full_name(), hold(&manifests, campaign));
            Ok(hold.map(|hold| format!("a legal hold keeps {name} ({})", hold.reason)))
        }
        None => {
            // Its manifest is gone; what `up` read of the last one still holds.
            let query = "SELECT held FROM policies FINAL WHERE tenant = ? AND campaign = ?";
            let ask = client.query(query).bind(tenant.0).bind(id.0).fetch_optional::<bool>().await;
            let held = ask.context("cannot read from ClickHouse whether a legal hold keeps it")?;
            let why = "a legal hold kept this campaign when its manifest was last seen: put the \
                       manifest back without the hold, and start `hushmark up` again";
            Ok((held == Some(true)).then(|| why.to_owned()))
        }
    }
}

fn question(folder: &DataFolder, name: &str, id: CampaignId, found: &List) -> Result<String> {
    let today = Day::of_unix_ms(now_ms());
    let last_day = stamp::last_day(folder, id)?.filter(|last| *last >= today);
    let counts = last_day
        .map_or_else(String::new, |last| format!(" Its hits count until {last} all the same."));
    let people = if found.people == 1 { "person".to_owned() } else { "people".to_owned() };
    Ok(format!(
        "Who had mail of {name} is forgotten: {} {people}. Segments, contacts' pages and the export \
         name none of them any more.{counts}",
        found.people
    ))
}

#[derive(Row, Deserialize)]
struct RunRow {
    run: u64,
    is_ended: bool,
    day: u16,
}

/// The run that has not ended, or else the last one that did.
async fn last(client: &Client, (tenant, id): (TenantId, CampaignId)) -> Result<Option<Run>> {
    let query = "SELECT run, countIf(event = '') > 0 AS is_ended, \
            toUInt16(maxIf(c.day, event = '')) AS day FROM completed AS c \
        WHERE tenant = ? AND campaign = ? GROUP BY run ORDER BY is_ended, day DESC LIMIT 1";
    let ask = client.query(query).bind(tenant.0).bind(id.0).fetch_optional::<RunRow>().await;
    let row = ask.context("cannot read from ClickHouse whether the campaign was completed")?;
    Ok(row.map(|row| Run { id: row.run, ended: row.is_ended.then_some(Day(row.day)) }))
}

#[derive(Row, Serialize)]
struct CompletedRow<'a> {
    tenant: u64,
    campaign: u64,
    run: u64,
    event: &'a str,
    day: u16,
    messages: u64,
    at: i64,
}

/// Counts, removes, looks whether all of it is gone, and ends the run. Returns how many people were
/// on the list.
async fn carry_out(
    client: &Client,
    of: (TenantId, CampaignId),
    run: u64,
    today: Day,
) -> Result<u64> {
    let found = list(client, of).await.context(CANNOT_COUNT)?;
    // The people are counted under no event of theirs, so that the run is not ended by it.
    let people = Messages { event: PEOPLE.to_owned(), day: 0, messages: found.people };
    let first = found.messages.iter().chain(std::iter::once(&people));
    write(client, of, run, first).await?;
    forget(client, of).await.context("ClickHouse did not remove the list")?;
    let left = list(client, of).await.context(CANNOT_COUNT)?.rows();
    ensure!(left == 0, "mail was stamped meanwhile, and {} came back", plural(left, "row"));
    let query = "SELECT max(messages) FROM completed WHERE tenant = ? AND campaign = ? \
                 AND run = ? AND event = ?";
    let ask = client.query(query).bind(of.0.0).bind(of.1.0).bind(run).bind(PEOPLE);
    let people = ask.fetch_one::<u64>().await.context(CANNOT_COUNT)?;
    let end = Messages { event: String::new(), day: today.0, messages: people };
    write(client, of, run, std::iter::once(&end)).await?;
    Ok(people)
}

/// How the number of people is written down while a run goes on.
const PEOPLE: &str = "people";

async fn write(
    client: &Client,
    (tenant, campaign): (TenantId, CampaignId),
    run: u64,
    rows: impl Iterator<Item = &Messages>,
) -> Result<()> {
    let at = i64::try_from(now_ms()).unwrap_or(i64::MAX);
    let write = async {
        let mut insert = client.insert::<CompletedRow<'_>>("completed").await?;
        for Messages { event, day, messages } in rows {
            let (tenant, campaign, day, messages) = (tenant.0, campaign.0, *day, *messages);
            insert.write(&CompletedRow { tenant, campaign, run, event, day, messages, at }).await?;
        }
        insert.end().await
    };
    write.await.context("cannot write down in ClickHouse how many were on the list")
}

/// What a run took, by event and day.
async fn counted(
    client: &Client,
    (tenant, id): (TenantId, CampaignId),
    run: u64,
) -> Result<Vec<DoneMessages>> {
    let query = "SELECT c.event AS event, toUInt16(c.day) AS day, max(c.messages) AS messages \
        FROM completed AS c WHERE c.tenant = ? AND c.campaign = ? AND c.run = ? \
        AND c.event NOT IN ('', ?) GROUP BY event, day ORDER BY event = 'sent' DESC, event, day";
    let ask = client.query(query).bind(tenant.0).bind(id.0).bind(run).bind(PEOPLE);
    let rows = ask.fetch_all::<Messages>().await.context(CANNOT_COUNT)?;
    let told = |row: Messages| {
        let Messages { event, day, messages } = row;
        DoneMessages { event, day: Day(day).to_string(), messages }
    };
    Ok(rows.into_iter().map(told).collect())
}

fn say(done: Done, json: bool) -> Result<()> {
    if json {
        let text = serde_json::to_string_pretty(&done).context("cannot write JSON")?;
        return print(&(text + "\n"));
    }
    let Done { campaign, completed, people, messages } = done;
    let people = asks::persons(usize::try_from(people).unwrap_or(usize::MAX));
    let mut said = format!(
        "completed: {campaign} on {completed}; its recipient list went, with {people} on it. What \
         stays is how many:\n"
    );
    for DoneMessages { event, day, messages } in messages {
        said += &format!("  {event:<10}{day:<12}{messages:>10}\n");
    }
    print(&said)
}
