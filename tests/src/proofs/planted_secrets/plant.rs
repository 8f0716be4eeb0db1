//! The positive control: a person's secrets, planted in every kind of place and in every form, where
//! the same search has to find them.

use std::fs::{self, OpenOptions};
use std::io::Write;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::Hashes;
use super::people::Person;
use super::scene::Scene;

/// What is planted: each of the person's texts in each form, apart by line ends.
pub(super) fn everything(person: &Person, hashes: &Hashes) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut line = |bytes: &[u8]| {
        all.extend_from_slice(bytes);
        all.push(b'\n');
    };
    let texts = [person.address.clone(), person.v4.to_string(), person.user_agent.clone()];
    for (n, text) in texts.iter().enumerate() {
        line(text.as_bytes());
        line(&text.bytes().flat_map(|byte| [byte, 0]).collect::<Vec<_>>());
        line(hex::encode_upper(text).as_bytes());
        // Between other bytes, so that each alignment is there.
        let between = format!("{}{text}", &"ab"[..n % 3]);
        line(STANDARD.encode(&between).as_bytes());
        line(URL_SAFE_NO_PAD.encode(&between).as_bytes());
        line(text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>().as_bytes());
        let hashed = hashes.get(text.as_bytes()).context("a planted text was hashed")?;
        line(hashed.first().context("there is a hash")?);
        hashed.iter().for_each(|hash| line(hex::encode(hash).as_bytes()));
    }
    Ok(all)
}

/// The same as text alone, for what takes no other bytes.
fn printable(everything: &[u8]) -> String {
    everything.iter().map(|byte| char::from(*byte)).filter(char::is_ascii_graphic).collect()
}

/// Plants it in files, in Redis and in ClickHouse.
pub(super) fn plant(scene: &Scene, everything: &[u8]) -> Result<()> {
    let append = |path: &str, bytes: &[u8]| -> Result<()> {
        let path = scene.data().join(path);
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(file.write_all(bytes)?)
    };
    append("logs/edge.log", everything)?;
    append("edge/planted.log", everything)?;
    append("state.planted", everything)?;

    let mut redis = scene.redis()?;
    // Twice the same is what Redis compresses, in its snapshot.
    let twice = everything.repeat(2);
    redis::cmd("SET").arg("planted").arg(&twice).exec(&mut redis)?;
    redis::cmd("SAVE").exec(&mut redis)?;

    let columns =
        "(one String CODEC(LZ4), other String CODEC(ZSTD)) ENGINE = MergeTree ORDER BY ()";
    let text = hex::encode(everything);
    for table in ["planted_active", "planted_inactive", "planted_detached"] {
        scene.ask(&format!("CREATE TABLE {table} {columns}"))?;
        for _ in 0..2 {
            scene.ask(&format!("INSERT INTO {table} SELECT unhex('{text}'), repeat('x', 100)"))?;
            scene.ask(&format!("INSERT INTO {table} SELECT repeat('x', 100), unhex('{text}')"))?;
        }
    }
    scene.ask("OPTIMIZE TABLE planted_inactive FINAL")?;
    scene.ask("TRUNCATE TABLE planted_inactive")?;
    scene.ask("ALTER TABLE planted_detached DETACH PARTITION ID 'all'")?;
    let comment = printable(everything).replace(['\\', '\''], "");
    scene.ask(&format!(
        "CREATE TABLE planted_comment (n UInt8) ENGINE = Null COMMENT '{comment}'"
    ))?;
    Ok(())
}

/// A file a way of compressing, each with everything in it; returns their names.
pub(super) fn compressed(scene: &Scene, everything: &[u8]) -> Result<Vec<(&'static str, String)>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(everything)?;
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(everything)?;
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(everything)?;
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let files = [
        ("gzip", gzip.finish()?),
        ("zlib", zlib.finish()?),
        ("LZ4", lz4.finish()?),
        ("Zstandard", ruzstd::encoding::compress_to_vec(everything, level)),
    ];
    let folder = scene.data().join("stamps");
    files
        .into_iter()
        .map(|(method, bytes)| {
            let path = folder.join(format!("planted.{method}"));
            fs::write(&path, bytes)?;
            Ok((method, path.to_str().context("a file's name is text")?.to_owned()))
        })
        .collect()
}
