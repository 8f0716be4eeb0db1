//! Everything that is kept and everything that is said: the places where a secret may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::forms::{Find, Finder};
use super::scene::{CAMPAIGNS, Scene};
use super::unpack::Unpacker;
use crate::http;

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Log,
    LaneLog,
    AppendOnlyFile,
    Snapshot,
    RedisKey,
    Part,
    InactivePart,
    DetachedPart,
    Table,
    SystemTable,
    Metrics,
    Report,
    OtherFile,
}

impl Place {
    pub(super) const ALL: [Self; 13] = [
        Self::Log,
        Self::LaneLog,
        Self::AppendOnlyFile,
        Self::Snapshot,
        Self::RedisKey,
        Self::Part,
        Self::InactivePart,
        Self::DetachedPart,
        Self::Table,
        Self::SystemTable,
        Self::Metrics,
        Self::Report,
        Self::OtherFile,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Log => "logs, and what commands said",
            Self::LaneLog => "lane logs and the edge's folder",
            Self::AppendOnlyFile => "append-only file",
            Self::Snapshot => "snapshot of Redis",
            Self::RedisKey => "keys of Redis",
            Self::Part => "active parts",
            Self::InactivePart => "inactive parts",
            Self::DetachedPart => "detached parts",
            Self::Table => "tables, as they are read",
            Self::SystemTable => "system tables",
            Self::Metrics => "metrics pages",
            Self::Report => "reports and counters",
            Self::OtherFile => "other files of the data folder",
        }
    }
}

/// What a search came to.
#[derive(Default)]
pub(super) struct Searched {
    /// Bytes of each kind of place, and how many of them were unpacked from others.
    pub(super) bytes: BTreeMap<Place, (u64, u64)>,
    pub(super) found: BTreeMap<(Place, Find), u64>,
    /// Where it was found first, for a person.
    pub(super) example: BTreeMap<(Place, Find), String>,
    /// What was found of people who never were: chance.
    pub(super) chance: u64,
    /// Tables that cannot be read.
    pub(super) unread: BTreeSet<String>,
    /// ClickHouse's blocks that could not be unpacked.
    pub(super) unread_blocks: u64,
}

/// Whom is looked for.
pub(super) struct Search<'a> {
    pub(super) people: &'a Finder,
    /// People who never were, as far as chance can find them.
    pub(super) nobody: &'a Finder,
    /// Appended to pages and reports once they were fetched: nobody can plant anything there.
    pub(super) planted: &'a [u8],
}

/// Searches every place.
pub(super) fn search(scene: &Scene, whom: &Search<'_>) -> Result<Searched> {
    let mut reader = Reader { whom, unpacker: Unpacker::new()?, searched: Searched::default() };
    reader.files(scene)?;
    reader.redis(scene)?;
    reader.tables(scene)?;
    reader.pages(scene)?;
    let Reader { unpacker, mut searched, .. } = reader;
    searched.unread_blocks = unpacker.unread;
    Ok(searched)
}

struct Reader<'a> {
    whom: &'a Search<'a>,
    unpacker: Unpacker,
    searched: Searched,
}

impl Reader<'_> {
    fn look(&mut self, place: Place, name: &str, bytes: &[u8]) {
        let Self { whom, unpacker, searched } = self;
        let mut one = |bytes: &[u8]| {
            for (find, times) in whom.people.search(bytes) {
                *searched.found.entry((place, find)).or_default() += times;
                searched.example.entry((place, find)).or_insert_with(|| name.to_owned());
            }
            searched.chance += whom.nobody.search(bytes).values().sum::<u64>();
        };
        one(bytes);
        let mut unpacked = 0;
        unpacker.each(bytes, &mut |inner| {
            one(inner);
            unpacked += inner.len() as u64;
        });
        let sum = searched.bytes.entry(place).or_default();
        *sum = (sum.0 + bytes.len() as u64, sum.1 + unpacked);
    }

    fn files(&mut self, scene: &Scene) -> Result<()> {
        let inactive = String::from_utf8(
            scene.ask("SELECT path FROM system.parts WHERE NOT active FORMAT TSVRaw")?,
        )?;
        let inactive: Vec<&str> = inactive.lines().map(|path| path.trim_end_matches('/')).collect();
        let mut files = Vec::new();
        walk(&scene.data(), &mut files)?;
        walk(&scene.said(), &mut files)?;
        for path in files {
            let name = path.to_str().context("a file's name is not text")?;
            let under = |folder: &str| path.starts_with(scene.data().join(folder));
            let part = || path.parent().and_then(Path::to_str).unwrap_or_default();
            let place = if name.contains("/detached/") {
                Place::DetachedPart
            } else if inactive.iter().any(|one| part().ends_with(one) || one.ends_with(part())) {
                Place::InactivePart
            } else if under("clickhouse") && name.contains("/store/") {
                Place::Part
            } else if under("redis/appendonlydir") {
                Place::AppendOnlyFile
            } else if name.ends_with(".rdb") {
                Place::Snapshot
            } else if under("edge") || path.starts_with(scene.said().join("lane-logs")) {
                Place::LaneLog
            } else if under("logs") || path.starts_with(scene.said()) {
                Place::Log
            } else {
                Place::OtherFile
            };
            // One that goes away meanwhile was merged or rotated into one that stays.
            if let Ok(bytes) = fs::read(&path) {
                self.look(place, name, &bytes);
                self.look(place, name, name.as_bytes());
            }
        }
        Ok(())
    }

    fn redis(&mut self, scene: &Scene) -> Result<()> {
        let mut redis = scene.redis()?;
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut redis)?;
        for key in keys {
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis)?;
            let mut read = match kind.as_str() {
                "string" => redis::cmd("GET"),
                "hash" => redis::cmd("HGETALL"),
                "set" => redis::cmd("SMEMBERS"),
                "stream" => redis::cmd("XRANGE"),
                _ => redis::cmd("DUMP"),
            };
            read.arg(&key);
            if kind == "stream" {
                read.arg("-").arg("+");
            }
            let mut bytes = key.clone();
            flatten(&read.query(&mut redis)?, &mut bytes);
            self.look(Place::RedisKey, &String::from_utf8_lossy(&key), &bytes);
        }
        Ok(())
    }

    /// Twice: as numbers are printed, and as they lie in memory. What is endless, asks another
    /// program, or is the same in every engine, is left out.
    fn tables(&mut self, scene: &Scene) -> Result<()> {
        let tables = scene.ask(
            "SELECT database, name FROM system.tables WHERE NOT is_temporary AND engine NOT IN \
             ('Null', 'MaterializedView', 'SystemNumbers', 'SystemZeros', 'SystemPrimes') \
             AND NOT (database = 'system' AND name IN ('models', 'stack_trace', 'unicode')) \
             FORMAT TSVRaw",
        )?;
        for line in String::from_utf8(tables)?.lines() {
            let (database, table) = line.split_once('\t').context("a table has a database")?;
            let place = match database {
                "system" | "INFORMATION_SCHEMA" | "information_schema" => Place::SystemTable,
                _ => Place::Table,
            };
            for format in ["TSVRaw", "RowBinary"] {
                let sql = format!(
                    "SELECT * FROM `{database}`.`{table}` LIMIT 5000000 \
                     SETTINGS max_execution_time = 60 FORMAT {format}"
                );
                match scene.ask(&sql) {
                    Ok(bytes) => self.look(place, table, &bytes),
                    Err(_) => {
                        self.searched.unread.insert(format!("{database}.{table}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn pages(&mut self, scene: &Scene) -> Result<()> {
        for (name, address) in &scene.pages {
            let page = http::get(*address, "/metrics", Duration::from_secs(10))?;
            let page = [&page.body[..], page.head.as_bytes(), self.whom.planted].concat();
            self.look(Place::Metrics, name, &page);
        }
        for (campaign, _) in CAMPAIGNS {
            for command in [
                &["report", campaign][..],
                &["report", campaign, "--json"],
                &["report", campaign, "--csv"],
                &["counters", campaign],
                &["counters", campaign, "--json"],
            ] {
                let said = [&scene.command(command)?[..], self.whom.planted].concat();
                self.look(Place::Report, &command.join(" "), &said);
            }
        }
        Ok(())
    }
}

/// Every string of an answer, one after the other.
fn flatten(value: &redis::Value, into: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(bytes) => into.extend_from_slice(bytes),
        redis::Value::SimpleString(text) => into.extend_from_slice(text.as_bytes()),
        redis::Value::Array(all) | redis::Value::Set(all) => {
            all.iter().for_each(|one| flatten(one, into));
        }
        redis::Value::Map(all) => all.iter().for_each(|(key, one)| {
            flatten(key, into);
            flatten(one, into);
        }),
        _ => {}
    }
    into.push(b'\n');
}

/// Every file below a folder, once: links lead to files that are found elsewhere.
fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    // A part's folder may go away while it is read.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            walk(&entry.path(), into)?;
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
    Ok(())
}
