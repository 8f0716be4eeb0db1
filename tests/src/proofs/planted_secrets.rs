//! Proof `planted-secrets`: people with recognizable addresses, IP addresses and programs read their
//! mail, in all four modes. Afterwards everything that is kept and everything that is said is searched
//! for them, in every form in which they may be written down, and nothing is found. Then they are
//! planted in each kind of place, in each form, and the same search finds all of them.
//!
//! Programs take their time from the system, so that two hours cannot pass at will. What happens in
//! them is made to happen: every table is merged whole, and old parts are let go and waited for until
//! they are gone. Searched is at once, after that, and with all parts detached: the promise for secrets has no
//! two hours in it.
//!
//! Not searched: what a user gave (manifests, lists) and got (messages), which lie outside of the data
//! folder, and the memory of running programs.

mod forms;
mod people;
mod places;
mod plant;
mod reading;
mod scene;
mod unpack;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use rustix::process::{Signal, kill_process};

use super::Run;
use crate::figure::{Figures, progress};
use crate::stack::{ClickHouse, Shape, Stack, wait_ready};
use forms::{Find, Finder, Form};
use people::{Kind, Person};
use places::{Place, Search, Searched};
use reading::Answered;
use scene::{CAMPAIGNS, ENDED, Scene};

/// What each text hashes to, without a key.
type Hashes = HashMap<Vec<u8>, Vec<Vec<u8>>>;

/// Hashes that anybody can make again: of ClickHouse itself, which stores them most easily.
const HASHES: [&str; 14] = [
    "hex(MD5(s))",
    "hex(SHA1(s))",
    "hex(SHA224(s))",
    "hex(SHA256(s))",
    "hex(SHA384(s))",
    "hex(SHA512(s))",
    "hex(keccak256(s))",
    "hex(RIPEMD160(s))",
    "sipHash64(s)",
    "cityHash64(s)",
    "xxHash64(s)",
    "farmHash64(s)",
    "murmurHash3_64(s)",
    "halfMD5(s)",
];

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let mut random = Rng::with_seed(run.seed());
    let count = run.size(300, 40);
    let people = people::draw(count, &mut random);
    let nobody = people::draw(count, &mut random);
    let hashes = hash(run, &people)?;
    let of = |bytes: &[u8]| hashes.get(bytes).cloned().context("every secret was hashed");
    let finder = Finder::new(&people, of)?;
    let by_chance = Finder::by_chance(&nobody)?;
    figures.tell("people", people.len(), "people");
    figures.tell("byte patterns looked for", finder.patterns(), "patterns");

    let scene = Scene::start(&run.tools, &people)?;
    read(run, &scene, &people, &mut figures)?;
    let planted = plant::everything(&people[0], &hashes)?;
    let mut whom = Search { people: &finder, nobody: &by_chance, planted: b"" };
    written_down(&scene)?;
    clean(&mut figures, "at once", &places::search(&scene, &whom)?);
    two_hours(&scene, &mut figures)?;
    clean(&mut figures, "two hours later", &places::search(&scene, &whom)?);
    detach(&scene)?;
    clean(&mut figures, "all parts detached", &places::search(&scene, &whom)?);

    plant::plant(&scene, &planted)?;
    let files = plant::compressed(&scene, &planted)?;
    whom.planted = &planted;
    found(&mut figures, &places::search(&scene, &whom)?);
    for (method, file) in files {
        let mut unpacker = unpack::Unpacker::new()?;
        let mut kinds = 0;
        unpacker.each(&std::fs::read(file)?, &mut |bytes| {
            let found = finder.search(bytes);
            kinds += expected().filter(|(kind, form)| is_in(found.keys(), *kind, *form)).count();
        });
        let name = format!("planted within {method}, and found");
        figures.exactly(&name, kinds as u64, expected().count() as u64, "kinds and forms");
    }
    Ok(figures)
}

/// An engine of our own, apart from the one that is searched: asking it would plant.
fn hash(run: &Run, people: &[Person]) -> Result<Hashes> {
    let shape = Shape { edges: 0, writers: 0, ..Shape::default() };
    let stack = Stack::prepare(&run.tools, &shape, run.seed())?;
    let engine = &stack.clickhouse;
    engine.process.start()?;
    wait_ready("the engine", &engine.process, || engine.is_ready())?;
    let texts: Vec<Vec<u8>> =
        people.iter().flat_map(Person::secrets).map(|secret| secret.bytes).collect();
    let mut hashes = Hashes::new();
    for some in texts.chunks(500) {
        hashes.extend(some.iter().cloned().zip(hashed(engine, some)?));
    }
    Ok(hashes)
}

fn hashed(engine: &ClickHouse, texts: &[Vec<u8>]) -> Result<Vec<Vec<Vec<u8>>>> {
    let all: Vec<String> = texts.iter().map(|text| format!("'{}'", hex::encode(text))).collect();
    let answer = engine.query(&format!(
        "SELECT {} FROM (SELECT unhex(arrayJoin([{}])) AS s) FORMAT TSVRaw",
        HASHES.join(", "),
        all.join(",")
    ))?;
    let one = |text: &str| -> Result<Vec<u8>> {
        // A number has at most 20 digits, and the shortest hash has 32.
        if text.len() >= 32 {
            Ok(hex::decode(text)?)
        } else {
            Ok(text.parse::<u64>()?.to_be_bytes().to_vec())
        }
    };
    let rows = answer.lines().map(|line| line.split('\t').map(one).collect());
    let rows = rows.collect::<Result<Vec<Vec<_>>>>()?;
    ensure!(rows.len() == texts.len(), "{} of {} texts were hashed", rows.len(), texts.len());
    Ok(rows)
}

/// Mail is stamped, one campaign is withdrawn, and people read; half-way Redis stands still, so that
/// lane logs fill.
fn read(run: &Run, scene: &Scene, people: &[Person], figures: &mut Figures) -> Result<()> {
    let letters =
        CAMPAIGNS.iter().map(|(name, _)| scene.stamp(name)).collect::<Result<Vec<_>>>()?;
    let said = scene.command(&["withdraw", "--campaign", CAMPAIGNS[ENDED].0])?;
    std::fs::write(scene.said().join("withdraw"), said)?;
    std::thread::sleep(Duration::from_secs(2));
    progress("people read");
    let (hits, answered) = (run.size(100_000, 4_000), Answered::default());
    let third = hits / 3;
    let part =
        |n, count| reading::read(scene, people, &letters, (count, run.seed() + n), &answered);
    part(1, third)?;
    let redis = scene.child("redis")?;
    kill_process(redis, Signal::STOP)?;
    let while_away = part(2, third);
    let kept = scene.keep_lane_logs();
    kill_process(redis, Signal::CONT)?;
    while_away?;
    part(3, hits - 2 * third)?;
    figures.exactly("hits answered", answered.hits.load(Ordering::Relaxed), hits, "hits");
    let strays = answered.strays.load(Ordering::Relaxed);
    figures.tell("requests beside them for what is not there", strays, "requests");
    figures.at_least("lane logs while Redis stood still", kept?, 1_000, "bytes");
    let counted = answered.counted.load(Ordering::Relaxed);
    let sum = "SELECT sum(raw) FROM counters WHERE tenant != 0 AND dimension = 'total'";
    scene.wait("every hit is counted", |it| Ok(it.number(sum)? >= counted))?;
    figures.exactly("hits counted, in three modes", scene.number(sum)?, counted, "hits");
    // Behind the last hit an epoch is published.
    std::thread::sleep(Duration::from_secs(21));
    Ok(())
}

/// What Redis writes down only now and then is written down now.
fn written_down(scene: &Scene) -> Result<()> {
    let mut redis = scene.redis()?;
    redis::cmd("SAVE").exec(&mut redis)?;
    redis::cmd("BGREWRITEAOF").exec(&mut redis)?;
    scene.wait("the append-only file is written anew", |_| {
        let text: String = redis::cmd("INFO").arg("persistence").query(&mut scene.redis()?)?;
        Ok(text.contains("aof_rewrite_in_progress:0") && text.contains("aof_rewrite_scheduled:0"))
    })
}

/// Our own tables that hold rows.
fn tables(scene: &Scene) -> Result<Vec<String>> {
    let names = scene.ask(
        "SELECT name FROM system.tables WHERE database = currentDatabase() \
         AND engine LIKE '%MergeTree' FORMAT TSVRaw",
    )?;
    Ok(String::from_utf8(names)?.lines().map(str::to_owned).collect())
}

fn two_hours(scene: &Scene, figures: &mut Figures) -> Result<()> {
    for table in tables(scene)? {
        scene.ask(&format!("OPTIMIZE TABLE `{table}` FINAL"))?;
        // Eight minutes, unless it is told otherwise.
        scene.ask(&format!("ALTER TABLE `{table}` MODIFY SETTING old_parts_lifetime = 1"))?;
    }
    let old = || -> Result<BTreeSet<String>> {
        let paths = scene.ask("SELECT path FROM system.parts WHERE NOT active FORMAT TSVRaw")?;
        Ok(String::from_utf8(paths)?.lines().map(str::to_owned).collect())
    };
    let before = old()?;
    // Epochs go on, and leave old parts of their own.
    scene.wait("old parts are gone", |_| Ok(old()?.is_disjoint(&before)))?;
    figures.tell("old parts that went", before.len(), "parts");
    Ok(())
}

/// But what reports are made of: they are searched as well.
fn detach(scene: &Scene) -> Result<()> {
    let kept = |table: &String| table.starts_with("published") || table == "campaigns";
    for table in tables(scene)?.into_iter().filter(|table| !kept(table)) {
        let partitions = scene.ask(&format!(
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND table = '{table}' \
             FORMAT TSVRaw"
        ))?;
        for partition in String::from_utf8(partitions)?.lines() {
            scene.ask(&format!("ALTER TABLE `{table}` DETACH PARTITION ID '{partition}'"))?;
        }
    }
    Ok(())
}

/// Nothing may be found.
fn clean(figures: &mut Figures, when: &str, searched: &Searched) {
    for (place, (bytes, unpacked)) in &searched.bytes {
        let mb = (*bytes + *unpacked) as f64 / 1e6;
        figures.measure(format!("{when}: searched of {}", place.name()), mb, "MB");
    }
    for kind in Kind::ALL {
        let distinct = searched.found.iter().filter(|((_, it), _)| it.kind == kind && it.distinct);
        let sum: u64 = distinct.map(|(_, times)| times).sum();
        figures.exactly(&format!("{when}: {} found", kind.name()), sum, 0, "times");
    }
    for ((place, find), times) in searched.found.iter().filter(|((_, it), _)| it.distinct) {
        let example = &searched.example[&(*place, *find)];
        let what = format!("{} {}", find.kind.name(), find.form.name());
        progress(&format!("{what}: {times} times in {}, first {example}", place.name()));
    }
    let short: u64 =
        searched.found.iter().filter(|((_, it), _)| !it.distinct).map(|(_, times)| times).sum();
    let name = format!("{when}: IPv4 addresses as four bytes or eight hex digits");
    let target = format!("as chance finds those of nobody: {}", searched.chance);
    // Twice what chance finds, and ten: one that is stored leaves hundreds.
    figures.must(name, short, &target, short <= 2 * searched.chance + 10);
    let unread: Vec<&str> = searched.unread.iter().map(String::as_str).collect();
    figures.tell(format!("{when}: tables that cannot be read"), unread.join(", "), "");
    figures.exactly(&format!("{when}: blocks not unpacked"), searched.unread_blocks, 0, "blocks");
}

/// What is planted in each place: every kind of secret in every form.
fn expected() -> impl Iterator<Item = (Kind, Form)> {
    Kind::ALL.into_iter().flat_map(|kind| Form::ALL.map(|form| (kind, form)))
}

fn is_in<'a>(mut found: impl Iterator<Item = &'a Find>, kind: Kind, form: Form) -> bool {
    found.any(|it| it.distinct && it.kind == kind && it.form == form)
}

/// Everything that was planted has to be found where it was planted.
fn found(figures: &mut Figures, searched: &Searched) {
    for place in Place::ALL {
        let here: Vec<&Find> =
            searched.found.keys().filter(|(it, _)| *it == place).map(|(_, find)| find).collect();
        // A table's comment is text: UTF-16 and raw bytes have no place there.
        let text_alone = place == Place::SystemTable;
        let wanted: Vec<_> =
            expected().filter(|(_, form)| !(text_alone && *form == Form::Utf16)).collect();
        let found = wanted.iter().filter(|(kind, form)| is_in(here.iter().copied(), *kind, *form));
        let name = format!("planted in {}, and found", place.name());
        figures.exactly(&name, found.count() as u64, wanted.len() as u64, "kinds and forms");
    }
}
