//! Everything that is kept and everything that is said: the places where a secret may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::asked;
use super::forms::{Find, Finder};
use super::numbers::{Numbers, Seen};
use super::people::Person;
use super::place::Place;
use super::scene::Scene;
use super::unpack::Unpacker;

/// What a search came to.
#[derive(Default)]
pub(super) struct Searched {
    /// Bytes of each kind of place, and how many of them were unpacked from others.
    pub(super) bytes: BTreeMap<Place, (u64, u64)>,
    pub(super) found: BTreeMap<(Place, Find), u64>,
    /// Where it was found first, for a person.
    pub(super) example: BTreeMap<(Place, Find), String>,
    /// Whose IPv4 addresses were found as numbers.
    pub(super) seen: BTreeMap<Place, Seen>,
    /// Tables that cannot be read.
    pub(super) unread: BTreeSet<String>,
    /// ClickHouse's blocks that could not be unpacked.
    pub(super) unread_blocks: u64,
}

impl Searched {
    /// Bytes in all.
    pub(super) fn sum(&self) -> u64 {
        self.bytes.values().map(|(bytes, unpacked)| bytes + unpacked).sum()
    }
}

/// Whom is looked for.
pub(super) struct Search<'a> {
    pub(super) people: &'a [Person],
    pub(super) finder: &'a Finder,
    pub(super) numbers: &'a Numbers,
    /// Appended to pages and reports once they were fetched: nobody can plant anything there.
    pub(super) planted: &'a [u8],
}

/// Searches every place.
pub(super) fn everything(scene: &Scene, whom: &Search<'_>) -> Result<Searched> {
    let mut reader = Reader::new(whom)?;
    reader.files(scene)?;
    reader.redis(scene)?;
    reader.tables(scene)?;
    asked::pages(scene, whom.people, &mut |place, name, bytes| reader.answer(place, name, bytes))?;
    asked::reports(scene, &mut |place, name, bytes| reader.answer(place, name, bytes))?;
    Ok(reader.end())
}

/// Searches files alone, while programs stand still.
pub(super) fn files(scene: &Scene, whom: &Search<'_>) -> Result<Searched> {
    let mut reader = Reader::new(whom)?;
    reader.files(scene)?;
    Ok(reader.end())
}

struct Reader<'a> {
    whom: &'a Search<'a>,
    unpacker: Unpacker,
    searched: Searched,
}

impl<'a> Reader<'a> {
    fn new(whom: &'a Search<'a>) -> Result<Self> {
        Ok(Self { whom, unpacker: Unpacker::new()?, searched: Searched::default() })
    }

    fn end(mut self) -> Searched {
        self.searched.unread_blocks = self.unpacker.unread;
        self.searched
    }

    fn answer(&mut self, place: Place, name: &str, bytes: &[u8]) {
        let bytes = [bytes, self.whom.planted].concat();
        self.look(place, name, &bytes);
    }

    fn look(&mut self, place: Place, name: &str, bytes: &[u8]) {
        let Self { whom, unpacker, searched } = self;
        let seen = searched.seen.entry(place).or_default();
        let mut one = |bytes: &[u8]| {
            whom.finder.search(bytes, |find| {
                *searched.found.entry((place, find)).or_default() += 1;
                searched.example.entry((place, find)).or_insert_with(|| name.to_owned());
            });
            whom.numbers.search(bytes, seen);
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
        let inactive =
            scene.text("SELECT path FROM system.parts WHERE NOT active FORMAT TSVRaw")?;
        let inactive: Vec<&str> = inactive.lines().map(|path| path.trim_end_matches('/')).collect();
        let mut files = Vec::new();
        walk(scene.data(), &mut files)?;
        walk(&scene.said(), &mut files)?;
        for path in files {
            let place = Place::of(scene, &path, &inactive);
            let name = path.to_str().context("a file's name is not text")?;
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
        for about in [&["SLOWLOG", "GET", "-1"][..], &["INFO", "everything"], &["CLIENT", "LIST"]] {
            let mut bytes = Vec::new();
            flatten(&redis::cmd(about[0]).arg(&about[1..]).query(&mut redis)?, &mut bytes);
            self.look(Place::RedisKey, about[0], &bytes);
        }
        Ok(())
    }

    /// Twice: as values are printed, and as they lie in memory. What is endless, asks another
    /// program, or is the same in every engine, is left out.
    fn tables(&mut self, scene: &Scene) -> Result<()> {
        let tables = scene.text(
            "SELECT database, name FROM system.tables WHERE NOT is_temporary AND engine NOT IN \
             ('Null', 'MaterializedView', 'SystemNumbers', 'SystemZeros', 'SystemPrimes') \
             AND NOT (database = 'system' AND name IN ('models', 'stack_trace', 'unicode')) \
             FORMAT TSVRaw",
        )?;
        for line in tables.lines() {
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
}

/// Every string of an answer, one after the other.
fn flatten(value: &redis::Value, into: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(bytes) => into.extend_from_slice(bytes),
        redis::Value::SimpleString(text) | redis::Value::VerbatimString { text, .. } => {
            into.extend_from_slice(text.as_bytes());
        }
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
