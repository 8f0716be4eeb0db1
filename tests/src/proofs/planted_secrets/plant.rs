//! The positive control: a person's secrets, planted in every kind of place and in every form, and
//! everybody's IPv4 address as a number, where the same search has to find them.

use std::fs::{self, OpenOptions};
use std::io::Write;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::hashes::Hashes;
use super::people::Person;
use super::scene::Scene;

/// What is planted, apart by line ends: each text of the first person in each form, and the numbers
/// of all.
pub(super) fn everything(people: &[Person], hashes: &Hashes) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut line = |bytes: &[u8]| {
        all.extend_from_slice(bytes);
        all.push(b'\n');
    };
    let person = people.first().context("there are people")?;
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
        let hashed = hashes.of(text.as_bytes())?;
        line(hashed.first().context("there is a hash")?);
        hashed.iter().for_each(|hash| line(hex::encode(hash).as_bytes()));
    }
    for v4 in people.iter().map(|it| it.v4) {
        line(&v4.octets());
        line(hex::encode(v4.octets()).as_bytes());
        line(STANDARD_NO_PAD.encode(v4.octets()).as_bytes());
        line(v4.to_bits().to_string().as_bytes());
        line(v4.to_string().as_bytes());
    }
    Ok(all)
}

/// The same as text alone, for what takes no other bytes.
fn printable(everything: &[u8]) -> String {
    let graphic = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' };
    everything.iter().map(graphic).filter(|it| !matches!(it, '\\' | '\'')).collect()
}

/// Plants it in files, in Redis and in ClickHouse.
pub(super) fn plant(scene: &Scene, everything: &[u8]) -> Result<()> {
    let append = |path: &str| -> Result<()> {
        let path = scene.data().join(path);
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(file.write_all(everything)?)
    };
    append("logs/edge.log")?;
    append("edge/planted.log")?;
    append("receipts/planted")?;
    append("state.planted")?;
    fs::write(scene.said().join("planted"), everything)?;

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
    // What was merged stays for eight minutes; what is dropped goes at once.
    scene.ask("OPTIMIZE TABLE planted_inactive FINAL")?;
    scene.ask("ALTER TABLE planted_detached DETACH PARTITION ID 'all'")?;
    let comment = printable(everything);
    scene.ask(&format!(
        "CREATE TABLE planted_comment (n UInt8) ENGINE = Null COMMENT '{comment}'"
    ))?;
    Ok(())
}

/// A file a way of compressing, each with everything in it.
pub(super) fn compressed(everything: &[u8]) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(everything)?;
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(everything)?;
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(everything)?;
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    Ok(vec![
        ("gzip", gzip.finish()?),
        ("zlib", zlib.finish()?),
        ("LZ4", lz4.finish()?),
        ("Zstandard", ruzstd::encoding::compress_to_vec(everything, level)),
    ])
}
