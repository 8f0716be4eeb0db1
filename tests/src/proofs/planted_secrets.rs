//! Proof `planted-secrets`: people with recognizable addresses, IP addresses and programs read their
//! mail, in all four modes, object, withdraw and are erased. Afterwards everything that is kept and
//! everything that is said is searched for them, in every form in which they may be written down,
//! and nothing is found. Then they are planted in each kind of place, in each form, and the same
//! search finds all of them.
//!
//! **What is looked for** is made in `forms`: patterns that are the person's own, and so long that
//! chance finds none of them, which the proof computes and shows. 32 bits are never so long: IPv4
//! addresses as numbers are in `numbers`, and are counted against those of people who never were.
//!
//! **Two hours.** Programs take their time from the system, so that two hours cannot pass at will.
//! What they bring is made to happen: every table is merged whole, as housekeeping does with small
//! parts within the hour, and old parts, which stay for 45 seconds or for eight minutes, are let go
//! and waited for until they are gone. Waited for are those of our own tables alone: what ClickHouse
//! tells of itself (`system`) goes on making old parts. Searched is at once, after that, and with all
//! partitions detached while the writer stands still: the promise for secrets has no two hours in
//! it, so that what holds at once and afterwards holds between.
//!
//! **Not searched** is what a user gave (manifests, lists) and got (messages), which lie outside of
//! the data folder, and the memory of running programs. Reports that name whom mail was sent to hold
//! addresses by their purpose: these are told, and anything else of anybody fails there as well.

mod asked;
mod forms;
mod hashes;
mod numbers;
mod people;
mod place;
mod places;
mod plant;
mod reading;
mod scene;
mod unpack;
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use fastrand::Rng;

use super::Run;
use crate::figure::{Figures, progress};
use forms::Finder;
use hashes::Hashes;
use numbers::Numbers;
use people::Person;
use places::Search;
use reading::Answered;
use scene::{ENDED, Scene, TENANT, TRACKED};
use verdict::{clean, expected, found};

/// Addresses of nobody for each person's.
const NOBODY: usize = 10;

/// What chance may find in all searches of a run: once in a million runs.
const CHANCE: f64 = 1e-6;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let mut random = Rng::with_seed(run.seed());
    let people = people::draw(run.size(300, 40), &mut random);
    let nobody: Vec<Ipv4Addr> =
        (0..people.len() * NOBODY).map(|_| people::draw_v4(&mut random)).collect();
    let hashes = Hashes::make(run, &people)?;
    let finder = Finder::new(&people, &hashes)?;
    let numbers = Numbers::new(&people, &nobody)?;
    figures.tell("people", people.len(), "people");
    figures.tell("byte patterns looked for", finder.patterns(), "patterns");

    let scene = Scene::start(&run.tools, &people)?;
    keep_cleaners_awake(&scene)?;
    read(run, &scene, &people, &mut figures)?;
    decide(&scene, &people)?;
    let planted = plant::everything(&people, &hashes)?;
    let mut whom = Search { people: &people, finder: &finder, numbers: &numbers, planted: b"" };
    written_down(&scene)?;
    let mut bytes = clean(&mut figures, "at once", &places::everything(&scene, &whom)?, &whom);
    if !run.short {
        erase(&scene, &people)?;
    }
    two_hours(&scene, &mut figures)?;
    let later = places::everything(&scene, &whom)?;
    bytes += clean(&mut figures, "two hours later", &later, &whom);
    let detached = scene.without("writer", || {
        detach(&scene, "DETACH")?;
        let searched = places::files(&scene, &whom)?;
        detach(&scene, "ATTACH")?;
        Ok(searched)
    })?;
    bytes += clean(&mut figures, "all parts detached", &detached, &whom);
    let chance = finder.by_chance(bytes);
    let target = format!("less than {CHANCE:e}");
    figures.must("finds that chance would make", format!("{chance:.1e}"), &target, chance < CHANCE);

    plant::plant(&scene, &planted)?;
    whom.planted = &planted;
    found(&mut figures, &places::everything(&scene, &whom)?, &whom);
    for (method, file) in plant::compressed(&planted)? {
        let mut seen = BTreeSet::new();
        unpack::Unpacker::new()?.each(&file, &mut |bytes| {
            finder.search(bytes, |find| {
                seen.insert(find);
            });
        });
        let name = format!("planted within {method}, and found");
        let seen = expected().filter(|find| seen.contains(find)).count();
        figures.exactly(&name, seen as u64, expected().count() as u64, "kinds and forms");
    }
    Ok(figures)
}

/// One campaign is withdrawn, and people read; half-way Redis stands still, so that lane logs fill.
fn read(run: &Run, scene: &Scene, people: &[Person], figures: &mut Figures) -> Result<()> {
    scene.say("withdraw", &["withdraw", "--campaign", TRACKED[ENDED].0])?;
    std::thread::sleep(Duration::from_secs(2));
    progress("people read");
    let (hits, answered) = (run.size(100_000, 4_000), Answered::default());
    let third = hits / 3;
    let part = |n, count| reading::read(scene, people, (count, run.seed() + n), &answered);
    part(1, third)?;
    let kept = scene.without("redis", || {
        part(2, third)?;
        scene.keep_lane_logs()
    })?;
    part(3, hits - 2 * third)?;
    figures.exactly("hits answered", answered.hits.load(Ordering::Relaxed), hits, "hits");
    let strays = answered.strays.load(Ordering::Relaxed);
    figures.tell("requests beside them for what is not there", strays, "requests");
    figures.at_least("lane logs while Redis stood still", kept, 1_000, "bytes");
    let counted = answered.counted.load(Ordering::Relaxed);
    let sum = "SELECT sum(raw) FROM counters WHERE tenant != 0 AND dimension = 'total'";
    scene.wait("every hit is counted", || Ok(scene.number(sum)? >= counted))?;
    figures.exactly("hits counted, in three modes", scene.number(sum)?, counted, "hits");
    Ok(())
}

/// Servers take mail and refuse it, readers object by the mail's page, and one of them withdraws.
fn decide(scene: &Scene, people: &[Person]) -> Result<()> {
    let lines =
        |some: &[Person]| -> String { some.iter().map(|it| format!("{}\n", it.address)).collect() };
    let (half, rest) = people.split_at(people.len() / 2);
    let another = rest.get(1).context("there are enough people")?;
    scene.give("took", &lines(half))?;
    scene.give("reader", &lines(&half[..1]))?;
    scene.give("person", &lines(&rest[..1]))?;
    let (took, person) = (scene.file("took")?, scene.file("person")?);
    for (campaign, ..) in TRACKED {
        let said = |what: &str| format!("{what}-{campaign}");
        scene.say(&said("took"), &["delivered", campaign, "--people", &took])?;
        scene.say(&said("refused"), &["delivered", campaign, "--people", &person, "--failed"])?;
    }
    for (at, (campaign, ..)) in TRACKED.into_iter().enumerate() {
        let page = scene.letter(at, another)?.page.as_deref().context("mail links to its page")?;
        let answer = reading::object(scene, another, page)?;
        fs::write(scene.said().join(format!("objection-{campaign}")), answer)?;
    }
    scene.wait("objections are in the refusal log", || {
        let log = fs::read_to_string(scene.data().join("refusals/log.jsonl"))?;
        Ok(log.contains("\"message\"") && log.contains("\"contact\""))
    })?;
    let withdraw = ["withdraw", "--tenant", TENANT, "--people", &person, "--source", "a call"];
    scene.say("withdraw-person", &withdraw)?;
    // Of what was said and read until now.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let epoch = "SELECT toUnixTimestamp(max(epoch)) FROM published_campaigns WHERE campaign = 0";
    scene.wait("an epoch is published", || Ok(scene.number(epoch)? > now))
}

fn erase(scene: &Scene, people: &[Person]) -> Result<()> {
    progress("one person is erased");
    let who = people.last().context("there are people")?;
    scene.give("erased", &format!("{}\n", who.address))?;
    let (person, receipt) = (scene.file("erased")?, scene.said().join("receipt.json"));
    let receipt = receipt.to_str().context("the folder's name is not text")?;
    scene.say("erase", &["erase", "--tenant", TENANT, "--people", &person, "--out", receipt])
}

/// What Redis writes down only now and then is written down now.
fn written_down(scene: &Scene) -> Result<()> {
    let mut redis = scene.redis()?;
    redis::cmd("SAVE").exec(&mut redis)?;
    redis::cmd("BGREWRITEAOF").exec(&mut redis)?;
    scene.wait("the append-only file is written anew", || {
        let text: String = redis::cmd("INFO").arg("persistence").query(&mut scene.redis()?)?;
        Ok(text.contains("aof_rewrite_in_progress:0") && text.contains("aof_rewrite_scheduled:0"))
    })
}

/// Our own tables that hold rows.
fn tables(scene: &Scene) -> Result<Vec<String>> {
    let names = scene.text(
        "SELECT name FROM system.tables WHERE database = currentDatabase() \
         AND engine LIKE '%MergeTree' FORMAT TSVRaw",
    )?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Lets the cleaners of all tables look for old parts every other second from now on. One that found
/// nothing for long sleeps for up to five minutes otherwise, whatever its table is told meanwhile.
fn keep_cleaners_awake(scene: &Scene) -> Result<()> {
    for table in tables(scene)? {
        scene.ask(&format!(
            "ALTER TABLE `{table}` MODIFY SETTING cleanup_delay_period = 1, \
             max_cleanup_delay_period = 2, cleanup_delay_period_random_add = 0"
        ))?;
    }
    Ok(())
}

fn two_hours(scene: &Scene, figures: &mut Figures) -> Result<()> {
    for table in tables(scene)? {
        scene.ask(&format!("OPTIMIZE TABLE `{table}` FINAL"))?;
        scene.ask(&format!("ALTER TABLE `{table}` MODIFY SETTING old_parts_lifetime = 1"))?;
    }
    let old = || -> Result<BTreeSet<String>> {
        let paths = scene.text(
            "SELECT path FROM system.parts WHERE NOT active AND database = currentDatabase() \
             FORMAT TSVRaw",
        )?;
        Ok(paths.lines().map(str::to_owned).collect())
    };
    let before = old()?;
    // Epochs go on, and leave old parts of their own.
    scene.wait("old parts are gone", || Ok(old()?.is_disjoint(&before)))?;
    figures.tell("old parts that went", before.len(), "parts");
    Ok(())
}

/// Detaches every partition of our tables, or attaches them again.
fn detach(scene: &Scene, how: &str) -> Result<()> {
    let parts =
        if how == "DETACH" { "system.parts WHERE active" } else { "system.detached_parts WHERE 1" };
    for table in tables(scene)? {
        let partitions = scene.text(&format!(
            "SELECT DISTINCT partition_id FROM {parts} AND database = currentDatabase() \
             AND table = '{table}' FORMAT TSVRaw"
        ))?;
        for partition in partitions.lines() {
            scene.ask(&format!("ALTER TABLE `{table}` {how} PARTITION ID '{partition}'"))?;
        }
    }
    Ok(())
}
